"""The arguments of every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

HOSTS_HELP = "jaicp, aimylogic, tovie, dialogstudio, or a URL; default: $CALLS_HOST"
EPILOG = """\
exit codes: 0 every row accepted or duplicate; 1 failed (unreachable, wrong token, disk full ...); 2 wrong usage or
unreadable source; 3 finished, but some rows rejected or unknown; 130 interrupted, resumable
"""


FEW_CODES = "exit codes: 0 done; 1 failed; 2 wrong usage"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; the parsed arguments have the command's name in `command`."""
    parser = argparse.ArgumentParser(
        prog="calls-async", description="Outbound call campaigns through the Calls API.", epilog=EPILOG
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, does: str, *parts: Callable[[argparse.ArgumentParser], None]) -> None:
        codes = EPILOG if name in ("upload", "check") else FEW_CODES
        one = commands.add_parser(name, help=does, description=does[0].upper() + does[1:] + ".", epilog=codes)
        for part in parts:
            part(one)

    command("upload", "send a contact list", _source, _server, _upload, _report)
    command("check", "read and check a contact list like upload, and send nothing", _source, _report, _check)
    command("sample", "print made-up contacts: all numbers different, and nobody's", _sample)
    command("add", "add one number", _server, _phone, _numbers)
    command("test", "add one number for a test call", _server, _phone, _numbers)
    command("info", "show the campaign", _server)
    command("status", "show the campaign's status", _server)
    command("pause", "pause the campaign", _server)
    command("resume", "resume the campaign", _server)
    command("stop", "stop the campaign", _server)
    command("watch", "watch the campaign until it is finished", _server, _watch)
    command("cancel", "cancel call jobs; prints the IDs of the canceled ones", _server, _jobs, _numbers)
    command("report", "tell what became of call jobs", _server, _jobs, _numbers)
    command("attempts", "tell of every call attempt of call jobs", _server, _jobs, _numbers)
    command("reconcile", "settle a journal's unknown rows by asking the API for their jobs", _server, _reconcile)
    command("journal", "look into a journal: what happened, the results again, the unknown; or purge it", _journal)
    command("sandbox", "run a Calls API server that calls nobody", _sandbox)
    command("guide", "show the guide's pages, or one of them", _guide)
    return parser


