"""What risk makes of the order-tracker's word on a live account: may it trade, on what, and with how much of the cash."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from alpha_panda.contracts.resources import BrokerAccount
from alpha_panda.contracts.stored import BrokerFacts, InstrumentDifference
from alpha_panda.domain.risk.limits import AccountLimits

from .reserve import Reserve

NOT_TOLD = "the order-tracker has not compared the account with its broker yet"
ANOTHER_DAY = "the account has not been compared with its broker on this trading day yet"
ANOTHER_EPOCH = "the store came back; the account has not been compared with its broker since"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the facts come to for one signal. Without facts of a broker that keeps no positions: all is well."""

    reconciled: bool = True
    problem: str = ""
    lately: bool = True
    difference: InstrumentDifference | None = None
    unjudged: bool = False
    token_valid: bool = True


def wanted(account: BrokerAccount) -> bool:
    """Whether the account's broker keeps positions and money, so that nothing is known before they were compared."""
    return account.spec.paper is None and account.spec.zerodha is not None


def standing(  # noqa: PLR0913 - the facts, and what they are judged by
    facts: BrokerFacts | None, *, wants: bool, epoch: str, day: str, token: int, now: int, stale_after: int
) -> Standing:
    """Return how the account stands on an instrument's token. `wants`: without facts it does not trade."""
    if facts is None:
        return Standing(reconciled=False, problem=NOT_TOLD) if wants else Standing()
    problem = _problem(facts, epoch, day)
    until = facts.token_valid_until
    return Standing(
        reconciled=not problem,
        problem=problem,
        lately=now - facts.compared_at <= stale_after,
        difference=next((item for item in facts.differences if item.instrument_token == token), None),
        unjudged=token in facts.unjudged,
        token_valid=until is None or now < until,
    )


def _problem(facts: BrokerFacts, epoch: str, day: str) -> str:
    if not facts.reconciled:
        return facts.problem or NOT_TOLD
    if facts.journal_epoch != epoch:
        return ANOTHER_EPOCH
    return "" if facts.trading_day == day else ANOTHER_DAY


def cash_left(
    facts: BrokerFacts | None,
    reserve: Reserve,
    limits: AccountLimits,
    is_placed: Callable[[str], bool],
) -> Decimal | None:
    """Return the broker's cash less what was decided since; None where the broker tells none."""
    if facts is None or facts.cash is None:
        return None
    return reserve.left(facts.cash, facts.cash_at, limits, is_placed)
