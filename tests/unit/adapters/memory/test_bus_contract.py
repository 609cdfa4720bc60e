import pytest

from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.ports import EventBus
from contracts.bus_contract import BusContract


class TestMemoryBus(BusContract):
    @pytest.fixture
    def bus(self, clock: VirtualClock) -> EventBus:
        return MemoryBus(clock)

    async def delete_topic(self, bus: EventBus, topic: str) -> None:
        assert isinstance(bus, MemoryBus)
        bus.delete_topic(topic)
