"""Each documented method of the API (C-M-1 … C-M-12): build the request, read the answer.

A request holds the token apart from its path, so that the path can be shown and logged (C-M-18).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import attrs
import orjson

from calls_async.errors import ConfigurationError, ContactError
from calls_async.protocol import keys, schedule
from calls_async.protocol.contact import encode_json
from calls_async.protocol.phones import normalise_phone, read_sent_phone
from calls_async.protocol.reports import AttemptReport, CampaignInfo, CampaignStatus, JobReport, Report, to_report
from calls_async.protocol.token import AnyToken, Token, to_token

HOSTS = {
    "tovie": "https://platform.tovie.ai",
    "dialogstudio": "https://ds.tovie.ai",
    "jaicp": "https://app.jaicp.com",
    "aimylogic": "https://app.aimylogic.com",
}
"""The four systems by name (C-HOST-1 … C-HOST-4)."""


KEY_NAME = "Idempotence-Key"
"""As the API spells it, in the header (C-IDEM-3) and in the URL (C-IDEM-4)."""


CAMPAIGN = "/api/calls/campaign/{token}"
CRM_CAMPAIGN = "/api/crmCalls/campaign/{token}"
ADD_PHONES = f"{CAMPAIGN}/addPhones"


class Method(StrEnum):
    GET = "GET"
    POST = "POST"


@attrs.frozen(slots=True, kw_only=True)
class Request:
    """One call of the API, complete and frozen before its first attempt: every attempt sends the same."""

    method: Method
    path: str
    """With `{token}` as a placeholder."""
    token: Token = attrs.field(converter=to_token)
    query: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Further ones that do not concern the API, such as a trace's; they may differ from attempt to attempt."""
    body: bytes | None = attrs.field(default=None, repr=False)
    idempotence_key: str | None = None
    creates: bool = False
    """Whether a repetition under another key would call people again."""


