"""Taps that harm their own process where a plan says so. Never in production code: built from ports alone."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from alpha_panda.ports import EventBus, Lease, Outgoing, Producer, RecordPosition, TraderFactory
from alpha_panda.runtime.context import Ports
from alpha_panda.testing.taps import Kill, Tapped, TappedBus, Taps

from .points import Harm, Moment, PlanFile


async def _nobody(_: str) -> None:
    """Stand for the killer of members: a process kills itself."""


class Harming(Taps):
    """Taps on all ports of this process; what `plan` says strikes once.

    `strike` is what a harm does (tests of this class replace it).
    """

    def __init__(self, plan: PlanFile, strike: "Callable[[Harm], Awaitable[None]] | None" = None) -> None:
        kill: Kill = _nobody
        super().__init__(kill)
        self._plan = plan
        self._strike = strike or strike_self
        self._met: dict[tuple[str, Moment], int] = {}

    async def meet(self, member: str, operation: str, call: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401, ARG002 - as the base's
        """Make the call; before or after it this process may come to harm."""
        await self._pass(operation, Moment.BEFORE)
        result = await call()
        await self._pass(operation, Moment.AFTER)
        return result

    async def _pass(self, operation: str, moment: Moment) -> None:
        point, fresh = self._plan.read()
        if fresh:
            self._met.clear()
        if point is None:
            return
        self._met[operation, moment] = self._met.get((operation, moment), 0) + 1
        here = matches(point.operation, operation) and point.moment is moment
        if here and self._met[operation, moment] >= point.nth and self._plan.claim():
            await self._strike(point.harm)

    def wrap(self, member: str, ports: Ports) -> Ports:
        """Return the ports with a tap on each operation; those of leases and traders too."""
        tapped = super().wrap(member, ports)
        return replace(
            tapped,
            bus=cast("EventBus", _Bus(self, member, ports.bus)),
            lease=cast("Lease", Tapped(self, member, "lease", ports.lease)),
            traders=cast("TraderFactory", _Traders(self, member, ports.traders)),
        )


def matches(wanted: str, operation: str) -> bool:
    """Whether an operation is the wanted one: `producer.send(a.b)` names sends to topics that end in `.a.b`."""
    name, _, ending = wanted.rstrip(")").partition("(")
    done, _, topics = operation.rstrip(")").partition("(")
    return done == name and (
        not ending or any(f".{topic}".endswith(f".{ending}") for topic in topics.split(","))
    )


async def strike_self(harm: Harm) -> None:
    """Do it to this process. A stop returns when somebody has continued it."""
    if harm is Harm.HANG:
        await asyncio.get_running_loop().create_future()
    os.kill(os.getpid(), signal.SIGKILL if harm is Harm.KILL else signal.SIGSTOP)


class _Bus(TappedBus):
    """The bus with producers whose sends are known by topic."""

    @asynccontextmanager
    async def producer(self, client: str) -> AsyncIterator[Producer]:
        async with self._bus.producer(client) as producer:
            yield _Producer(self._taps, self._member, producer)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what a tap has no need of
        return getattr(self._bus, name)


class _Producer:
    def __init__(self, taps: Taps, member: str, producer: Producer) -> None:
        self._taps = taps
        self._member = member
        self._producer = producer

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        topics = ",".join(sorted({record.topic for record in records}))
        operation = f"producer.send({topics})"
        positions: list[RecordPosition] = await self._taps.meet(
            self._member, operation, lambda: self._producer.send(records)
        )
        return positions


class _Traders:
    def __init__(self, taps: Taps, member: str, traders: TraderFactory) -> None:
        self._taps = taps
        self._member = member
        self._traders = traders

    def trader(self, account: str) -> Any:  # noqa: ANN401 - a trader with a tap
        return Tapped(self._taps, self._member, "trader", self._traders.trader(account))
