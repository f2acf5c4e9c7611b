"""How a sandbox is to be, as flags and a TOML file say it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import Account, DuplicateRule
from calls_async.sandbox.model.behaviour import Behaviour, Ending
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.server.server import Sandbox


class ConfigError(Exception):
    """The file cannot be read, or says something that cannot be."""


@attrs.frozen(kw_only=True)
class CampaignConfig:
    """A campaign that is to exist; what is None stays as it is."""

    token: str
    name: str | None = None
    lines: int | None = None
    max_attempts: int | None = None
    retry_minutes: int | None = None


@attrs.frozen(kw_only=True)
class SandboxConfig:
    """All of a sandbox but for where it listens. The names are those of the flags."""

    campaign: tuple[CampaignConfig, ...] = ()
    state: str | None = None
    """A file."""
    calls: bool = True
    speed: float = 1.0
    seed: int = 0
    call_result: Mapping[Ending, float] | None = None
    """The shares of endings; None, here and below: as `Behaviour` has them."""
    ring_seconds: tuple[int, int] | None = None
    talk_seconds: tuple[int, int] | None = None
    no_answer_seconds: int | None = None
    lines: int | None = None
    max_attempts: int | None = None
    retry_minutes: int | None = None
    duplicates: DuplicateRule = DuplicateRule.IGNORE
    quoted: bool = False
    numeric_ids: bool = False
    fault: Mapping[FaultKind, float] = attrs.field(factory=dict)
    fault_seed: int = 0
    allow_host: tuple[str, ...] = ()

    def make(self, *, host: str, port: int) -> Sandbox:
        """Make the sandbox. Raises `StateFileError`, and ValueError for values that cannot be."""
        behaviour = Behaviour(
            seed=self.seed,
            **_said(
                shares=self.call_result,
                ring_seconds=self.ring_seconds,
                talk_seconds=self.talk_seconds,
                no_answer_seconds=self.no_answer_seconds,
            ),
        )
        # What cannot be is told before a file is touched.
        rehearsal = Account(Clock(speed=self.speed), dialing=self._dialing())
        for one in self.campaign:
            rehearsal.set_up(**attrs.asdict(one))
        sandbox = Sandbox(
            host=host,
            port=port,
            tokens=[one.token for one in self.campaign],
            duplicates=self.duplicates,
            quoted=self.quoted,
            numeric_ids=self.numeric_ids,
            faults=Faults(shares=self.fault, seed=self.fault_seed),
            behaviour=behaviour if self.calls else None,
            dialing=self._dialing(),
            clock=Clock(speed=self.speed),
            keep_calls=0,
            state=self.state,
            allowed_hosts=self.allow_host,
        )
        for token in list(sandbox.account.campaigns):
            sandbox.account.set_up(
                token, lines=self.lines, max_attempts=self.max_attempts, retry_minutes=self.retry_minutes
            )
        for one in self.campaign:
            sandbox.account.set_up(**attrs.asdict(one))
        return sandbox

    def _dialing(self) -> DialerSettings:
        """Return the dialing of campaigns that are made later."""
        said = _said(lines=self.lines, max_attempts=self.max_attempts, retry_minutes=self.retry_minutes)
        return DialerSettings(**said)


def _said(**values: Any) -> dict[str, Any]:
    """Return what is not None: the rest stays as the class has it."""
    return {name: value for name, value in values.items() if value is not None}


def read_config_file(path: Path) -> SandboxConfig:
    """Return what a TOML file says; where its state is goes by its own folder. Raises `ConfigError`."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        _check_shape(path, said)
        plan = _converter().structure(said, SandboxConfig)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except cattrs.BaseValidationError as error:
        all_wrong = cattrs.transform_error(error, format_exception=_say)
        wrong = "; ".join(one.replace(" @ $.", " at ").removesuffix(" @ $") for one in all_wrong)
        raise ConfigError(f"{path}: {wrong}") from None
    return attrs.evolve(plan, state=None if plan.state is None else str(path.parent / plan.state))


_SHAPES = {
    "campaign": (list, "tables: [[campaign]]"),
    "fault": (dict, "a table: [fault]"),
    "call_result": (dict, "a table: [call_result]"),
    "allow_host": (list, 'a list: ["name"]'),
    "ring_seconds": (list, "two whole numbers: [4, 20]"),
    "talk_seconds": (list, "two whole numbers: [15, 180]"),
}


def _check_shape(path: Path, said: Mapping[str, Any]) -> None:
    """Refuse what would be taken for something else, or be refused in words of the program."""
    for name, (kind, written) in _SHAPES.items():
        if not isinstance(said.get(name, kind()), kind):
            raise ConfigError(f"{path}: {name} must be {written}")
    campaigns = said.get("campaign", [])
    if not all(isinstance(one, dict) for one in campaigns):
        raise ConfigError(f"{path}: campaign must be tables: [[campaign]]")
    tokens = [one.get("token") for one in campaigns]
    if twice := [token for token in tokens if token is not None and tokens.count(token) > 1]:
        raise ConfigError(f"{path}: two campaigns have the token {twice[0]}")


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, lambda value, _: float(_exactly(value, int | float)))
    for listed in (DuplicateRule, Ending, FaultKind):
        converter.register_structure_hook(listed, _read_listed)
    for plan in (CampaignConfig, SandboxConfig):
        structure = make_dict_structure_fn(plan, converter, _cattrs_forbid_extra_keys=True)
        converter.register_structure_hook(plan, structure)
    return converter


_KINDS = {str: "text", int: "a whole number", bool: "true or false", int | float: "a number"}


def _exactly(value: Any, kind: Any) -> Any:
    """Return a value of just this kind. TOML has types: "10" is no number, and true is no 1."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{value!r} is not {_KINDS[kind]}")
    return value


def _read_listed(value: Any, listed: type[StrEnum]) -> StrEnum:
    try:
        return listed(value)
    except ValueError:
        raise ValueError(f"{value!r} is not one of {', '.join(listed)}") from None


def _say(error: BaseException, _: type | None) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"{', '.join(sorted(error.extra_fields))} is not known"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error)
