"""National numbers get their country code, many at a time: as phonenumbers would read them, by its own patterns.

What is not certain by these leaves the lane, and phonenumbers itself reads it.
"""

from __future__ import annotations

from functools import cache

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from calls_async.upload.rows.scalars import scalar

_SHAPE = (
    r"^(?:([0-9]{1,2})[ -]?)?\(?([0-9]{2,5})\)?[ -]?([0-9]{1,5})[ -]?([0-9]{0,5})[ -]?([0-9]{0,5})$",
    r"\1\2\3\4\5",
)
"""National numbers as people write them most often, such as 8 (916) 123-45-67."""
TWO_NUMBERS = r"[0-9]{7} +[0-9]{7}"
"""What would be taken for two numbers in one cell."""


@attrs.frozen(slots=True)
class NationalPlan:
    """How numbers of a region are written inside it."""

    code: str
    """Its country code."""
    numbers: str
    """The pattern of its national numbers."""
    lengths: pa.Array
    """How many digits these may have."""
    code_lengths: pa.Array
    """How many digits numbers of any country with this code may have behind it."""
    prefix: str
    """The pattern of what is dialled before them inside the country; empty: nothing."""
    abroad: str
    """The pattern of what is dialled before numbers of other countries."""

    def complete(self, phones: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Return numbers with their country code, and of which it is certain that they are meant so."""
        digits = pc.replace_substring_regex(phones, *_SHAPE)
        plain = pc.ascii_is_decimal(digits)
        digits = pc.if_else(plain, digits, scalar(""))  # whatever else stands there need not even be text
        elsewhere = pc.match_substring_regex(digits, f"^(?:00|{self.abroad})")
        several = pc.match_substring_regex(phones, TWO_NUMBERS)
        sure = pc.and_(plain, pc.invert(pc.or_(elsewhere, several)))
        whole = self._is_national(digits)
        with_prefix, behind_prefix = _cut(digits, self.prefix)
        with_code, behind_code = _cut(digits, self.code)
        # Where both may be meant, it takes more than patterns to tell.
        either = pc.is_in(pc.binary_length(behind_code), value_set=self.code_lengths)
        either = pc.or_(either, _cut(behind_code, self.prefix)[0])  # which may be taken away, too
        sure = pc.and_(sure, pc.invert(pc.and_(pc.and_(whole, with_code), either)))
        clearly_prefix = with_prefix if self.prefix == self.code else pc.and_(with_prefix, pc.invert(with_code))
        bare = pc.and_(whole, pc.invert(with_prefix))
        dialled = pc.and_(pc.and_(pc.invert(whole), clearly_prefix), self._is_bare(behind_prefix))
        abroad = pc.and_(pc.and_(pc.invert(whole), with_code), self._is_bare(behind_code))
        abroad = pc.and_(abroad, pc.invert(with_prefix))
        national = pc.if_else(bare, digits, pc.if_else(dialled, behind_prefix, behind_code))
        sure = pc.and_(sure, pc.or_(bare, pc.or_(dialled, abroad)))
        return pc.binary_join_element_wise(scalar(self.code), national, scalar("")), sure

    def _is_national(self, digits: pa.Array) -> pa.Array:
        matches = pc.match_substring_regex(digits, f"^(?:{self.numbers})$")
        return pc.and_(matches, pc.is_in(pc.binary_length(digits), value_set=self.lengths))

    def _is_bare(self, digits: pa.Array) -> pa.Array:
        """Return which are national numbers that do not begin as if something were dialled before them."""
        begins, _ = _cut(digits, self.prefix)
        return pc.and_(self._is_national(digits), pc.invert(begins))


def _cut(digits: pa.Array, beginning: str) -> tuple[pa.Array, pa.Array]:
    """Return which numbers begin by this pattern, and what is behind that."""
    if not beginning:
        return pa.repeat(scalar(value=False), len(digits)), digits
    behind = pc.replace_substring_regex(digits, f"^(?:{beginning})", "")
    return pc.less(pc.binary_length(behind), pc.binary_length(digits)), behind


@cache
def find_plan(region: str) -> NationalPlan | None:
    """Return how numbers of a region are written inside it; None where that is too manifold for columns."""
    import phonenumbers  # an extra; the rules have seen it

    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.national_prefix_transform_rule:
        return None
    prefix, code = metadata.national_prefix_for_parsing or "", str(metadata.country_code)
    main = phonenumbers.PhoneMetadata.metadata_for_region(phonenumbers.region_code_for_country_code(int(code)))
    numbers, of_code = metadata.general_desc, None if main is None else main.general_desc
    if numbers is None or of_code is None or not numbers.national_number_pattern:
        return None
    patterns = f"(?:{prefix})|(?:{numbers.national_number_pattern})|(?:{metadata.international_prefix or ''})"
    try:
        pc.match_substring_regex(pa.array([""], pa.string()), patterns)
    except pa.ArrowInvalid:
        return None  # Arrow's patterns know less than Python's
    return NationalPlan(
        code=code,
        numbers=numbers.national_number_pattern,
        lengths=pa.array(sorted(set(numbers.possible_length) & set(of_code.possible_length)), pa.int32()),
        code_lengths=pa.array(sorted(set(of_code.possible_length)), pa.int32()),
        prefix=prefix,
        abroad=metadata.international_prefix or "00",
    )
