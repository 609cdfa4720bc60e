"""What a service counts of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class ServiceState(StrEnum):
    """Life of one service, as `get_status` names it. It never goes back: a restart is a new service."""

    CREATED = "created"
    STARTING = "starting"
    WAITING = "waiting-for-lease"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    KILLED = "killed"
    FAILED = "failed"


def _nobody(error: BaseException | None, count: int) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Counters:
    """Since the service began.

    `processed`: what the service was made to handle (signals, ticks), as its handlers count it. `errors`: failed
    attempts, each one. `last_event_ts`: the newest event's time, UTC ns. `on_error` hears of each error, and how many
    attempts it was the end of.
    """

    processed: int = 0
    errors: int = 0
    dead_lettered: int = 0
    last_event_ts: int | None = None
    on_error: Callable[[BaseException | None, int], None] = _nobody

    def failed(self, error: BaseException | None = None, count: int = 1) -> None:
        """Count failed attempts."""
        self.errors += count
        self.on_error(error, count)

    def record_processed(self, n: int, event_ts: int) -> None:
        """Count `n` records, the newest of `event_ts`."""
        self.processed += n
        if self.last_event_ts is None or event_ts > self.last_event_ts:
            self.last_event_ts = event_ts
