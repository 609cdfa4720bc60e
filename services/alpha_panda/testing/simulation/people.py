"""What people do in a run: halt, look at latches and clear them, apply manifests, send what should not be sent."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from alpha_panda.adapters.memory.control import read_scope
from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import Envelope, Signal, ValidatedSignal
from alpha_panda.contracts.resources.strategy import DeletionPolicy
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import ControlReading, Latch, TeardownRequest
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.control_events import cleared_event, latch_event, latch_key
from alpha_panda.errors import DependencyUnavailableError, RecordError, UnknownOutcomeError
from alpha_panda.ports import Outgoing, Record
from alpha_panda.testing.simulation.network import Server
from alpha_panda.testing.simulation.world import LIVE, PAPER, World
from alpha_panda.testing.virtual_time import START

T = TypeVar("T")

SCOPES: Final = (
    PLATFORM,
    account_scope(LIVE),
    account_scope(PAPER),
    strategy_scope("alpha"),
    strategy_scope("beta"),
)
MOSTLY_LIVE: Final = 0.7
AGAIN_NS: Final = SECOND_NS // 10
LEVELS: Final = (TradingState.REDUCING, TradingState.HALTED)


class States:
    """Since when each scope has been how strict: what calls are judged by."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since: dict[tuple[str, TradingState], int] = {}
        self._acknowledged: dict[
            tuple[str, str], int
        ] = {}  # (scope, latch id) → when both store and topic had it

    def look(self) -> None:
        """Note what the store says now; after everything that may have changed it."""
        now = self._world.loop.now_ns
        for scope in SCOPES:
            state = read_scope(self._world.database, scope, START + now).state
            for level in LEVELS:
                if state.strictness >= level.strictness:
                    self._since.setdefault((scope, level), now)
                else:
                    self._since.pop((scope, level), None)

    def acknowledged(self, latch: Latch) -> None:
        """Note that whoever set a halt was told that it is set: no loss of the store may end it."""
        self._acknowledged[latch.scope, latch.latch_id] = self._world.loop.now_ns

    def cleared(self, latch: Latch) -> None:
        """Note that a person has begun to clear a latch."""
        self._acknowledged.pop((latch.scope, latch.latch_id), None)

    def strict_since(self, scope: str, level: TradingState) -> int | None:
        """Return since when (ns) the scope has been at least so strict, by its store or by what was acknowledged."""
        found = [at for (held, _), at in self._acknowledged.items() if held == scope]
        if (scope, level) in self._since:
            found.append(self._since[scope, level])
        return min(found, default=None)


