"""The trading states that the manifests ask for, in Redis: at once after a change, and renewed after fresh reads.

A key lives for `controlTtlSeconds`. It is renewed only after the API server itself, not a watch, has shown what the
manifest says now: a stalled watch or an API that is gone first keeps, then stops, trading. What can't be read is
Halted. Latches are none of ours: risk clears those that a manifest names, and we ask it to.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.resources import DeletionPolicy
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import ControlReading, TeardownRequest
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import TransientError, UnknownOutcomeError
from alpha_panda.ports import ControlStore
from alpha_panda_operator.clock import Clock
from alpha_panda_operator.loop import apart
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import BROKER_ACCOUNT, STRATEGY, Key
from alpha_panda_operator.view import ResourceView

log = structlog.get_logger()

AT_ONCE: Final = 16
"""Keys that are written at a time: half of the connections that the client may have."""

_WRITTEN_WITHIN: Final = 1.0
"""The API server notes whole seconds, cut off."""

PLATFORM_STATE: Final = "tradingState"
"""Key of the platform's ConfigMap."""


def scope_of(key: Key) -> str:
    """Return the control scope of an account or a strategy."""
    return account_scope(key.name) if key.kind == BROKER_ACCOUNT else strategy_scope(key.name)


def state_of(view: ResourceView, *, in_use: bool = False) -> TradingState:
    """Return what a resource's trading state shall be.

    A deleted strategy is Halted; under Flatten it is Reducing, whatever it was, so that risk can close it. A deleted
    account is at most Reducing while strategies are left on it (`in_use`), then Halted.
    """
    if not view.deleting:
        return view.trading_state
    if view.key.kind == STRATEGY:
        return (
            TradingState.REDUCING if view.deletion_policy is DeletionPolicy.FLATTEN else TradingState.HALTED
        )
    return TradingState.strictest(
        view.trading_state, TradingState.REDUCING if in_use else TradingState.HALTED
    )


def platform_state(config_map: Mapping[str, Any] | None) -> TradingState:
    """Return the platform's state: what its ConfigMap says; what is missing or no state is Halted."""
    told = ((config_map or {}).get("data") or {}).get(PLATFORM_STATE)
    text = told.strip() if isinstance(told, str) else ""
    return TradingState(text) if text in set(TradingState) else TradingState.HALTED


@dataclass(slots=True)
class _Scope:
    """What has been written for one resource."""

    uid: str
    state: TradingState | None = None
    since: float = 0.0
    clears: tuple[str, ...] | None = None
    problem: str = ""


