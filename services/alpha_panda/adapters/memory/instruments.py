"""What feeds' symbols stand for today, in memory."""

from alpha_panda.adapters.memory.database import MemoryDatabase, reading, script
from alpha_panda.contracts.stored import InstrumentList


class MemoryInstrumentStore:
    """`ports.InstrumentStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    @script
    def put(self, listed: InstrumentList) -> None:
        """See the port."""
        self._lists()[listed.feed] = listed

    @reading
    def version(self, feed: str) -> str | None:
        """See the port."""
        listed = self._lists().get(feed)
        return None if listed is None else listed.version

    @reading
    def read(self, feed: str) -> InstrumentList | None:
        """See the port."""
        return self._lists().get(feed)

    def _lists(self) -> dict[str, InstrumentList]:
        return self.database.section(self.database.keys.instruments(""), dict[str, InstrumentList])
