"""Halting and resuming by hand: latches in Redis, where they act at once, and in Kafka, where they last.

Setting: Redis first, so that nothing but Redis is needed to halt. Clearing: Kafka first, so that nothing is released
that a loss of Redis would halt again, and so that a clearing that failed half-way can be repeated.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import ControlReading, Latch
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import (
    AlphaPandaError,
    DependencyUnavailableError,
    ProcessMustExitError,
    TopicMismatchError,
    TransientError,
    UnknownOutcomeError,
    UserInputError,
)
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.control_topics import Keepers
from alpha_panda.runtime.retry import RetryPolicies, retrying
from alpha_panda.runtime.settings import Settings

from .installation import BUS, STORE, bounded

T = TypeVar("T")

_ID_DIGITS: Final = 6
"""Random hex digits of a latch's id beside its second: two people may halt at once, and one may have to type it."""

_RISK: Final = "risk"
_STANDING: Final = {Code.DAILY_LOSS: "maxDailyLoss", Code.DRAWDOWN: "maxDrawdown"}
"""Codes of risk's latches whose cause may outlast the latch, with the limits that say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """What came of halting one scope. `kept_in`: the control topics that have the latch; `complete`: all is well."""

    latch: Latch
    in_force: bool
    kept_in: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the latch acts, and would survive a loss of Redis."""
        return self.in_force and not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What came of clearing latches: those that are gone, and what binds the scope now."""

    cleared: tuple[Latch, ...]
    reading: ControlReading
    notes: tuple[str, ...]


class ControlRoom:
    """A person's hand on the trading states. `by` is who they are."""

    def __init__(self, ports: Ports, settings: Settings, by: str) -> None:
        self._control = ports.control
        self._bus = ports.bus
        self._clock = ports.clock
        self._ids = ports.ids
        self._keepers = Keepers(ports.bus, settings.topic_prefix, settings.installation)
        self._seconds = settings.command_timeout_seconds
        self._policies = RetryPolicies.from_settings(settings)
        self._by = by

    async def reading(self, scope: str) -> ControlReading:
        """Return a scope's state and latches."""
        (found,) = await self._stored(lambda: self._control.read((scope,)))
        return found

    # ---------------------------------------------------------------------------------------------- halt

    async def halt(
        self,
        scopes: Sequence[str],
        state: TradingState,
        reason: str,
        *,
        latch_id: str = "",
        on_force: Callable[[Latch], None] = lambda _: None,
    ) -> list[Halt]:
        """Set one latch a scope, in Redis at once and then in Kafka; never raises for what either does.

        Args:
            scopes: of `contracts.scopes`.
            state: HALTED or REDUCING.
            reason: for whoever reads it later.
            latch_id: of a latch to be set or told again, where an earlier attempt succeeded by half; the same id
                again changes nothing in Redis.
            on_force: is told each latch that Redis has, before Kafka is asked, which may take its time.

        """
        wanted = [self._latch(scope, state, reason, latch_id or self._new_id()) for scope in scopes]
        acting = await asyncio.gather(*(self._set(latch) for latch in wanted))
        for latch, setting in acting:
            if setting.in_force:
                on_force(latch)
        told = await self._tell_all([latch for latch, _ in acting])
        # Once more, now that the topic has it: had the store come back without its memory in between, whoever puts
        # latches back may have read the topic too early (tests/models: halt_sets_again).
        acting = [
            (latch, setting.and_then((await self._set(latch))[1]) if kept else setting)
            for (latch, setting), (kept, _) in zip(acting, told, strict=True)
        ]
        return [
            Halt(
                latch=latch,
                in_force=setting.in_force,
                kept_in=kept,
                problems=(*setting.problems, *problems),
            )
            for (latch, setting), (kept, problems) in zip(acting, told, strict=True)
        ]

    def _latch(self, scope: str, state: TradingState, reason: str, latch_id: str) -> Latch:
        return Latch(
            latch_id=latch_id,
            scope=scope,
            state=state,
            reason=reason,
            set_by=self._by,
            set_at=self._clock.now(),
        )

    def _new_id(self) -> str:
        second = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.now() // SECOND_NS))
        return f"by-hand-{second}-{self._ids.new_id()[:_ID_DIGITS]}"

    async def _set(self, latch: Latch) -> tuple[Latch, "_Setting"]:
        """Set the latch; return the stored one (that of its id which was there before, if any)."""
        try:
            await self._stored(lambda: self._control.set_latch(latch))
        except (TransientError, ProcessMustExitError) as error:
            return latch, _Setting(
                in_force=False, problems=(f"NOT in force: {error}. Repeat it until it is.",)
            )
        try:
            reading = await self.reading(latch.scope)
        except (TransientError, ProcessMustExitError) as error:
            return latch, _Setting(problems=(f"set, but Redis could not be asked what binds now: {error}",))
        found = next((item for item in reading.latches if item.latch_id == latch.latch_id), latch)
        return found, _Setting(problems=tuple(_doubts(latch, found, reading)))

    async def _tell_all(self, latches: Sequence[Latch]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Tell each latch to its topics; return which have it, and what went wrong."""
        try:
            accounts = await self._accounts(latches)
        except (TransientError, ProcessMustExitError, TopicMismatchError) as error:
            return [((), (_not_kept(latch, error),)) for latch in latches]
        return [await self._tell(latch, accounts) for latch in latches]

    async def _tell(self, latch: Latch, accounts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        targets = self._keepers.of(latch.scope, accounts)
        if not targets:
            known = ", ".join(accounts) or "none"
            return (), (f"not kept in Kafka: no control topic is {latch.scope}'s (accounts: {known})",)
        try:
            await self._send([keeper.told(latch) for keeper in targets])
        except (TransientError, ProcessMustExitError) as error:
            return (), (_not_kept(latch, error),)
        return tuple(keeper.topic for keeper in targets), ()

    # -------------------------------------------------------------------------------------------- resume

    async def resume(self, scope: str, latch_ids: Sequence[str], reason: str) -> Resumption:
        """Clear these latches of a scope; the trading state that its manifest asks for is left alone.

        A latch of the same id that somebody sets meanwhile stands, and shows in the reading.

        Raises:
            UserInputError: the scope has no latch of such an id; nothing was done.
            DependencyUnavailableError: says what stands.

        """
        latches = _named(await self.reading(scope), latch_ids)
        await self._forget(latches, reason)
        for latch in latches:
            await self._clear(latch)
        reading = await self.reading(scope)
        notes = [*map(standing_cause, latches), *await self._tell_again(reading, latch_ids)]
        return Resumption(
            cleared=latches, reading=reading, notes=tuple(dict.fromkeys(note for note in notes if note))
        )

    async def _tell_again(self, reading: ControlReading, latch_ids: Sequence[str]) -> list[str]:
        """Tell Kafka once more of latches that were set anew under these ids: their end may have come after that."""
        again = [latch for latch in reading.latches if latch.latch_id in latch_ids]
        told = await self._tell_all(again) if again else []
        stands = [f"{latch.latch_id} was set anew meanwhile, by {latch.set_by}: it stands" for latch in again]
        return [*stands, *(problem for _, problems in told for problem in problems)]

    async def _forget(self, latches: Sequence[Latch], reason: str) -> None:
        """Tell Kafka, so that a loss of Redis does not bring the latches back."""
        now = self._clock.now()
        try:
            accounts = await self._accounts(latches)
            await self._send(
                [
                    keeper.cleared(latch, reason=reason, by=self._by, now=now)
                    for latch in latches
                    for keeper in self._keepers.of(latch.scope, accounts)
                ]
            )
        except (TransientError, UnknownOutcomeError, TopicMismatchError) as error:
            raise DependencyUnavailableError(
                BUS, f"nothing was cleared, the latches stand: {error}; repeat it when Kafka is back"
            ) from error

    async def _clear(self, latch: Latch) -> None:
        try:
            await self._stored(
                lambda: self._control.clear_latch(latch.scope, latch.latch_id, set_at=latch.set_at)
            )
        except (TransientError, UnknownOutcomeError) as error:
            raise DependencyUnavailableError(
                STORE,
                f"{latch.latch_id} of {latch.scope} is cleared in Kafka, but may still stand in Redis: {error}; "
                "repeat it: `alpha-panda resume` shows what stands",
            ) from error

    # --------------------------------------------------------------------------------------- both stores

    async def _accounts(self, latches: Sequence[Latch]) -> list[str]:
        scopes = dict.fromkeys(latch.scope for latch in latches)
        return await bounded(BUS, self._seconds, self._keepers.accounts(*scopes))

    async def _send(self, records: Sequence[Outgoing]) -> None:
        if records:
            await bounded(BUS, self._seconds, self._produce(records))

    async def _produce(self, records: Sequence[Outgoing]) -> None:
        async with self._bus.producer("alpha-panda-control") as producer:
            await producer.send(records)

    async def _stored(self, action: Callable[[], Awaitable[T]]) -> T:
        """Run an operation that may be repeated: whether a lost reply hid a success makes no difference."""

        async def attempt() -> T:
            try:
                return await action()
            except UnknownOutcomeError as error:
                raise DependencyUnavailableError(STORE, str(error)) from error

        work = retrying(self._clock, self._policies, attempt, seed=self._by)
        return await bounded(STORE, self._seconds, work)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What Redis said to a latch."""

    in_force: bool = True
    problems: tuple[str, ...] = ()

    def and_then(self, later: "_Setting") -> "_Setting":
        """Return what it said to the same latch twice."""
        problems = tuple(dict.fromkeys((*self.problems, *later.problems)))
        return _Setting(in_force=later.in_force, problems=problems)


def _doubts(latch: Latch, found: Latch, reading: ControlReading) -> list[str]:
    """Return what may not be as the person thinks."""
    doubts = []
    if found.state is not latch.state:
        doubts.append(
            f"{latch.latch_id} was set as {found.state} at an earlier time and stays so; to have {latch.state}, "
            "leave --latch out"
        )
    if reading.spec is None:
        doubts.append(
            f"nobody has ever written a trading state of {latch.scope}: is the name right? (the latch stands)"
        )
    return doubts


def _not_kept(latch: Latch, error: AlphaPandaError) -> str:
    return (
        f"not kept in Kafka: {error}. Should Redis lose its memory the latch is gone; repeat the command with "
        f"--latch {latch.latch_id} when Kafka is back"
    )


def _named(reading: ControlReading, latch_ids: Sequence[str]) -> tuple[Latch, ...]:
    """Return the latches of these ids, once each."""
    latches = {latch.latch_id: latch for latch in reading.latches}
    missing = [latch_id for latch_id in latch_ids if latch_id not in latches]
    if missing:
        there = ", ".join(latches) or "none"
        raise UserInputError(
            f"{reading.scope} has no latch {', '.join(missing)}; nothing was cleared; it has: {there}"
        )
    return tuple(latches[latch_id] for latch_id in dict.fromkeys(latch_ids))


def standing_cause(latch: Latch) -> str:
    """Return what to know before or after clearing the latch; "" if nothing."""
    for code, limit in _STANDING.items():
        if latch.set_by == _RISK and latch.latch_id.startswith(code.value.lower().replace("_", "-")):
            return (
                f"{latch.latch_id}: while the loss stands, risk sets this latch again at its next mark, and refuses "
                f"increasing orders with {code}; to trade on today, first raise {limit} in the manifest"
            )
    return ""
