"""Contact lists to measure with: phone, name, age, promo, gmtZone, dialerPriority, as CSV, JSON Lines or Parquet.

`plain` has names and promos that many rows share; `unique` has none that two rows share; `quoted` has a promo in
quotes, with a comma, in every fourth row; `bad1` and `bad50` have 1 % and 50 % rows that cannot be sent; `api` has
lines that are contacts already, with an object `payload`.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import orjson

COLUMNS = ("phone", "name", "age", "promo", "gmtZone", "dialerPriority")
_NAMES = ("Alex", "Andrea", "Chris", "Jo", "Kim", "Max", "Sam", "René", "Юлия", "明")
_PROMOS = ("none", "free month", "20% off", "2 for 1")
_ZONES = ("Z", "-05:00", "+03:00", "Asia/Tokyo")


def rows(kind: str, count: int) -> Iterator[tuple[str, str, str, str, str, str]]:
    rng = random.Random(5)
    bad = {"bad1": 0.01, "bad50": 0.5}.get(kind, 0.0)
    for number in range(count):
        chance = rng.random()
        name = _NAMES[int(chance * 1e3) % 10]
        promo = _PROMOS[int(chance * 1e5) % 4]
        phone = str(79_000_000_000 + number * 7919 % 1_000_000_000)
        if kind == "unique":
            name, promo = f"{name} {number:08x}", f"{promo} {number * 2654435761 % 2**32:010}"
        elif kind == "quoted" and number % 4 == 0:
            promo = f"{promo}, today"
        if chance < bad:
            phone = "n/a"
        yield phone, name, str(18 + int(chance * 1e4) % 70), promo, _ZONES[int(chance * 1e6) % 4], str(number % 5 + 1)


def write_list(path: Path, kind: str, count: int) -> None:
    """Writes a list in the format of the file's ending."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = zip(*rows(kind, count), strict=True)
        pq.write_table(pa.table(dict(zip(COLUMNS, map(list, columns), strict=True))), path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows(kind, count))
            return
        for row in rows(kind, count):
            fields: dict[str, object] = dict(zip(COLUMNS, row, strict=True))
            if kind == "api":
                payload = {name: fields.pop(name) for name in ("name", "age", "promo")}
                fields |= {"payload": payload, "dialerPriority": int(row[-1])}
            file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE).decode())
