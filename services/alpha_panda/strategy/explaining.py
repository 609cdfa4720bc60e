"""What a strategy says of itself when it sends a signal: bounded, and never in the signal's way."""

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from alpha_panda.contracts.events import MAX_STATE_BYTES, MAX_STATE_ENTRIES, MAX_STATE_TEXT

if TYPE_CHECKING:
    from alpha_panda.sdk import Strategy

log = structlog.get_logger()

_SAYS: Final = "explain"
_CUT: Final = "…"


def explained(strategy: "Strategy", token: int) -> dict[str, str]:
    """Return `strategy.explain(token)` as texts; what it raises is logged and told instead, the signal goes out."""
    try:
        said = {text_of(name): text_of(value) for name, value in strategy.explain(token).items()}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code; an order must not fail for its comment
        log.warning("explain_raised", strategy=type(strategy).__name__, error=repr(error))
        said = {_SAYS: text_of(f"raised {type(error).__name__}: {error}")}
    return within_bounds(said)


def within_bounds(said: dict[str, str]) -> dict[str, str]:
    """Return the first entries that a signal may carry."""
    kept: dict[str, str] = {}
    size = len(b"{}")
    for name, value in list(said.items())[:MAX_STATE_ENTRIES]:
        size += len(msgspec.json.encode({name: value})) - len(b"{}") + len(b",")
        if size > MAX_STATE_BYTES:
            break
        kept[name] = value
    return kept


def text_of(value: object) -> str:
    """Return a value as people read it: no exponents, no noise of floats, on one line, of bounded length."""
    if isinstance(value, float):
        shown = f"{value:.10g}" if math.isfinite(value) else str(value)
    elif isinstance(value, Decimal):
        shown = f"{value:f}" if value.is_finite() else str(value)
    else:
        shown = str(value)
    line = "".join(char if char.isprintable() else " " for char in shown)
    return line if len(line) <= MAX_STATE_TEXT else line[: MAX_STATE_TEXT - 1] + _CUT
