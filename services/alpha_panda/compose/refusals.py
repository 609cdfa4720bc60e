"""Why a strategy can't be run as its manifest is: one word that the operator turns into a condition's reason."""

from typing import Final

from alpha_panda.contracts.status_details import (
    BAD_PARAMETERS,
    CODE_RAISED,
    INVALID,
    REFUSED,
    STOPPED,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_TYPE,
    RunnerFigures,
)
from alpha_panda.errors import ManifestError, StrategyError, StrategyLoadError, UserInputError

from .live_manifests import MAX_PROBLEM

_STRATEGY: Final = "Strategy/"

_REASONS: Final = (
    (UNKNOWN_TYPE, ("spec.type", "spec.class", "spec.code")),
    (BAD_PARAMETERS, ("spec.parameters",)),
    (UNKNOWN_INSTRUMENT, ("spec.instruments",)),
)
"""The reason of a fault in one of these fields of a strategy; of several faults the first reason here."""


def refused(error: UserInputError) -> RunnerFigures:
    """Return what a strategy's service tells while its manifest can't be run."""
    return RunnerFigures(state=REFUSED, reason=_reason(error), message=str(error)[:MAX_PROBLEM])


def stopped(error: StrategyError) -> RunnerFigures:
    """Return what a strategy's service tells when the strategy's own code raised as it started."""
    return RunnerFigures(state=STOPPED, reason=CODE_RAISED, message=f"{error}{error.place}"[:MAX_PROBLEM])


def _reason(error: UserInputError) -> str:
    if isinstance(error, StrategyLoadError):
        return UNKNOWN_TYPE
    faults = error.faults if isinstance(error, ManifestError) else ()
    own = [fault.field for fault in faults if fault.resource.startswith(_STRATEGY)]
    return next((reason for reason, fields in _REASONS if any(f.startswith(fields) for f in own)), INVALID)
