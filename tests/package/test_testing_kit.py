"""The test kit for users: its fixtures, the way without sockets, and a user's own project in a fresh environment."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from calls_async import AccessError, CallsClient, RefusedError
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.testing import InProcessSandbox, SandboxThread
from tests.helpers.guide import readme_files
from tests.helpers.servers import QUICK

ROOT = Path(__file__).parents[2]
CONTACTS = [{"phone": 16500000000 + n, "payload": {"n": n}} for n in range(300)]


# --- a sandbox in a thread ---


def test_a_program_without_asyncio_may_use_it(calls_sandbox: SandboxThread) -> None:
    request = urllib.request.Request(
        f"{calls_sandbox.url}/api/calls/campaign/{calls_sandbox.token}/addPhones",
        data=json.dumps([{"phone": "16500000000"}]).encode(),
        headers={"Idempotence-Key": "one"},
    )
    for _ in range(2):  # C-IDEM-1
        with urllib.request.urlopen(request) as response:
            assert json.loads(response.read()) == [calls_sandbox.jobs[0].id]
    assert calls_sandbox.contacts == [{"phone": "16500000000"}]
    assert [call.key for call in calls_sandbox.calls] == ["one", "one"]


async def test_it_fails_and_moves_its_clock_when_it_is_asked_to(calls_sandbox: SandboxThread) -> None:
    async with CallsClient(calls_sandbox.url, retry=QUICK) as client:
        campaign = client.campaign(calls_sandbox.token)
        calls_sandbox.fail_next("reset-after")
        await campaign.add_phones(CONTACTS[:1], idempotence_key="key")
        assert len(calls_sandbox.jobs) == 1
        calls_sandbox.advance(hours=25)  # C-IDEM-7
        await campaign.add_phones(CONTACTS[:1], idempotence_key="key")
        assert len(calls_sandbox.jobs) == 2
        assert calls_sandbox.key_conflicts == []
        await campaign.add_phones(CONTACTS[1:2], idempotence_key="key")
        assert [one.key for one in calls_sandbox.key_conflicts] == ["key"]


@pytest.mark.calls_sandbox(duplicates="error", tokens=["mine"])
async def test_the_marker_gives_settings(calls_sandbox: SandboxThread, calls_in_process: InProcessSandbox) -> None:
    assert calls_sandbox.token == calls_in_process.token == "mine"
    async with CallsClient(calls_sandbox.url) as client:
        await client.campaign("mine").add_phones(CONTACTS[:1])
        with pytest.raises(RefusedError, match="duplicate"):
            await client.campaign("mine").add_phones(CONTACTS[:1])


def test_a_sandbox_that_cannot_start_leaves_nothing(calls_sandbox: SandboxThread) -> None:
    port = int(calls_sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address"), SandboxThread(port=port):
        raise AssertionError("it must not start")


# --- without sockets ---


async def test_every_method_works_without_sockets(calls_in_process: InProcessSandbox) -> None:
    async with calls_in_process.client() as client:
        campaign = client.campaign(calls_in_process.token)
        ids = await campaign.add_phones(CONTACTS[:2])
        one = await campaign.add_phone(16500000500, gmt_zone="GMT+03:00", payload={"name": "Зоя & Ко"}, method="GET")
        test = await campaign.add_test_phone(16500000501)
        assert calls_in_process.contacts[2] == {
            "phone": "16500000500",
            "payload": {"name": "Зоя & Ко"},
            "gmtZone": "GMT+03:00",
        }
        reports = await campaign.job_report(ids=[*ids, one, test])
        assert [report.call_job_id for report in reports] == [*ids, one, test]
        assert await campaign.cancel(ids=[one]) == [one]
        await campaign.pause()
        assert await campaign.status() == "paused"
        with pytest.raises(AccessError):
            await client.campaign("another").info()


@pytest.mark.parametrize("kind", FaultKind)
async def test_faults_strike_without_sockets(kind: FaultKind) -> None:
    sandbox = InProcessSandbox(faults=Faults(shares={kind: 0.3}, seed=4, retry_after_seconds=0))
    async with sandbox.client(upload_retry=QUICK) as client:
        upload = client.campaign(sandbox.token).upload(CONTACTS, chunk_rows=10)
        summary = await upload.run()
    assert summary.accepted == 300
    assert (summary.retries > 0) == (kind not in (FaultKind.DELAY_AFTER, FaultKind.SLOW_BODY_AFTER))
    assert Counter(job.phone for job in sandbox.jobs) == Counter(str(one["phone"]) for one in CONTACTS)
    assert sandbox.key_conflicts == []


async def test_a_body_that_is_too_large_without_sockets() -> None:  # C-M-16
    sandbox = InProcessSandbox(max_request_bytes=1000)
    async with sandbox.client() as client:
        summary = await client.campaign(sandbox.token).upload(CONTACTS).run()
    assert summary.accepted == 300


# --- as a user's own project ---


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the package installed from a wheel. The libraries that it needs are borrowed
    from this one, for no test needs the internet."""
    folder = tmp_path_factory.mktemp("environment")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = ["pip", "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    (Path(site.stdout.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_readmes_project(fresh_python: Path, tmp_path: Path) -> None:
    files = readme_files("signup.py", "test_signup.py")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert len([line for line in files["test_signup.py"].splitlines() if line]) <= 10
    where = subprocess.run(
        [fresh_python, "-c", "import calls_async; print(calls_async.__file__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(fresh_python.parent.parent) in where.stdout
    command = [str(fresh_python), "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_plugin_is_idle_where_nobody_asks_for_it(fresh_python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_idle.py").write_text(
        "import sys\n\ndef test_nothing():\n"
        "    assert 'calls_async.pytest_plugin' in sys.modules\n"
        "    assert not {'aiohttp', 'calls_async.client', 'calls_async.sandbox'} & set(sys.modules)\n"
    )
    command = [str(fresh_python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:aiohttp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.calls_sandbox("off")
def test_settings_without_names_are_refused(request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.UsageError, match="by their names"):
        request.getfixturevalue("calls_sandbox")


def test_a_thread_that_has_ended_still_tells(calls_in_process: InProcessSandbox) -> None:
    one = SandboxThread()
    assert one.jobs == []
    with one:
        one.fail_next("503")
        assert one.url in repr(one)
        with pytest.raises(ValueError, match="'teapot' is no kind of fault; the kinds are reset-before"):
            one.fail_next("teapot")
    assert not one.calls
    assert not one.key_conflicts
    assert calls_in_process.url.startswith("https://")
