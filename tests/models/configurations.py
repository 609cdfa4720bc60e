"""What is checked: each configuration is a model with bounds. With all guards it holds; see `guards` for the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from models import control_model, risk_model, spin, strategy_model
from models.explore import Limits, Result, explore
from models.guards import CONTROL, GUARDS, JOURNAL, RISK, STRATEGY, Guard, SecondLine

if TYPE_CHECKING:
    from collections.abc import Mapping

PythonBounds = strategy_model.Bounds | risk_model.Bounds | control_model.Bounds


@dataclass(frozen=True, slots=True)
class Configuration:
    """A model and its bounds; `full`: too large for CI; `partial`: too large for any limit, searched as far as it goes."""

    model: str
    name: str
    bounds: PythonBounds | Mapping[str, int]
    full: bool = False
    partial: bool = False

    @property
    def id(self) -> str:
        """Name for a test."""
        return f"{self.model}-{self.name}"

    def check(self, removed: tuple[str, ...] = (), limits: Limits | None = None) -> Result:
        """Check it without the guards `removed`."""
        without = frozenset(removed)
        match self.bounds:
            case strategy_model.Bounds():
                return explore(strategy_model.StrategyModel(self.bounds, without), limits)
            case risk_model.Bounds():
                return explore(risk_model.RiskModel(self.bounds, without), limits)
            case control_model.Bounds():
                return explore(control_model.ControlModel(self.bounds, without), limits)
            case _:
                return spin.check(self.bounds, removed, limits)

    def only(self, properties: int) -> Configuration:
        """The same, with these properties alone (0: no change); for the journal."""
        if not properties or isinstance(self.bounds, PythonBounds):
            return self
        return replace(self, bounds={**self.bounds, "CHECKED": properties})


_PROMISED: Final = {"CHECKED": 2047}
# A request may arrive at any time: then it is LOST first and corrected later, so neither P_DOUBT nor P_TRUE.
_RESIDUAL: Final = {"CHECKED": 2047 - 64 - 1024, "RESIDUAL": 1, "END_OF_TIME": 5}
_RESTART: Final = {"RESTARTS": 1, "EXPIRES": 3, "END_OF_TIME": 5}
_HALT: Final = {"CHECKED": 16 + 32, "HALTS": 1}
_ONE_OF_TWO: Final = {"TRACKERS": 2, "TAKEOVERS": 1, "ENGINES": 1}
_WITH_RISK: Final = {"RISK": 1, "REDELIVERIES": 1, "ENGINES": 1}

_JOURNAL: Final[dict[str, dict[str, int]]] = {
    "plain": {**_PROMISED},
    "crash": {**_PROMISED, "ENGINE_CRASHES": 1, "LOST_REPLIES": 1},
    "unanswered": {**_PROMISED, "LATE_BEGINS": 1, "FAULTS": 1, "ENGINE_CRASHES": 1},
    "redelivered": {**_PROMISED, "REDELIVERIES": 1},
    "takeover": {**_PROMISED, **_ONE_OF_TWO, "TRACKER_CRASHES": 1},
    "extra-reading": {**_PROMISED, "EXTRA_READS": 1},
    "missed-row": {**_PROMISED, "READS": 2, "MISSED_ROWS": 1, "ENGINES": 1},
    "two-signals": {**_PROMISED, "SIGNALS": 2, "END_OF_TIME": 3},
    "two-signals-risk": {**_PROMISED, "SIGNALS": 2, "END_OF_TIME": 3, "RISK": 1, "ENGINES": 1},
    "halted": {**_HALT, "RISK": 1},
    "halt-cleared": {**_PROMISED, "HALTS": 1, "CLEARS": 1},
    "risk": {**_PROMISED, **_WITH_RISK},
    "residual": {**_RESIDUAL, "FROZEN_CALL": 1},
    "residual-crash": {**_RESIDUAL, "ENGINE_CRASHES": 1},
    "residual-takeover": {**_RESIDUAL, **_ONE_OF_TWO, "EXTRA_READS": 1},
    "restart": {**_PROMISED, **_RESTART},
    "restart-crash": {
        **_PROMISED,
        **_RESTART,
        "ENGINE_CRASHES": 1,
        "TRACKER_CRASHES": 1,
        "LOST_REPLIES": 1,
        "ENGINES": 1,
    },
    "restart-takeover": {**_PROMISED, **_RESTART, **_ONE_OF_TWO},
    "restart-risk": {**_PROMISED, **_RESTART, **_WITH_RISK},
    "restart-risk-crash": {**_PROMISED, **_RESTART, **_WITH_RISK, "RISK_CRASHES": 1, "REDELIVERIES": 0},
    "restart-empty": {**_PROMISED, **_RESTART, **_WITH_RISK, "EMPTY_RESTART": 1},
    "restart-halted": {**_HALT, **_RESTART, "ENGINES": 1, "RISK": 1, "LOOKED_AT": 0},
    "restart-two-signals": {**_PROMISED, **_RESTART, "SIGNALS": 2, "ENGINES": 1},
    "residual-restart": {**_RESIDUAL, **_RESTART, "LAST_RESTART": 2},
    "restart-twice-small": {**_PROMISED, **_RESTART, "RESTARTS": 2, "LAST_RESTART": 2, "ENGINES": 1},
    "restart-twice": {**_PROMISED, **_RESTART, **_WITH_RISK, "RESTARTS": 2, "LAST_RESTART": 2},
    "restart-risk-engines": {**_PROMISED, **_RESTART, **_WITH_RISK, "ENGINES": 2},
}
_JOURNAL_FULL: Final = {
    "restart-twice",
    "restart-risk-engines",
    "restart-two-signals",
    "restart-empty",
}

_S = strategy_model.Bounds
_STRATEGY: Final = {
    "small": _S(orders=0, starts=2),
    "zombie": _S(orders=0, starts=2, crashes=0),
    "repeated-tick": _S(ticks=((1, 1), ()), orders=0, starts=2),
    "unanswered": _S(ticks=((1, 2), (1,)), orders=0, unanswered=True, starts=2, crashes=0),
    "ageing": _S(ticks=((1,), (1,)), orders=0, ageing=True, starts=2),
    "order": _S(ticks=((1,), ()), starts=2),
    "order-repeated": _S(ticks=((1,), ()), repeats=1, starts=2, crashes=0),
    "order-late": _S(ticks=((1,), ()), late=1, starts=2, crashes=0),
    "three-owners": _S(ticks=((1,), ()), orders=0),
    "restored": _S(ticks=((1, 2), (1,)), orders=0, restores=1, starts=2, crashes=0),
    "restored-order": _S(ticks=((1,), ()), restores=1, repeats=1, starts=2, crashes=0),
    "recreated": _S(ticks=((1,), ()), recreated=True, starts=2, crashes=0),
    "three-starts": _S(orders=1),
    "three-starts-ageing": _S(orders=0, ageing=True),
    "three-starts-unanswered": _S(ticks=((1, 2), (1,)), orders=0, unanswered=True),
    "three-starts-restored": _S(ticks=((1, 2), (1,)), orders=0, restores=1),
    "orders": _S(starts=2, crashes=0, orders=2),
    "order-all": _S(ticks=((1,), ()), repeats=1, late=1),
}
_STRATEGY_FULL: Final = {
    "restored-order",
    "three-starts",
    "three-starts-ageing",
    "three-starts-unanswered",
    "three-starts-restored",
    "orders",
    "order-all",
}

_B = risk_model.Bounds
_TIGHTENS: Final = (risk_model.REDUCE, risk_model.HALTED)
_MIXED: Final = _B(signals=((1, 1), (-1, 1), (1, 1)), raw=(0, 1, 2), crashes=0, starts=1)
_FLATTEN: Final = _B(signals=((1, 1), (-1, 1)), raw=(0, 1), flatten=True, closings=1, crashes=0)
_RISK: Final = {
    "one-start": _B(crashes=0, starts=1),
    "two-buys": _B(crashes=0),
    "three-starts": _B(crashes=0, starts=3),
    "three-starts-one": _B(signals=((1, 1),), raw=(0,), crashes=0, starts=3),
    "repeated-signal": _B(raw=(0, 0, 1), crashes=0, starts=1),
    "refusal": _B(refusals=1, crashes=0, starts=1),
    "events-repeated": _B(repeats=1, crashes=0, starts=1),
    "late": _B(late=1, crashes=0, starts=1),
    "cover": _B(position=-1, tightens=_TIGHTENS, crashes=0, starts=1),
    "reduced": _B(tightens=_TIGHTENS[:1], crashes=0, starts=1),
    "two-sells": _B(signals=((-1, 1), (-1, 1)), position=1, tightens=_TIGHTENS, crashes=0, starts=1),
    "over-limit": _B(signals=((-1, 1), (-1, 1)), position=2, crashes=0, starts=1),
    "partial": _B(signals=((1, 2), (1, 2)), limit=2, crashes=0, starts=1),
    "mixed": _MIXED,
    "flatten": replace(_FLATTEN, signals=((1, 1),), raw=(0,)),
    "flatten-one": replace(_FLATTEN, starts=1),
    "flatten-held": replace(_FLATTEN, starts=1, position=1),
    "flatten-crash": replace(_FLATTEN, signals=((-1, 1),), raw=(), position=1, closings=2, crashes=1),
    "batch": _B(batch=True, crashes=0),
    "batch-repeated": _B(batch=True, raw=(0, 0, 1), crashes=0),
    "batch-crash": _B(batch=True, tightens=_TIGHTENS[:1]),
    "crash": _B(),
    "crash-refusal": _B(refusals=1),
    "crash-repeated": _B(raw=(0, 0, 1)),
    "crash-cash": _B(limit=2, cash=1),
    "crash-partial": _B(signals=((1, 2), (1, 1)), limit=2),
    "crash-mixed": replace(_MIXED, signals=((1, 1), (-1, 1)), raw=(0, 1), starts=2, crashes=1),
    "crash-cover": _B(position=-1, tightens=_TIGHTENS, crashes=1),
    "zombie-two-sells": _B(signals=((-1, 1), (-1, 1)), position=1, tightens=_TIGHTENS[:1], crashes=0),
    "zombie-late": _B(late=1, crashes=0),
    "flatten-zombie": _FLATTEN,
    "flatten-partial": replace(_FLATTEN, signals=((1, 2),), raw=(), position=2, limit=2, closings=2),
}
_RISK_FULL: Final = {name for name in _RISK if name.startswith(("crash", "zombie"))} | {
    "three-starts",
    "flatten",
    "flatten-zombie",
    "flatten-partial",
    "batch-repeated",
    "batch-crash",
}
# Not exhausted after six minutes of CPU time and 6 GB; "flatten" (one signal) and "flatten-partial" are.
_PARTIAL: Final = {"risk-flatten-zombie"}

_CONTROL: Final = {
    "halt": control_model.Bounds(),
    "two-restarts": control_model.Bounds(restarts=2, end_of_time=5, renewals=3),
}


def _made(
    model: str, bounds: Mapping[str, PythonBounds | Mapping[str, int]], full: set[str]
) -> list[Configuration]:
    return [
        Configuration(model, name, bound, full=name in full, partial=f"{model}-{name}" in _PARTIAL)
        for name, bound in bounds.items()
    ]


CONFIGURATIONS: Final[tuple[Configuration, ...]] = (
    *_made(JOURNAL, _JOURNAL, _JOURNAL_FULL),
    *_made(STRATEGY, _STRATEGY, _STRATEGY_FULL),
    *_made(RISK, _RISK, _RISK_FULL),
    *_made(CONTROL, _CONTROL, {"two-restarts"}),
)
BY_ID: Final = {configuration.id: configuration for configuration in CONFIGURATIONS}


def configuration_of(item: Guard | SecondLine) -> Configuration:
    """Return the configuration that shows what the item is for."""
    return BY_ID[f"{item.model}-{item.configuration}"]


def companions() -> list[Guard]:
    """Return the guards that are shown with others away: those others alone must do no harm."""
    return [guard for guard in GUARDS if guard.also_removed]
