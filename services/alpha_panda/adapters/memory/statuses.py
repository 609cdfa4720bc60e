"""What the services report of themselves, in memory."""

from alpha_panda.adapters.memory.database import MemoryDatabase, reading, script
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.units import nanoseconds

_Key = tuple[str, str, str]
_Stored = tuple[ServiceStatus, int]


class MemoryStatusStore:
    """`ports.StatusStore`. Statuses come in the order of service, resource and instance."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    @script
    def put(self, status: ServiceStatus, ttl: float) -> None:
        """See the port."""
        self._drop_expired()
        key = (status.service, status.resource, status.instance)
        self._statuses()[key] = (status, self.database.now() + nanoseconds(ttl))

    @reading
    def all(self) -> list[ServiceStatus]:
        """See the port."""
        self._drop_expired()
        return [status for _, (status, _) in sorted(self._statuses().items(), key=lambda item: item[0])]

    def _statuses(self) -> dict[_Key, _Stored]:
        return self.database.section(self.database.keys.status("", "", ""), dict[_Key, _Stored])

    def _drop_expired(self) -> None:
        now, statuses = self.database.now(), self._statuses()
        for key in [key for key, (_, expires_at) in statuses.items() if now >= expires_at]:
            del statuses[key]
