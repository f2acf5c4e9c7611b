"""Everything this package raises, one tree with one root:

    CallsError
    ├── ConfigurationError         a setting, an address or an argument that cannot work
    │   └── MissingExtraError      an optional library is needed and not installed
    ├── ContactError               a contact that must not be sent: .row, .field, .reason
    ├── SourceError                a contact list that cannot be read: .source, .place
    ├── JournalError               a journal that cannot be used: .path
    │   └── JournalRefusedError    a journal that is finished, another campaign's, or of a source that has changed
    ├── BatcherFullError           a batcher's buffer is full, and nobody wanted to wait
    ├── BatcherClosedError         a batcher was closed before it had an outcome: .kept
    ├── JobsRefusedError           the server refuses to speak of some call jobs: .refused
    ├── TooManyRefusalsError       the server refuses every contact: .refused
    └── RequestError               one call of the API failed: .method, .path, .status, .body
        ├── RefusedError           the server said no (4xx); nothing was created
        │   └── AccessError        401 to 405, 410, a redirect, a web page: wrong token or host
        └── NoAnswerError          no certain answer within the limits: .attempts, .seconds, .idempotence_key,
            │                      .unreachable (no attempt of this call reached the server)
            └── UnreachableError   no attempt ever reached the server, so nothing was created

Every error can be pickled, says what to do, and holds no campaign token: `path` keeps `{token}` as a placeholder.
"""

from __future__ import annotations

from typing import Any


class CallsError(Exception):
    """The root of the tree. Its text is for a person; its attributes are for code."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[CallsError], args: tuple[Any, ...], attributes: dict[str, Any]) -> CallsError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigurationError(CallsError):
    """A setting, an address or an argument that cannot work. Correct it; nothing was sent."""


class MissingExtraError(ConfigurationError):
    """An optional library is needed. `extra` names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional library: pip install 'calls_async[{extra}]'")
        self.extra = extra


class ContactError(CallsError):
    """A contact that must not be sent as it is. `row` counts from 1 where the contact came from a list."""

    def __init__(self, field: str, reason: str, row: int | None = None) -> None:
        place = field if row is None else f"row {row}, {field}"
        super().__init__(f"{place}: {reason}")
        self.field = field
        self.reason = reason
        self.row = row


class SourceError(CallsError):
    """A contact list that cannot be read. `source` is its name, `place` where in it, as a person would say it."""

    def __init__(self, source: str, reason: str, place: str | None = None) -> None:
        super().__init__(f"{source}, {place}: {reason}" if place else f"{source}: {reason}")
        self.source = source
        self.reason = reason
        self.place = place


class JournalError(CallsError):
    """A journal that cannot be used. Nothing is sent that cannot be written down first."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"journal {path}: {reason}")
        self.path = path
        self.reason = reason


class JournalRefusedError(JournalError):
    """A journal that this upload must not go on with: finished, another campaign's, or its source has changed."""


class BatcherFullError(CallsError):
    """A batcher's buffer is full, and nobody wanted to wait. The contact was not taken."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows:,} contacts are waiting already (buffer_rows); wait for room, or try again later")


KEPT = "the contact is in the journal; the next batcher with it goes on with it"


class BatcherClosedError(CallsError):
    """A batcher was closed before the contact had an outcome. `kept`: it is in the journal, and the next batcher with
    it goes on with it. Otherwise it was not sent."""

    def __init__(self, *, kept: bool = False) -> None:
        super().__init__(f"the batcher is closed; {KEPT if kept else 'the contact was not sent'}")
        self.kept = kept


class JobsRefusedError(CallsError):
    """Of many call jobs, some could not be asked about, or canceled; all others have been."""

    def __init__(self, refused: int, examples: list[str]) -> None:
        more = " …" if refused > len(examples) else ""
        super().__init__(f"{refused:,} call jobs were refused: {'; '.join(examples)}{more}. All others were answered")
        self.refused = refused
        self.examples = examples


class TooManyRefusalsError(CallsError):
    """The server has refused so many contacts in a row, each by itself, that the campaign itself may be the reason.
    With a journal (`kept`), they and what was not sent yet are sent when the upload is run again."""

    def __init__(self, refused: int, words: str, *, kept: bool) -> None:
        left = "They and what was not sent yet are sent when you run it again. " if kept else ""
        super().__init__(
            f"the server has refused {refused:,} contacts in a row, each by itself; the last one: “{words}”. "
            f"Is the campaign running? {left}--max-refusals 0 (max_refusals=None) goes on all the same"
        )
        self.refused = refused
        self.kept = kept


class RequestError(CallsError):
    """One call of the API failed. `body` is the beginning of what the server said (C-ERR-1)."""

    def __init__(self, message: str, *, method: str, path: str, status: int | None = None, body: str = "") -> None:
        super().__init__(f"{method} {path}: {message}")
        self.method = method
        self.path = path
        self.status = status
        self.body = body


class RefusedError(RequestError):
    """The server said no (4xx). Nothing was created, so the request may be corrected and sent anew."""


class AccessError(RefusedError):
    """401 to 405, 407, 410, 501, a redirect, or nothing but a web page: the token or the host is wrong, for every
    request alike. Nobody is `rejected` for it: an upload's chunks stay open under their keys."""


class NoAnswerError(RequestError):
    """No certain answer within the limits: the request may or may not have taken effect.

    Where `refused`, the server said no (`status`) at last, but an earlier attempt may have been accepted. Where
    `outage`, the server had answered nothing at all for longer than the upload was allowed to wait. Where
    `not_created`, no attempt can have been acted upon: none got there. Where `busy`, it was
    told to come again later, each time (429). Where `failing`, the server fails at this request, and answers others.
    `last`     is why the last one failed.
    Repeating it with the same `idempotence_key` and the same content within 24 hours of its first use is safe
    (C-IDEM-1, C-IDEM-7).
    """

    def __init__(
        self,
        message: str,
        *,
        method: str,
        path: str,
        attempts: int,
        seconds: float,
        idempotence_key: str | None,
        unreachable: bool = False,
        refused: bool = False,
        outage: bool = False,
        not_created: bool = False,
        busy: bool = False,
        failing: bool = False,
        last: str = "",
        status: int | None = None,
        body: str = "",
    ) -> None:
        super().__init__(message, method=method, path=path, status=status, body=body)
        self.unreachable = unreachable
        self.refused = refused
        self.outage = outage
        self.not_created = not_created
        self.busy = busy
        self.failing = failing
        self.last = last
        self.attempts = attempts
        self.seconds = seconds
        self.idempotence_key = idempotence_key


class UnreachableError(NoAnswerError):
    """No attempt ever reached the server, so nothing was created. Check the host and the network."""
