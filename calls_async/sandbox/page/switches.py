"""The page's switches. Each takes the fields of a form or of a JSON object; ValueError says what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.campaign import Campaign
from calls_async.sandbox.model.clock import check_speed

if TYPE_CHECKING:
    from calls_async.sandbox.core import SandboxCore


Fields = Mapping[str, Any]
_CONTROLS = {"pause": "paused", "resume": "inProcess", "stop": "finished"}
_MAX_TIMES = 10_000


class Switches:
    """Those of one sandbox."""

    def __init__(self, sandbox: SandboxCore) -> None:
        self._sandbox = sandbox

    def set_clock(self, fields: Fields) -> None:
        _only(fields, "speed", "step_seconds")
        clock = self._sandbox.clock
        speed, step = _number(fields, "speed"), _number(fields, "step_seconds")
        speed = check_speed(clock.speed if speed is None else speed)
        clock.advance(seconds=step or 0.0)
        clock.run_at(speed)

    def set_up(self, fields: Fields) -> None:
        _only(fields, "token", "name", "lines", "max_attempts", "retry_minutes", "new")
        token = _text(fields, "token")
        if fields.get("new") and token in self._sandbox.account.campaigns:
            raise ValueError(f"there is a campaign with the token {token}")
        self._sandbox.account.set_up(
            token,
            name=_text(fields, "name"),
            lines=_whole(fields, "lines"),
            max_attempts=_whole(fields, "max_attempts"),
            retry_minutes=_whole(fields, "retry_minutes"),
        )

    def control(self, fields: Fields) -> None:
        _only(fields, "token", "action")
        action = _text(fields, "action")
        if action not in _CONTROLS:
            raise ValueError(f"action must be one of {', '.join(_CONTROLS)}")
        self.campaign(fields).control(_CONTROLS[action], self._sandbox.clock())

    def set_faults(self, fields: Fields) -> None:
        self._sandbox.faults.change({FaultKind(kind): _number(fields, kind) or 0.0 for kind in fields})

    def fail_next(self, fields: Fields) -> None:
        _only(fields, "kind", "times")
        times = _whole(fields, "times")
        if times is not None and not 1 <= times <= _MAX_TIMES:
            raise ValueError(f"times must be 1 to {_MAX_TIMES}")
        self._sandbox.fail_next(_text(fields, "kind") or "", times or 1)

    def campaign(self, fields: Fields) -> Campaign:
        """Return the campaign whose token the fields have."""
        token = _text(fields, "token")
        campaign = self._sandbox.account.campaigns.get(token or "")
        if campaign is None:
            raise ValueError(f"no campaign has the token {token}")
        return campaign


def _only(fields: Fields, *names: str) -> None:
    if any(name.startswith("{") for name in fields):
        raise ValueError("this is JSON: send it with Content-Type: application/json")
    if unknown := fields.keys() - set(names):
        raise ValueError(f"{', '.join(sorted(unknown))} is not known; the fields are {', '.join(names)}")


def _text(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    return (value or "").strip() or None


def _number(fields: Fields, name: str) -> float | None:
    value = fields.get(name)
    if value in (None, ""):
        return None
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}") from None


def _whole(fields: Fields, name: str) -> int | None:
    value = _number(fields, name)
    if value is not None and not value.is_integer():
        raise ValueError(f"{name} must be a whole number, not {fields[name]!r}")
    return None if value is None else int(value)
