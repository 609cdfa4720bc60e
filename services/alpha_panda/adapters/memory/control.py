"""Trading states in memory: `spec` keys that expire by the store's clock, latches that don't."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from alpha_panda.adapters.memory.database import MemoryDatabase, reading, script
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import ClearRequest, ControlReading, Latch, TeardownRequest
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


def _teardowns(database: MemoryDatabase) -> dict[tuple[str, str], TeardownRequest]:
    return database.section(database.keys.control_teardowns(), dict[tuple[str, str], TeardownRequest])


def _clears(database: MemoryDatabase, scope: str) -> dict[tuple[str, str], ClearRequest]:
    return database.section(database.keys.control_clears(scope), dict[tuple[str, str], ClearRequest])


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
    def clear_latch(self, scope: str, latch_id: str, *, set_at: int | None = None) -> bool:
        """See the port."""
        latches = _latches(self.database, scope)
        if latch_id not in latches or set_at not in {None, latches[latch_id].set_at}:
            return False
        del latches[latch_id]
        return True

    @reading
    def read(self, scopes: Sequence[str]) -> tuple[ControlReading, ...]:
        """See the port."""
        now = self.database.now()
        return tuple(read_scope(self.database, scope, now) for scope in scopes)

    @script
    def request_teardown(self, request: TeardownRequest) -> None:
        """See the port."""
        _teardowns(self.database).setdefault((request.scope, request.uid), request)

    @script
    def withdraw_teardown(self, scope: str, uid: str) -> None:
        """See the port."""
        _teardowns(self.database).pop((scope, uid), None)

    @reading
    def teardowns(self) -> tuple[TeardownRequest, ...]:
        """See the port."""
        found = _teardowns(self.database).values()
        return tuple(sorted(found, key=lambda item: (item.requested_at, item.scope, item.uid)))

    @script
    def request_clears(self, scope: str, latch_ids: Collection[str], asked_at: int) -> None:
        """See the port."""
        known = _clears(self.database, scope)
        for key in [key for key in known if key[0] == scope and key[1] not in latch_ids]:
            del known[key]
        for latch_id in latch_ids:
            request = ClearRequest(scope=scope, latch_id=latch_id, asked_at=asked_at)
            known.setdefault((scope, latch_id), request)

    @reading
    def clear_requests(self, scopes: Sequence[str]) -> tuple[ClearRequest, ...]:
        """See the port."""
        found = {key: item for scope in scopes for key, item in _clears(self.database, scope).items()}
        wanted = frozenset(scopes)
        return tuple(item for (scope, _), item in sorted(found.items()) if scope in wanted)

    @script
    def end_clear(self, request: ClearRequest, outcome: str) -> None:
        """See the port."""
        known = _clears(self.database, request.scope)
        key = (request.scope, request.latch_id)
        if known.get(key) == request:
            known[key] = replace(request, outcome=outcome)
