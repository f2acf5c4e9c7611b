"""An asyncio client for the Calls API: no contact is lost and nobody is called twice."""

import logging

from calls_async.client import CallsClient, Campaign
from calls_async.errors import (
    AccessError,
    CallsError,
    ConfigurationError,
    ContactError,
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
from calls_async.transport.events import Event, OutageBegan, OutageEnded, Throttled
from calls_async.transport.http import Timeouts
from calls_async.transport.policy import RetryPolicy
from calls_async.upload.events import (
    ChunkDone,
    ChunkRetried,
    ChunkSent,
    ChunkSplit,
    ChunkWaits,
    JournalLag,
)
from calls_async.upload.journal import Durability
from calls_async.upload.outcomes import Outcome, Receipt, Summary
from calls_async.upload.reconcile import Reconciliation
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.uploader import Upload

__all__ = [
    "AccessError",
    "AttemptReport",
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

logging.getLogger("calls_async").addHandler(logging.NullHandler())  # silent, unless the program logs
