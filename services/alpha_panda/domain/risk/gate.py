"""The gate: every check in its order, and what they come to."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import SignalClass, Verdict
from alpha_panda.contracts.events import CheckResult
from alpha_panda.domain.exact import tidy, wide
from alpha_panda.domain.risk import (
    checks_exposure,
    checks_instrument,
    checks_market,
    checks_payload,
    checks_state,
)
from alpha_panda.domain.risk.case import Case
from alpha_panda.domain.risk.facts import CancelFacts, RiskFacts
from alpha_panda.domain.risk.losses import RUNAWAY_STATE, LatchRequest
from alpha_panda.domain.risk.outcome import PASSED, Check, Outcome, refused, scoped

_SCHEMA: Final = ("schema",)
_INSTRUMENT: Final = (*_SCHEMA, "instrument_known")
_PRICE: Final = (*_INSTRUMENT, "price_present")
_RUNAWAY: Final = "runaway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the gate says of a signal. Rejected: `code` and `message` are those of the first failed check.

    `checks`: all that were run, those that could not be (not passed, no code), not those without a limit to check.
    `latches` are to be set whatever the verdict. `reference_price`: what the order is valued at while it is open
    (None: it can't be told, then the signal is rejected).
    """

    verdict: Verdict
    signal_class: SignalClass
    code: Code | None
    message: str
    checks: tuple[CheckResult, ...]
    latches: tuple[LatchRequest, ...] = ()
    reference_price: Decimal | None = None

    @property
    def validated(self) -> bool:
        """Whether the order may go to the engine."""
        return self.verdict is Verdict.VALIDATED


# Prices come before what is valued with them; else the order is that of DESIGN section 5.
CHECKS: Final[tuple[Check, ...]] = (
    Check("schema", checks_payload.schema, reducing=True),
    Check("strategy_accepted", checks_instrument.strategy_accepted, _SCHEMA),
    Check("instrument_known", checks_instrument.instrument_known, _SCHEMA, reducing=True),
    Check("instrument_allowed", checks_instrument.instrument_allowed, _INSTRUMENT),
    Check("instrument_expiry", checks_instrument.instrument_expiry, _INSTRUMENT, reducing=True),
    Check("tick_size", checks_instrument.tick_size, _INSTRUMENT, reducing=True),
    Check("lot_size", checks_instrument.lot_size, _INSTRUMENT, reducing=True),
    Check("freeze_quantity", checks_instrument.freeze_quantity, _INSTRUMENT, reducing=True),
    Check("price_present", checks_market.price_present, _INSTRUMENT, reducing=True),
    Check("price_mode", checks_market.price_mode, _PRICE, reducing=True),
    Check("price_fresh", checks_market.price_fresh, _PRICE, reducing=True),
    Check("signal_age", checks_market.signal_age, reducing=True),
    *scoped("max_order_quantity", checks_exposure.max_order_quantity, _SCHEMA),
    *scoped("max_order_value", checks_exposure.max_order_value, _PRICE),
    *scoped("price_collar", checks_market.price_collar, _PRICE),
    Check("price_band", checks_instrument.price_band, _INSTRUMENT, reducing=True),
    Check("session", checks_market.session, reducing=True),
    Check("order_type", checks_market.order_type, reducing=True),
    Check("validity", checks_market.validity, reducing=True),
    Check("opposite_reduction", checks_exposure.opposite_reduction, _SCHEMA),
    *scoped("max_position", checks_exposure.max_position, _SCHEMA),
    *scoped("max_open_orders", checks_exposure.max_open_orders),
    *scoped("max_open_order_value", checks_exposure.max_open_order_value, _PRICE),
    *scoped("max_gross_exposure", checks_exposure.max_gross_exposure, _PRICE),
    *scoped("max_net_exposure", checks_exposure.max_net_exposure, _PRICE),
    Check("funds", checks_exposure.funds, _PRICE),
    *scoped("short", checks_exposure.short, _SCHEMA),
    *scoped("orders_per_second", checks_state.orders_per_second),
    *scoped("orders_per_minute", checks_state.orders_per_minute),
    *scoped("orders_per_day", checks_state.orders_per_day),
    Check(_RUNAWAY, checks_state.runaway),
    *scoped("daily_loss", checks_state.daily_loss),
    *scoped("drawdown", checks_state.drawdown),
    Check("trading_state", checks_state.trading_state, _SCHEMA, reducing=True),
    Check("access_token", checks_state.access_token, reducing=True),
    Check("reconciled", checks_state.reconciled, reducing=True),
    Check("in_doubt", checks_state.in_doubt),
)
"""Every check of an order, in order. Those marked `reducing` are the shorter path of reducing orders."""

