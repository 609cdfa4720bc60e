"""Does what the plan says, when it says so: to processes, links, servers, and as people would."""

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from alpha_panda.adapters.memory.control import read_scope
from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import Signal, ValidatedSignal
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.domain.control_events import cleared_event, latch_event, latch_key
from alpha_panda.errors import DependencyUnavailableError, RecordError, UnknownOutcomeError
from alpha_panda.ports import Outgoing
from alpha_panda.testing.broker.faults import Misbehaviour, book_lag
from alpha_panda.testing.simulation.loop import Process
from alpha_panda.testing.simulation.network import Server
from alpha_panda.testing.simulation.plan import FATES, Event, Harm, Return, Trigger
from alpha_panda.testing.simulation.world import LIVE, PAPER, Halt, Pod, World
from alpha_panda.testing.virtual_time import START

SCOPES: Final = (
    PLATFORM,
    account_scope(LIVE),
    account_scope(PAPER),
    strategy_scope("alpha"),
    strategy_scope("beta"),
)
IMPATIENCE: Final = SECOND_NS
"""A process that takes no more steps meets its harm after this long all the same."""
IMAGES: Final = 4
STALE_SECONDS: Final = 4.0
"""How far back a replica of the broker's book may be, for fewer readings than make an order LOST."""
CONTROLLING: Final = frozenset(
    {"control.put_spec", "control.drop_spec", "control.set_latch", "control.clear_latch", "journal.correct", "journal.orphan"}
)


