"""The house: sizes, constructors, assignments, docstrings. `pyproject.toml` has the contracts of its layers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "calls_async"
MOST_LINES, MOST_CLASS_LINES, MOST_ARGUMENTS = 400, 250, 7
LANGUAGE_OBJECTS = {"errors.py", "events.py", "protocol/reports.py", "transport/redaction.py"}
"""Where an object of the language is being made or scrubbed: an error that is unpickled, an enum's new member."""
SETTINGS_OF_ALL = {"CallsClient", "NoAnswerError"}
"""The client's door, and the error that carries all that is known of a call."""
BANNED = ("Whoever", "Nobody", "So many", "Of ", "What ", "How ", "Whether ", "The ", "A ", "An ", "Raises")
"""How no function's docstring begins: it is an order."""

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield path, node


@pytest.mark.parametrize("folder", ["calls_async", "tests", "benchmarks"])
def test_no_file_holds_two_things(folder: str) -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): size for path, size in sizes.items() if size > MOST_LINES} == {}


def test_no_class_is_a_house() -> None:
    sizes = {f"{path.name}:{one.name}": (one.end_lineno or 0) - one.lineno + 1 for path, one in classes()}
    assert {name: size for name, size in sizes.items() if size > MOST_CLASS_LINES} == {}


def _arguments(one: ast.ClassDef) -> int:
    """How many arguments its constructor takes; 0 for frozen data."""
    decorators = " ".join(ast.unparse(decorator) for decorator in one.decorator_list)
    if "frozen" in decorators:
        return 0
    for member in one.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return len(member.args.args) - 1 + len(member.args.kwonlyargs)
    if "define" not in decorators:
        return 0
    fields = [member for member in one.body if isinstance(member, ast.AnnAssign)]
    return sum("init=False" not in ast.unparse(field) and "ClassVar" not in ast.unparse(field) for field in fields)


def test_settings_travel_as_their_frozen_object() -> None:
    counts = {one.name: _arguments(one) for _, one in classes() if one.name not in SETTINGS_OF_ALL}
    assert {name: count for name, count in counts.items() if count > MOST_ARGUMENTS} == {}


def _assigned(tree: ast.AST) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node


def test_nothing_is_assigned_into_another_object() -> None:
    foreign = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}"
        for path, tree in TREES.items()
        for node in _assigned(tree)
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    assert [one for one in foreign if one.split(":")[0] not in LANGUAGE_OBJECTS] == []
    assert len(foreign) == 6


def test_docstrings_are_orders() -> None:
    wrong = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
                continue
            text = ast.get_docstring(node) or ""
            if text.startswith(BANNED):
                wrong.append(f"{path.name}:{node.lineno} {text.splitlines()[0]}")
    assert wrong == []


def test_every_file_says_what_it_is() -> None:
    assert [str(path) for path, tree in TREES.items() if len((ast.get_docstring(tree) or "").split()) < 3] == []


def test_helpers_come_from_their_folder() -> None:
    wrong = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
                last = (node.module or "").rsplit(".", 1)[-1]
                if last == "conftest" or last.startswith("test_"):
                    wrong.append(f"{path}: {node.module}")
    assert wrong == []
