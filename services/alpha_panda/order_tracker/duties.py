"""Several duties in one turn: one that fails keeps no other from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from alpha_panda.errors import ProcessMustExitError, RecordError, TransientError

log = structlog.get_logger()

Duty = Callable[[], Awaitable[None]]


async def in_turn(duties: Mapping[str, Duty]) -> None:
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
            log.warning("duty_failed", duty=name, error=repr(error))
            errors.append(error)
    raise_worst(errors)


def raise_worst(errors: Sequence[Exception]) -> None:
    """Raise the error that asks for most: the process's end, then what nobody foresaw, then what passes by itself."""
    if errors:
        raise max(errors, key=_gravity)


def _gravity(error: Exception) -> int:
    if isinstance(error, ProcessMustExitError):
        return 2
    return 0 if isinstance(error, (TransientError, RecordError)) else 1
