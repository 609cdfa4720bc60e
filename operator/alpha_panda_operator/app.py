"""The operator as a whole: what it is made of, and how it starts, leads and ends."""

import asyncio
import importlib.metadata
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError, SettingsError, TransientError
from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda_operator.access import ApiAccess
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.clock import Clock, SystemClock
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.control import ControlDesk
from alpha_panda_operator.events import Events
from alpha_panda_operator.health import make_app, serving
from alpha_panda_operator.intake import Intake, Lag
from alpha_panda_operator.leader import Leadership
from alpha_panda_operator.loop import LOUD_AFTER, work
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import BROKER_ACCOUNT, RESOURCES, Key
from alpha_panda_operator.ownership import Ownership
from alpha_panda_operator.queue import KeyedQueue
from alpha_panda_operator.reconcile.board import StatusBoard
from alpha_panda_operator.reconcile.children import Children
from alpha_panda_operator.reconcile.reconciler import Parts, Reconciler
from alpha_panda_operator.reconcile.status import StatusWriter
from alpha_panda_operator.store import Stores, open_stores
from alpha_panda_operator.sync import Sync
from alpha_panda_operator.view import ResourceView
from alpha_panda_operator.watching import watching

log = structlog.get_logger()

HOUR_SECONDS: Final = 3600
STRATEGY_TYPES: Final = "alpha_panda.strategies"
"""Entry points of the strategies that an image has; the operator runs from the platform's image."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this replica runs: its namespace, and who it is among the replicas."""

    namespace: str
    identity: str


