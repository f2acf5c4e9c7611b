# The public names, for type checkers; `__init__.py` imports them when they are first used.
from calls_async.campaign import (
    Campaign,
)
from calls_async.client import (
    CallsClient,
)
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
from calls_async.jobs.stream import (
    JobStream,
)
from calls_async.protocol.contact import (
    Contact,
)
from calls_async.protocol.reports import (
    AttemptReport,
    CampaignInfo,
    CampaignStatus,
    JobReport,
    JobStatus,
    ShortReport,
)
from calls_async.protocol.schedule import (
    Interval,
)
from calls_async.transport.http import (
    Timeouts,
)
from calls_async.transport.policy import (
    RetryPolicy,
)
from calls_async.upload.batcher.batcher import (
    Batcher,
)
from calls_async.upload.batcher.remaining import (
    Remaining,
)
from calls_async.upload.journal.settings import (
    Durability,
)
from calls_async.upload.outcomes.outcome import (
    Outcome,
    Receipt,
    Summary,
)
from calls_async.upload.reconcile import (
    Reconciliation,
)
from calls_async.upload.status import (
    OutcomeStatus,
)
from calls_async.upload.upload import (
    Upload,
)

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
_HOMES: dict[str, str]
