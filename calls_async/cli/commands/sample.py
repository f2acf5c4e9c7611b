"""Made-up contacts: reproducible, all numbers different and valid, and nobody's."""

from __future__ import annotations

import json
import random
import sys
from argparse import Namespace
from collections.abc import Iterator

from calls_async.cli.exit_codes import Exit
from calls_async.errors import ConfigurationError

_COUNTRY = "999"
"""Assigned to no country by the ITU: a sample that is uploaded by mistake calls nobody."""
_NUMBERS = 10**9
MAX_ROWS = _NUMBERS
_BLOCK_ROWS = 1000
_NAMES = ("Alex", "Sam", "Robin", "Kim", "Jo", "Chris", "Sasha", "Max", "Noa", "Andrea", "René", "Юлия", "明")
_PROMOS = ("20% off", "free month", "2 for 1", 'the "gold" plan', "café, to go", "none")
_ZONES = ("Z", "-05:00", "+03:00", "Europe/Berlin", "America/New_York", "Asia/Tokyo")
_HEADER = "phone,name,age,promo,gmtZone,dialerPriority\n"


def sample_csv(count: int, seed: int) -> Iterator[str]:
    """Yield `count` contacts as a CSV file, in blocks."""
    yield _HEADER
    promos = ['"' + promo.replace('"', '""') + '"' if set(promo) & set('",') else promo for promo in _PROMOS]
    for block in _blocks(count, seed):
        yield "".join(
            f"{phone},{_NAMES[draw % 13]},{18 + draw % 71},{promos[draw % 6]},"
            f"{_ZONES[draw // 7 % 6]},{1 + draw % 5}\n"
            for phone, draw in block
        )


def sample_jsonl(count: int, seed: int) -> Iterator[str]:
    """Yield `count` contacts as JSON Lines, in blocks."""
    names = [json.dumps(name, ensure_ascii=False) for name in _NAMES]
    promos = [json.dumps(promo, ensure_ascii=False) for promo in _PROMOS]
    for block in _blocks(count, seed):
        yield "".join(
            f'{{"phone":"{phone}","payload":{{"name":{names[draw % 13]},"age":{18 + draw % 71},'
            f'"promo":{promos[draw % 6]}}},"gmtZone":"{_ZONES[draw // 7 % 6]}","dialerPriority":{1 + draw % 5}}}\n'
            for phone, draw in block
        )


def _blocks(count: int, seed: int) -> Iterator[list[tuple[str, int]]]:
    """Yield phones, and for each a number to draw the rest from."""
    rng = random.Random(seed)
    # Multiplying by a number without a factor of 2 or 5 visits every remainder of 10**9 once: no number twice.
    step = rng.randrange(10**8) * 10 + rng.choice((1, 3, 7, 9))
    start = rng.randrange(_NUMBERS)
    for first in range(0, count, _BLOCK_ROWS):
        rows = range(first, min(first + _BLOCK_ROWS, count))
        yield [
            (f"{_COUNTRY}{(start + row * step) % _NUMBERS:09d}", (row * 2654435761 + start) % 2**32 >> 8)
            for row in rows
        ]


async def sample(arguments: Namespace) -> Exit:
    if arguments.count > MAX_ROWS:
        raise ConfigurationError(f"N must be {MAX_ROWS} at most, for all numbers are different")
    make = sample_csv if arguments.format == "csv" else sample_jsonl
    for block in make(arguments.count, arguments.seed):
        sys.stdout.buffer.write(block.encode())
    sys.stdout.flush()
    return Exit.DONE
