"""The small commands, and tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calls_async import CallsClient, RetryPolicy
from calls_async.cli.commands import campaign as commands
from calls_async.sandbox.api import Reply
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.command import Ran, run, run_here
from tests.helpers.servers import TOKEN

ONE_TRY = RetryPolicy(max_attempts=1)


async def test_the_small_commands(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:
    sandbox, env = served
    added = await run_here("add", "+1 650 000-0000", "--gmt-zone=-05:00", "--payload", "name=Al", env=env)
    tested = await run_here("test", "16500000000", env=env)
    assert [added.out.strip(), tested.out.strip()] == [job.id for job in sandbox.jobs]
    assert sandbox.contacts[0] == {"phone": "16500000000", "payload": {"name": "Al"}, "gmtZone": "-05:00"}
    for command, status in [("pause", "paused"), ("resume", "inProcess"), ("stop", "finished")]:
        assert (await run_here(command, env=env)).code == 0
        assert (await run_here("status", env=env)).out == status + "\n"
    assert json.loads((await run_here("info", env=env)).out)["shortReport"]["totalNumbers"] == 2
    report = await run_here("report", "--phone", "16500000000", env=env)
    assert [json.loads(line)["callJobId"] for line in report.out.splitlines()] == [job.id for job in sandbox.jobs]
    assert (await run_here("attempts", "--id", sandbox.jobs[0].id, env=env)).out == ""
    results = tmp_path / "r.jsonl"
    results.write_text(
        "".join(
            json.dumps({"phone": "16500000009", "status": "rejected", "job_id": i}) + "\n"
            for i in [sandbox.jobs[0].id, None]
        )
    )
    canceled = await run_here("cancel", "--from-results", results, "--id", sandbox.jobs[1].id, env=env)
    assert set(canceled.out.split()) == {job.id for job in sandbox.jobs}
    assert "canceled 2 call jobs" in canceled.err
    assert {job.status for job in sandbox.jobs} == {"canceled"}


async def test_tokens(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:  # C-M-18
    sandbox, _ = served
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    host = ("--host", sandbox.url)
    assert (await run_here("status", *host, "--token-file", secret)) == Ran(0, "planned\n", "")
    warned = await run_here("status", *host, "--token", TOKEN)
    assert (warned.code, "other users" in warned.err) == (0, True)
    for wrong in (["--token", "a", "--token-file", str(secret)], ["--token-file", str(tmp_path / "none")], []):
        assert (await run_here("status", *host, *wrong)).code == 2
    for written in (f"\ufeff{TOKEN}\r\n", f'"{TOKEN}"\n', f"\ufeff'{TOKEN}' "):
        secret.write_text(written, encoding="utf-8")
        assert (await run_here("status", *host, "--token-file", secret)).code == 0
    for written in ("two words", f"{TOKEN}\n{TOKEN}\n", '""', "\ufeff"):
        secret.write_text(written, encoding="utf-8")
        assert (await run_here("status", *host, "--token-file", secret)).code == 2
    secret.write_text(TOKEN, encoding="utf-16")
    assert "it is not text" in (await run_here("status", *host, "--token-file", secret)).err


async def test_a_wrong_token_and_a_host_that_does_not_listen(
    some_csv: Path, served: tuple[Sandbox, dict[str, str]]
) -> None:
    _, env = served
    wrong = await run("upload", some_csv, env=env | {"CALLS_TOKEN": "secret-token"})
    assert wrong.code == 1
    assert "404" in wrong.err
    assert "secret-token" not in wrong.err + wrong.out
    assert (await run("status", env=env | {"CALLS_HOST": "http://127.0.0.1:9"})).code == 1


@pytest.mark.parametrize("command", ["add", "test"])
async def test_a_lost_answer_says_how_to_repeat(
    command: str, served: tuple[Sandbox, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:  # C-IDEM-1
    sandbox, env = served
    monkeypatch.setattr(commands, "make_client", lambda arguments: CallsClient(sandbox.url, retry=ONE_TRY))
    answer = sandbox.api.handle

    def lose(call: Any) -> Reply:
        answer(call)
        return Reply.error(503, "lost")

    sandbox.api.handle = lose  # type: ignore[method-assign]
    lost = await run_here(command, "16500000000", env=env)
    (key,) = {str(call.key) for call in sandbox.calls}
    assert (lost.code, lost.out) == (1, "")
    assert f"the idempotence key is {key}\n" in lost.err
    assert f"again with --idempotence-key {key}" in lost.err
    sandbox.api.handle = answer  # type: ignore[method-assign]
    repeated = await run_here(command, "16500000000", "--idempotence-key", key, env=env)
    assert (repeated.code, repeated.out) == (0, sandbox.jobs[0].id + "\n")
    assert len(sandbox.jobs) == 1


async def test_a_key_that_a_header_would_change_is_refused(served: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, env = served
    refused = await run_here("add", "16500000000", "--idempotence-key", "k ", env=env)
    assert (refused.code, "space" in refused.err, sandbox.calls) == (2, True, [])
