"""Listens at every port of every service of a pipeline, and does harm there when told to.

A tap sees each operation of a member (`engine/paper-0`) on a port (`journal.begin`, `producer.send`,
`consumer.commit`, `trader.place`), and a plan can kill the member before or after it, refuse it, or lose its reply.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, cast

from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
from alpha_panda.ports import Consumer, EventBus, OrderJournal, Producer, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports

Kill = Callable[[str], Awaitable[None]]


class Harm(Enum):
    """What can happen to one operation. KILL_… ends the member as SIGKILL would, right there."""

    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"
    REFUSE = "refused, nothing applied"
    LOSE_REQUEST = "no reply, nothing applied"
    LOSE_REPLY = "no reply, applied"


@dataclass(frozen=True, slots=True)
class Call:
    """The `nth` (from 1) call of an operation by a member."""

    member: str
    operation: str
    nth: int

    def __str__(self) -> str:
        return f"{self.member} {self.operation} #{self.nth}"


@dataclass(slots=True)
class _Plan:
    member: str
    operation: str
    harm: Harm
    skip: int
    times: int

    def meets(self, member: str, operation: str) -> bool:
        """Whether this call is the one; counts down."""
        if not self.times or (self.member, self.operation) not in ((member, operation), ("", operation)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Taps:
    """All taps of one pipeline. `calls` lists every operation begun, in order."""

    def __init__(self, kill: Kill) -> None:
        self.calls: list[Call] = []
        self.consumers: list[tuple[str, Subscription, Consumer]] = []
        self._kill = kill
        self._counts: Counter[tuple[str, str]] = Counter()
        self._plans: list[_Plan] = []
        self._killers: set[asyncio.Task[None]] = set()

    def plan(self, member: str, operation: str, harm: Harm, *, nth: int = 1, times: int = 1) -> None:
        """Let the member's `nth` call from now on, and `times - 1` more, meet harm. Member "": anybody's."""
        self._plans.append(_Plan(member, operation, harm, nth - 1, times))

    @property
    def pending(self) -> int:
        """How many planned harms have not struck yet."""
        return sum(plan.times for plan in self._plans)

    def clear(self) -> None:
        """Forget all plans."""
        self._plans.clear()

    async def meet(self, member: str, operation: str, call: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - any port's
        """Make the call, with the harm that is planned for it."""
        self._counts[member, operation] += 1
        self.calls.append(Call(member, operation, self._counts[member, operation]))
        harm = next((plan.harm for plan in self._plans if plan.meets(member, operation)), None)
        if harm is Harm.KILL_BEFORE:
            await self._die(member)
        if harm is Harm.REFUSE:
            raise DependencyUnavailableError(_dependency(operation), f"{operation} was refused by plan")
        if harm is Harm.LOSE_REQUEST:
            raise _unanswered(operation)
        result = await call()
        if harm is Harm.KILL_AFTER:
            await self._die(member)
        if harm is Harm.LOSE_REPLY:
            raise _unanswered(operation)
        return result

    async def _die(self, member: str) -> None:
        killer = asyncio.ensure_future(self._kill(member))
        self._killers.add(killer)
        killer.add_done_callback(self._killers.discard)
        await asyncio.get_running_loop().create_future()  # until the kill arrives

    def wrap(self, member: str, ports: Ports) -> Ports:
        """Return the ports with a tap on each operation."""

        def tapped(name: str, target: object) -> Any:  # noqa: ANN401 - stands for any port
            return Tapped(self, member, name, target)

        journals: dict[str, OrderJournal] = {}

        def journal(account: str) -> OrderJournal:
            return journals.setdefault(account, tapped("journal", ports.journal(account)))

        return replace(
            ports,
            bus=cast("EventBus", TappedBus(self, member, ports.bus)),
            prices=tapped("prices", ports.prices),
            journal=journal,
            decisions=lambda account: tapped("decisions", ports.decisions(account)),
            checkpoints=tapped("checkpoints", ports.checkpoints),
            control=tapped("control", ports.control),
        )


class Tapped:
    """Any port: its coroutine methods pass the tap."""

    def __init__(self, taps: Taps, member: str, name: str, target: object) -> None:
        self._taps = taps
        self._member = member
        self._name = name
        self._target = target

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the port's
        value = getattr(self._target, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def operation(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the port's
            return await self._taps.meet(self._member, f"{self._name}.{name}", lambda: value(*args, **kwargs))

        return operation


class TappedBus:
    """An EventBus whose producers and consumers pass the tap, and whose open consumers are known."""

    def __init__(self, taps: Taps, member: str, bus: EventBus) -> None:
        self._taps = taps
        self._member = member
        self._bus = bus

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """See the port."""
        await self._bus.ensure_topics(topics)

    async def topic_id(self, topic: str) -> str:
        """See the port."""
        return await self._bus.topic_id(topic)

    async def offsets(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """See the port."""
        return await self._bus.offsets(topic)

    async def topics(self) -> frozenset[str]:
        """See the port."""
        return await self._bus.topics()

    @asynccontextmanager
    async def producer(self, client: str) -> AsyncIterator[Producer]:
        """See the port."""
        async with self._bus.producer(client) as producer:
            yield cast("Producer", Tapped(self._taps, self._member, "producer", producer))

    @asynccontextmanager
    async def consumer(self, subscription: Subscription) -> AsyncIterator[Consumer]:
        """See the port."""
        async with self._bus.consumer(subscription) as consumer:
            entry = (self._member, subscription, consumer)
            self._taps.consumers.append(entry)
            try:
                yield cast("Consumer", Tapped(self._taps, self._member, "consumer", consumer))
            finally:
                self._taps.consumers.remove(entry)


def _dependency(operation: str) -> str:
    return "bus" if operation.startswith(("producer.", "consumer.")) else "store"


def _unanswered(operation: str) -> Exception:
    """Return what a port raises for a lost reply: a send may always have been written, a read changes nothing."""
    if _dependency(operation) == "bus":
        return DependencyUnavailableError("bus", f"{operation} was not acknowledged, by plan")
    return UnknownOutcomeError(f"the reply to {operation} was lost, by plan")
