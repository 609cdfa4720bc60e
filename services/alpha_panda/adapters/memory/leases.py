"""Fenced leases in memory.

Time only decides when somebody else may take a lease over. Until then its epoch stays valid, however late its
holder renews: what fences is a greater epoch (or a release), never a clock. It also ends with the store's run: what
its holder concluded from a journal that is gone must not be written into the one that came back.
"""

from alpha_panda.adapters.memory.database import MemoryDatabase, Section, script
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import FencedError


class LeaseState(Section):
    """A lease: who holds it ("" for nobody), under which epoch, and when others may take it (UTC ns).

    `run_id`: the store's run that the epoch was given in; it ends with that.
    """

    def __init__(self) -> None:
        self.owner = ""
        self.epoch = 0
        self.expires_at = 0
        self.run_id = ""


def _lease(database: MemoryDatabase, name: str) -> LeaseState:
    return database.section(database.keys.lease(name), LeaseState)


def require_lease(database: MemoryDatabase, name: str, epoch: int) -> None:
    """Raise FencedError unless `epoch` is that of the lease's present holder: part of a step."""
    lease = _lease(database, name)
    if not lease.owner or lease.epoch != epoch or lease.run_id != database.run_id:
        raise FencedError(f"lease {name}: epoch {epoch} is stale, the present one is {lease.epoch}")


class MemoryLease:
    """`ports.Lease`. An owner that acquires its own lease gets a new epoch, which fences its former self."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    @script
    def acquire(self, name: str, owner: str, ttl: float) -> int | None:
        """See the port."""
        lease, now = _lease(self.database, name), self.database.now()
        if lease.owner not in ("", owner) and now < lease.expires_at:
            return None
        lease.owner, lease.expires_at = owner, now + nanoseconds(ttl)
        lease.run_id = self.database.run_id
        lease.epoch = self.database.count(self.database.keys.lease(name))
        return lease.epoch

    @script
    def renew(self, name: str, owner: str, epoch: int, ttl: float) -> None:
        """See the port."""
        self._require(name, owner, epoch)
        _lease(self.database, name).expires_at = self.database.now() + nanoseconds(ttl)

    @script
    def release(self, name: str, owner: str, epoch: int) -> None:
        """See the port."""
        lease = _lease(self.database, name)
        if (lease.owner, lease.epoch) == (owner, epoch):
            lease.owner = ""

    def _require(self, name: str, owner: str, epoch: int) -> None:
        require_lease(self.database, name, epoch)
        if _lease(self.database, name).owner != owner:
            raise FencedError(f"lease {name}: {owner} does not hold it")
