"""What a sheet of an .xlsx workbook hides: rows out of sight, formulas without a value, cells with an error."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from html import unescape
from typing import BinaryIO

import attrs

_SHEET = re.compile(rb"<sheet\b[^>]*>")
_RELATION = re.compile(rb"<Relationship\b[^>]*>")
_ATTRIBUTE = re.compile(rb"([\w:]+)\s*=\s*\"([^\"]*)\"")
_ROW = re.compile(rb"<row\b[^>]*>")
_EMPTY_FORMULA = re.compile(rb"<f\b[^>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>")
_ERROR = re.compile(rb"<c\b[^>]*\bt=\"e\"")
_BLOCK_BYTES = 2**20


@attrs.frozen(slots=True)
class Oddities:
    """What a person may not see."""

    hidden: frozenset[int] = frozenset()
    """The numbers of hidden rows."""
    formulas_without_value: int = 0
    errors: int = 0


def look_at_sheet(file: BinaryIO, sheet: str) -> Oddities:
    """Return what is odd about a sheet; nothing where the workbook is of another format, which does not tell."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            path = _find_sheet(archive, sheet)
            return Oddities() if path is None else _look(archive, path)
    except (zipfile.BadZipFile, KeyError, OSError):
        return Oddities()


def _look(archive: zipfile.ZipFile, path: str) -> Oddities:
    hidden: set[int] = set()
    formulas = errors = row = 0
    for block in _read_blocks(archive, path):
        for tag in _ROW.findall(block):
            attributes = dict(_ATTRIBUTE.findall(tag))
            row = int(attributes.get(b"r", row + 1))
            if attributes.get(b"hidden") in (b"1", b"true"):
                hidden.add(row)
        formulas += len(_EMPTY_FORMULA.findall(block))
        errors += len(_ERROR.findall(block))
    return Oddities(frozenset(hidden), formulas, errors)


def _read_blocks(archive: zipfile.ZipFile, path: str) -> Iterator[bytes]:
    """Yield the sheet in blocks of whole rows."""
    with archive.open(path) as file:
        rest = b""
        while data := file.read(_BLOCK_BYTES):
            rest += data
            cut = rest.rfind(b"</row>") + 1
            yield rest[:cut]
            rest = rest[cut:]
        yield rest


def _find_sheet(archive: zipfile.ZipFile, sheet: str) -> str | None:
    for tag in _SHEET.findall(archive.read("xl/workbook.xml")):
        attributes = dict(_ATTRIBUTE.findall(tag))
        if unescape(attributes.get(b"name", b"").decode("utf-8", "replace")) == sheet:
            target = _find_target(archive, attributes.get(b"r:id", b""))
            if target is not None:
                return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return None


def _find_target(archive: zipfile.ZipFile, relation: bytes) -> str | None:
    for tag in _RELATION.findall(archive.read("xl/_rels/workbook.xml.rels")):
        attributes = dict(_ATTRIBUTE.findall(tag))
        if attributes.get(b"Id") == relation:
            return str(attributes.get(b"Target", b""), "utf-8")
    return None
