"""An asyncio client for the Calls API: no contact is lost and nobody is called twice.

The names below are imported when they are first used: a command that only prints its help needs none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calls_async.campaign import Campaign
    from calls_async.client import CallsClient
    from calls_async.errors import (
        AccessError,
        BatcherClosedError,
        BatcherFullError,
        CallsError,
        ConfigurationError,
        ContactError,
        JobsRefusedError,
        JournalError,
        JournalRefusedError,
        MissingExtraError,
        NoAnswerError,
        RefusedError,
        RequestError,
        SourceError,
        TooManyRefusalsError,
        UnreachableError,
    )
    from calls_async.events import (
        ChunkDone,
        ChunkRetried,
        ChunkSent,
        ChunkSplit,
        ChunkWaits,
        Event,
        JournalLag,
        OutageBegan,
        OutageEnded,
        Throttled,
    )
    from calls_async.jobs.stream import JobStream
    from calls_async.protocol.contact import Contact
    from calls_async.protocol.reports import (
        AttemptReport,
        CampaignInfo,
        CampaignStatus,
        JobReport,
        JobStatus,
        ShortReport,
    )
    from calls_async.protocol.schedule import Interval
    from calls_async.transport.http import Timeouts
    from calls_async.transport.policy import RetryPolicy
    from calls_async.upload.batcher.batcher import Batcher
    from calls_async.upload.batcher.remaining import Remaining
    from calls_async.upload.journal.settings import Durability
    from calls_async.upload.outcomes.outcome import Outcome, Receipt, Summary
    from calls_async.upload.reconcile import Reconciliation
    from calls_async.upload.status import OutcomeStatus
    from calls_async.upload.upload import Upload

_ROOMS = {
    "campaign": ("Campaign",),
    "client": ("CallsClient",),
    "errors": (
        "AccessError",
        "BatcherClosedError",
        "BatcherFullError",
        "CallsError",
        "ConfigurationError",
        "ContactError",
        "JobsRefusedError",
        "JournalError",
        "JournalRefusedError",
        "MissingExtraError",
        "NoAnswerError",
        "RefusedError",
        "RequestError",
        "SourceError",
        "TooManyRefusalsError",
        "UnreachableError",
    ),
    "events": (
        "ChunkDone",
        "ChunkRetried",
        "ChunkSent",
        "ChunkSplit",
        "ChunkWaits",
        "Event",
        "JournalLag",
        "OutageBegan",
        "OutageEnded",
        "Throttled",
    ),
    "jobs.stream": ("JobStream",),
    "protocol.contact": ("Contact",),
    "protocol.reports": ("AttemptReport", "CampaignInfo", "CampaignStatus", "JobReport", "JobStatus", "ShortReport"),
    "protocol.schedule": ("Interval",),
    "transport.http": ("Timeouts",),
    "transport.policy": ("RetryPolicy",),
    "upload.batcher.batcher": ("Batcher",),
    "upload.batcher.remaining": ("Remaining",),
    "upload.journal.settings": ("Durability",),
    "upload.outcomes.outcome": ("Outcome", "Receipt", "Summary"),
    "upload.reconcile": ("Reconciliation",),
    "upload.status": ("OutcomeStatus",),
    "upload.upload": ("Upload",),
}
_SUBPACKAGES = {room.split(".")[0] for room in _ROOMS}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AccessError",
    "AttemptReport",
    "Batcher",
    "BatcherClosedError",
    "BatcherFullError",
    "CallsClient",
    "CallsError",
    "Campaign",
    "CampaignInfo",
    "CampaignStatus",
    "ChunkDone",
    "ChunkRetried",
    "ChunkSent",
    "ChunkSplit",
    "ChunkWaits",
    "ConfigurationError",
    "Contact",
    "ContactError",
    "Durability",
    "Event",
    "Interval",
    "JobReport",
    "JobStatus",
    "JobStream",
    "JobsRefusedError",
    "JournalError",
    "JournalLag",
    "JournalRefusedError",
    "MissingExtraError",
    "NoAnswerError",
    "OutageBegan",
    "OutageEnded",
    "Outcome",
    "OutcomeStatus",
    "Receipt",
    "Reconciliation",
    "RefusedError",
    "Remaining",
    "RequestError",
    "RetryPolicy",
    "ShortReport",
    "SourceError",
    "Summary",
    "Throttled",
    "Timeouts",
    "TooManyRefusalsError",
    "UnreachableError",
    "Upload",
]


def __getattr__(name: str) -> object:
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