class People:
    """One person, over a network as bad as everybody's, who insists."""

    def __init__(self, world: World) -> None:
        self.states = States(world)
        self._world = world
        self._control = world.remote("control", Server.STORE, world.control, world.person)

    # -------------------------------------------------------------------------------------- trading states

    def halt(self, scope: str) -> None:
        """Halt a scope."""
        self._world.do(lambda: self._halt(scope))

    def look_at_latches(self) -> None:
        """Look at all latches and clear them by their ids."""
        self._world.do(self._clear)

    def apply(self, scope: str, state: TradingState) -> None:
        """Apply a changed manifest; the operator renews it from now on."""
        self._world.manifest.states[scope] = state

    def delete(self, strategy: str) -> None:
        """Delete a strategy whose positions are to be closed; its pod goes away, and its name is not given again."""
        self._world.deleted.add(strategy)
        self._world.manifest.states[strategy_scope(strategy)] = TradingState.REDUCING
        self._world.do(lambda: self._delete(strategy))

    async def _delete(self, strategy: str) -> None:
        """Do what the operator does, until the store has it; a store that forgets is told again."""
        world, scope = self._world, strategy_scope(strategy)
        request = TeardownRequest(
            scope=scope, uid=strategy, policy=DeletionPolicy.FLATTEN, requested_at=START + world.loop.now_ns
        )
        while not world.over:
            await self._insist(lambda: self._control.request_teardown(request))
            await world.network.sleep(SECOND_NS)

    async def _halt(self, scope: str) -> None:
        """Tell the topics, then the store, until each has it: then it counts."""
        world = self._world
        world.counts["latches set by a person"] += 1
        latch = Latch(
            latch_id=f"person-{world.counts['latches set by a person']}",
            scope=scope,
            state=TradingState.HALTED,
            reason="a person says so",
            set_by="person",
            set_at=START + world.loop.now_ns,
        )
        await self._tell(latch, lambda account: latch_event(latch, account))
        await self._insist(lambda: self._control.set_latch(latch))
        self.states.acknowledged(latch)

    async def _clear(self) -> None:
        readings: tuple[ControlReading, ...] = await self._insist(lambda: self._control.read(SCOPES))
        for latch in [latch for reading in readings for latch in reading.latches]:
            await self._clear_one(latch)

    async def _clear_one(self, latch: Latch) -> None:
        now = START + self._world.loop.now_ns
        self.states.cleared(latch)
        self._world.counts["latches cleared by a person"] += 1
        await self._insist(lambda: self._control.clear_latch(latch.scope, latch.latch_id))
        await self._tell(
            latch, lambda account: cleared_event(latch, account, reason="looked at", by="person", now=now)
        )

    async def _tell(self, latch: Latch, event: Callable[[str], Envelope]) -> None:
        for account in (LIVE, PAPER):
            topic = self._world.topics(account).control
            await self._produce(topic, encode_event(event(account)), latch_key(latch))

    # -------------------------------------------------------------------------------------------- records

    def echo(self, which: float) -> None:
        """Send a strategy's record again; `which` chooses one of those so far."""
        record = self._chosen(which)
        if record is not None:
            self._send(record.topic, record.value, record.key)

    def tamper(self, which: float) -> None:
        """Send a signal's id with another content."""
        record = self._chosen(which)
        event = None if record is None else _decoded(record)
        if record is None or event is None or not isinstance(event.data, Signal):
            return
        changed = msgspec.structs.replace(event.data, quantity=event.data.quantity + 7)
        value = encode_event(msgspec.structs.replace(event, data=changed))
        self._world.tampered.add(value)
        self._send(record.topic, value, record.key)

    def poison(self, topic: str, which: float) -> None:
        """Put something on a topic that nobody can read."""
        self._send(f"{_account(which)}.{topic}", b"\x00 no event", "alpha:738561")

    def forge(self, which: float, name: str) -> None:
        """Put a validated signal past risk: one that nobody has sent or decided."""
        topic = self._world.topics(_account(which)).signals_validated
        found = [record for record in self._world.records if record.topic == topic]
        event = _decoded(found[-1]) if found else None
        if event is None or not isinstance(event.data, ValidatedSignal):
            return
        genuine = event.data.original_signal
        if isinstance(genuine, Signal):
            signal = msgspec.structs.replace(genuine, signal_id=name, quantity=genuine.quantity + 5)
            data = msgspec.structs.replace(event.data, original_signal=signal)
            self._send(topic, encode_event(msgspec.structs.replace(event, id=name, data=data)), found[-1].key)

    def _chosen(self, which: float) -> Record | None:
        found = [record for record in self._world.records if record.topic.endswith(".signals.raw")]
        return found[int(which * len(found))] if found else None

    def _send(self, topic: str, value: bytes, key: str | None) -> None:
        self._world.do(lambda: self._produce(topic, value, key))

    async def _produce(self, topic: str, value: bytes, key: str | None) -> None:
        world = self._world

        async def send() -> None:
            async with world.bus.producer("person") as producer:
                await producer.send([Outgoing(topic, value, key)])

        await self._insist(
            lambda: world.network.call(world.person, Server.BUS, "person sends", send, writes=True)
        )

    async def _insist(self, action: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await action()
            except (DependencyUnavailableError, UnknownOutcomeError):
                await self._world.network.sleep(AGAIN_NS)


def _account(which: float) -> str:
    return LIVE if which < MOSTLY_LIVE else PAPER


def _decoded(record: Record) -> Envelope | None:
    try:
        return decode_event(record.value)
    except RecordError:
        return None
