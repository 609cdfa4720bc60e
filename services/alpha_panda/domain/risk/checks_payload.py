"""Is the payload an order, or a cancel request, at all: see `payload`."""

from collections.abc import Iterable

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.events import CancelRequest
from alpha_panda.domain.risk.case import Case
from alpha_panda.domain.risk.outcome import PASSED, Outcome, refused
from alpha_panda.domain.risk.payload import id_faults


def schema(case: Case) -> Outcome:
    """Refuse a payload that no venue could take."""
    return _outcome(case.faults)


def cancel_schema(request: CancelRequest) -> Outcome:
    """Refuse a cancel request that names nothing."""
    return _outcome(id_faults(request, "order_signal_id"))


def _outcome(faults: Iterable[str]) -> Outcome:
    found = "; ".join(faults)
    return refused(Code.SCHEMA_INVALID, found) if found else PASSED
