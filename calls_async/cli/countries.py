"""How many numbers of which country were sent, or are fit to be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from calls_async.protocol.calling_codes import PREFIX_DIGITS, region_of
from calls_async.upload.outcomes.outcome import Receipt

SHOWN_COUNTRIES = 12


class CountryCounts:
    """Numbers by region, counted by their beginnings: that costs little."""

    def __init__(self) -> None:
        self._beginnings: Counter[str] = Counter()

    def note(self, receipt: Receipt) -> None:
        """Count the numbers of a receipt that were sent."""
        self._beginnings.update([phone[:PREFIX_DIGITS] for phone in receipt.phones])

    def by_region(self) -> dict[str, int]:
        """Return how many numbers each region has, the most first; `ZZ` is nobody's, and what is no number has an
        empty name."""
        counts: Counter[str] = Counter()
        for beginning, count in self._beginnings.items():
            counts[region_of(beginning)] += count
        return dict(counts.most_common())

    def lines(self) -> Iterator[str]:
        """Yield the line that says so; none where there are no numbers."""
        found = [f"{region or 'no country'} {count:,}" for region, count in self.by_region().items()]
        if found:
            more = f" and {len(found) - SHOWN_COUNTRIES} more" if len(found) > SHOWN_COUNTRIES else ""
            yield f"numbers by country: {', '.join(found[:SHOWN_COUNTRIES])}{more}"