class Operator:
    """One replica. `run` returns after SIGTERM or SIGINT."""

    def __init__(self, config: OperatorConfig, settings: Settings, access: ApiAccess, place: Place) -> None:
        if not settings.redis_url.get_secret_value():
            raise SettingsError(
                f"{env_name('redis_url')} is not set: the operator writes the trading states there"
            )
        self._config = config
        self._settings = settings
        self._access = access
        self._place = place
        self._clock: Clock = SystemClock()
        self._metrics = Metrics()
        self._work: KeyedQueue[Key] = KeyedQueue(self._clock)
        self._lag = Lag(self._clock)
        self._cache = Cache()
        self._leadership: Leadership | None = None
        self._desk: ControlDesk | None = None

    async def run(self) -> None:
        """Answer probes, wait for the lease, lead until told to stop.

        Raises:
            FencedError: the lease was lost.
            DependencyUnavailableError: the watches have ended.

        """
        app = make_app(self._metrics, self._not_alive, self._not_ready, self._refresh_gauges)
        async with (
            Cluster(self._access, self._metrics, self._config.call_timeout_seconds) as cluster,
            open_stores(self._config, self._settings) as stores,
            serving(app, self._settings.health_host, self._config.health_port),
            _until_signalled() as signalled,
        ):
            leading = asyncio.create_task(self._lead(cluster, stores))
            await asyncio.wait({leading, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
                return
            log.info("stopping")
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)

    async def _lead(self, cluster: Cluster, stores: Stores) -> None:
        place, config = self._place, self._config
        leadership = Leadership(cluster, self._clock, config.leader, place.namespace, place.identity)
        self._leadership = leadership
        async with leadership.lead():
            cluster.may_write = leadership.check
            await self._serve(cluster, stores)

    async def _serve(self, cluster: Cluster, stores: Stores) -> None:
        """Read everything once, then keep it so, until cancelled."""
        sync, reconciler = self._made(cluster, stores)
        await self._read_all(sync)
        await sync.inform()
        config = self._config
        async with watching(self._access, config, sync.intake) as watches_ended, asyncio.TaskGroup() as group:
            for job in (
                work(self._work, reconciler.reconcile, self._metrics, config.workers),
                work(sync.intake.urgent, sync.publish, None, config.workers),
                sync.watch_platform(),
                sync.every(config.control_renew_seconds, sync.renew, "control"),
                sync.every(
                    min(config.status_seconds, config.control_renew_seconds * 3),
                    sync.read_statuses,
                    "statuses",
                ),
                sync.every(config.code_poll_seconds, sync.read_code, "code"),
                sync.every(config.resync_seconds, sync.read_children, "children"),
                _fail_with(watches_ended),
            ):
                group.create_task(job)

    async def _read_all(self, sync: Sync) -> None:
        """Know the cluster before acting on it; where the CRDs are not there yet, wait for them."""
        while True:
            try:
                await sync.read_resources()
                await sync.read_code()
                await sync.read_children()
            except (TransientError, AlphaPandaError) as error:
                if not isinstance(error, TransientError) and getattr(error, "status", 0) not in (403, 404):
                    raise
                log.warning("the cluster can't be read yet", error=str(error))
                await self._clock.sleep(2)
            else:
                log.info(
                    "cluster read", resources=len(self._cache.resources), children=len(self._cache.children)
                )
                return

    def _made(self, cluster: Cluster, stores: Stores) -> tuple[Sync, Reconciler]:
        """Return the parts, wired."""
        config, clock, cache = self._config, self._clock, self._cache
        events = Events(cluster, clock, self._metrics, self._place.identity)
        ownership = Ownership(stores.of, config.installation)

        def in_use(view: ResourceView) -> bool:
            return view.key.kind == BROKER_ACCOUNT and bool(
                cache.strategies_on(view.key.namespace, view.key.name)
            )

        desk = ControlDesk(
            store=lambda namespace: stores.of(namespace).control,
            clock=clock,
            metrics=self._metrics,
            ttl=config.control_ttl_seconds,
            in_use=in_use,
            forbidden=ownership.foreign,
            latest=lambda view: cache.resources.get(view.key),
            may_write=cluster.may_write,
        )
        self._desk = desk
        board = StatusBoard(lambda namespace: stores.of(namespace).statuses, desk, self._warn_ns())
        children = Children(cluster, cache, events)
        reconciler = Reconciler(
            Parts(
                config=config,
                cluster=cluster,
                cache=cache,
                children=children,
                statuses=StatusWriter(cluster, cache, events, clock, config.status_seconds),
                board=board,
                desk=desk,
                clock=clock,
                events=events,
                ownership=ownership,
                types=strategy_types(),
                send_within=self._send_within(),
            )
        )
        intake = Intake(config, cache, clock, self._work, KeyedQueue(clock), self._lag)
        sync = Sync(
            config=config,
            cluster=cluster,
            cache=cache,
            intake=intake,
            desk=desk,
            board=board,
            ownership=ownership,
            clock=clock,
            home=self._place.namespace,
            tell=reconciler.tell,
        )
        return sync, reconciler

    def _warn_ns(self) -> int:
        """Return how long before its end a session is warned of: as the services are told, or their default."""
        field = "zerodha_token_warning_hours"
        told = self._config.env.get(env_name(field), self._settings.zerodha_token_warning_hours)
        return nanoseconds(float(told) * HOUR_SECONDS)

    def _send_within(self) -> float:
        """Return S of the pods: how long a permission to send an order lasts."""
        return float(
            self._config.env.get(env_name("send_within_seconds"), self._settings.send_within_seconds)
        )

    # ---------------------------------------------------------------------------------------------- health

    def _not_alive(self) -> list[str]:
        behind = self._lag.seconds
        if behind > self._config.watch_stale_seconds:
            return [f"watch: for {behind:.0f} s it has not shown what a listing has"]
        return []

    def _not_ready(self) -> list[str]:
        leadership = self._leadership
        if leadership is None:
            return ["starting"]
        limit = self._config.leader.lease_seconds
        return (
            [f"the API has not answered for {leadership.silence:.0f} s"] if leadership.silence > limit else []
        )

    def _refresh_gauges(self) -> None:
        metrics, now = self._metrics, self._clock.monotonic()
        metrics.depth.set(self._work.depth)
        metrics.age.set(self._work.age)
        metrics.watch_lag.set(self._lag.seconds)
        metrics.watch_age.set(now - self._lag.last_event if self._lag.last_event is not None else 0)
        metrics.leader.set(self._leadership is not None and self._leadership.leads)
        if self._desk is not None:
            metrics.control_age.set(now - self._desk.renewed_at)
        failing = self._work.failing(LOUD_AFTER)
        for kind in RESOURCES:
            metrics.resources.labels(kind).set(sum(1 for key in self._cache.resources if key.kind == kind))
            metrics.failing.labels(kind).set(sum(1 for key in failing if key.kind == kind))


def strategy_types() -> frozenset[str]:
    """Return the names that `spec.type` may have with the platform's image."""
    return frozenset(item.name for item in importlib.metadata.entry_points(group=STRATEGY_TYPES))


async def _fail_with(ended: "asyncio.Future[None]") -> None:
    await asyncio.shield(ended)
    raise DependencyUnavailableError("kubernetes", "the watches have ended")


@asynccontextmanager
async def _until_signalled() -> AsyncIterator["asyncio.Task[bool]"]:
    """Give a task that ends at the first SIGTERM or SIGINT."""
    received, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.set)
    waiting = asyncio.create_task(received.wait())
    try:
        yield waiting
    finally:
        waiting.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
