"""The blocks of the README and the guide: commands, examples, and whole files, which begin with a comment that names
them."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
FRONT = (_ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((_ROOT / "calls_async/guide").glob("*.md"))}
README = "\n".join([FRONT, *PAGES.values()])
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
_PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
_FILES = {match[1]: block for block in _PYTHON if (match := re.match(r"# (\w+\.py)", block))}
JAVASCRIPT = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
EXAMPLES = [block for block in _PYTHON if block not in _FILES.values()]


def readme_files(*names: str) -> dict[str, str]:
    """The text of these files."""
    return {name: _FILES[name] for name in names}
