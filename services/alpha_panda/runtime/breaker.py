"""Circuit breaker: stop asking a dependency that keeps failing, and ask it one thing at a time to see if it is back.

It is never wrapped around a broker call. A breaker exists to make an attempt cheap to refuse and to repeat it
later; an order is neither: what GO permits is sent at once or never (DESIGN section 4), and the broker's failures
are outcomes in the journal.
"""

from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import TypeVar

import structlog

from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import BreakerOpenError, DependencyUnavailableError
from alpha_panda.ports import Clock

T = TypeVar("T")

log = structlog.get_logger()


class BreakerState(StrEnum):
    """CLOSED: all pass. OPEN: none pass. HALF_OPEN: one probe is under way, all others wait for its verdict."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one dependency. `failure_threshold` consecutive failures open it for `reset_seconds`."""

    def __init__(self, dependency: str, clock: Clock, failure_threshold: int, reset_seconds: float) -> None:
        self.dependency = dependency
        self._clock = clock
        self._threshold = failure_threshold
        self._reset_ns = nanoseconds(reset_seconds)
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._opened_at = 0

    @property
    def state(self) -> BreakerState:
        """Where it stands."""
        return self._state

    @property
    def shown(self) -> BreakerState:
        """Where it stands, for who watches: open only while it refuses.

        One whose time has passed waits for an attempt, which may be long in coming: whether the dependency is back is
        not known, and nothing is held up.
        """
        return BreakerState.HALF_OPEN if self._state is BreakerState.OPEN and self.ready else self._state

    @property
    def ready(self) -> bool:
        """Whether `allow` would say yes."""
        if self._state is BreakerState.OPEN:
            return self._clock.monotonic() - self._opened_at >= self._reset_ns
        return self._state is BreakerState.CLOSED

    def allow(self) -> bool:
        """Whether an attempt may be made; a yes while OPEN is the probe and must be followed by a verdict.

        The verdict is one of `succeeded`, `failed` and `abandoned`.
        """
        if not self.ready:
            return False
        if self._state is BreakerState.OPEN:
            self._state = BreakerState.HALF_OPEN
        return True

    def wait_seconds(self) -> float:
        """Return how long to wait before asking `allow` again; 0 when it would say yes."""
        if self.ready:
            return 0.0
        if self._state is BreakerState.HALF_OPEN:
            return self._reset_ns / SECOND_NS
        return (self._opened_at + self._reset_ns - self._clock.monotonic()) / SECOND_NS

    def succeeded(self) -> None:
        """Count a success: the failures in a row are forgotten, and a probe closes the breaker.

        While OPEN it is a late answer to an attempt from before; only a probe closes.
        """
        if self._state is BreakerState.OPEN:
            return
        if self._state is BreakerState.HALF_OPEN:
            log.info("circuit breaker closed", dependency=self.dependency)
        self._state = BreakerState.CLOSED
        self._failures = 0

    def failed(self) -> None:
        """Count a failure; the threshold's one in a row, or a probe's, opens the breaker for the whole time."""
        if self._state is BreakerState.OPEN:
            return
        self._failures += 1
        if self._failures >= self._threshold:  # a probe's failure too: only a success sets the count back
            self._open()

    def abandoned(self) -> None:
        """Take back a probe that ended without telling anything of the dependency; the next one may come at once."""
        if self._state is BreakerState.HALF_OPEN:
            self._state = BreakerState.OPEN

    def _open(self) -> None:
        self._state = BreakerState.OPEN
        self._opened_at = self._clock.monotonic()
        log.warning("circuit breaker opened", dependency=self.dependency, failures=self._failures)

    async def call(self, action: Callable[[], Awaitable[T]]) -> T:
        """Run `action` behind the breaker.

        Raises:
            BreakerOpenError: not asked.
            DependencyUnavailableError: as `action` raised it; counted if it names this dependency.

        """
        if not self.allow():
            raise BreakerOpenError(
                self.dependency, f"circuit breaker open for {self.wait_seconds():.1f} s more"
            )
        try:
            result = await action()
        except BaseException as error:
            self.judge(error)
            raise
        self.succeeded()
        return result

    def judge(self, error: BaseException) -> None:
        """Count `error` if this dependency failed; any other error says nothing of it.

        A BreakerOpenError is no failure: the dependency was not asked.
        """
        asked = isinstance(error, DependencyUnavailableError) and not isinstance(error, BreakerOpenError)
        if asked and getattr(error, "dependency", None) == self.dependency:
            self.failed()
        else:
            self.abandoned()


class Breakers:
    """The breakers of one service, one per dependency name, made on first mention."""

    def __init__(self, clock: Clock, failure_threshold: int, reset_seconds: float) -> None:
        self._clock = clock
        self._threshold = failure_threshold
        self._reset_seconds = reset_seconds
        self._breakers: dict[str, Breaker] = {}

    def get(self, dependency: str) -> Breaker:
        """Return the dependency's breaker."""
        if dependency not in self._breakers:
            self._breakers[dependency] = Breaker(
                dependency, self._clock, self._threshold, self._reset_seconds
            )
        return self._breakers[dependency]

    def states(self) -> dict[str, str]:
        """Return what is shown of each by dependency name, sorted."""
        return {name: breaker.shown.value for name, breaker in sorted(self._breakers.items())}


class Circuit:
    """One consumer's view of the breakers: the dependencies that it has seen fail.

    A handler does not say what it used, so its success speaks for all dependencies that it ever failed on.
    """

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers
        self._seen: dict[str, Breaker] = {}

    @property
    def closed(self) -> bool:
        """Whether nothing stands in the way, not even a probe."""
        return all(breaker.state is BreakerState.CLOSED for breaker in self._each())

    def blocking(self) -> list[str]:
        """Return the dependencies whose breakers would refuse now."""
        return [breaker.dependency for breaker in self._each() if not breaker.ready]

    def wait_seconds(self) -> float:
        """Return how long to wait for the last of them."""
        return max((breaker.wait_seconds() for breaker in self._each()), default=0.0)

    def enter(self) -> None:
        """Begin an attempt; only after `blocking` was empty."""
        for breaker in self._each():
            breaker.allow()

    def succeeded(self) -> None:
        """Give the verdict of an attempt that went well."""
        for breaker in self._each():
            breaker.succeeded()

    def failed(self, error: BaseException) -> None:
        """Give the verdict of an attempt that raised `error`."""
        if isinstance(error, DependencyUnavailableError):
            self._seen.setdefault(error.dependency, self._breakers.get(error.dependency))
        for breaker in self._each():
            breaker.judge(error)

    def _each(self) -> Iterable[Breaker]:
        return self._seen.values()


class FreePass(Circuit):
    """The view of what no breaker may hold up: nothing blocks it, and what becomes of it is no verdict on anything.

    Its success says nothing of a dependency that it may not use, and its failure must not use up a probe.
    """

    def failed(self, error: BaseException) -> None:
        """Tell no breaker."""
