"""Events for people: what `kubectl describe` shows. The same is told once in a while only; a failure costs nothing."""

from typing import Final

import structlog

from alpha_panda.errors import AlphaPandaError, ProcessMustExitError
from alpha_panda_operator.clock import Clock, rfc3339_micro
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import EVENT, FIELD_MANAGER, RESOURCES
from alpha_panda_operator.view import ResourceView, digest

log = structlog.get_logger()

AGAIN_SECONDS: Final = 600.0
"""How long the same words about the same resource are not repeated."""

_MOST_REMEMBERED: Final = 10_000
_LONGEST_NOTE: Final = 1024
"""What the API takes, in bytes."""


class Events:
    """Writes Events of group events.k8s.io. `reporter` is the pod's name."""

    def __init__(self, cluster: Cluster, clock: Clock, metrics: Metrics, reporter: str) -> None:
        self._cluster = cluster
        self._clock = clock
        self._metrics = metrics
        self._reporter = reporter
        self._told: dict[tuple[str, str, str], float] = {}

    async def tell(self, view: ResourceView, type_: str, reason: str, note: str) -> None:
        """Write an Event (`Normal` or `Warning`) about a resource, unless it was told a short while ago."""
        words = (view.uid, reason, digest(note))
        now = self._clock.monotonic()
        if now - self._told.get(words, float("-inf")) < AGAIN_SECONDS:
            return
        if len(self._told) >= _MOST_REMEMBERED:
            self._told = {key: at for key, at in self._told.items() if now - at < AGAIN_SECONDS}
        self._told[words] = now
        self._metrics.events.labels(reason).inc()
        try:
            await self._cluster.create_event(self._event(view, type_, reason, note))
        except ProcessMustExitError:
            raise
        except AlphaPandaError as error:
            log.warning(
                "event not written", resource=str(view.key), reason=reason, note=note, error=str(error)
            )

    def _event(self, view: ResourceView, type_: str, reason: str, note: str) -> dict[str, object]:
        moment = self._clock.now()
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {
                "name": f"{view.key.name}.{int(moment * 1e6):x}.{digest([reason, note])[:6]}",
                "namespace": view.key.namespace,
            },
            "eventTime": rfc3339_micro(moment),
            "reportingController": "alphapanda.io/operator",
            "reportingInstance": self._reporter[:128] or FIELD_MANAGER,
            "action": reason,
            "reason": reason,
            "type": type_,
            "note": note.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": RESOURCES[view.key.kind].api_version,
                "kind": view.key.kind,
                "namespace": view.key.namespace,
                "name": view.key.name,
                "uid": view.uid,
            },
        }