@dataclass(slots=True)
class ControlDesk:
    """Writes control keys. `store` gives a namespace's; `in_use` says whether strategies are left on an account."""

    store: Callable[[str], ControlStore]
    clock: Clock
    metrics: Metrics
    ttl: float
    in_use: Callable[[ResourceView], bool]
    forbidden: Callable[[str], bool] = lambda _: False
    """Whether a namespace's keys belong to another installation: nothing is written there."""
    latest: Callable[[ResourceView], ResourceView | None] = lambda view: view
    """Gives a resource as it is known now, None if it is gone: a halt may come in while others are written."""
    may_write: Callable[[], None] = lambda: None
    """Raises if this replica does not lead any more: who thaws must not write over what the next leader has."""
    platform: TradingState = TradingState.HALTED
    platform_known: bool = False
    """Whether it has been written at all: that needs a namespace with something in it."""
    readings: dict[str, dict[str, ControlReading]] = field(default_factory=dict)
    """What binds, by namespace and scope, as last read."""
    renewed_at: float = field(init=False)
    """When all states were last written (monotonic); before that, when this replica began to lead."""
    _written: dict[Key, _Scope] = field(default_factory=dict)
    _locks: weakref.WeakValueDictionary[Key, asyncio.Lock] = field(
        default_factory=weakref.WeakValueDictionary
    )
    """One write of a scope at a time: what is written last is what was known last."""
    _platform_problem: str = ""

    def __post_init__(self) -> None:
        """From now on a store that does not answer is told by the age of the last renewal."""
        self.renewed_at = self.clock.monotonic()

    async def publish(self, view: ResourceView) -> None:
        """Write one resource's state, and what else its manifest asks of risk; a failure is kept and told.

        Raises:
            ProcessMustExitError: this replica may not write any more.

        """
        if view.key.kind not in (BROKER_ACCOUNT, STRATEGY) or self.forbidden(view.key.namespace):
            return
        async with self._locks.setdefault(view.key, asyncio.Lock()):
            now = self.latest(view)
            if now is not None:
                await self._publish(now)

    async def _publish(self, view: ResourceView) -> None:
        self.may_write()
        scope = self._scope(view)
        try:
            await self._write(view, scope)
        except (TransientError, UnknownOutcomeError) as error:
            if not scope.problem:
                log.warning("trading state not written", resource=str(view.key), error=str(error))
            scope.problem = str(error)
            self.metrics.control_writes.labels("failed").inc()
        else:
            scope.problem = ""
            self.metrics.control_writes.labels("written").inc()

    async def renew(self, views: Iterable[ResourceView]) -> None:
        """Write all states of resources, as a fresh read has shown them, or what has been heard of them since."""
        shown = list(views)
        await _all([lambda view=view: apart(view.key, lambda: self.publish(view)) for view in shown])  # type: ignore[misc]
        if not self._platform_problem and not any(self.problem(view.key) for view in shown):
            self.renewed_at = self.clock.monotonic()

    async def publish_platform(self, state: TradingState, namespaces: Iterable[str]) -> None:
        """Write the platform's state. One key serves all namespaces of an installation; any store can write it."""
        if state is not self.platform:
            log.info("the platform's trading state changes", before=self.platform.value, now=state.value)
        self.platform = state
        namespace = next(iter(namespaces), None)
        if namespace is None:
            return
        self.may_write()
        self.platform_known = True
        try:
            await self.store(namespace).put_spec(PLATFORM, state, self.ttl)
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("the platform's trading state was not written", error=str(error))
            self._platform_problem = str(error)
        else:
            self._platform_problem = ""

    async def read(self, namespace: str, views: Iterable[ResourceView]) -> None:
        """Read what binds the namespace's scopes: specs and latches as they are in Redis."""
        scopes = [PLATFORM, *(scope_of(view.key) for view in views)]
        try:
            found = await self.store(namespace).read(scopes)
        except TransientError as error:
            log.warning("latches can't be read", namespace=namespace, error=str(error))
            self.readings.pop(namespace, None)
        else:
            self.readings[namespace] = {reading.scope: reading for reading in found}

    async def drop(self, view: ResourceView) -> None:
        """Forget a resource that goes: its scope is Halted from now on."""
        if view.key.kind not in (BROKER_ACCOUNT, STRATEGY) or self.forbidden(view.key.namespace):
            return
        async with self._locks.setdefault(view.key, asyncio.Lock()):
            known = self._written.get(view.key)
            if known is None or known.uid == view.uid:  # not what another one of its name has by now
                self._written.pop(view.key, None)
                self.may_write()
                await self._drop(view)

    async def _drop(self, view: ResourceView) -> None:
        store = self.store(view.key.namespace)
        try:
            await store.drop_spec(scope_of(view.key))
            await store.request_clears(scope_of(view.key), (), nanoseconds(self.clock.now()))
            await store.withdraw_teardown(scope_of(view.key), view.uid)
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("a control key was left to run out", resource=str(view.key), error=str(error))

    def problem(self, key: Key) -> str | None:
        """Return why a resource's state could not be written last; empty: it was; None: not tried yet."""
        scope = self._written.get(key)
        return None if scope is None else scope.problem or self._platform_problem

    def tightened_at(self, view: ResourceView) -> float | None:
        """Return since when (UTC seconds) what is written is what the resource's deletion asks for; None: not yet."""
        scope = self._written.get(view.key)
        if scope is None or scope.uid != view.uid or scope.problem:
            return None
        return scope.since if scope.state is state_of(view, in_use=self.in_use(view)) else None

    def _scope(self, view: ResourceView) -> _Scope:
        known = self._written.get(view.key)
        if known is None or known.uid != view.uid:
            known = self._written[view.key] = _Scope(view.uid)
        return known

    async def _write(self, view: ResourceView, scope: _Scope) -> None:
        store, state = self.store(view.key.namespace), state_of(view, in_use=self.in_use(view))
        await store.put_spec(scope_of(view.key), state, self.ttl)
        if state is not scope.state:
            scope.state, scope.since = state, self.clock.now()
        # Repeated while they are asked for: a store that comes back may have forgotten them, and one that has not is unmoved.
        if view.clear_latch or view.clear_latch != scope.clears:
            await store.request_clears(scope_of(view.key), view.clear_latch, self._asked_at(view))
            scope.clears = view.clear_latch
        if view.key.kind == STRATEGY and view.deleting:
            await store.request_teardown(self._teardown(view))

    def _asked_at(self, view: ResourceView) -> int:
        """Return when the manifest has asked for what it asks for at the latest (UTC ns): what was latched later stands.

        Not when we first saw it: to a restarted operator and a store that has lost its memory an old manifest is new,
        and ids of losses come again within a day.
        """
        now = self.clock.now()
        return nanoseconds(now if view.written_at is None else min(now, view.written_at + _WRITTEN_WITHIN))

    def _teardown(self, view: ResourceView) -> TeardownRequest:
        return TeardownRequest(
            scope=scope_of(view.key),
            uid=view.uid,
            policy=view.deletion_policy.value,
            requested_at=nanoseconds(self.clock.now()),
        )


async def _all(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Make all calls, some at a time.

    Raises:
        ProcessMustExitError: the first of those that `apart` lets through, by itself: no group hides it.

    """
    waiting = iter(list(calls))

    async def work() -> None:
        for call in waiting:
            await call()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
