"""`ready` of services with consumer loops of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from alpha_panda.errors import MisuseError
from alpha_panda.ports import Producer
from unit.runtime.world import World

if TYPE_CHECKING:
    from alpha_panda.runtime.builder import StreamService


class Loops:
    """Runners that open their consumer when told to."""

    def __init__(self) -> None:
        self.gates = [asyncio.Event(), asyncio.Event()]
        self.service: StreamService

    def loop(self, number: int) -> Callable[[Producer], Awaitable[None]]:
        async def run(_producer: Producer) -> None:
            await self.gates[number].wait()
            self.service.reading()
            await asyncio.Event().wait()

        return run


async def test_a_service_is_ready_when_all_that_promised_to_tell_are_reading(world: World) -> None:
    loops = Loops()
    builder = world.builder().consume_with(loops.loop(0), "one", tells_reading=True)
    loops.service = service = builder.consume_with(loops.loop(1), "two", tells_reading=True).build()
    async with world.running(service):
        assert service.get_status().state == "running"
        for gate in loops.gates:
            assert not service.ready.is_set()
            gate.set()
            await world.settle()
        assert service.ready.is_set()


async def test_a_runner_that_did_not_promise_is_not_waited_for(world: World) -> None:
    loops = Loops()
    loops.service = service = world.builder().consume_with(loops.loop(0), "one").build()
    async with world.running(service) as run:
        assert service.ready.is_set()
        loops.gates[0].set()
        with pytest.raises(MisuseError, match="no runner is left"):
            await run


async def test_one_that_fails_before_it_reads_is_never_ready(world: World) -> None:
    async def run(_producer: Producer) -> None:
        raise MisuseError("no consumer")

    service = world.builder().consume_with(run, "one", tells_reading=True).build()
    async with world.running(service) as task:
        with pytest.raises(MisuseError, match="no consumer"):
            await task
    assert not service.ready.is_set()
