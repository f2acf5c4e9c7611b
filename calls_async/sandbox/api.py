"""The twelve methods of the API (C-M-1 … C-M-13) as a function from a call to a reply; no sockets here."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import attrs

from calls_async.sandbox.model.account import Account, DuplicatePhone, Ignored
from calls_async.sandbox.model.campaign import Campaign
from calls_async.sandbox.model.checks import check_contact
from calls_async.sandbox.model.job import Job, packed

Answer = TypeVar("Answer")
KEY = "Idempotence-Key"
_PATH = re.compile(r"/api/(?P<kind>calls|crmCalls)/campaign/(?P<token>[^/]+)(?:/(?P<verb>.+))?")


@attrs.frozen(slots=True)
class Route:
    """What a path of the API names."""

    kind: str
    token: str
    verb: str


def match_route(path: str) -> Route | None:
    """Return what a path names; None where it is not of the API."""
    match = _PATH.fullmatch(path)
    return None if match is None else Route(match["kind"], match["token"], match["verb"] or "")


@attrs.frozen(slots=True, kw_only=True)
class Call:
    """A request as it came. Names of `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    @property
    def key(self) -> str | None:
        """C-IDEM-3 for POST, C-IDEM-4 for GET."""
        return self.headers.get(KEY.lower()) if self.method == "POST" else self.query.get(KEY)

    def content(self) -> bytes:
        """Return what must be the same when a key comes again."""
        query = sorted((name, value) for name, value in self.query.items() if name != KEY)
        return _digest([self.method, self.path, query]) + hashlib.sha256(self.body).digest()


@attrs.frozen(slots=True, kw_only=True)
class Reply:
    """An answer before any fault spoils it."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Reply:
        return cls(status=status, body=json.dumps(value).encode())

    @classmethod
    def error(cls, status: int, message: str) -> Reply:
        return cls.json({"error": message}, status)


class _Refuse(Exception):  # noqa: N818  # becomes a reply
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.reply = attrs.evolve(Reply.error(status, message), headers=headers)


class Api:
    """Handles one call after another. `quoted` answers strings as JSON (C-M-15); `numeric_ids` IDs as numbers
    (C-M-17). So many calls are kept as `keep_calls` says; None: all."""

    def __init__(
        self, account: Account, *, quoted: bool = False, numeric_ids: bool = False, keep_calls: int | None = None
    ) -> None:
        self.account = account
        self.calls: deque[Call] = deque(maxlen=keep_calls)
        """The calls that were handled, or the last of them."""
        self._quoted = quoted
        self._numeric_ids = numeric_ids
        self._verbs: dict[tuple[str, str], dict[str, Callable[[Campaign, Call], Reply]]] = {
            ("calls", "addPhones"): {"POST": self._add_phones},
            ("crmCalls", "addPhone"): {"GET": self._add_phone, "POST": self._add_phone},
            ("crmCalls", "test/addPhone"): {"GET": self._add_test_phone},
            ("calls", "addPhone"): {"GET": self._add_phone},  # C-M-13
            ("calls", "callJob/cancel"): {"POST": self._cancel},
            ("calls", "callJob/getReport"): {"POST": self._job_report},
            ("calls", "callAttempt/getReport"): {"POST": self._attempt_report},
            ("calls", ""): {"GET": self._info},
            ("calls", "status"): {"GET": self._status},
            ("calls", "control/pause"): {"POST": self._control("paused")},
            ("calls", "control/resume"): {"POST": self._control("inProcess")},
            ("calls", "control/stop"): {"POST": self._control("finished")},
        }

    def handle(self, call: Call) -> Reply:
        self.calls.append(call)
        self.account.catch_up()
        try:
            return self._handle(call)
        except _Refuse as refusal:
            return refusal.reply
        except RecursionError:
            return Reply.error(400, "the body is nested too deep")

    def _handle(self, call: Call) -> Reply:
        route = match_route(call.path)
        handlers = {} if route is None else self._verbs.get((route.kind, route.verb), {})
        if route is None or not handlers:
            raise _Refuse(404, "no such method")
        handler = handlers.get(call.method)
        if handler is None:
            raise _Refuse(405, f"this takes {' or '.join(handlers)}", Allow=", ".join(handlers))
        campaign = self.account.campaigns.get(route.token)
        if campaign is None:
            raise _Refuse(404, f"no campaign has the token {route.token}")
        return handler(campaign, call)

    def _once(self, call: Call, content: bytes, act: Callable[[], Answer]) -> Answer:
        """Return what `act` returns, or what it returned when the same key came with the same content (C-IDEM-1)."""
        key = call.key
        if not key:
            return act()  # C-IDEM-2
        known = self.account.answer_to(key, content)
        if known is not None:
            return known  # type: ignore[no-any-return]
        answer = act()
        self.account.remember(key, content, answer)
        return answer

    # --- the methods ---

    def _add_phones(self, campaign: Campaign, call: Call) -> Reply:
        contacts = _body(call)
        if not isinstance(contacts, list):
            raise _Refuse(400, "the body must be an array")
        for index, contact in enumerate(contacts):
            if (wrong := check_contact(contact)) is not None:
                raise _Refuse(400, f"[{index}]: {wrong}")
        added = self._added(campaign, call, contacts)
        return Reply.json([self._id(job.id) for job in added if isinstance(job, Job)])

    def _added(
        self, campaign: Campaign, call: Call, contacts: list[dict[str, Any]], *, test: bool = False
    ) -> list[Job | Ignored]:
        """Return what became of a request's contacts; the same ones under the same key are the same request, by any
        method."""
        named = [{**contact, "phone": str(contact["phone"])} for contact in contacts]
        content = _digest([campaign.token, test, named])
        try:
            return self._once(call, content, lambda: self.account.add(campaign, contacts, test=test))
        except DuplicatePhone as duplicate:
            raise _Refuse(400, str(duplicate)) from None

    def _add_phone(self, campaign: Campaign, call: Call, *, test: bool = False) -> Reply:
        contact: dict[str, Any] = {name: value for name, value in call.query.items() if name in ("phone", "gmtZone")}
        payload = {name: value for name, value in call.query.items() if name not in ("phone", "gmtZone", KEY)}
        if payload:
            contact["payload"] = payload  # C-CRM-1
        if (wrong := check_contact(contact)) is not None:
            raise _Refuse(400, wrong)
        (added,) = self._added(campaign, call, [contact], test=test)
        return self._string(added.job.id if isinstance(added, Ignored) else added.id)

    def _add_test_phone(self, campaign: Campaign, call: Call) -> Reply:
        return self._add_phone(campaign, call, test=True)

    def _cancel(self, campaign: Campaign, call: Call) -> Reply:
        def act() -> Reply:
            picked = campaign.pick(*_selection(call))
            return Reply.json([self._id(job.id) for job in picked if campaign.cancel(job)])

        return self._once(call, call.content(), act)

    def _job_report(self, campaign: Campaign, call: Call) -> Reply:
        def act() -> Reply:
            return self._reports(job.report() for job in campaign.pick(*_selection(call)))

        return self._once(call, call.content(), act)

    def _attempt_report(self, campaign: Campaign, call: Call) -> Reply:
        def act() -> Reply:
            picked = campaign.pick(*_selection(call))
            return self._reports(report for job in picked for report in job.attempt_reports())

        return self._once(call, call.content(), act)

    def _info(self, campaign: Campaign, call: Call) -> Reply:
        return Reply.json(campaign.info())

    def _status(self, campaign: Campaign, call: Call) -> Reply:
        return self._string(campaign.status)

    def _control(self, status: str) -> Callable[[Campaign, Call], Reply]:
        def change(campaign: Campaign, call: Call) -> Reply:
            campaign.control(status, self.account.clock())
            return Reply()

        return change

    # --- how answers are written ---

    def _id(self, job_id: str) -> str | int:
        return int(job_id) if self._numeric_ids else job_id

    def _reports(self, reports: Iterable[dict[str, Any]]) -> Reply:
        return Reply.json([{**report, "callJobId": self._id(report["callJobId"])} for report in reports])

    def _string(self, text: str) -> Reply:
        return Reply.json(text) if self._quoted else Reply(body=text.encode(), content_type="text/plain")


def _digest(value: Any) -> bytes:
    return hashlib.sha256(packed(value)).digest()


def _no_number(name: str) -> None:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


def _body(call: Call) -> Any:
    try:
        return json.loads(call.body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _Refuse(400, "the body is not JSON") from None


def _selection(call: Call) -> tuple[list[str], list[str]]:
    body = _body(call)
    if not isinstance(body, dict):
        raise _Refuse(400, "the body must be an object with phones, ids or both")
    lists = [body.get(name) or [] for name in ("phones", "ids")]
    if not all(isinstance(one, list) for one in lists):
        raise _Refuse(400, "phones and ids must be arrays")
    phones, ids = ([str(item) for item in one] for one in lists)
    return phones, ids
