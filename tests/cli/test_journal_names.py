"""Where the command keeps the journal of a list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calls_async.cli.options import default_journal
from calls_async.errors import ConfigurationError
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.command import run


@pytest.fixture
def links(some_csv: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A list, and a link to a link to it in another folder."""
    first, other = tmp_path / "first.csv", tmp_path / "other"
    first.symlink_to(some_csv)
    other.mkdir()
    (other / "link.csv").symlink_to(first)
    return some_csv, other / "link.csv"


def test_it_stands_beside_the_file_itself(links: tuple[Path, Path]) -> None:
    file, link = links
    journal = file.with_name(file.name + ".journal")
    assert default_journal(str(file)) == journal
    assert default_journal(str(link)) == journal.resolve()
    assert default_journal("list.csv") == Path("list.csv.journal")


def test_one_beside_the_link_is_still_found(links: tuple[Path, Path]) -> None:
    file, link = links
    beside = link.with_name("link.csv.journal")
    beside.touch()
    assert default_journal(str(link)) == beside
    journal = file.with_name(file.name + ".journal")
    journal.touch()
    with pytest.raises(ConfigurationError, match="name the right one with --journal"):
        default_journal(str(link))
    beside.unlink()
    beside.symlink_to(journal)
    assert default_journal(str(link)) == journal.resolve()


async def test_a_list_is_uploaded_once_whatever_link_leads_to_it(
    served: tuple[Sandbox, dict[str, str]], links: tuple[Path, Path]
) -> None:
    sandbox, env = served
    file, link = links
    ran = await run("upload", file, "--json", env=env)
    assert json.loads(ran.out)["accepted"] == len(sandbox.jobs) > 0
    again = await run("upload", link, env=env)
    assert again.code != 0
    assert "this upload is finished" in again.err
    assert len(sandbox.jobs) == json.loads(ran.out)["accepted"]