_REDUCING_CHECKS: Final = tuple(check for check in CHECKS if check.reducing)


def decide(facts: RiskFacts | CancelFacts) -> Ruling:
    """Judge a signal or a cancel request. Never raises: what can't be judged is rejected."""
    if isinstance(facts, CancelFacts):
        return _decide_cancel(facts)
    case = Case(facts)
    with wide():
        signal_class, problem = _classify(case)
        checks = _REDUCING_CHECKS if signal_class is SignalClass.REDUCING else CHECKS
        results = ([problem] if problem else []) + _run(checks, case)
        reference = _reference_price(case)
        if reference is None and all(result.passed for result in results):
            results.append(
                CheckResult("reference_price", False, Code.PRICE_MISSING, "the order can't be valued")
            )
    return _ruling(signal_class, results, _latches(case, results), reference)


def _classify(case: Case) -> tuple[SignalClass, CheckResult | None]:
    """Return the class; INCREASING, the stricter one, and a failed result where it can't be told."""
    if case.faults:
        return SignalClass.INCREASING, None
    try:
        return case.signal_class, None
    except Exception as error:  # noqa: BLE001 - fail closed: an order whose class is unknown is refused
        message = f"the class can't be told: {error!r}"
        return SignalClass.INCREASING, CheckResult("class", False, Code.INTERNAL_ERROR, message)


def _run(checks: tuple[Check, ...], case: Case) -> list[CheckResult]:
    results: list[CheckResult] = []
    failed: list[str] = []
    for check in checks:
        result = check.run(case, failed)
        if result is not None:
            results.append(result)
            if not result.passed:
                failed.append(check.name)
    return results


def _latches(case: Case, results: list[CheckResult]) -> tuple[LatchRequest, ...]:
    """Return the latch of a strategy that loops. Losses latch when they happen: `losses.loss_latches`."""
    scope = case.facts.strategy.scope
    return tuple(
        LatchRequest(scope=scope, state=RUNAWAY_STATE, code=result.code, message=result.message)
        for result in results
        if result.check == _RUNAWAY and result.code is Code.RUNAWAY_LOOP
    )


def _reference_price(case: Case) -> Decimal | None:
    try:
        return tidy(case.reference_price)
    except (ValueError, ArithmeticError):
        return None


def _decide_cancel(facts: CancelFacts) -> Ruling:
    """Check that the request names an order of the strategy's own; nothing else ever stands in a cancel's way."""
    request = facts.request
    outcomes = {"schema": checks_payload.cancel_schema(request), "order_known": _order_known(facts)}
    results = [
        CheckResult(name, outcome.code is None, outcome.code, outcome.message)
        for name, outcome in outcomes.items()
    ]
    return _ruling(SignalClass.CANCEL, results)


def _order_known(facts: CancelFacts) -> Outcome:
    order, request = facts.order, facts.request
    if order is None or order.signal_id != request.order_signal_id:
        return refused(Code.UNKNOWN_ORDER, f"risk has validated no order {request.order_signal_id!r}")
    if order.key != request.key:
        return refused(Code.UNKNOWN_ORDER, f"order {order.signal_id} is of {order.key}, not of {request.key}")
    return PASSED


def _ruling(
    signal_class: SignalClass,
    results: list[CheckResult],
    latches: tuple[LatchRequest, ...] = (),
    reference: Decimal | None = None,
) -> Ruling:
    first = next((result for result in results if not result.passed and result.code is not None), None)
    rejected = any(not result.passed for result in results)
    return Ruling(
        verdict=Verdict.REJECTED if rejected else Verdict.VALIDATED,
        signal_class=signal_class,
        code=first.code if first else None,
        message=first.message if first else "",
        checks=tuple(results),
        latches=latches,
        reference_price=reference,
    )
