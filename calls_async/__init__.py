"""An asyncio client for the Calls API: no contact is lost and nobody is called twice.

The names below are imported when they are first used: a command that only prints its help needs none of them. Type
checkers read `__init__.pyi`.
"""

from importlib import import_module

_EXPORTS = {
    "campaign": "Campaign",
    "client": "CallsClient",
    "errors": (
        "AccessError BatcherClosedError BatcherFullError CallsError ConfigurationError ContactError "
        "JobsRefusedError JournalError JournalRefusedError MissingExtraError NoAnswerError RefusedError "
        "RequestError SourceError TooManyRefusalsError UnreachableError"
    ),
    "events": (
        "ChunkDone ChunkRetried ChunkSent ChunkSplit ChunkWaits Event JournalLag OutageBegan OutageEnded Throttled"
    ),
    "jobs.stream": "JobStream",
    "protocol.contact": "Contact",
    "protocol.reports": "AttemptReport CampaignInfo CampaignStatus JobReport JobStatus ShortReport",
    "protocol.schedule": "Interval",
    "transport.http": "Timeouts",
    "transport.policy": "RetryPolicy",
    "upload.batcher.batcher": "Batcher",
    "upload.batcher.remaining": "Remaining",
    "upload.journal.settings": "Durability",
    "upload.outcomes.outcome": "Outcome Receipt Summary",
    "upload.reconcile": "Reconciliation",
    "upload.status": "OutcomeStatus",
    "upload.upload": "Upload",
}
"""Where each public name is."""
_HOMES = {name: home for home, names in _EXPORTS.items() for name in names.split()}
_SUBPACKAGES = {home.split(".")[0] for home in _EXPORTS}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # static in the stub


def __getattr__(name: str) -> object:
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