def join_zone(argv: Sequence[str]) -> list[str]:
    """Return a command line in which a time zone such as -05:00 is not taken for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] == "--gmt-zone":
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # a tenth of the time that --help takes

        parser.exit(message=f"{version('calls_async')}\n")


def _server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("campaign")
    group.add_argument("--host", help=HOSTS_HELP)
    group.add_argument("--token", help="the campaign's token; other users of this machine can see it here")
    group.add_argument("--token-file", metavar="FILE", help="a file that holds the token; default: $CALLS_TOKEN")
    group.add_argument("--plain-http", action="store_true", help="send the token over unencrypted http")


def _source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("source")
    group.add_argument("source", metavar="SOURCE", help="a file, or - for standard input with --format")
    group.add_argument("--format", choices=["csv", "jsonl", "parquet", "xlsx"], help="default: by the file's name")
    _numbers(group)
    group.add_argument("--first-number", action="store_true", help="take the first of several numbers in a cell")
    group.add_argument(
        "--only-region", metavar="XX,…", dest="only_regions", help="reject numbers of other regions, such as RU,KZ"
    )
    group.add_argument(
        "--column",
        metavar="NAME=FIELD",
        action="append",
        default=[],
        type=_pair,
        help="a column of another name; repeatable",
    )
    group.add_argument("--delimiter", type=_delimiter, help="of a CSV file, such as ; or tab; default: by its header")
    group.add_argument("--encoding", help="of a text file; default: found out from all of it")
    group.add_argument("--sheet", metavar="NAME|N", help="of a workbook; default: the first that is not hidden")
    group.add_argument("--header-row", metavar="N", type=int, help="the line or sheet row that names the columns")
    group.add_argument("--skip-hidden", action="store_true", help="leave out the hidden rows of a sheet")
    group.add_argument(
        "--multiline",
        action="store_true",
        help="cells of a CSV file may hold lines that look like rows",
    )
    group.add_argument(
        "--exclude",
        metavar="FILE",
        action="append",
        default=[],
        help="numbers that must not be called: one a line, or CSV with a column phone; repeatable",
    )
    group.add_argument(
        "--not-in",
        metavar="JOURNAL",
        action="append",
        default=[],
        help="leave out who has a job by another upload, or may have one; repeatable",
    )
    group.add_argument("--unique", choices=["phone"], help="send one row a number")
    group.add_argument("--chunk-rows", metavar="N", type=int, help="contacts in one request at most; default: 500")
    group.add_argument("--chunk-bytes", metavar="N", type=int, help="bytes of JSON in one request; default: 1000000")


def _numbers(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    group.add_argument("--region", metavar="XX", help="where national numbers are from, such as US")
    group.add_argument(
        "--international", action="store_true", help="take numbers that might be national ones as they stand"
    )
    group.add_argument(
        "--numbers", choices=["strict", "any"], help="check them by the whole numbering plan, or not at all"
    )


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--each", action="store_true", help="print a line for every row that is not fit to be sent")


def _upload(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sending")
    group.add_argument("--concurrency", metavar="N", type=int, help="requests in flight at most; default: 16")
    group.add_argument("--rate", metavar="N", type=float, help="contacts a second at most")
    group.add_argument("--dedupe", action="store_true", help="do not send what says the same as an earlier row")
    group.add_argument(
        "--verify", action="store_true", default=None, help="check every answer against the report of jobs"
    )
    group.add_argument(
        "--max-outage",
        metavar="SECONDS",
        dest="max_outage_seconds",
        type=float,
        help="how long the server may answer nothing at all; default: 1800",
    )
    group.add_argument(
        "--max-refusals",
        metavar="N",
        type=int,
        help="stop when so many contacts in a row are refused, each by itself; 0: never; default: 2000",
    )
    group.add_argument("--sandbox", action="store_true", help="send to an embedded sandbox instead of a host")
    _faults(group)
    group = parser.add_argument_group("journal")
    group.add_argument("--journal", metavar="FILE", help="where everything is written down; default: SOURCE.journal")
    group.add_argument("--no-journal", action="store_true", help="keep none: an upload that dies cannot be resumed")
    group.add_argument(
        "--trust-journal",
        action="store_true",
        default=None,
        help="an old journal is the newest: go on with it though the server has jobs that it does not know",
    )
    group.add_argument(
        "--again",
        action="store_true",
        help="upload a finished list a second time, under whatever name: everybody is called",
    )
    group.add_argument(
        "--retry-rejected",
        action="store_true",
        help="send the rejected rows of this list again, corrected, or with other options, and no others",
    )
    group.add_argument("--yes", action="store_true", help="with --again: do not ask whether to call people again")
    group.add_argument(
        "--durability",
        choices=["power", "process"],
        default="power",
        help="what the journal survives: a power cut, or the death of the process only; default: %(default)s",
    )


def _reconcile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("journal", metavar="JOURNAL")
    parser.add_argument(
        "--exclude", metavar="FILE", action="append", default=[], help="numbers that must not be called; repeatable"
    )
    parser.add_argument("--resend", action="store_true", help="send the rows again that have no job, under new keys")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _journal(parser: argparse.ArgumentParser) -> None:
    actions = {
        "show": "what happened",
        "results": "what became of each row, again",
        "export-unknown": "the contacts of the unknown rows as JSON Lines",
        "export-rejected": "the rejected rows as they stand in their list, with the reason",
        "purge": "remove phones and payloads from a finished journal",
        "set-host": "say that the same system, with its jobs, is at HOST now",
    }
    said = "; ".join(f"{name}: {does}" for name, does in actions.items())
    parser.add_argument("action", choices=list(actions), help=said)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("host", metavar="HOST", nargs="?", help="of set-host")
    parser.add_argument("--plain-http", action="store_true", help="let HOST be asked over unencrypted http")
    parser.add_argument("--json", action="store_true", help="show as one JSON object")
    parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl", help="of the results")
    parser.add_argument("--source", metavar="LIST", help="of export-rejected: where the list is now")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="of results and export-rejected: write to FILE (.csv, .xlsx; results: .jsonl)",
    )
    _excel(parser)
    parser.add_argument("--with-unknown", action="store_true", help="purge also where rows are still unknown")
    parser.add_argument(
        "--status", choices=["accepted", "duplicate", "rejected", "unknown"], help="only results of this status"
    )


def _report(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is shown")
    group.add_argument("--results", metavar="FILE", help="write each row's outcome to FILE (.jsonl, .csv or .xlsx)")
    group.add_argument(
        "--bad", metavar="FILE", help="write the rows that did not get through to FILE (.csv, .xlsx), with the reason"
    )
    _excel(group)
    group.add_argument("--json", action="store_true", help="print one JSON object at the end, nothing else")
    group.add_argument("--quiet", action="store_true", help="show no progress")


def _excel(group: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    group.add_argument("--excel", action="store_true", help="begin CSV files so that Excel knows their encoding")


def _sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", metavar="N", type=_count)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other contacts")


def _phone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("phone", metavar="PHONE")
    parser.add_argument("--gmt-zone", metavar="ZONE", help="the customer's time zone, such as -05:00")
    parser.add_argument(
        "--idempotence-key", metavar="KEY", help="of a command that had no answer, to repeat it and call nobody twice"
    )
    parser.add_argument(
        "--payload", metavar="NAME=VALUE", action="append", default=[], type=_pair, help="script data; repeatable"
    )


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", metavar="ID", action="append", default=[], help="a call job; repeatable")
    parser.add_argument("--phone", metavar="PHONE", action="append", default=[], help="a number; repeatable")
    parser.add_argument("--from-results", metavar="FILE", help="the call jobs of a results file")
    parser.add_argument(
        "--output", metavar="FILE", help="write to FILE (.jsonl, .csv, .parquet or .xlsx), as the answers come"
    )
    _excel(parser)
    parser.add_argument("--format", choices=["jsonl", "csv"], help="of standard output; default: jsonl")
    parser.add_argument("--concurrency", metavar="N", type=int, help="requests in flight at most; default: 8")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval", metavar="SECONDS", type=float, default=5.0, help="how often it is asked; default: %(default)s"
    )


def _sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bind", metavar="ADDRESS", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=_port, default=8765, help="0 takes a free one; default: %(default)s")
    parser.add_argument(
        "--ready-file", metavar="FILE", help="written when it listens: a JSON object with url, token and pid"
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        help="a name of this machine that requests may use, besides localhost and addresses; repeatable",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file that says what flags say, and more of campaigns; flags win"
    )
    parser.add_argument("--state", metavar="FILE", help="keep everything in FILE: it survives the end of the process")
    parser.add_argument("--token", action="append", help="a campaign that exists; repeatable")
    group = parser.add_argument_group("calls")
    group.add_argument(
        "--no-calls", dest="calls", action="store_const", const=False, help="call nobody: jobs stay planned"
    )
    group.add_argument("--lines", metavar="N", type=int, help="calls at once; default: 10")
    group.add_argument("--max-attempts", metavar="N", type=int, help="of a contact without its own; default: 3")
    group.add_argument("--retry-minutes", metavar="N", type=int, help="between two attempts; default: 60")
    group.add_argument("--speed", metavar="X", type=float, help="how fast its clock runs, such as 600; default: 1")
    group.add_argument("--seed", metavar="N", type=int, help="another seed, other answers to the calls")
    group.add_argument(
        "--call-result",
        metavar="RESULT=SHARE",
        action="append",
        type=_pair,
        help="how calls end, such as noAnswer=0.5; repeatable",
    )
    group = parser.add_argument_group("answers")
    group.add_argument("--duplicates", choices=["ignore", "error", "off"], help="which rule holds; default: ignore")
    group.add_argument("--quoted", action="store_const", const=True, help="answer strings as JSON")
    group.add_argument("--numeric-ids", action="store_const", const=True, help="answer IDs as numbers")
    _faults(group)


def _guide(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", metavar="PAGE", nargs="?", help="default: the list of pages")


def _faults(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--fault",
        metavar="KIND=SHARE",
        action="append",
        default=[],
        type=_pair,
        help="let this share of the sandbox's requests go wrong, such as reset-after=0.3; repeatable",
    )
    parser.add_argument("--fault-seed", metavar="N", type=int, help="another seed, other requests go wrong")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _delimiter(text: str) -> str:
    return "\t" if text in ("tab", "\\t") else text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: they go from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    digits = text.replace("_", "")
    if not digits.isascii() or not digits.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(digits)
