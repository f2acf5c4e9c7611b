"""The command `guide`: the guide's pages, which are in the package."""

from __future__ import annotations

from argparse import Namespace
from importlib.resources import files

from calls_async.cli.exit_codes import Exit
from calls_async.errors import ConfigurationError


async def guide(arguments: Namespace) -> Exit:
    """List the pages, or print one. Raises `ConfigurationError` for one that is not there."""
    pages = read_pages()
    if arguments.page is None:
        for name, text in pages.items():
            print(f"{name:<16} {text.splitlines()[0].removeprefix('# ')}")
    elif arguments.page in pages:
        print(pages[arguments.page], end="")
    else:
        raise ConfigurationError(f"guide: there is no page {arguments.page!r}; the pages are {', '.join(pages)}")
    return Exit.DONE


def read_pages() -> dict[str, str]:
    """Return the text of each page, by its name."""
    found = (files("calls_async") / "guide").iterdir()
    pages = {page.name.removesuffix(".md"): page.read_text(encoding="utf-8") for page in found}
    return dict(sorted(pages.items()))
