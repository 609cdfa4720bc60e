"""Conditions: what is true of a resource, why, and since when. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from alpha_panda.contracts.resources.status import MAX_MESSAGE

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"
PENDING: Final = "Pending"
"""Reason of every condition that has not been looked at yet."""

COMMON: Final = ("Accepted", "Progressing", "Ready", "UpdatePending", "Drifted", "ControlPublished")
OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "MarketFeed": (*COMMON[:-1], "FeedFresh"),
    "BrokerAccount": (*COMMON, "SessionValid", "Reconciled", "TradingAllowed"),
    "Strategy": (*COMMON, "TradingAllowed", "StrategyRunning"),
}
"""The conditions of each kind, all of which every status has. A feed has no trading state to publish."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition as found now; the message is a sentence that a trader understands."""

    type: str
    status: str
    reason: str
    message: str

    @classmethod
    def pending(cls, type_: str) -> "Finding":
        """Return a condition of which nothing is known yet."""
        return cls(type_, UNKNOWN, PENDING, "not looked at yet")

    @classmethod
    def of(cls, type_: str, holds: bool, reason: str, message: str) -> "Finding":
        """Return a condition that holds or does not."""
        return cls(type_, TRUE if holds else FALSE, reason, message)


def conditions_of(
    kind: str,
    found: Iterable[Finding],
    before: Iterable[Mapping[str, Any]],
    generation: int,
    now: str,
) -> list[dict[str, Any]]:
    """Return all conditions of a kind. `lastTransitionTime` moves with `status` only."""
    by_type = {item.type: item for item in found}
    known = {str(item.get("type")): item for item in before if isinstance(item, Mapping)}
    wanted = (by_type.get(type_) or Finding.pending(type_) for type_ in OF_KIND[kind])
    return [_condition(item, known.get(item.type), generation, now) for item in wanted]


def _condition(found: Finding, before: Mapping[str, Any] | None, generation: int, now: str) -> dict[str, Any]:
    same = before is not None and before.get("status") == found.status
    since = (before or {}).get("lastTransitionTime") if same else None
    return {
        "type": found.type,
        "status": found.status,
        "reason": found.reason,
        "message": found.message[:MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since or now,
    }


def changed(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the conditions whose status or reason is another than before: what a person is told of."""
    known = {str(item.get("type")): (item.get("status"), item.get("reason")) for item in before}
    return [item for item in after if known.get(str(item["type"])) != (item["status"], item["reason"])]
