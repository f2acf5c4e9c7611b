"""National numbers, completed by the phonenumbers library."""

from __future__ import annotations

from typing import Any

from calls_async.errors import ConfigurationError, ContactError, MissingExtraError
from calls_async.protocol.phones import phone_text, read_digits, written_internationally


def phone_in(region: str, phone: Any) -> Any:
    """Complete a national number for `region` (`US`, `DE` …), by the phonenumbers library. Raises `ContactError`."""
    if phone is None or phone == "":
        return phone
    text = phone_text(phone)
    if written_internationally(text):
        return text
    import phonenumbers  # an extra; `check_region` has seen it

    try:
        number = phonenumbers.parse(read_digits(text), region)
    except phonenumbers.NumberParseException:
        return text  # the check of international numbers says better what is wrong with it
    if not phonenumbers.is_possible_number(number):
        raise ContactError("phone", f"is not a possible number in the region {region}")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def check_region(region: str | None) -> None:
    """Refuse a region that does not exist. Raises `ConfigurationError`, and `MissingExtraError` without the
    library."""
    if region is None:
        return
    try:
        import phonenumbers
    except ImportError:
        raise MissingExtraError("reading national numbers", "region") from None
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigurationError(f"region {region!r} is not one of two letters that has numbers, such as US or DE")
