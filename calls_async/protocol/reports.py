"""What comes back: typed reports that never fail on what the pages did not name (C-REP-4, C-REP-5)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import attrs

if TYPE_CHECKING:
    import cattrs


class OpenEnum(StrEnum):
    """A str enum that also holds values that nobody has listed: they survive as they came."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    def __str__(self) -> str:
        return str(self.value)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.value,)  # Python 3.11.2 pickles the name, and an unlisted value has none


class JobStatus(OpenEnum):
    """A call job's status (C-REP-5)."""

    CANCELED = "canceled"
    IN_PROCESS = "inProcess"
    LONG_CALL_WITH_NO_RESULT = "longCallWithNoResult"
    LONG_CALL_WITH_RESULT = "longCallWithResult"
    NO_ANSWER = "noAnswer"
    NONEXISTENT_NUMBER = "nonexistentNumber"
    NOT_DONE = "notDone"
    ON_RETRY = "onRetry"
    PLANNED = "planned"


class CampaignStatus(OpenEnum):
    """A campaign's status (C-CAM-3)."""

    PLANNED = "planned"
    IN_PROCESS = "inProcess"
    FINISHED = "finished"
    PAUSED = "paused"
    DELETED = "deleted"


@attrs.frozen(slots=True, kw_only=True)
class _CallReport:
    call_job_id: str | None = None
    phone: str | None = attrs.field(default=None, repr=False)
    job_status: JobStatus | None = None
    call_duration: int | float | None = None
    """Seconds."""
    call_result: Any = None
    started_at: int | None = None
    """Unix time, milliseconds; so are all other moments here."""
    finished_at: int | None = None
    report_data: Any = attrs.field(default=None, repr=False)
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """Fields that the pages do not name, under the server's names (C-REP-4)."""


@attrs.frozen(slots=True, kw_only=True)
class JobReport(_CallReport):
    """What the API says of a call job (C-REP-2, C-REP-3); what it did not say is None."""

    attempts_count: int | None = None
    created_at: int | None = None
    redial_number: str | None = attrs.field(default=None, repr=False)
    tag_name: str | None = None
    tag_payload: Any = attrs.field(default=None, repr=False)


@attrs.frozen(slots=True, kw_only=True)
class AttemptReport(_CallReport):
    """What the API says of one call attempt (C-REP-2); what it did not say is None."""


@attrs.frozen(slots=True, kw_only=True)
class ShortReport:
    """A campaign in numbers (C-CAM-2)."""

    total_numbers: int | None = None
    processed_numbers: int | None = None
    used_talking_time: int | float | None = None
    used_asr_seconds: int | float | None = None
    """Seconds on one page of the vendors, minutes on another."""
    in_process_calls: int | None = None
    retry_calls: int | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(slots=True, kw_only=True)
class CampaignInfo:
    """A campaign (C-CAM-1); what the API did not say is None. Moments are Unix time in milliseconds."""

    id: str | None = None
    name: str | None = None
    project_name: str | None = None
    creation_date: int | None = None
    bot_id: str | None = None
    """The phone channel."""
    status: CampaignStatus | None = None
    short_report: ShortReport | None = None
    start_time: int | None = None
    end_time: int | None = None
    max_simultaneous_calls: int | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict)


Report = TypeVar("Report", JobReport, AttemptReport, CampaignInfo)


def to_report(kind: type[Report], fields: Mapping[str, Any]) -> Report:
    """Return the report in a JSON object of the server's. A value of an unexpected type is kept as it came."""
    return _converter().structure(fields, kind)


def to_dict(report: JobReport | AttemptReport | CampaignInfo) -> dict[str, Any]:
    """Return the report under the API's own names, with what the server added."""
    return cast("dict[str, Any]", _converter().unstructure(report))


def field_names(kind: type[JobReport | AttemptReport | CampaignInfo | ShortReport]) -> list[str]:
    """Return the API's names of the fields that the pages or public code name (C-REP-2, C-REP-3)."""
    return [_camel(attribute.name) for attribute in attrs.fields(kind) if attribute.name != "extra"]


_IDS_AND_PHONES = frozenset({"bot_id", "call_job_id", "id", "phone", "redial_number"})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _text(value: Any, _: Any = None) -> Any:
    # IDs and phones come as strings or as numbers; they are kept as strings, with every digit (C-M-17).
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _status(value: Any, kind: Any) -> Any:
    return kind(value) if isinstance(value, str) else value


def _add_model(converter: cattrs.Converter, kind: type[Any], statuses: Mapping[str, type[OpenEnum]]) -> None:
    from cattrs.gen import make_dict_structure_fn, override

    attributes = [attribute for attribute in attrs.fields(kind) if attribute.name != "extra"]
    overrides = {
        attribute.name: override(rename=_camel(attribute.name), struct_hook=_hook(attribute, statuses, converter))
        for attribute in attributes
    }
    pairs = [(_camel(attribute.name), attribute.name) for attribute in attributes]
    names = {name for name, _ in pairs}
    structure = make_dict_structure_fn(kind, converter, extra=override(omit=True), **overrides)  # type: ignore[arg-type]

    def structure_with_extra(fields: Any, wanted: type[Any]) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        report = structure(fields, wanted)
        extra = {name: value for name, value in fields.items() if name not in names}
        return attrs.evolve(report, extra=extra) if extra else report

    def unstructure(report: Any) -> dict[str, Any]:
        known = [(name, getattr(report, field)) for name, field in pairs]
        return {**{name: _plain(value) for name, value in known if value is not None}, **report.extra}

    converter.register_structure_hook(kind, structure_with_extra)
    converter.register_unstructure_hook(kind, unstructure)


def _plain(value: Any) -> Any:
    """Return a field's value as JSON has it: most came so. The converter would take 3 µs to see that."""
    if isinstance(value, OpenEnum):
        return value.value
    return _converter().unstructure(value) if isinstance(value, ShortReport) else value


def _hook(attribute: Any, statuses: Mapping[str, type[OpenEnum]], converter: cattrs.Converter) -> Any:
    if (status := statuses.get(attribute.name)) is not None:
        return lambda value, _: _status(value, status)
    if attribute.name == "short_report":
        return lambda value, _: converter.structure(value, ShortReport)
    if attribute.name in _IDS_AND_PHONES:
        return _text
    return lambda value, _: value


@cache
def _converter() -> cattrs.Converter:
    """Make the converter when a report is first read: an upload may never read one, and starts 0.02 s sooner."""
    import cattrs

    converter = cattrs.Converter(detailed_validation=False)
    _add_model(converter, ShortReport, {})
    _add_model(converter, JobReport, {"job_status": JobStatus})
    _add_model(converter, AttemptReport, {"job_status": JobStatus})
    _add_model(converter, CampaignInfo, {"status": CampaignStatus})
    return converter
