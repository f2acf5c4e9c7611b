"""The command knows a list again, whatever name it and its journal have."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import shutil
from argparse import Namespace
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from calls_async import CallsClient
from calls_async.cli.upload_index import SAMPLES, WHOLE_BYTES, UploadIndex, check_index
from calls_async.errors import ConfigurationError
from calls_async.sandbox import DuplicateRule
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal.locks import lock_file, unlock_file
from calls_async.upload.journal.settings import JournalOwner, JournalSettings
from calls_async.upload.journal.store import Store
from tests.helpers.command import COMMAND, Ran, run
from tests.helpers.servers import TOKEN

HOST = "https://calls.example.com"
LOOKS_ELSEWHERE = "0.0.0.0"  # leads to this machine


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index in the user's state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "calls_async" / "uploads.jsonl"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text("phone\n16500000001\n16500000002\n")
    return path


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(tokens=[TOKEN], duplicates=DuplicateRule.OFF, allowed_hosts=[LOOKS_ELSEWHERE]) as running:
        yield running


def begin(
    source: Path | str, journal: Path | None = None, *, token: str = TOKEN, host: str = HOST, **options: bool
) -> Callable[[], None]:
    """What the command does before it sends anything; raises `ConfigurationError` where it stops."""
    given = {"sandbox": False, "again": False, "json": False, "quiet": False} | options
    settings = None if journal is None else JournalSettings(path=journal)
    return check_index(Namespace(source=str(source), **given), JournalOwner(token=token, host=host), settings)


async def send(sandbox: Sandbox, source: Path, journal: Path, token: str = TOKEN) -> None:
    async with CallsClient(sandbox.url) as client:
        await client.campaign(token).upload(source, journal=journal).run()


def entries(state: Path) -> int:
    """How many uploads are remembered; the first line is the salt."""
    return len(state.read_text().splitlines()) - 1


async def test_a_copy_under_another_name_is_refused(sandbox: Sandbox, listed: Path, state: Path) -> None:
    journal, other = listed.with_name("a.journal"), listed.with_name("b.journal")
    begin(listed, journal)
    await send(sandbox, listed, journal)
    copy = Path(shutil.copy(listed, listed.with_name("copy.csv")))
    with pytest.raises(ConfigurationError) as refused:
        begin(copy, other)
    assert "this list was uploaded to this campaign on 20" in str(refused.value)
    assert f"journal {journal}" in str(refused.value)
    assert "--again" in str(refused.value)
    assert entries(state) == 1
    begin(copy, other, again=True)
    assert entries(state) == 2


@pytest.mark.parametrize("again", ["b.journal", None])
@pytest.mark.parametrize("first", ["a.journal", None])
def test_so_is_the_same_list_under_another_journal_or_none(
    listed: Path, first: str | None, again: str | None
) -> None:
    begin(listed, None if first is None else listed.with_name(first))
    with pytest.raises(ConfigurationError, match=r"a\.journal" if first else "without a journal"):
        begin(listed, None if again is None else listed.with_name(again))


async def test_so_is_one_whose_journal_was_moved(sandbox: Sandbox, listed: Path) -> None:
    """Under the same name: no word of its journal says what became of it."""
    journal = listed.with_name("a.journal")
    begin(listed, journal)
    await send(sandbox, listed, journal)
    begin(listed, journal)  # the same upload goes on
    journal.rename(listed.with_name("moved"))
    with pytest.raises(ConfigurationError, match="this list was uploaded"):
        begin(listed, journal)


async def test_going_on_with_the_same_journal_is_no_second_upload(
    sandbox: Sandbox, listed: Path, state: Path
) -> None:
    journal = listed.with_name("a.journal")
    begin(listed, journal)
    await send(sandbox, listed, journal)
    link = listed.with_name("link")
    link.symlink_to(journal)
    begin(listed, link)
    assert entries(state) == 1


def test_another_campaign_host_or_list_is_none_of_its_business(listed: Path) -> None:
    begin(listed)
    begin(listed, token="another")
    begin(listed, host="https://another.example.com")
    other = listed.with_name("other.csv")
    other.write_text(listed.read_text().replace("2", "3"))
    begin(other)


def leave_a_journal(path: Path, source: Path) -> None:
    """Of an upload that has read its list, and sent nothing."""
    with closing(Store(path)) as store:
        store.begin(JournalOwner(token=TOKEN, host=HOST, source=str(source)), at=0.0)


def test_an_upload_that_sent_nothing_does_not_count(listed: Path) -> None:
    journal = listed.with_name("a.journal")
    begin(listed, journal)
    leave_a_journal(journal, listed)
    begin(listed, listed.with_name("b.journal"))


def test_but_one_that_is_about_to_does(listed: Path) -> None:
    journal = listed.with_name("a.journal")
    begin(listed, journal)
    leave_a_journal(journal, listed)
    held = lock_file(journal)  # by another command, which reads a long list of excluded numbers
    with pytest.raises(ConfigurationError, match="this list was uploaded"):
        begin(listed, listed.with_name("b.journal"))
    unlock_file(held)


async def test_nor_does_one_go_on_whose_list_was_called_from_elsewhere(sandbox: Sandbox, listed: Path) -> None:
    """The first one sent nothing, then its copy was uploaded."""
    journal, other = listed.with_name("a.journal"), listed.with_name("b.journal")
    begin(listed, journal)
    leave_a_journal(journal, listed)
    begin(listed, other)
    await send(sandbox, listed, other)
    with pytest.raises(ConfigurationError, match="this list was uploaded"):
        begin(listed, journal)


def test_an_upload_that_failed_before_it_sent_anything_is_forgotten(listed: Path, state: Path) -> None:
    forget = begin(listed, listed.with_name("a.journal"))
    assert entries(state) == 1
    forget()
    assert entries(state) == 0
    begin(listed, listed.with_name("b.journal"))


@pytest.mark.parametrize("content", [b"", b"no journal"])
def test_a_journal_that_tells_nothing_counts(listed: Path, content: bytes) -> None:
    journal = listed.with_name("a.journal")
    begin(listed, journal)
    journal.write_bytes(content)
    for again in (journal, listed.with_name("b.journal")):
        with pytest.raises(ConfigurationError, match="this list was uploaded"):
            begin(listed, again)


async def test_a_journal_that_was_moved_with_its_list_goes_on(sandbox: Sandbox, listed: Path) -> None:
    begin(listed, listed.with_name("a.journal"))
    await send(sandbox, listed, listed.with_name("a.journal"))
    folder = Path(shutil.copytree(listed.parent, listed.parent.parent / f"{listed.parent.name}-moved"))
    begin(folder / listed.name, folder / "a.journal")


def test_two_commands_at_once_know_of_each_other(listed: Path) -> None:
    def one(name: str) -> bool:
        try:
            begin(listed, listed.with_name(name))
        except ConfigurationError:
            return False
        return True

    with ThreadPoolExecutor() as threads:
        went_on = list(threads.map(one, "abcdef"))
    assert went_on.count(True) == 1


async def test_a_large_list_that_differs_where_no_sample_lies_is_another(sandbox: Sandbox, tmp_path: Path) -> None:
    lines = [f"1650{number:07d},{'x' * 200}\n" for number in range(8000)]
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("phone,note\n" + "".join(lines))
    step = (first.stat().st_size - WHOLE_BYTES // SAMPLES) // (SAMPLES - 1)
    between = (step // 2 + WHOLE_BYTES // SAMPLES // 2) // len(lines[0])
    lines[between] = lines[between].replace("1650", "1651", 1)
    second.write_text("phone,note\n" + "".join(lines))
    owner, index = JournalOwner(token=TOKEN, host=HOST), UploadIndex(tmp_path / "index")
    assert index.describe(first, owner, None).content == index.describe(second, owner, None).content
    journal = tmp_path / "a.journal"
    begin(first, journal)
    await send(sandbox, first, journal)
    begin(second, tmp_path / "b.journal")  # the digest in the first one's journal tells
    with pytest.raises(ConfigurationError):
        begin(Path(shutil.copy(first, tmp_path / "copy.csv")), tmp_path / "c.journal")


def test_it_holds_no_phone_no_token_and_no_host(listed: Path, state: Path) -> None:
    begin(listed)
    text = state.read_text()
    assert not any(word in text for word in (TOKEN, HOST, "1650000"))
    assert state.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(text.splitlines()[1])) == {"at", "journal", "campaign", "content"}


def test_a_folder_that_cannot_be_written_is_a_warning(
    listed: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.parent.parent.mkdir()
    state.parent.write_text("no folder")
    begin(listed)
    assert "whether this list was uploaded before is not known" in capsys.readouterr().err


def test_a_damaged_index_is_a_warning_and_damaged_lines_are_passed_over(
    listed: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(listed)
    state.write_text(state.read_text().replace('{"at"', '{"at\n[]\n5\n{"at"'))
    with pytest.raises(ConfigurationError):
        begin(listed)
    state.write_text("{}")
    begin(listed)
    assert "is damaged; delete it" in capsys.readouterr().err


def test_rehearsals_this_machine_and_standard_input_are_left_out(listed: Path, state: Path) -> None:
    begin(listed, sandbox=True)
    begin(listed, host="http://127.0.0.1:8080")
    begin(listed, host="http://localhost")
    begin("-")
    begin(listed.with_name("missing"))
    assert not state.exists()


# --- the command itself ---


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {"CALLS_HOST": sandbox.url.replace("127.0.0.1", LOOKS_ELSEWHERE), "CALLS_TOKEN": TOKEN}


async def upload_at_a_terminal(sandbox: Sandbox, answer: str, *arguments: str | Path) -> Ran:
    """Where somebody sits and answers."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "upload",
        *map(str, arguments),
        "--plain-http",
        stdin=theirs,
        stdout=PIPE,
        stderr=theirs,
        env=os.environ | environment(sandbox),
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    out, _ = await process.communicate()
    said = b""
    with contextlib.suppress(OSError):  # Linux: there is nobody at the other end
        while data := os.read(ours, 65536):
            said += data
    os.close(ours)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), said.decode())


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 2)])
async def test_on_a_terminal_it_asks(sandbox: Sandbox, listed: Path, answer: str, code: int) -> None:
    ran = await run("upload", listed, "--no-journal", "--plain-http", env=environment(sandbox))
    assert ran.code == 0, ran.err
    ran = await upload_at_a_terminal(sandbox, answer, listed, "--no-journal")
    assert ran.code == code, ran.err
    assert "Upload it? [y/N]" in ran.err
    assert len(sandbox.jobs) == (4 if code == 0 else 2)


