"""Whether a service lives and whether it is ready: what probes ask, and the reasons for a no.

Ready: running, reading, its stores answer, its clock agrees with theirs, and what the service itself needs is there.
Alive: no task of it has been at one piece of work for longer than the settings allow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from alpha_panda.contracts.units import MS_NS
from alpha_panda.errors import AlphaPandaError, TransientError
from alpha_panda.ports import Clock

log = structlog.get_logger()

Probe = Callable[[], Awaitable[int | None]]
"""Asks a dependency for a sign of life: its time in UTC ns, None where it has none."""

Need = Callable[[], Coroutine[None, None, str | None]]
"""Says in words what a service still lacks; None: nothing."""

NOT_YET: Final = "not asked yet"
SILENT: Final = "no answer, see the log"
FAILS: Final = "fails, see the log"
"""Instead of an error's own words, which may name users and addresses."""


@dataclass(frozen=True, slots=True)
class ClockTerms:
    """How far a clock may be off (ms), and how long one probe may take (seconds)."""

    max_skew_ms: int
    timeout_seconds: float


class HealthChecks:
    """Asks stores and needs in turn, and keeps what each lacked at the last turn."""

    def __init__(
        self, clock: Clock, terms: ClockTerms, probes: Mapping[str, Probe], needs: Mapping[str, Need]
    ) -> None:
        self._clock = clock
        self._terms = terms
        self._probes = probes
        self._needs = needs
        self._lacking: dict[str, str | None] = dict.fromkeys([*probes, *needs], NOT_YET)
        self._shown = dict(self._lacking)
        self._offsets: dict[str, float] = {}

    @property
    def clock_offset_ms(self) -> float | None:
        """How far the clock of a store is ahead of this machine's, in ms: of those that answered last the furthest off."""
        return max(self._offsets.values(), key=abs, default=None)

    def reasons(self) -> list[str]:
        """Return what is lacking, a line each; errors in general words, since anyone may ask. The log has them in full."""
        return _lines(self._shown)

    async def ask(self) -> None:
        """Ask all once; each by itself, so that one that hangs hides nothing of the others."""
        before = _lines(self._lacking)
        asked = {name: self._sign_of_life(name, probe) for name, probe in self._probes.items()}
        asked |= {name: need() for name, need in self._needs.items()}
        answers = await asyncio.gather(*(self._bounded(asking) for asking in asked.values()))
        for name, (shown, full) in zip(asked, answers, strict=True):
            self._shown[name], self._lacking[name] = shown, full
        if _lines(self._lacking) != before:
            log.info("readiness changed", lacking=_lines(self._lacking))

    async def _bounded(self, asking: Awaitable[str | None]) -> tuple[str | None, str | None]:
        """Return what is lacking, as anyone may know it and in full."""
        try:
            async with asyncio.timeout(self._terms.timeout_seconds):
                answer = await asking
        except TimeoutError:
            answer = f"no answer in {self._terms.timeout_seconds:g} s"
        except TransientError as error:
            return SILENT, str(error)
        except AlphaPandaError as error:
            return FAILS, str(error)
        return answer, answer

    async def _sign_of_life(self, name: str, probe: Probe) -> str | None:
        began = self._clock.now()
        try:
            theirs = await probe()
        except BaseException:  # an answer that did not come in time among them: what was is not what is
            self._offsets.pop(name, None)
            raise
        if theirs is None:
            return None
        # Its answer is from between question and answer: half the round trip is the uncertainty.
        ended = self._clock.now()
        offset = (theirs - (began + ended) // 2) / MS_NS
        self._offsets[name] = offset
        if abs(offset) - (ended - began) / 2 / MS_NS > self._terms.max_skew_ms:
            return f"the clock here is {-offset:+.0f} ms off; {self._terms.max_skew_ms} are allowed"
        return None


def _lines(lacking: Mapping[str, str | None]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in lacking.items() if reason is not None]