class Chaos:
    """The plan at work, and the history of trading states that it needs to judge calls by."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._scenario = world.scenario
        self._left: dict[tuple[bool, str], list[list[Any]]] = {}
        self.halts: list[Halt] = []
        self.since: dict[tuple[str, TradingState], int] = {}
        self._stopped: list[tuple[Process, Any]] = []
        self._doers: dict[str, Callable[[Event], None]] = {
            "kill": lambda e: self._soon(e.subject, e.steps, lambda pod: self.kill(pod, e.seconds)),
            "pause": lambda e: self._soon(e.subject, e.steps, lambda pod: self.pause(pod, e.seconds)),
            "replace": lambda e: self._soon(e.subject, e.steps, lambda pod: self.replace(pod, e.seconds)),
            "night": lambda e: self.night(e.subject, e.seconds),
            "split": lambda e: self.split(self._pod(e.subject), cast("str", e.detail), e.seconds),
            "outage": lambda e: self.outage(e.subject, e.seconds),
            "rebalance": lambda e: self.rebalance(self._pod(e.subject)),
            "image": lambda _: self._take_image(),
            "return": lambda e: self.store_returns(cast("str", e.detail), e.seconds),
            "halt": lambda e: self.halt(e.subject),
            "clear": lambda _: self.world.do(self._clear),
            "state": self._change_state,
            "echo": self._echo,
            "tamper": self._tamper,
            "poison": self._poison,
            "broker": lambda e: self.world.core.plan(cast("Misbehaviour", e.detail)),
            "book": self._book,
            "forge": self._forge,
            "stale book": lambda e: self.world.core.plan(book_lag(STALE_SECONDS), cast("int", e.detail)),
            "new day": lambda _: self._new_day(),
        }

    # ----------------------------------------------------------------------------------------------- life

    def begin(self) -> None:
        """Arm everything."""
        network, loop = self.world.network, self.world.loop
        network.weather = self._scenario.weather
        for trigger in self._scenario.triggers:
            armed = self._left.setdefault((trigger.after, trigger.operation), [])
            armed.append([trigger.nth, trigger])
        network.before, network.after = self._before, self._after
        for event in self._scenario.events:
            loop.after(event.at, self._do, event)
        if any(trigger.harm is Harm.STORE_RETURN for trigger in self._scenario.triggers):
            for second in range(1, self._scenario.duration // SECOND_NS):
                loop.after(second * SECOND_NS, self._take_image)

    def end(self) -> None:
        """Stop all faults and heal: what is dead is started, what is stopped goes on, what was replaced goes away."""
        world = self.world
        world.network.heal()
        world.network.before = None
        world.core.behave()
        self._left.clear()
        for process, bus in self._stopped:
            if all(pod.process is not process for pod in world.pods.values()):
                world.loop.kill(process)
                bus.silence()
        for pod in world.pods.values():
            self._heal(pod)
        world.manifest.states.clear()

    def _heal(self, pod: Pod) -> None:
        pod.process.trap = None
        if pod.process.dead:
            pod.start(fresh=False)
        else:
            self.world.loop.resume(pod.process)
            if pod.bus is not None:
                pod.bus.voice()

    def _do(self, event: Event) -> None:
        if self.world.loop.now_ns > self._scenario.duration:
            return
        self.world.counts[event.what] += 1
        self.world.network.note(event.subject, event.what, "")
        self._doers[event.what](event)

    # -------------------------------------------------------------------------------------------- triggers

    def _before(self, process: Process, operation: str) -> None:
        if self._left:
            self._meet(process, operation, after=False)

    def _after(self, process: Process, operation: str) -> None:
        if operation in CONTROLLING:
            self.look_at_states()
        if self._left:
            self._meet(process, operation, after=True)

    def _meet(self, process: Process, operation: str, *, after: bool) -> None:
        armed = self._left.get((after, operation))
        if not armed:
            return
        for item in tuple(armed):
            trigger: Trigger = item[1]
            if not process.name.startswith(trigger.kind):
                continue
            item[0] -= 1
            if not item[0]:
                armed.remove(item)
                self.strike(process, trigger)

    def strike(self, process: Process, trigger: Trigger) -> None:
        """Do the trigger's harm to the process that ran into it, or to its call."""
        world = self.world
        pod = world.pods.get(process.name)
        if pod is None or pod.process is not process:
            return
        harm, seconds = trigger.harm, trigger.seconds
        world.counts[f"at a crash point: {harm.value}"] += 1
        world.network.note(process.name, f"struck: {harm.value}", trigger.operation)
        if harm is Harm.KILL:
            self.kill(pod, seconds / 2)
        elif harm is Harm.PAUSE:
            self.pause(pod, seconds)
        elif harm is Harm.REPLACE:
            self.replace(pod, seconds)
        elif harm is Harm.SPLIT:
            self.split(pod, Server.STORE if trigger.steps % 2 else Server.BUS, seconds)
        elif harm is Harm.STORE_RETURN:
            self.store_returns(Return.OLDER if trigger.steps > 1 else Return.ALL, seconds / 10)
        elif harm is Harm.HALT:
            self.halt(account_scope(LIVE))
        else:
            world.network.next_fates.setdefault(trigger.operation, []).append(FATES[harm])

    # ------------------------------------------------------------------------------------------- processes

    def _pod(self, name: str) -> Pod:
        return self.world.pods[name]

    def _soon(self, name: str, steps: int, harm: Callable[[Pod], None]) -> None:
        """Do harm when the process has taken so many more steps, or when it takes none."""
        pod = self._pod(name)
        process = pod.process

        def strike() -> None:
            process.trap = None
            if pod.process is process and not process.dead:
                harm(pod)

        process.spring(steps, strike)
        self.world.loop.after(IMPATIENCE, lambda: strike() if process.trap is strike else None)

    def kill(self, pod: Pod, down: float) -> None:
        """End the process as SIGKILL would; it is started anew after `down` seconds, sometimes as another pod."""
        process, world = pod.process, self.world
        world.loop.kill(process)
        world.counts["kills"] += 1
        if pod.bus is not None:
            pod.bus.silence()
        fresh = world.random.random() < 0.5

        def again() -> None:
            if pod.process is process and not world.over:
                pod.start(fresh=fresh)

        world.loop.after(nanoseconds(down), again)

    def pause(self, pod: Pod, seconds: float) -> None:
        """Stop the process as SIGSTOP would, for so long."""
        process, bus, world = pod.process, pod.bus, self.world
        world.loop.pause(process)
        world.counts["pauses"] += 1
        if bus is not None:
            bus.silence()
        self._stopped.append((process, bus))

        def wake() -> None:
            if not process.dead and process.paused:
                world.loop.resume(process)
                if bus is not None:
                    bus.voice()

        world.loop.after(nanoseconds(seconds), wake)

    def replace(self, pod: Pod, seconds: float) -> None:
        """Stop the process, start another in its place at once, and let the first wake up beside it."""
        self.pause(pod, seconds)
        self.world.counts["replaced while stopped"] += 1
        pod.start(fresh=True)

    def night(self, names: str, seconds: float) -> None:
        """Stop all members whose names begin so."""
        for name, pod in self.world.pods.items():
            if name.startswith(names) and not pod.process.dead:
                self.pause(pod, seconds)

    def split(self, pod: Pod, server: str, seconds: float) -> None:
        """Cut the link between a pod and a server."""
        world = self.world
        world.network.split[pod.name, server] = world.loop.now_ns + nanoseconds(seconds)
        world.counts["splits"] += 1
        if server == Server.BUS and pod.bus is not None:
            bus = pod.bus
            bus.silence()
            world.loop.after(nanoseconds(seconds), bus.voice)

    def outage(self, server: str, seconds: float) -> None:
        """Take a server away for a while; it forgets nothing."""
        self.world.network.down[server] = self.world.loop.now_ns + nanoseconds(seconds)

    def rebalance(self, pod: Pod) -> None:
        """Let the coordinator take the pod's partitions away and give them out anew."""
        if pod.bus is not None and not pod.process.dead:
            for member in pod.bus.members:
                member.rebalance()

    # ------------------------------------------------------------------------------------------- the store

    def _take_image(self) -> None:
        images = self.world.images
        images.append(self.world.database.checkpoint_image())
        del images[:-IMAGES]

    def store_returns(self, kind: str, seconds: float) -> None:
        """Take the store away; it comes back as another run, with all, with less, or with nothing."""
        world = self.world
        self.outage(Server.STORE, seconds)
        images = world.images or [world.first_image]
        image = {
            Return.ALL.value: None,
            Return.OLDER.value: images[int(world.random.random() * len(images))],
            Return.NOTHING.value: world.first_image,
        }[str(kind)]
        world.counts[f"store returned with {kind}"] += 1
        world.database.restart(image)
        self.look_at_states()

    # -------------------------------------------------------------------------------------- trading states

    def look_at_states(self) -> None:
        """Note since when each scope has been so strict, as its store says."""
        now = self.world.loop.now_ns
        for scope in SCOPES:
            reading = read_scope(self.world.database, scope, START + now)
            for level in (TradingState.REDUCING, TradingState.HALTED):
                if reading.state.strictness >= level.strictness:
                    since = now if not reading.expired else now
                    self.since.setdefault((scope, level), since)
                else:
                    self.since.pop((scope, level), None)

    def strict_since(self, scope: str, level: TradingState) -> int | None:
        """Return since when (ns) the scope has been at least so strict: by its store, or by a latch that was acknowledged."""
        found = []
        if (scope, level) in self.since:
            found.append(self.since[scope, level])
        now = self.world.loop.now_ns
        found += [halt.at for halt in self.halts if halt.scope == scope and (halt.until is None or halt.until > now)]
        return min(found, default=None)

    def halt(self, scope: str) -> None:
        """Let a person halt a scope."""
        self.world.do(lambda: self._halt(scope))

    async def _halt(self, scope: str) -> None:
        """Tell the topics, then the store, until each has it: then it counts."""
        world = self.world
        number = len(self.halts) + world.counts["latches set by a person"]
        world.counts["latches set by a person"] += 1
        latch = Latch(
            latch_id=f"person-{number}",
            scope=scope,
            state=TradingState.HALTED,
            reason="a person says so",
            set_by="person",
            set_at=START + world.loop.now_ns,
        )
        await self._tell(latch, lambda account: latch_event(latch, account))
        store = world.remote("control", Server.STORE, world.control, world.person)
        await self._insist(lambda: store.set_latch(latch))
        self.halts.append(Halt(scope, latch.latch_id, world.loop.now_ns))

    async def _tell(self, latch: Latch, event: Callable[[str], Any]) -> None:
        for account in (LIVE, PAPER):
            topics = self.world.topics(account)
            await self._produce(topics.control, encode_event(event(account)), latch_key(latch))

    async def _produce(self, topic: str, value: bytes, key: str | None) -> None:
        world = self.world

        async def send() -> None:
            async with world.bus.producer("person") as producer:
                await producer.send([Outgoing(topic, value, key)])

        await self._insist(
            lambda: world.network.call(world.person, Server.BUS, "person sends", send, writes=True)
        )

    async def _insist(self, action: Callable[[], Any]) -> None:
        while True:
            try:
                return await action()
            except (DependencyUnavailableError, UnknownOutcomeError):
                await self.world.network.sleep(SECOND_NS // 10)

    async def _clear(self) -> None:
        """Let a person look at all latches and clear them by their ids."""
        world = self.world
        store = world.remote("control", Server.STORE, world.control, world.person)
        readings: list[Any] = []

        async def read() -> None:
            readings.extend(await store.read(SCOPES))

        await self._insist(read)
        for latch in [latch for reading in readings for latch in reading.latches]:
            now = world.loop.now_ns
            self.halts = [
                msgspec_replace(halt, now) if (halt.scope, halt.latch_id) == (latch.scope, latch.latch_id) else halt
                for halt in self.halts
            ]
            world.counts["latches cleared by a person"] += 1
            await self._insist(lambda latch=latch: store.clear_latch(latch.scope, latch.latch_id))
            stamp = START + now
            await self._tell(
                latch,
                lambda account, latch=latch, stamp=stamp: cleared_event(
                    latch, account, reason="looked at", by="person", now=stamp
                ),
            )

    def _change_state(self, event: Event) -> None:
        """Let a person apply a changed manifest."""
        self.world.manifest.states[event.subject] = TradingState(str(event.detail))

    # ------------------------------------------------------------------------------------- records, broker

    def _raw(self, detail: object) -> Any:  # noqa: ANN401 - a record, if there is one
        found = [record for record in self.world.records if record.topic.endswith(".signals.raw")]
        return found[int(float(cast("float", detail)) * len(found))] if found else None

    def _echo(self, event: Event) -> None:
        record = self._raw(event.detail)
        if record is not None:
            self.world.do(lambda: self._produce(record.topic, record.value, record.key))

    def _tamper(self, event: Event) -> None:
        """Send a signal's id with another content."""
        record = self._raw(event.detail)
        if record is None:
            return
        try:
            envelope = decode_event(record.value)
        except RecordError:  # a poisoned one
            return
        if isinstance(envelope.data, Signal):
            changed = msgspec.structs.replace(envelope.data, quantity=envelope.data.quantity + 7)
            value = encode_event(msgspec.structs.replace(envelope, data=changed))
            self.world.tampered.add(value)
            self.world.do(lambda: self._produce(record.topic, value, record.key))

    def _forge(self, event: Event) -> None:
        """Put a validated signal past risk: one that it has decided, with another content, or one nobody has sent."""
        account = LIVE if float(cast("float", event.detail)) < 0.7 else PAPER
        topic = self.world.topics(account).signals_validated
        found = [record for record in self.world.records if record.topic == topic and b"signal_id" in record.value]
        if not found:
            return
        try:
            envelope = decode_event(found[-1].value)
        except RecordError:
            return
        data = envelope.data
        if not isinstance(data, ValidatedSignal) or not isinstance(data.original_signal, Signal):
            return
        signal = msgspec.structs.replace(
            data.original_signal, signal_id=f"forged-{event.at}", quantity=data.original_signal.quantity + 5
        )
        forged = msgspec.structs.replace(
            envelope, id=f"forged-{event.at}", data=msgspec.structs.replace(data, original_signal=signal)
        )
        value = encode_event(forged)
        self.world.do(lambda: self._produce(topic, value, found[-1].key))

    def _poison(self, event: Event) -> None:
        account = LIVE if float(cast("float", event.detail)) < 0.7 else PAPER
        topic = f"{account}.{event.subject}"
        self.world.do(lambda: self._produce(topic, b"\x00 no event", "alpha:738561"))

    def _book(self, event: Event) -> None:
        begin = START + self.world.loop.now_ns
        self.world.core.plan_during(cast("Misbehaviour", event.detail), begin, begin + nanoseconds(event.seconds))

    def _new_day(self) -> None:
        self.world.core.change_day("2026-01-03", START + self.world.loop.now_ns)


def msgspec_replace(halt: Halt, until: int) -> Halt:
    """Return the halt with its end, the first one."""
    return halt if halt.until is not None else Halt(halt.scope, halt.latch_id, halt.at, until)