@pytest.mark.parametrize(("option", "code"), [("--json", 2), ("--quiet", 2), ("--again", 0)])
async def test_nobody_is_asked_who_wants_no_questions(sandbox: Sandbox, listed: Path, option: str, code: int) -> None:
    begin(listed, host=environment(sandbox)["CALLS_HOST"])
    ran = await upload_at_a_terminal(sandbox, "y", listed, option)
    assert ran.code == code, ran.err
    assert "[y/N]" not in ran.err
    assert len(sandbox.jobs) == (2 if code == 0 else 0)


async def test_a_command_that_failed_before_it_sent_anything_does_not_count(
    sandbox: Sandbox, listed: Path, state: Path
) -> None:
    ran = await run("upload", listed, "--plain-http", "--exclude", "missing", env=environment(sandbox))
    assert ran.code == 2, ran.err
    assert entries(state) == 0


@pytest.mark.parametrize(("answer", "flags", "code"), [("y", [], 0), ("n", [], 2), ("", ["--yes"], 0)])
async def test_a_second_upload_says_how_many_people_it_calls_again(
    sandbox: Sandbox, listed: Path, answer: str, flags: list[str], code: int
) -> None:
    ran = await run("upload", listed, "--plain-http", env=environment(sandbox))
    assert ran.code == 0, ran.err
    ran = await upload_at_a_terminal(sandbox, answer, listed, "--again", *flags)
    assert ran.code == code, ran.err
    assert "2 people have a job by the upload of before" in ran.err
    assert ("Upload it? [y/N]" in ran.err) == (not flags)
    assert len(sandbox.jobs) == (4 if code == 0 else 2)
