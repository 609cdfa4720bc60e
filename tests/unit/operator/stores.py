"""Control and status stores in memory, as the operator opens them."""

from typing import Any

from alpha_panda.contracts.stored import ControlReading, ServiceStatus
from alpha_panda.errors import DependencyUnavailableError


class FakeControl:
    """`ports.ControlStore`, as far as the operator uses it; can be down."""

    def __init__(self) -> None:
        self.specs: dict[str, tuple[Any, float]] = {}
        self.clears: list[tuple[str, tuple[str, ...]]] = []
        self.asked_at: list[int] = []
        self.teardowns: list[Any] = []
        self.withdrawn: list[tuple[str, str]] = []
        self.readings: dict[str, ControlReading] = {}
        self.down = False
        self.writes = 0
        self.owned_by = ""

    async def owner(self, installation: str) -> str:
        self._answer()
        self.owned_by = self.owned_by or installation
        return self.owned_by

    async def disown(self, installation: str) -> None:
        self._answer()
        if self.owned_by == installation:
            self.owned_by = ""

    def _answer(self) -> None:
        if self.down:
            raise DependencyUnavailableError("redis", "no answer")

    async def put_spec(self, scope: str, state: Any, ttl: float) -> None:
        self._answer()
        self.writes += 1
        self.specs[scope] = (state, ttl)

    async def drop_spec(self, scope: str) -> None:
        self._answer()
        self.specs.pop(scope, None)

    async def request_clears(self, scope: str, latch_ids: Any, asked_at: int) -> None:
        self._answer()
        self.clears.append((scope, tuple(latch_ids)))
        self.asked_at.append(asked_at)

    async def request_teardown(self, request: Any) -> None:
        self._answer()
        self.teardowns.append(request)

    async def withdraw_teardown(self, scope: str, uid: str) -> None:
        self._answer()
        self.withdrawn.append((scope, uid))

    async def read(self, scopes: Any) -> tuple[ControlReading, ...]:
        self._answer()
        return tuple(
            ControlReading(
                scope=scope,
                spec=self.specs[scope][0] if scope in self.specs else None,
                expired=False,
                latches=(),
            )
            for scope in scopes
        )


class FakeStatuses:
    """`ports.StatusStore`; can be down."""

    def __init__(self) -> None:
        self.found: list[ServiceStatus] = []
        self.down = False

    async def all(self) -> list[ServiceStatus]:
        if self.down:
            raise DependencyUnavailableError("redis", "no answer")
        return self.found
