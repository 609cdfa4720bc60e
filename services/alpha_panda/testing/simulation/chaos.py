"""Does what the plan says, when it says so: to processes, links and servers."""

from collections.abc import Callable
from typing import Final, cast

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.scopes import account_scope, strategy_scope
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.testing.broker.faults import BookFault, Misbehaviour, book_lag
from alpha_panda.testing.simulation.loop import Process
from alpha_panda.testing.simulation.network import Server
from alpha_panda.testing.simulation.people import People
from alpha_panda.testing.simulation.plan import FATES, Event, Harm, Return, Trigger
from alpha_panda.testing.simulation.ports import RemoteBus  # noqa: TC001 - one style of imports
from alpha_panda.testing.simulation.world import LIVE, Pod, World
from alpha_panda.testing.virtual_time import START

IMPATIENCE: Final = SECOND_NS
"""A process that takes no more steps meets its harm after this long all the same."""
IMAGES: Final = 4
"""How many older images of the store may come back."""
STALE_SECONDS: Final = 4.0
"""How far back a replica of the broker's book may be, for fewer readings than make an order LOST."""
NEXT_DAY: Final = "2026-01-03"
FRESH: Final = 0.5
"""Share of the killed that come back as another pod, under another name."""
CONTROLLING: Final = frozenset(
    {
        "control.put_spec",
        "control.drop_spec",
        "control.set_latch",
        "control.clear_latch",
        "journal.correct",
        "journal.orphan",
    }
)

TO_MEMBERS: Final = frozenset({"kill", "pause", "replace", "split", "rebalance"})
"""Events whose subject is a member."""


