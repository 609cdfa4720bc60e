"""Writes a resource's status: all of it each time, when a condition changes, and figures now and then."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog

from alpha_panda.errors import ApiRefusedError
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.clock import Clock, rfc3339
from alpha_panda_operator.cluster import UNDECLARED, Cluster
from alpha_panda_operator.conditions import FALSE, TRUE, Finding, changed, conditions_of
from alpha_panda_operator.events import Events
from alpha_panda_operator.names import RESOURCES, Key
from alpha_panda_operator.reconcile.figures import EXPIRES_SOON
from alpha_panda_operator.view import ResourceView, digest

log = structlog.get_logger()

TOLD: Final = {
    "Accepted": (TRUE, FALSE),
    "Ready": (TRUE, FALSE),
    "UpdatePending": (TRUE,),
    "Drifted": (TRUE,),
    "TradingAllowed": (TRUE, FALSE),
    "StrategyRunning": (FALSE,),
    "FeedFresh": (FALSE,),
    "SessionValid": (TRUE, FALSE),
    "Reconciled": (FALSE,),
}
"""Conditions that people are told of by an Event, in these states."""

FIGURES_A_SECOND: Final = 5.0
"""Statuses a second that are written for their figures alone: 75 each 15 s; of 1,000 strategies each one's every 200 s.

While a market is open a tick changes a figure of every strategy: without a bound the API would take 4,000 writes a
minute for times that nobody reads.
"""

UNDECLARED_SECONDS: Final = 300.0
"""How long a figure is left out that the installed definitions do not have: then they may have been upgraded."""

_FIELD: Final = re.compile(rf"[.]status[.](\w+)[^\s:]*: {re.escape(UNDECLARED)}")

_NO_FAULTS: Final = ("SessionClosed", "SessionOpen", "PodsNotReady", "Reducing", "Halted", "Deleting")
"""Reasons that are no fault of anybody's: what a person or the calendar wants."""


@dataclass(slots=True)
class _Written:
    """The last status written of a resource: a hash of its conditions, of all of it, and when (monotonic)."""

    conditions: str
    whole: str
    at: float


class StatusWriter:
    """All statuses. `figures_seconds`: how often at most a status is written whose conditions stay the same."""

    def __init__(
        self, cluster: Cluster, cache: Cache, events: Events, clock: Clock, figures_seconds: float
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._events = events
        self._clock = clock
        self._seconds = figures_seconds
        self._written: dict[Key, _Written] = {}
        self._undeclared: dict[tuple[str, str], float] = {}  # kind, field → when it was refused (monotonic)

    def forget(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._written.pop(key, None)

    def is_ours(self, view: ResourceView) -> bool:
        """Whether the resource has no conditions yet, or those that were last written here."""
        last, there = self._written.get(view.key), _conditions(view)
        return not there or (last is not None and last.conditions == digest(there))

    async def write(
        self, view: ResourceView, found: list[Finding], figures: Mapping[str, Any], generation: int
    ) -> None:
        """Write the status if it differs from what the API shows. `generation`: the one that `found` was found of.

        Raises:
            ApiRefusedError: 409 when somebody wrote the resource meanwhile: the next turn sees what.

        """
        before = _conditions(view)
        now = rfc3339(self._clock.now())
        conditions = conditions_of(view.key.kind, found, before, generation, now)
        known = {name: told for name, told in figures.items() if self._declared(view.key.kind, name)}
        status = {"observedGeneration": generation, "conditions": conditions, **known}
        if not self._due(view, status):
            return
        manifest = {
            "metadata": {
                "name": view.key.name,
                "namespace": view.key.namespace,
                "uid": view.uid,
                "resourceVersion": view.version,
            },
            "status": status,
        }
        try:
            written = await self._cluster.apply(RESOURCES[view.key.kind], manifest, "status")
        except ApiRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return  # gone meanwhile
            if not self._note_undeclared(view.key.kind, str(error), figures):
                raise
            await self.write(view, found, figures, generation)  # each time with fewer figures
            return
        self._cache.put(written)
        self._written[view.key] = _Written(digest(conditions), digest(status), self._clock.monotonic())
        await self._tell(view, before, conditions)

    def _declared(self, kind: str, name: str) -> bool:
        at = self._undeclared.get((kind, name))
        return at is None or self._clock.monotonic() - at >= UNDECLARED_SECONDS

    def _note_undeclared(self, kind: str, refusal: str, figures: Mapping[str, Any]) -> bool:
        """Note the figures that the definitions in the cluster do not have, an upgrade behind; say whether any is new."""
        new = {name for name in _FIELD.findall(refusal) if name in figures and self._declared(kind, name)}
        for name in sorted(new):
            self._undeclared[kind, name] = self._clock.monotonic()
        if new:
            log.warning(
                "status_fields_unknown",
                kind=kind,
                fields=sorted(new),
                remedy="upgrade the custom resource definitions to those of this operator's chart",
            )
        return bool(new)

    def _due(self, view: ResourceView, status: Mapping[str, Any]) -> bool:
        """Whether to write: at once where a condition differs, else if figures do and some time has passed."""
        if {name: view.status.get(name) for name in status} == status:
            return False
        last = self._written.get(view.key)
        if (
            list(status["conditions"]) != _conditions(view)
            or view.status.get("observedGeneration") != status["observedGeneration"]
        ):
            return True
        seconds = max(self._seconds, len(self._written) / FIGURES_A_SECOND)
        return last is None or self._clock.monotonic() - last.at >= seconds

    async def _tell(
        self, view: ResourceView, before: list[Mapping[str, Any]], after: list[dict[str, Any]]
    ) -> None:
        known = {item.get("type") for item in before}
        for item in changed(before, after):
            type_, status, reason = str(item["type"]), str(item["status"]), str(item["reason"])
            if status not in TOLD.get(type_, ()) or (not known and type_ != "Accepted"):
                continue  # at first nothing is ready, fresh or written: no news
            good = status == TRUE and type_ not in ("UpdatePending", "Drifted") and reason != EXPIRES_SOON
            kind = "Normal" if good or reason in _NO_FAULTS else "Warning"
            await self._events.tell(view, kind, reason, f"{type_} is {status}: {item['message']}")


def _conditions(view: ResourceView) -> list[Mapping[str, Any]]:
    found = view.status.get("conditions")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
