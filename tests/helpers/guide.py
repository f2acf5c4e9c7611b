"""The README's blocks: commands, examples, and whole files, whose first line is a comment with their name."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
_PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
_FILES = {match[1]: block for block in _PYTHON if (match := re.match(r"# (\w+\.py)", block))}
JAVASCRIPT = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
EXAMPLES = [block for block in _PYTHON if block not in _FILES.values()]


def readme_files(*names: str) -> dict[str, str]:
    """The text of these files."""
    return {name: _FILES[name] for name in names}
