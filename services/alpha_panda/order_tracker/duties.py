"""Several duties in one turn: one that fails keeps no other from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import ProcessMustExitError, RecordError, TransientError
from alpha_panda.ports import Clock

log = structlog.get_logger()

Duty = Callable[[], Awaitable[None]]

QUIET: Final = 60 * SECOND_NS
"""Nanoseconds between two words on a duty that keeps failing in the same way: turns come every second, for hours."""


class Duties:
    """Does duties in turn, and says of each when it begins to fail, or fails otherwise, and when it works again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, tuple[type[Exception], int]] = {}

    async def in_turn(self, duties: Mapping[str, Duty]) -> None:
        """Do each duty once, in order; then raise what the service must act on, if anything failed.

        Raises:
            ProcessMustExitError: at once; what is left is the next process's.

        """
        errors: list[Exception] = []
        for name, duty in duties.items():
            try:
                await duty()
            except ProcessMustExitError:
                raise
            except Exception as error:  # noqa: BLE001 - raised when all have had their turn
                self._failed(name, error)
                errors.append(error)
            else:
                self._worked(name)
        raise_worst(errors)

    def _failed(self, name: str, error: Exception) -> None:
        now = self._clock.monotonic()
        before, said_at = self._said.get(name, (None, 0))
        if before is not type(error) or now - said_at >= QUIET:
            self._said[name] = (type(error), now)
            log.warning("duty_failed", duty=name, error=repr(error))

    def _worked(self, name: str) -> None:
        if self._said.pop(name, None) is not None:
            log.info("duty_works_again", duty=name)


def passes(error: Exception) -> bool:
    """Whether the next turn may go better by itself."""
    return isinstance(error, (TransientError, RecordError))


def raise_worst(errors: Sequence[Exception]) -> None:
    """Raise the error that asks for most: the process's end, then what nobody foresaw, then what passes by itself."""
    if errors:
        raise max(errors, key=_gravity)


def _gravity(error: Exception) -> int:
    if isinstance(error, ProcessMustExitError):
        return 2
    return 0 if passes(error) else 1
