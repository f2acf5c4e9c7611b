"""Sets of tens of millions of numbers, in 8 bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

_BUCKETS = 4096


class NumberSet:
    """Numbers in sorted arrays, one for each remainder: in growing, an array is never copied as a whole."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._buckets: defaultdict[int, array[int]] = defaultdict(partial(array, "Q"))
        for number in numbers:
            self._buckets[number % _BUCKETS].append(number)
        for remainder, bucket in self._buckets.items():
            self._buckets[remainder] = array("Q", sorted(set(bucket)))

    def __contains__(self, number: int) -> bool:
        bucket = self._buckets.get(number % _BUCKETS, ())
        index = bisect_left(bucket, number)
        return index < len(bucket) and bucket[index] == number

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))
