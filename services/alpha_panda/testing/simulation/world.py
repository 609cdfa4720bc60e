"""The simulated installation: manifests, servers, and a pod for each service."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any, Final, cast

import msgspec

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.checkpoints import MemoryCheckpointStore
from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.adapters.memory.database import Image, MemoryDatabase
from alpha_panda.adapters.memory.decisions import DecisionsState, MemoryDecisionStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.cli.loading import parameters_model
from alpha_panda.compose.embedded import Member, members
from alpha_panda.compose.traders import ManifestTraders
from alpha_panda.contracts.enums import FeedMode, TradingState
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import RiskSnapshot
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.domain.book import Book
from alpha_panda.domain.ledger_state import LedgerState
from alpha_panda.errors import ProcessMustExitError, TransientError
from alpha_panda.ports import ControlStore, MarketSource, Record, SourceBatch, Trader
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.control_writer import ControlWriter
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.testing.broker.core import BrokerCore
from alpha_panda.testing.simulation.broker import BrokerCall, LiveTrader, PaperSpy
from alpha_panda.testing.simulation.clock import SkewedClock
from alpha_panda.testing.simulation.loop import Process, SimulatedLoop
from alpha_panda.testing.simulation.network import Network, Server
from alpha_panda.testing.simulation.plan import BASE, TOKENS, Scenario
from alpha_panda.testing.simulation.ports import Remote, RemoteBus, SharedBus
from alpha_panda.testing.virtual_time import START

API: Final = "alphapanda.io/v1alpha1"
FEED: Final = "demo"
LIVE: Final = "live"
PAPER: Final = "paper"
CASH: Final = Decimal(10_000_000)
EXPECTED_ENDS: Final = (TransientError, ProcessMustExitError)
"""What a process may end with: it starts anew and claims anew."""

SETTINGS: Final[dict[str, object]] = {
    "order_partitions": 2,
    "send_within_seconds": 1.0,
    "lost_after_seconds": 1.5,
    "book_reads_for_lost": 3,
    "lease_ttl_seconds": 1.5,
    "lease_renew_seconds": 0.5,
    "tracker_interval_seconds": 0.5,
    "signal_ttl_seconds": 3.0,
    "tick_max_age_seconds": 3.0,
    "checkpoint_interval_seconds": 1.0,
    "portfolio_interval_seconds": 1.5,
    "heartbeat_seconds": 0.5,
    "control_renew_seconds": 1.0,
    "control_ttl_seconds": 4.0,
    "status_interval_seconds": 300.0,
    "status_ttl_seconds": 900.0,
    "retry_transient_attempts": 3,
    "retry_transient_initial_seconds": 0.1,
    "retry_max_seconds": 0.5,
    "breaker_failure_threshold": 3,
    "breaker_reset_seconds": 1.0,
    "poll_seconds": 5.0,
    "stall_seconds": 60.0,
    "probe_seconds": 300.0,
}


def _document(kind: str, name: str, **spec: object) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "uid": name}, "spec": spec}


def _manifests() -> list[dict[str, Any]]:
    instruments = [
        {"symbol": symbol, "token": token, "tickSize": "0.05", "referencePrice": str(BASE[symbol])}
        for symbol, token in TOKENS.items()
    ]
    risk = {"maxOrderQuantity": "50", "maxOrdersPerSecond": 4}
    paper = {"cash": str(CASH), "slippageBps": "5", "commissionBps": "3", "partialFillRatio": "0.3"}
    both, one = list(TOKENS), [next(iter(TOKENS))]

    def strategy(name: str, instruments: list[str], accounts: list[str]) -> dict[str, Any]:
        return _document(
            "Strategy",
            name,
            **{"class": "alpha_panda.testing.simulation.strategy:Scripted"},
            parameters={"label": name},
            marketFeed=FEED,
            instruments=instruments,
            accounts=accounts,
        )

    source = {"simulated": {"seed": 1, "ticksPerSecond": 1, "speed": 1}}
    return [
        _document(
            "MarketFeed", FEED, source=source, instruments=instruments, staleAfterSeconds=2, partitions=1
        ),
        _document("BrokerAccount", PAPER, marketFeed=FEED, paper=paper, risk=risk),
        _document("BrokerAccount", LIVE, marketFeed=FEED, paper=paper, risk=risk),
        strategy("alpha", both, [LIVE, PAPER]),
        strategy("beta", one, [LIVE]),
    ]


@cache
def resources() -> ResourceSet:
    """Return the manifests, parsed once a process. No release has a live broker yet: it is the paper one taken away."""
    made = ResourceSet.from_documents(_manifests(), parameters_model=parameters_model)
    live = made.accounts[LIVE]
    spec = live.spec.model_copy(update={"paper": None})
    made.accounts[LIVE] = live.model_copy(update={"spec": spec})
    return made


@cache
def settings() -> Settings:
    """Return the settings: all times short, in the usual proportions."""
    return load_settings(**SETTINGS)


@cache
def pods_of() -> tuple[Member, ...]:
    """Return the services as a cluster has them: a strategy a pod."""
    found: list[Member] = []
    for member in members(resources()):
        names = member.resource.split(",")
        found += [replace(member, resource=name) for name in names]
    return tuple(found)


class Source:
    """The feed's wire: a row is there from its time on, and lost if nobody listens for too long."""

    mode = FeedMode.LIVE
    exhausted = False
    OLDEST: Final = 4 * SECOND_NS

    def __init__(self, loop: SimulatedLoop, rows: Sequence[tuple[int, str, float]]) -> None:
        self._loop = loop
        self._rows = rows

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:  # noqa: ARG002 - the port's
        """Yield each row when it is due; late ones, of a process that was stopped, with the time they had."""
        loop, began = self._loop, self._loop.now_ns
        for at, symbol, price in self._rows:
            if at < began or at < loop.now_ns - self.OLDEST:
                continue
            if at > loop.now_ns:
                await asyncio.sleep((at - loop.now_ns) / SECOND_NS)
            yield SourceBatch([TOKENS[symbol]], [price], [START + at])
        while True:  # the connection lives on
            await asyncio.sleep(0.5)
            yield SourceBatch([], [], [])


