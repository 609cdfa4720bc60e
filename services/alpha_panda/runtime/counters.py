"""What a service counts of itself."""

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


@dataclass(slots=True)
class Counters:
    """Since the service began.

    `processed`: what the service was made to handle (signals, ticks), as its handlers count it. `errors`: failed
    attempts, each one. `last_event_ts`: the newest event's time, UTC ns.
    """

    processed: int = 0
    errors: int = 0
    dead_lettered: int = 0
    last_event_ts: int | None = None

    def record_processed(self, n: int, event_ts: int) -> None:
        """Count `n` records, the newest of `event_ts`."""
        self.processed += n
        if self.last_event_ts is None or event_ts > self.last_event_ts:
            self.last_event_ts = event_ts
