"""A whole platform of processes for one test or many: starts them, harms them, and judges what is left.

async with Platform(folder, kafka.bootstrap_servers, redis.url) as platform:
    await platform.start_all()
    signal_id = await platform.signal()
    await platform.harm("engine", "journal.begin:after", send=1)      # kill -9 there, start again
    await platform.comes_to_rest()                                     # or AssertionError, with the logs

By default the account is live: orders go to a broker that misbehaves on command (`platform.broker.core`).
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import aiohttp
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli.loading import load
from alpha_panda.compose.transports import connected
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import CancelRequest, Signal
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import TopicMap, TopicSpec, market_ticks
from alpha_panda.errors import MisuseError
from alpha_panda.ports import EventBus, OrderJournal, Outgoing, Producer
from alpha_panda.runtime.context import Ports  # noqa: TC001 - one style of imports
from alpha_panda.runtime.dead_letter import dead_letter_topics
from alpha_panda.runtime.registry import find_services
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.runtime.venues import rules_of
from alpha_panda.testing.broker.core import BrokerCore
from alpha_panda.testing.broker.live import fund
from alpha_panda.testing.broker.server import BrokerServer
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports

from . import manifests, verdict
from .children import Child, Nursery, child_environment
from .points import Harm, Moment, PlanFile, Point
from .quick import QUICK, as_environment
from .recorder import Recorder, Story
from .service import ACCESS_TOKEN, CONTROL
from .signals import make_cancel, make_signal, raw_event

PATIENCE: Final = 30.0
"""Seconds that any one state may take to come; on two busy cores most take one or two."""

POLL: Final = 0.05
LOG_LINES: Final = 25
LOGS: Final = "---- "
"""Begins each part of what `explain` returns."""

ALL: Final = ("market-feed", "feed-cacher", "order-tracker", "risk", "engine", "strategy")


class Platform:
    """All services of one account as processes. Use as an async context manager, once.

    Args:
        folder: for manifests, plans and logs.
        kafka: bootstrap servers.
        redis: URL.
        live: orders go to `broker`; else the account is on paper.
        settings: fields of `Settings` to change, see `QUICK`.
        parts: see `manifests.documents`.
        access_token: what the broker asks of whoever calls it.
        record: keep a story of each signal, which the checks need; a test of a hundred thousand counts by itself.

    """

    def __init__(  # noqa: PLR0913 - all but three by keyword, with defaults
        self,
        folder: Path,
        kafka: str,
        redis: str,
        *,
        live: bool = True,
        settings: Mapping[str, Any] | None = None,
        parts: Mapping[str, dict[str, Any]] | None = None,
        record: bool = True,
        access_token: str | None = None,
    ) -> None:
        self.folder = folder
        self._record = record
        self._access_token = access_token
        self.live = live
        self.path = manifests.write(folder, **(parts or {}))
        self.resources = load([self.path])
        prefix = f"t{uuid4().hex[:8]}."
        addresses = {"kafka_bootstrap_servers": kafka, "redis_url": redis, "topic_prefix": prefix}
        fields = {**QUICK, **addresses, **(settings or {})}
        self.settings: Settings = load_settings(**fields)
        self.children: dict[str, Child] = {}
        self.sent: dict[str, Signal] = {}
        self.topics = TopicMap(manifests.ACCOUNT, prefix)
        self.nursery = Nursery()
        self.broker: BrokerServer
        self.recorder: Recorder
        self.ports: Ports
        self._fields = as_environment(fields)
        self._health: dict[str, int] = {}
        self._stack = AsyncExitStack()
        self._producer: Producer
        self._http: aiohttp.ClientSession
        self._recording: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------- life

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and LOGS not in str(error):
            error.add_note(self.explain())
        await self._close()

    async def _open(self) -> None:
        enter = self._stack.enter_async_context
        day = rules_of(self.resources.feeds[manifests.FEED]).trading_day(time.time_ns())
        self.broker = await enter(BrokerServer(BrokerCore(trading_day=day), access_token=self._access_token))
        self._http = await enter(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)))
        self.ports = await enter(connected(self.settings, RealClock()))
        ticks = TopicSpec(market_ticks(manifests.FEED, self.topics.prefix), self._feed.spec.partitions)
        specs = [*self.topics.specs(self.settings.order_partitions), ticks]
        letters = dead_letter_topics([spec.name for spec in specs])
        await self.ports.bus.ensure_topics([*specs, *letters])
        self._producer = await enter(self.ports.bus.producer("test"))
        self.recorder = Recorder(self.ports.bus, self.topics, [spec.name for spec in letters])
        if self._record:
            self._recording = asyncio.create_task(self.recorder.run(), name="recorder")
        if self.live:
            await fund(self.ports.decisions(manifests.ACCOUNT), Decimal(manifests.CASH))
        await enter(self.nursery)

    async def _close(self) -> None:
        await asyncio.gather(*(child.close() for child in self.children.values()))
        if self._recording is not None:
            self._recording.cancel()
            await asyncio.gather(self._recording, return_exceptions=True)
        await self._stack.aclose()

    @property
    def _feed(self) -> Any:  # noqa: ANN401 - the resource with its instruments
        return self.resources.feeds[manifests.FEED]

    @property
    def journal(self) -> OrderJournal:
        """The account's journal."""
        return self.ports.journal(manifests.ACCOUNT)

    # -------------------------------------------------------------------------------------- processes

    async def start_all(self) -> None:
        """Start one of each service and the writer of control keys; wait until all are ready."""
        await self.start(CONTROL, *ALL)
        await self.priced()

    async def priced(self, seconds: float = PATIENCE) -> None:
        """Wait until every instrument has a price that was made after this call."""
        tokens = (*manifests.SCRIPTED_TOKENS, *manifests.HAND_TOKENS)
        since = self.ports.clock.now()

        async def all_priced() -> bool:
            quotes = await self.ports.prices.read_many(manifests.FEED, tokens)
            return len(quotes) == len(tokens) and all(quote.ts >= since for quote in quotes.values())

        await self.until(all_priced, "every instrument has a new price", seconds)

    async def start(self, *names: str, wait: bool = True, **env: str) -> None:
        """Start services by name; `engine-2` is one more engine. Ready when this returns, unless `wait` is False."""
        for name in names:
            await self._child(name, env).start()
        if wait:
            for name in names:
                if name != CONTROL:
                    await self.ready(name)

    def _child(self, name: str, env: Mapping[str, str]) -> Child:
        if name in self.children and self.children[name].running:
            raise MisuseError(f"{name} runs already")
        service = _service_of(name)
        arguments = [service, "--manifests", str(self.path), "--plan", str(self._plan_path(service))]
        if service != CONTROL:
            arguments += ["--resource", self._resource_of(service)]
        if self.live:
            arguments += ["--broker", f"{manifests.ACCOUNT}={self.broker.url}"]
        self._health.setdefault(name, free_ports(1)[0])
        fields = {**self._fields, "ALPHAPANDA_HEALTH_PORT": str(self._health[name]), **env}
        if self._access_token is not None:
            fields[ACCESS_TOKEN] = self._access_token
        log = self.folder / f"{name}.log"
        child = Child(self.nursery, name, arguments, child_environment(**fields), log)
        if name in self.children:
            child.exits = self.children[name].exits
        self.children[name] = child
        return child

    def _resource_of(self, service: str) -> str:
        kind = find_services()[service].kind
        names = {
            "MarketFeed": manifests.FEED,
            "BrokerAccount": manifests.ACCOUNT,
            "Strategy": manifests.SCRIPTED,
        }
        return f"{kind}/{names[kind]}"

    def _plan_path(self, service: str) -> Path:
        return self.folder / f"{service}.plan"

    async def kill(self, name: str) -> None:
        """Kill a service (SIGKILL); a new process is started at once."""
        child = self.children[name]
        seen = len(child.exits)
        child.send_signal(SIGKILL)
        await child.wait_exit(seen)

    async def end(self, name: str, number: Signals = SIGTERM) -> int:
        """End a service for good; return its exit code."""
        return await self.children[name].end(number, PATIENCE)

    # ------------------------------------------------------------------------------------------ probes

    async def probe(self, name: str, path: str = "/readyz") -> tuple[int, str]:
        """Ask a probe; (0, "") where nobody answers."""
        try:
            async with self._http.get(f"http://{LOOPBACK}:{self._health[name]}{path}") as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, ""

    async def ready(self, name: str, seconds: float = PATIENCE) -> None:
        """Wait until a service is ready; one that waits for its lease never is."""
        await self.until(lambda: self._is(name, "/readyz", 200), f"{name} is ready", seconds)

    async def unready(self, name: str, because: str = "", seconds: float = PATIENCE) -> None:
        """Wait until a service says that it is not ready, for that reason."""
        await self.until(
            lambda: self._is(name, "/readyz", 503, because), f"{name} is not ready {because}", seconds
        )

    async def dead(self, name: str, because: str = "", seconds: float = PATIENCE) -> None:
        """Wait until a service fails its liveness, for that reason."""
        await self.until(
            lambda: self._is(name, "/livez", 503, because), f"{name} fails /livez {because}", seconds
        )

    async def _is(self, name: str, path: str, status: int, because: str = "") -> bool:
        answer, text = await self.probe(name, path)
        return answer == status and because in text

    async def until(self, holds: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
        """Wait until `holds` (a function, perhaps a coroutine's) is true; AssertionError with the logs if not."""
        deadline = time.monotonic() + seconds
        while True:
            answer = holds()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            hopeless = any(child.refused for child in self.children.values())
            if hopeless or time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.explain()}")
            await asyncio.sleep(POLL)

    # ------------------------------------------------------------------------------------------- harm

    def arm(self, service: str, point: str | Point) -> PlanFile:
        """Let a service come to harm; `journal.begin:after` alone is its next call, and SIGKILL."""
        made = point if isinstance(point, Point) else _point(point)
        plan = PlanFile(self._plan_path(service))
        plan.write(made)
        return plan

    async def engine_idle(self, seconds: float = PATIENCE) -> None:
        """Wait until the engines have committed all that they were sent.

        They handle records beside one another: a commit that is still due would strike in the midst of the next one.
        """
        topic, group = self.topics.signals_validated, f"{self.topics.prefix}{manifests.ACCOUNT}.engine"
        servers = self.settings.kafka_bootstrap_servers
        reader = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
        await reader.start()
        try:
            await self.until(
                partial(_all_committed, reader, self.ports.bus, topic), "the engine is idle", seconds
            )
        finally:
            await reader.stop()

    async def struck(self, plan: PlanFile, what: str, seconds: float = PATIENCE) -> None:
        """Wait until an armed point has struck."""
        await self.until(lambda: not plan.armed, f"{what} has struck", seconds)

    async def harm(self, service: str, point: str, *, send: int = 0) -> list[str]:
        """Kill a service at a point, with `send` signals to get it there, and wait until it is back and ready.

        Returns the signals' ids.
        """
        child = self.children[service]
        seen = len(child.exits)
        plan = self.arm(service, point)
        sent = [await self.signal() for _ in range(send)]
        await self.struck(plan, f"{service} {point}")
        await child.wait_exit(seen)
        assert child.exits[seen] == -SIGKILL, child.exits  # noqa: S101 - for tests
        await self.ready(service)
        return sent

    async def freeze(self, service: str, point: str, *, send: int = 0) -> tuple[Child, list[str]]:
        """Let the first of a service's processes that comes to a point stop there; continue it by SIGCONT."""
        plan = self.arm(service, Point(_point(point).operation, _point(point).moment, Harm.STOP))
        sent = [await self.signal() for _ in range(send)]
        await self.struck(plan, f"{service} {point}")
        replicas = [child for name, child in self.children.items() if _service_of(name) == service]
        await self.until(lambda: any(child.frozen for child in replicas), f"{service} is frozen at {point}")
        return next(child for child in replicas if child.frozen), sent

    async def latches(self) -> list[Latch]:
        """Return the latches of the account."""
        (reading,) = await self.ports.control.read([account_scope(manifests.ACCOUNT)])
        return list(reading.latches)

    async def clear_latches(self) -> None:
        """Clear the account's latches, as a person would who has looked."""
        for latch in await self.latches():
            await self.ports.control.clear_latch(latch.scope, latch.latch_id)

    # ----------------------------------------------------------------------------------------- signals

    async def signal(
        self,
        side: Side = Side.BUY,
        quantity: str = "1",
        *,
        token: int | None = None,
        ttl: float = 20.0,
        limit: str | None = None,
    ) -> str:
        """Produce a TRADING_SIGNAL in the name of the strategy that has no process; return its id.

        By default each is of another instrument, so that none waits for the doubt about another.
        """
        made = make_signal(side, quantity, token=token, ttl=ttl, limit=limit)
        await self.produce(made)
        return made.signal_id

    async def cancel(self, signal_id: str) -> None:
        """Produce a CANCEL_REQUEST for the order of a signal sent here."""
        await self.produce(make_cancel(self.sent[signal_id]))

    async def produce(self, *made: Signal | CancelRequest) -> None:
        """Produce signals or cancel requests on the account's `signals.raw`, as their strategy would."""
        self.sent.update({one.signal_id: one for one in made if isinstance(one, Signal)})
        events = [raw_event(one) for one in made]
        topic = self.topics.signals_raw
        await self._producer.send([Outgoing(topic, encode_event(event), key=event.key) for event in events])

    async def send(self, *records: Outgoing) -> None:
        """Produce any records, poison among them."""
        await self._producer.send(records)

    # ----------------------------------------------------------------------------------------- verdict

    async def outcomes(self, signals: Collection[str], seconds: float = PATIENCE) -> None:
        """Wait until each of the signals has its one outcome, and nothing was called twice."""
        await self._holds(lambda: verdict.end_faults(self.recorder.stories, signals), seconds)
        self.check_calls()

    def told(self, signal_id: str) -> str:
        """Return a signal's outcome in words: `FILLED`, `FAILED SIGNAL_EXPIRED`, `` where there is none yet."""
        story = self.recorder.stories.get(signal_id, Story())
        return " ".join([*sorted(story.ends), *sorted(story.codes)])

    def check_calls(self) -> None:
        """No signal has reached the broker twice; AssertionError otherwise."""
        found = verdict.call_faults(self.recorder, self.broker.core, self.sent)
        found += self.recorder.contradictions
        if found:
            raise AssertionError("\n".join(found) + "\n" + self.explain())

    async def comes_to_rest(self, seconds: float = PATIENCE, *, letters: int | None = 0) -> None:
        """Wait until every promise holds of all signals; AssertionError with what does not, and the logs.

        No more signals may be on their way: end the strategy first. `letters`: how many dead letters there are;
        None: any number. Each must be fit to be replayed.
        """
        core = self.broker.core if self.live else None
        await self._holds(
            lambda: verdict.faults(self.recorder, self.journal, core, self.sent, letters), seconds
        )
        self.check_calls()

    async def _holds(self, faults: Callable[[], Any], seconds: float) -> None:
        found: list[str] = []

        async def none() -> bool:
            nonlocal found
            answer = faults()
            found = await answer if asyncio.iscoroutine(answer) else answer
            return not found

        try:
            await self.until(none, "no faults", seconds)
        except AssertionError as error:
            raise AssertionError("\n".join(found[:20]) + f"\n{error}") from None

    def explain(self) -> str:
        """Return exit codes and the ends of all logs."""
        parts = []
        for name, child in self.children.items():
            lines = self.log(name)[-LOG_LINES:]
            parts.append(f"{LOGS}{name}: pid {child.pid}, exits {child.exits}\n" + "\n".join(lines))
        return "\n".join(parts)

    def log(self, name: str) -> list[str]:
        """Return the lines that a service has logged, over all its processes."""
        path = self.children[name].log
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []

    def memory(self, name: str) -> int:
        """Return the resident memory of a service in bytes (Linux)."""
        pages = int(Path(f"/proc/{self.children[name].pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


async def _all_committed(reader: AIOKafkaConsumer, bus: EventBus, topic: str) -> bool:
    for partition, (_, end) in (await bus.offsets(topic)).items():
        if end and await reader.committed(KafkaPartition(partition.topic, partition.partition)) != end:
            return False
    return True


def _point(text: str) -> Point:
    operation, moment = text.rsplit(":", 1) if text.count(":") == 1 else (text, "")
    return Point(operation, Moment(moment)) if moment else Point.parse(text)


def _service_of(name: str) -> str:
    """Return `engine` for `engine-2`."""
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else name