def seconds(ns: int) -> str:
    """Return a time since the start as people read it."""
    return f"{ns / SECOND_NS:.3f} s"


class Pod:
    """One member: its present process, and what keeps it running."""

    def __init__(self, world: "World", member: Member) -> None:
        self.name = member.name
        self.member = member
        self.kind = member.definition.name
        self.incarnation = 0
        self.failures = 0
        self.process = Process(self.name)
        self.bus: RemoteBus | None = None
        self.service: Any = None
        self.starts = 0
        self._world = world
        self._clock: SkewedClock | None = None

    @property
    def ready(self) -> bool:
        """Whether the present process runs and reads."""
        return self.service is not None and self.service.ready.is_set() and not self.process.dead

    def start(self, *, fresh: bool) -> None:
        """Start a process; `fresh`: as another pod, under another name."""
        world = self._world
        self.incarnation += fresh
        self.starts += 1
        process = self.process = Process(self.name)
        clock = self._clock = SkewedClock(
            world.loop, world.scenario.skews.get(self.name, 0), (self.starts + len(self.name)) * SECOND_NS
        )
        self.bus = RemoteBus(world.network, process, world.bus)
        ports = world.ports_of(self, process, clock, self.bus)
        instance = f"{self.name.replace('/', '-')}-{self.incarnation}"
        context = ServiceContext(
            settings(), ports, resources(), self.member.resource, instance, world.strategy_stopped
        )
        self.service = service = self.member.definition.build(context)
        task = world.loop.create_task(service.run(), name=self.name, context=world.loop.context_of(process))
        task.add_done_callback(lambda done: self._ended(process, done), context=world.root)

    def _ended(self, process: Process, task: "asyncio.Task[None]") -> None:
        """Start anew what has ended, as Kubernetes does: after a wait that grows."""
        error = None if task.cancelled() else task.exception()
        self._world.note_end(self.name, error)
        if process is not self.process or self._world.over or self.name not in self._world.pods:
            return
        self.failures += 1
        wait = min(2.0, 0.1 * 2 ** min(self.failures, 5))
        self._world.loop.after(round(wait * SECOND_NS), self._again, process)

    def _again(self, process: Process) -> None:
        if process is self.process and not self._world.over and self.name in self._world.pods:
            self.start(fresh=False)


