"""Trading states in memory: `spec` keys that expire by the store's clock, latches that don't."""

from collections.abc import Sequence

from alpha_panda.adapters.memory.database import MemoryDatabase, reading, script
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import ControlReading, Latch
from alpha_panda.contracts.units import nanoseconds

_Spec = tuple[TradingState, int]
_SPEC = "spec"


def _specs(database: MemoryDatabase, scope: str) -> dict[str, _Spec]:
    return database.section(database.keys.control_spec(scope), dict[str, _Spec])


def _latches(database: MemoryDatabase, scope: str) -> dict[str, Latch]:
    return database.section(database.keys.control_latches(scope), dict[str, Latch])


def read_scope(database: MemoryDatabase, scope: str, now: int) -> ControlReading:
    """Return a scope's reading as of `now`: part of a step."""
    spec = _specs(database, scope).get(_SPEC)
    return ControlReading(
        scope=scope,
        spec=spec[0] if spec else None,
        expired=spec is not None and now >= spec[1],
        latches=tuple(_latches(database, scope).values()),
    )


def binding_state(database: MemoryDatabase, scopes: Sequence[str], now: int) -> TradingState:
    """Return the strictest state of the scopes as of `now` (Halted without any): part of a step."""
    return TradingState.strictest(*(read_scope(database, scope, now).state for scope in scopes))


def put_latch(database: MemoryDatabase, latch: Latch) -> None:
    """Set a latch unless one of its id is set: part of a step."""
    _latches(database, latch.scope).setdefault(latch.latch_id, latch)


class MemoryControlStore:
    """`ports.ControlStore`. The value of an expired key stays, so that `expired` differs from never written."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    @script
    def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        """See the port."""
        _specs(self.database, scope)[_SPEC] = (state, self.database.now() + nanoseconds(ttl))

    @script
    def drop_spec(self, scope: str) -> None:
        """See the port."""
        _specs(self.database, scope).clear()

    @script
    def set_latch(self, latch: Latch) -> None:
        """See the port."""
        put_latch(self.database, latch)

    @script
    def clear_latch(self, scope: str, latch_id: str) -> bool:
        """See the port."""
        return _latches(self.database, scope).pop(latch_id, None) is not None

    @reading
    def read(self, scopes: Sequence[str]) -> tuple[ControlReading, ...]:
        """See the port."""
        now = self.database.now()
        return tuple(read_scope(self.database, scope, now) for scope in scopes)
