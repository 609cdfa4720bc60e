"""StreamServiceBuilder: a service is what it consumes, what it does at times, and how it starts and stops.

Everything else (retries, breaker, dead letters, commit, lease, status, drain) is the same for all and lives here.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Self

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import MisuseError
from alpha_panda.ports import Producer, Record, Subscription
from alpha_panda.runtime.consume import BreakerAction, Consumption
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.health import Need
from alpha_panda.runtime.metrics.metrics import Reader
from alpha_panda.runtime.service import (
    Action,
    Detail,
    LeaseWish,
    OwnRunner,
    Periodic,
    ServicePlan,
    StreamService,
)

__all__ = ["BreakerAction", "StreamService", "StreamServiceBuilder"]


class StreamServiceBuilder:
    """Collects the parts of one service; each method returns the builder."""

    def __init__(self, name: str, context: ServiceContext) -> None:
        self._name = name
        self._context = context
        self._plan = ServicePlan()

    def consume(  # noqa: PLR0913 - options, all but two by keyword
        self,
        subscription: Subscription,
        handler: Callable[[Sequence[Record]], Awaitable[None]],
        *,
        max_records: int | None = None,
        when_open: BreakerAction = BreakerAction.PAUSE,
        on_dead_letter: Callable[[Record, Code, str], Awaitable[None]] | None = None,
        commit: bool = True,
        passes_breaker: Callable[[Record], bool] | None = None,
        lanes: int = 0,
    ) -> Self:
        """Give `handler` what `subscription` brings, in batches of at most `max_records`.

        `handler` must be idempotent: records come again after a kill, and a batch that raised is repeated record
        by record. Each record is retried by the class of its error, then dead-lettered; then `on_dead_letter`
        is called with the record, the code and the message (it must be idempotent too; it is repeated while it
        raises TransientError). Offsets are committed after all that, unless `commit` is False.
        Records of which `passes_breaker` is true are tried whatever the breakers say, and tell them nothing; it must
        not raise. A ProcessMustExitError ends the service, uncommitted. The `.dlq` topics are ensured at start.
        With `lanes` the handler gets one record at a time, up to so many beside one another; those of one key keep
        their order, and a graceful stop waits for the records in hand alone. A record that hangs holds up its key
        only; input goes on until `max_records` are fetched that can't be committed yet.
        """
        self._plan.consumptions.append(
            Consumption(
                subscription=subscription,
                handler=handler,
                max_records=self._context.settings.fetch_max_records if max_records is None else max_records,
                when_open=when_open,
                on_dead_letter=on_dead_letter,
                commit=commit,
                passes_breaker=passes_breaker,
                lanes=lanes,
            )
        )
        return self

    def consume_with(
        self, runner: Callable[[Producer], Awaitable[None]], name: str, *, tells_reading: bool = False
    ) -> Self:
        """Run a task of the service's own until cancelled: a consumer loop with other rules.

        An error ends the service. A graceful stop cancels it; if it waits for its input through
        `StreamService.intake`, only there. With `tells_reading` the service is not ready before the runner has
        called `StreamService.reading`.
        """
        self._plan.runners.append(OwnRunner(name, runner, tells_reading))
        return self

    def every(self, seconds: float, action: Callable[[], Awaitable[None]], *, name: str) -> Self:
        """Run `action` each `seconds` while consuming; a turn that fails is logged, counted and not repeated.

        ProcessMustExitError, and unexpected errors twice (settings) in a row, end the service.
        """
        self._plan.periodic.append(Periodic(seconds, action, name))
        return self

    def on_start(self, action: Action) -> Self:
        """Run `action` after topics and lease and before consuming; a failure ends the service."""
        self._plan.on_start.append(action)
        return self

    def on_stop(self, action: Action) -> Self:
        """Run `action` at a graceful stop, when all handlers, runners and periodic actions have finished.

        Not called when the service is killed, fails, or does not finish in time.
        """
        self._plan.on_stop.append(action)
        return self

    def topics(self, specs: Iterable[TopicSpec]) -> Self:
        """Ensure topics at start; another number of partitions ends the service (TopicMismatchError)."""
        self._plan.topics.extend(specs)
        return self

    def with_lease(self, name: str, on_acquired: Callable[[int], Awaitable[None]] | None = None) -> Self:
        """Wait for the lease at start, give its epoch to `on_acquired`, renew it; losing it ends the service."""
        if self._plan.lease is not None:
            raise MisuseError(
                f"{self._name} holds the lease {self._plan.lease.name!r} already; a service has one"
            )
        self._plan.lease = LeaseWish(name, on_acquired)
        return self

    def needs(self, name: str, need: Need) -> Self:
        """Not ready while `need` says what is lacking; asked every `probe_seconds`, bounded in time."""
        self._plan.needs[name] = need
        return self

    def details(self, fn: Callable[[], Mapping[str, Detail]]) -> Self:
        """Add figures of the service's own to `get_status`."""
        self._plan.details.append(fn)
        return self

    def figures(self, reader: Reader) -> Self:
        """Tell Prometheus more gauges while the service runs: read at each scrape, from memory alone."""
        self._plan.figures.append(reader)
        return self

    def log_fields(self, **fields: str) -> Self:
        """Add fields (`account`, `feed`, `strategy`) to every line that the service logs."""
        self._plan.log_fields.update(fields)
        return self

    def build(self) -> StreamService:
        """Return the service; not started."""
        return StreamService(self._name, self._context, self._plan)