class _Armed:
    """A trigger that waits for its call."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.left = trigger.nth


class Chaos:
    """The plan at work."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.people = people = People(world)
        self._scenario = world.scenario
        self._armed: dict[tuple[bool, str], list[_Armed]] = {}
        self._stopped: list[tuple[Process, RemoteBus | None]] = []
        core = world.core
        self._doers: dict[str, Callable[[Event], None]] = {
            "kill": lambda e: self._soon(e, lambda pod: self.kill(pod, e.seconds)),
            "pause": lambda e: self._soon(e, lambda pod: self.pause(pod, e.seconds)),
            "replace": lambda e: self._soon(e, lambda pod: self.replace(pod, e.seconds)),
            "night": lambda e: self.night(e.subject, e.seconds),
            "split": lambda e: self.split(world.pods[e.subject], cast("str", e.detail), e.seconds),
            "outage": lambda e: self.outage(e.subject, e.seconds),
            "rebalance": lambda e: self.rebalance(world.pods[e.subject]),
            "image": lambda _: self._take_image(),
            "return": lambda e: self.store_returns(cast("str", e.detail), e.seconds),
            "halt": lambda e: people.halt(e.subject),
            "clear": lambda _: people.look_at_latches(),
            "state": lambda e: people.apply(e.subject, TradingState(cast("str", e.detail))),
            "delete": lambda e: self.delete(e.subject),
            "echo": lambda e: people.echo(cast("float", e.detail)),
            "tamper": lambda e: people.tamper(cast("float", e.detail)),
            "poison": lambda e: people.poison(e.subject, cast("float", e.detail)),
            "forge": lambda e: people.forge(cast("float", e.detail), f"forged-{e.at}"),
            "broker": lambda e: core.plan(cast("Misbehaviour", e.detail)),
            "book": self._book,
            "stale book": lambda e: core.plan(book_lag(STALE_SECONDS), cast("int", e.detail)),
            "new day": lambda _: core.change_day(NEXT_DAY, START + world.loop.now_ns),
        }

    # ----------------------------------------------------------------------------------------------- life

    def begin(self) -> None:
        """Arm everything."""
        network, loop, triggers = self.world.network, self.world.loop, self._scenario.triggers
        network.weather = self._scenario.weather
        for trigger in triggers:
            self._armed.setdefault((trigger.after, trigger.operation), []).append(_Armed(trigger))
        network.before, network.after = self._before, self._after
        for event in self._scenario.events:
            loop.after(event.at, self._do, event)
        if any(trigger.harm is Harm.STORE_RETURN for trigger in triggers):
            for second in range(1, self._scenario.duration // SECOND_NS):
                loop.after(second * SECOND_NS, self._take_image)

    def end(self) -> None:
        """Stop all faults and heal: what is dead is started, what is stopped goes on, what was replaced goes away."""
        world = self.world
        world.network.heal()
        world.network.before = None
        world.core.behave()
        self._armed.clear()
        deleted = {strategy_scope(name): TradingState.REDUCING for name in world.deleted}
        world.manifest.states.clear()
        world.manifest.states.update(deleted)
        present = {pod.process for pod in world.pods.values()}
        for process, bus in self._stopped:
            if process not in present:
                world.loop.kill(process)
                if bus is not None:
                    bus.silence()
        for pod in world.pods.values():
            self._heal(pod)

    def delete(self, strategy: str) -> None:
        """Delete a strategy: its pod is gone for good, what it holds is closed."""
        self.people.delete(strategy)
        pod = self.world.pods.pop(f"strategy/{strategy}")
        self.world.loop.kill(pod.process)
        if pod.bus is not None:
            pod.bus.silence()

    def _heal(self, pod: Pod) -> None:
        pod.process.trap = None
        if pod.process.dead:
            pod.start(fresh=False)
        else:
            self.world.loop.resume(pod.process)
            if pod.bus is not None:
                pod.bus.voice()

    def _do(self, event: Event) -> None:
        if self.world.loop.now_ns > self._scenario.duration or self._is_gone(event):
            return
        self.world.counts[event.what] += 1
        self.world.network.note(event.subject, event.what, "")
        self._doers[event.what](event)

    def _is_gone(self, event: Event) -> bool:
        """Whether it happens to a member that was deleted."""
        return event.what in TO_MEMBERS and event.subject not in self.world.pods

    # -------------------------------------------------------------------------------------------- triggers

    def _before(self, process: Process, operation: str) -> None:
        if self._armed:
            self._meet(process, operation, after=False)

    def _after(self, process: Process, operation: str) -> None:
        if operation in CONTROLLING:
            self.people.states.look()
        if self._armed:
            self._meet(process, operation, after=True)

    def _meet(self, process: Process, operation: str, *, after: bool) -> None:
        armed = self._armed.get((after, operation), [])
        for item in tuple(armed):
            if process.name.startswith(item.trigger.kind):
                item.left -= 1
                if not item.left:
                    armed.remove(item)
                    self.strike(process, item.trigger)

    def strike(self, process: Process, trigger: Trigger) -> None:
        """Do the trigger's harm to the process that ran into it, or to its call."""
        world = self.world
        pod = world.pods.get(process.name)
        if pod is None or pod.process is not process:
            return
        world.counts[f"at a crash point: {trigger.harm.value}"] += 1
        world.network.note(process.name, f"struck: {trigger.harm.value}", trigger.operation)
        seconds = trigger.seconds
        match trigger.harm:
            case Harm.KILL:
                self.kill(pod, seconds / 2)
            case Harm.PAUSE:
                self.pause(pod, seconds)
            case Harm.REPLACE:
                self.replace(pod, seconds)
            case Harm.SPLIT:
                self.split(pod, Server.STORE if trigger.steps % 2 else Server.BUS, seconds)
            case Harm.STORE_RETURN:
                away = 0.0 if trigger.steps % 2 else seconds / 10  # nobody need notice that it was away
                self.store_returns(Return.OLDER if trigger.steps > 1 else Return.ALL, away)
            case Harm.HALT:
                self.people.halt(account_scope(LIVE))
            case call:
                world.network.next_fates.setdefault(trigger.operation, []).append(FATES[call])

    # ------------------------------------------------------------------------------------------- processes

    def _soon(self, event: Event, harm: Callable[[Pod], None]) -> None:
        """Do harm when the process has taken so many more steps, or when it takes none."""
        pod = self.world.pods[event.subject]
        process = pod.process

        def strike() -> None:
            process.trap = None
            if pod.process is process and not process.dead:
                harm(pod)

        process.spring(event.steps, strike)
        self.world.loop.after(IMPATIENCE, lambda: strike() if process.trap is strike else None)

    def kill(self, pod: Pod, down: float) -> None:
        """End the process as SIGKILL would; it is started anew after `down` seconds, sometimes as another pod."""
        process, world = pod.process, self.world
        world.loop.kill(process)
        world.counts["kills"] += 1
        if pod.bus is not None:
            pod.bus.silence()
        fresh = world.random.random() < FRESH

        def again() -> None:
            if pod.process is process and not world.over and pod.name in world.pods:
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
            pod.bus.silence()
            world.loop.after(nanoseconds(seconds), pod.bus.voice)

    def outage(self, server: str, seconds: float) -> None:
        """Take a server away for a while; it forgets nothing."""
        self.world.network.down[server] = self.world.loop.now_ns + nanoseconds(seconds)

    def rebalance(self, pod: Pod) -> None:
        """Let the coordinator take the pod's partitions away and give them out anew."""
        if pod.bus is not None and not pod.process.dead:
            for member in pod.bus.members:
                member.rebalance()

    # --------------------------------------------------------------------------------- the store, the broker

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
        world.returned_at = world.loop.now_ns
        self.people.states.look()

    def _book(self, event: Event) -> None:
        begin = START + self.world.loop.now_ns
        self.world.core.plan_during(
            cast("BookFault", event.detail), begin, begin + nanoseconds(event.seconds)
        )
