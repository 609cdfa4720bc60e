"""What the runtime counts of every service, whatever it does."""

from collections.abc import Iterable, Mapping
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
from alpha_panda.runtime.breaker import BreakerState
from alpha_panda.runtime.dead_letter import REASONS, failure_code

from .catalogue import BREAKER_STATE, DEAD_LETTERS, ERRORS, RETRIES
from .metrics import Metrics, Reading

NONE: Final = "none"
"""Value of `dependency` where an error names none."""

_BREAKER: Final[Mapping[str, int]] = {
    BreakerState.CLOSED.value: 0,
    BreakerState.HALF_OPEN.value: 1,
    BreakerState.OPEN.value: 2,
}


class ServiceMetrics:
    """The figures that are the same for all services. Nothing here is on the way of a record that goes well."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        self.service = service
        self._metrics = metrics
        self._metrics.counter(ERRORS, service=service, reason=Code.INTERNAL_ERROR.value)

    def expect(self, topics: Iterable[str]) -> None:
        """Begin the counters of dead letters at 0, so that the first one is seen to be an increase."""
        for topic in topics:
            for code in REASONS:
                self._letters(topic, code, 0)

    def failed(self, error: BaseException | None = None, count: int = 1) -> None:
        """Count failed attempts; what is not said counts as INTERNAL_ERROR."""
        self._metrics.counter(ERRORS, service=self.service, reason=_reason(error).value).inc(count)

    def retried(self, error: BaseException) -> None:
        """Count an attempt that is made again because of `error`."""
        dependency = error.dependency if isinstance(error, DependencyUnavailableError) else NONE
        self._metrics.counter(RETRIES, service=self.service, dependency=dependency).inc()

    def dead_lettered(self, topic: str, code: Code) -> None:
        """Count a record of `topic` that was set aside."""
        self._letters(topic, code, 1)

    def _letters(self, topic: str, code: Code, count: int) -> None:
        counter = self._metrics.counter(DEAD_LETTERS, service=self.service, topic=topic, reason=code.value)
        counter.inc(count)

    # -------------------------------------------------------------------------------------------- at a scrape

    def breakers(self, states: Mapping[str, str]) -> Iterable[Reading]:
        """Return how the breakers stand."""
        for dependency, state in states.items():
            yield Reading(BREAKER_STATE, (self.service, dependency), _BREAKER[state])


def _reason(error: BaseException | None) -> Code:
    if isinstance(error, UnknownOutcomeError):  # no reply came: nobody's fault but the dependency's
        return Code.DEPENDENCY_UNAVAILABLE
    return failure_code(error) if isinstance(error, Exception) else Code.INTERNAL_ERROR
