"""Liveness of every service there is: idle for ever is alive, and one piece of work that hangs is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.registry import find_services
from alpha_panda.runtime.settings import Settings
from integration.kit import feed, manifests, strategy

pytestmark = pytest.mark.usefixtures("quiet")

STALL = 0.4
PATIENCE = 20.0
QUIET_FEED = {"simulated": {"seed": 1, "ticksPerSecond": 0.001, "speed": 1}}


class Gate:
    """Journals whose calls wait while it is shut."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    def wire(self, _member: Member, ports: Ports) -> Ports:
        def journal(name: str) -> Any:
            return _Gated(self, ports.journal(name))

        return replace(ports, journal=journal)


class _Gated:
    def __init__(self, gate: Gate, target: object) -> None:
        self._gate, self._target = gate, target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._gate.open.wait()
            return await value(*args, **kwargs)

        return call


@asynccontextmanager
async def idle_platform() -> AsyncIterator[tuple[EmbeddedRun, Gate]]:
    """Every service, ready, on the wall clock, with a feed that has as good as nothing to say; stopped in the end."""
    documents = manifests(
        feed=feed(source=QUIET_FEED),
        strategy=strategy(),
    )
    settings = Settings(
        stall_seconds=STALL, tracker_interval_seconds=0.1, poll_seconds=0.1, drain_timeout_seconds=5
    )
    gate = Gate()
    run = EmbeddedRun(ResourceSet.from_documents(documents), settings, RunOptions(), wire=gate.wire)
    running = asyncio.create_task(run.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while len(run.supervisor.services) < len(run.members):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            for service in run.supervisor.services.values():
                await service.ready.wait()
        yield run, gate
        gate.open.set()
        run.request_stop()
        async with asyncio.timeout(PATIENCE):
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def stuck(run: EmbeddedRun) -> dict[str, list[str]]:
    return {name: lines for name, service in run.supervisor.services.items() if (lines := service.stuck())}


async def test_every_service_is_alive_however_long_it_has_nothing_to_do_and_a_hang_is_told() -> None:
    async with idle_platform() as (run, gate):
        assert {member.definition.name for member in run.members} == set(find_services())
        for _ in range(6):
            await asyncio.sleep(STALL / 2)
            assert stuck(run) == {}
        gate.open.clear()
        await asyncio.sleep(1.5 * STALL)
        lines = stuck(run)
        assert any("'look-after'" in line for line in lines["order-tracker/paper"]), lines
        assert "market-feed/demo" not in lines
        gate.open.set()
        await asyncio.sleep(STALL / 4)
        assert stuck(run) == {}
    assert {service.get_status().state for service in run.supervisor.services.values()} == {"stopped"}
