"""An asyncio client for the Calls API: no contact is lost and nobody is called twice."""

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
from calls_async.transport.http import Timeouts
from calls_async.transport.retry import Retry, RetryPolicy
from calls_async.upload.journal import Durability
from calls_async.upload.outcomes import Outcome, OutcomeStatus, Receipt, Summary
from calls_async.upload.reconcile import Reconciliation
from calls_async.upload.uploader import Upload

__all__ = [
    "AccessError",
    "AttemptReport",
    "CallsClient",
    "CallsError",
    "Campaign",
    "CampaignInfo",
    "CampaignStatus",
    "ConfigurationError",
    "Contact",
    "ContactError",
    "Durability",
    "Interval",
    "JobReport",
    "JobStatus",
    "JournalError",
    "JournalRefusedError",
    "MissingExtraError",
    "NoAnswerError",
    "Outcome",
    "OutcomeStatus",
    "Receipt",
    "Reconciliation",
    "RefusedError",
    "RequestError",
    "Retry",
    "RetryPolicy",
    "ShortReport",
    "SourceError",
    "Summary",
    "Timeouts",
    "UnreachableError",
    "Upload",
]
