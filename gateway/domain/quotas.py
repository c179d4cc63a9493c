"""How much of the farm one tenant may use, and what is said when that is too little. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

QUEUE_RETRY_SECONDS = 30
SEARCHES_RETRY_SECONDS = 60


class QuotaName(StrEnum):
    """What is limited. None as a limit: nothing is."""

    QUEUED = "queued"
    """Evaluations that have not ended, whether they wait or run."""
    RUNNING = "running"
    """Attempts that run at a time. What is beyond waits, and is not refused."""
    GPU_SECONDS_PER_DAY = "gpu_seconds_per_day"
    """Seconds that attempts hold GPU slots, and fine-tunes GPUs, on a day, in UTC."""
    STORAGE_BYTES = "storage_bytes"
    """Sources, answers, logs, data sets, pairs to learn from and adapters that are kept."""
    SEARCHES = "searches"
    """Searches that have not ended."""


@dataclass(frozen=True)
class Quota:
    """What one tenant may use. `weight` is its share of contested slots beside others."""

    weight: float
    queued: int
    running: int | None
    gpu_seconds_per_day: int | None
    storage_bytes: int | None
    searches: int

    def limit(self, name: QuotaName) -> int | None:
        """The limit of that name."""
        limits: dict[QuotaName, int | None] = {
            QuotaName.QUEUED: self.queued,
            QuotaName.RUNNING: self.running,
            QuotaName.GPU_SECONDS_PER_DAY: self.gpu_seconds_per_day,
            QuotaName.STORAGE_BYTES: self.storage_bytes,
            QuotaName.SEARCHES: self.searches,
        }
        return limits[name]


class QuotaExceeded(Exception):
    """A tenant asks for more than it may use; nothing was stored."""

    def __init__(
        self,
        name: QuotaName,
        used: int,
        wanted: int,
        limit: int,
        retry_seconds: int | None,
        reserved: int = 0,
    ) -> None:
        """`retry_seconds` is None where waiting alone does not help; `reserved` comes on top of `used`."""
        super().__init__(f"{name}: {used} + {wanted} of {limit}")
        self.name = name
        self.used = used
        self.wanted = wanted
        self.limit = limit
        self.retry_seconds = retry_seconds
        self.reserved = reserved


def require_within(
    quota: Quota,
    name: QuotaName,
    used: int,
    wanted: int,
    retry_seconds: int | None = None,
    *,
    reserved: int = 0,
) -> None:
    """Raises QuotaExceeded where so much more would be too much. A budget may be spent to its end.

    What is `reserved` is told, and refuses nothing: some of it will be left over.
    """
    limit = quota.limit(name)
    if limit is not None and wanted > 0 and used + wanted > limit:
        raise QuotaExceeded(name, used, wanted, limit, retry_seconds, reserved)


def seconds_to_midnight(now: datetime) -> int:
    """Until the next day begins, in UTC; `now` is in UTC, too."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, round((midnight - now).total_seconds()))