class ManifestStates:
    """The control store as the writer of the manifests' states sees it: the scenario changes what they say."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control
        self.states: dict[str, TradingState] = {}

    async def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        """See the port."""
        await self._control.put_spec(scope, self.states.get(scope, state), ttl)


class World:
    """Everything of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        random = Random(f"run/{scenario.seed}")  # noqa: S311 - reproducible on purpose
        self.random = random
        self.loop = SimulatedLoop(random)
        self.network = Network(self.loop, random)
        self.root = self.loop.context_of(self.loop.root)
        self.over = False
        self.records: list[Record] = []
        self.calls: list[BrokerCall] = []
        self.ends: list[tuple[int, str, BaseException | None]] = []
        self.counts = self.network.counts
        self.images: list[Image] = []
        self.returned_at = 0  # when (ns) the store last came back as another run
        self.deleted: set[str] = set()  # strategies
        self.tampered: set[bytes] = set()  # records of signals that no strategy has sent
        self._build_servers()
        self.pods = {member.name: Pod(self, member) for member in pods_of()}
        self.operator = Process("operator")
        self.person = Process("person")
        self.manifest = ManifestStates(self.remote("control", Server.STORE, self.control, self.operator))

    def _build_servers(self) -> None:
        server_clock = SkewedClock(self.loop)
        ids = SeededIds(self.scenario.seed)
        self.database = MemoryDatabase(server_clock, ids.child("store"), KeyMap())
        self.cache_database = MemoryDatabase(server_clock, ids.child("cache"), KeyMap())
        self.bus = SharedBus(server_clock, ids=ids.child("bus"), retain_records=None, max_backlog=None)
        self.bus.observe(self.records.append)
        self.ids = ids
        self.journals = {name: MemoryOrderJournal(self.database, name) for name in (LIVE, PAPER)}
        self.decisions = {name: MemoryDecisionStore(self.database, name) for name in (LIVE, PAPER)}
        self.checkpoints = MemoryCheckpointStore(self.database)
        self.control = MemoryControlStore(self.database)
        self.lease = MemoryLease(self.database)
        self.prices = MemoryPriceCache(self.cache_database)
        self.statuses = MemoryStatusStore(self.cache_database)
        self.core = BrokerCore(trading_day="2026-01-02")
        self._open_books()
        self.first_image = self.database.checkpoint_image()

    def _open_books(self) -> None:
        """Give the live account its cash: no release learns it from a broker yet."""
        state = self.database.section(self.database.keys.decisions(LIVE), DecisionsState)
        book = msgspec.msgpack.encode(LedgerState(Book.opened(CASH), {}, {}))
        state.snapshot = RiskSnapshot(offsets={}, state=book)

    # --------------------------------------------------------------------------------------------- ports

    def remote(self, label: str, server: Server, target: object, process: Process) -> Any:  # noqa: ANN401 - any port
        """Return a store as a process sees it."""
        return Remote(self.network, process, server, label, target)

    def ports_of(self, pod: Pod, process: Process, clock: SkewedClock, bus: RemoteBus) -> Ports:
        """Return the ports of a process."""

        def remote(label: str, target: object, server: Server = Server.STORE) -> Any:  # noqa: ANN401 - any port
            return Remote(self.network, process, server, label, target)

        journals = {name: remote("journal", journal) for name, journal in self.journals.items()}
        decisions = {name: remote("decisions", store) for name, store in self.decisions.items()}
        return Ports(
            clock=clock,
            ids=self.ids.child(f"{pod.name}#{pod.starts}#{pod.incarnation}"),
            bus=bus,
            prices=remote("prices", self.prices, Server.CACHE),
            journal=journals.__getitem__,
            decisions=decisions.__getitem__,
            checkpoints=remote("checkpoints", self.checkpoints),
            control=remote("control", self.control),
            lease=remote("lease", self.lease),
            statuses=remote("statuses", self.statuses, Server.CACHE),
            traders=_Traders(self, process, clock),
            source=lambda _: cast("MarketSource", Source(self.loop, self.scenario.ticks)),
        )

    def note_call(self, call: BrokerCall) -> None:
        """Add to what left us."""
        self.calls.append(call)
        self.network.note(call.process, "sent", call.entry.tag)

    def note_end(self, name: str, error: BaseException | None) -> None:
        """Add to the processes that ended by themselves."""
        self.ends.append((self.loop.now_ns, name, error))
        self.network.note(name, "ended", type(error).__name__)
        self.counts["processes ended by themselves"] += 1

    def strategy_stopped(self, error: Exception) -> None:
        """Note a strategy that raised: ours never does."""
        self.ends.append((self.loop.now_ns, "strategy", error))

    # ---------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Start everything."""
        for index, pod in enumerate(self.pods.values()):
            self.loop.after(index * MS_NS, lambda pod=pod: pod.start(fresh=False))
        writer = ControlWriter(
            cast("ControlStore", self.manifest),
            SkewedClock(self.loop),
            resources(),
            settings().control_ttl_seconds,
            settings().control_renew_seconds,
        )

        async def operate() -> None:
            await writer.write()
            await writer.run()

        self._spawn(operate, self.operator)
        for at, symbol, price in self.scenario.ticks:
            self.loop.after(at, self._move, symbol, price)

    def _spawn(self, work: Callable[[], Any], process: Process) -> "asyncio.Task[Any]":
        return self.loop.create_task(work(), name=process.name, context=self.loop.context_of(process))

    def do(self, work: Callable[[], Any]) -> None:
        """Let a person do something."""
        self._spawn(work, self.person)

    def _move(self, symbol: str, price: float) -> None:
        self.core.set_price(TOKENS[symbol], Decimal(str(price)), START + self.loop.now_ns)

    def topics(self, account: str) -> TopicMap:
        """Return the account's topics."""
        return TopicMap(account, settings().topic_prefix)


class _Traders:
    def __init__(self, world: World, process: Process, clock: SkewedClock) -> None:
        self._world = world
        self._process = process
        self._clock = clock

    def trader(self, account: str) -> Trader:
        world, process = self._world, self._process
        if account == LIVE:
            return LiveTrader(world.network, process, self._clock, account, world.core, world.note_call)
        paper = ManifestTraders(resources(), self._clock).trader(account)
        return PaperSpy(world.network, process, account, paper, world.note_call)