@attrs.frozen(slots=True, kw_only=True)
class Response:
    """What the server answered, whatever its status."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """By names in lower case."""
    body: bytes = attrs.field(default=b"", repr=False)


class UnreadableAnswer(Exception):  # noqa: N818  # a signal between the floors, not one of the package's errors
    """A 2xx answer that is not what the method answers: try again under the same key."""


def to_key(idempotence_key: str | UUID | None) -> str:
    """Return the key to send: the given one, or a new UUID (C-IDEM-5)."""
    if idempotence_key is None:
        return keys.new_key()
    key = str(idempotence_key)
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigurationError("idempotence_key must be printable ASCII, for it travels in a header; use a UUID")
    if key != key.strip():  # on the wire it would be the key without them, and so another request's
        raise ConfigurationError("idempotence_key must neither begin nor end with a space, which a header loses")
    return key


# --- adding ---


def add_phones(token: AnyToken, body: bytes, key: str) -> Request:
    """Make the request of C-M-1; `body` is a JSON array of contacts, already encoded."""
    return Request(method=Method.POST, path=ADD_PHONES, token=token, body=body, idempotence_key=key, creates=True)


def add_phone(
    token: AnyToken,
    phone: object,
    *,
    gmt_zone: str | None,
    payload: Mapping[str, Any] | None,
    key: str,
    method: str,
    test: bool = False,
) -> Request:
    """Make the request of C-M-2 or C-M-3; with `test`, C-M-4. All parameters are in the URL; every other one is
    payload (C-CRM-1).

    Raises `ContactError`. Values of the payload that are not strings are sent as JSON.
    """
    if method not in ("GET", "POST"):
        raise ConfigurationError(f"method {method!r}: addPhone takes 'GET' or 'POST'")
    if payload is not None and not isinstance(payload, Mapping):
        raise ContactError("payload", f"is a {type(payload).__name__}; give a mapping of names and values")
    query = [("phone", normalise_phone(phone))]
    if gmt_zone is not None:
        query.append(("gmtZone", schedule.check_zone(gmt_zone)))
    for name, value in (payload or {}).items():
        if name in ("phone", "gmtZone", KEY_NAME) or not isinstance(name, str):
            raise ContactError("payload", f"cannot hold {name!r:.40}: addPhone has a parameter of that name")
        encoded = encode_json(name, value).decode()  # refuses what cannot travel
        query.append((name, value if isinstance(value, str) else encoded))
    return Request(
        method=Method(method),
        path=f"{CRM_CAMPAIGN}/test/addPhone" if test else f"{CRM_CAMPAIGN}/addPhone",
        token=token,
        query=tuple(query),
        idempotence_key=key,
        creates=True,
    )


# --- jobs ---


def cancel(token: AnyToken, ids: Iterable[object], phones: Iterable[object], key: str) -> Request:
    """Make the request of C-M-5."""
    return _by_job(token, "callJob/cancel", ids, phones, key)


def job_report(token: AnyToken, ids: Iterable[object], phones: Iterable[object], key: str) -> Request:
    """Make the request of C-M-6."""
    return _by_job(token, "callJob/getReport", ids, phones, key)


def attempt_report(token: AnyToken, ids: Iterable[object], phones: Iterable[object], key: str) -> Request:
    """Make the request of C-M-7."""
    return _by_job(token, "callAttempt/getReport", ids, phones, key)


def _by_job(token: AnyToken, verb: str, ids: Iterable[object], phones: Iterable[object], key: str) -> Request:
    for jobs in (ids, phones):
        if isinstance(jobs, str) or not isinstance(jobs, Iterable):
            raise ConfigurationError("ids and phones are lists; put a single one into brackets")
    selection = {
        "phones": [read_sent_phone(phone) for phone in phones],
        "ids": [str(job_id) for job_id in ids],
    }
    if not selection["phones"] and not selection["ids"]:
        raise ConfigurationError("give at least one of ids and phones")  # C-REP-1: both together are fine
    return Request(
        method=Method.POST,
        path=f"{CAMPAIGN}/{verb}",
        token=token,
        body=orjson.dumps(selection),
        idempotence_key=key,
    )


# --- the campaign ---


def info(token: AnyToken) -> Request:
    """Make the request of C-M-8."""
    return Request(method=Method.GET, path=CAMPAIGN, token=token)


def status(token: AnyToken) -> Request:
    """Make the request of C-M-9."""
    return Request(method=Method.GET, path=f"{CAMPAIGN}/status", token=token)


def control(token: AnyToken, verb: str, key: str) -> Request:
    """Make the request of C-M-10 … C-M-12: `pause`, `resume`, `stop`."""
    return Request(method=Method.POST, path=f"{CAMPAIGN}/control/{verb}", token=token, idempotence_key=key)


# --- answers: each raises UnreadableAnswer ---

_LONGEST_WORD = 200
_WORD = re.compile(rf"[A-Za-z0-9_.:+/=-]{{1,{_LONGEST_WORD}}}")
_WORD_BYTES = bytes(code for code in range(128) if _WORD.fullmatch(chr(code)))
_STATUS = re.compile(r"\w[\w .:-]{0,99}")


def read_ids(response: Response) -> list[str]:
    """Read a JSON array of IDs, strings or numbers; every digit is kept (C-M-17)."""
    if (words := _read_words(response.body)) is not None:
        return words
    ids = _read_json(response)
    if not isinstance(ids, list):
        raise UnreadableAnswer(f"a JSON {type(ids).__name__} instead of an array of IDs")
    return [_word(str(one) if type(one) is int else one) for one in ids]


def _read_words(body: bytes) -> list[str] | None:
    """Return the strings of an array, where it is one and each could be an ID: the usual answer, looked at as a
    whole."""
    around = body.translate(None, _WORD_BYTES).replace(b", ", b",").strip()
    if around != b'["%b"]' % (b'","' * (len(around) // 3 - 1)) or b'""' in body:
        return None
    try:
        words: list[str] = orjson.loads(body)
    except ValueError:
        return None
    return words if max(map(len, words)) <= _LONGEST_WORD else None


def read_id(response: Response) -> str:
    """Read an ID as a string, bare or quoted as JSON (C-M-15)."""
    job_id = _word(_read_string(response))
    if not any(char.isdigit() for char in job_id):
        raise UnreadableAnswer("a word that is no ID")
    return job_id


def read_campaign_status(response: Response) -> CampaignStatus:
    """Read a string, bare or quoted as JSON (C-M-15); also one that no page names."""
    text = _read_string(response)
    if not isinstance(text, str) or not _STATUS.fullmatch(text):
        raise UnreadableAnswer("an answer that is no status")
    return CampaignStatus(text)


def read_campaign_info(response: Response) -> CampaignInfo:
    return _report(CampaignInfo, _read_json(response))


def read_job_reports(response: Response) -> list[JobReport]:
    return _reports(JobReport, response)


def read_attempt_reports(response: Response) -> list[AttemptReport]:
    return _reports(AttemptReport, response)


def read_nothing(response: Response) -> None:
    """Take any 2xx, with any or no body (C-M-10)."""


Kind = TypeVar("Kind", JobReport, AttemptReport)


def _reports(kind: type[Kind], response: Response) -> list[Kind]:
    reports = _read_json(response)
    if not isinstance(reports, list):
        raise UnreadableAnswer(f"a JSON {type(reports).__name__} instead of an array of reports")
    return [_report(kind, report) for report in reports]


def _report(kind: type[Report], fields: Any) -> Report:
    if not isinstance(fields, dict):
        raise UnreadableAnswer(f"a JSON {type(fields).__name__} instead of an object")
    return to_report(kind, fields)


def _read_string(response: Response) -> Any:
    text = response.body.decode("utf-8", "replace").strip()
    return _read_json(response) if text.startswith('"') else text


def _read_json(response: Response) -> Any:
    # The standard library's reader: integers of any length keep their digits, where orjson's would not.
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        raise UnreadableAnswer("an answer that is not JSON") from None


def _word(value: object) -> str:
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    raise UnreadableAnswer("an answer that is not the word or the ID that was expected")
