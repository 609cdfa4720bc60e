"""What one check says, and the frame that runs it: named, with what it needs, and failing closed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.events import CheckResult
from alpha_panda.domain.exact import is_whole, tidy
from alpha_panda.domain.risk.case import Case, ScopeCase


class Outcome(NamedTuple):
    """A check's word: no code, it passed. `value` and `limit` are the numbers it compared."""

    code: Code | None = None
    message: str = ""
    value: str = ""
    limit: str = ""


PASSED = Outcome()

CheckFunction = Callable[[Case], Outcome | None]
"""None: nothing to check here, e.g. no limit is set; such a check is not listed."""
ScopedFunction = Callable[[Case, ScopeCase], Outcome | None]


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name. `needs`: the checks without whose passing it has nothing to work on.

    `reducing`: it binds reducing orders too. Anything that could trap a position must not.
    """

    name: str
    function: CheckFunction
    needs: tuple[str, ...] = ()
    reducing: bool = False

    def run(self, case: Case, failed: Collection[str]) -> CheckResult | None:
        """Return the result; one without code for what could not be run, INTERNAL_ERROR for what raised."""
        if failed and (lacking := [need for need in self.needs if need in failed]):
            return CheckResult(self.name, passed=False, message=f"not run: needs {', '.join(lacking)}")
        try:
            outcome = self.function(case)
        except Exception as error:  # noqa: BLE001 - fail closed: whatever goes wrong in a check refuses the order
            outcome = Outcome(Code.INTERNAL_ERROR, f"the check raised {error!r}")
        if outcome is None:
            return None
        code, message, value, limit = outcome
        return CheckResult(self.name, code is None, code, message, value, limit)


def scoped(name: str, function: ScopedFunction, needs: tuple[str, ...] = ()) -> tuple[Check, Check]:
    """Return the same check for the strategy's own limits and for the account's."""
    return (
        Check(f"strategy.{name}", lambda case: function(case, case.strategy), needs),
        Check(f"account.{name}", lambda case: function(case, case.account), needs),
    )


def refused(code: Code, message: str, value: object = "", limit: object = "") -> Outcome:
    """Return a failed outcome."""
    return Outcome(code, message, text(value), text(limit))


def passed(value: object = "", limit: object = "") -> Outcome:
    """Return a passed outcome with its numbers."""
    return Outcome(value=text(value), limit=text(limit))


def at_most(code: Code, what: str, value: Decimal | int, limit: Decimal | int | None) -> Outcome | None:
    """Compare a number with its limit; None if there is no limit. The limit itself is allowed."""
    if limit is None:
        return None
    if value <= limit:
        return passed(value, limit)
    return refused(code, f"{what} {text(value)} exceeds {text(limit)}", value, limit)


def text(value: object) -> str:
    """Return a number as people write it, without exponent."""
    if not isinstance(value, Decimal):
        return str(value)
    plain = tidy(value)
    return str(plain) if is_whole(plain) else f"{plain:f}"  # `str`, the faster one, may write an exponent
