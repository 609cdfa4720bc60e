"""What the services report and what binds them, as last read from Redis, a namespace at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import TransientError
from alpha_panda.ports import StatusStore
from alpha_panda_operator.control import ControlDesk
from alpha_panda_operator.reconcile.figures import Seen
from alpha_panda_operator.view import ResourceView

log = structlog.get_logger()


@dataclass(slots=True)
class StatusBoard:
    """Reads, keeps and gives. `store` gives a namespace's statuses; `warn_ns`: when to warn of a session's end."""

    store: Callable[[str], StatusStore]
    desk: ControlDesk
    warn_ns: int = 0
    _reports: dict[str, dict[tuple[str, str], ServiceStatus]] = field(default_factory=dict)

    async def refresh(self, namespace: str, views: Iterable[ResourceView]) -> None:
        """Read a namespace anew; where Redis does not answer, nothing is known any more."""
        try:
            found = await self.store(namespace).all()
        except TransientError as error:
            log.warning("statuses can't be read", namespace=namespace, error=str(error))
            self._reports.pop(namespace, None)
        else:
            self._reports[namespace] = _latest(found)
        await self.desk.read(namespace, views)

    def forget(self, namespace: str) -> None:
        """Know nothing of a namespace any more."""
        self._reports.pop(namespace, None)
        self.desk.readings.pop(namespace, None)

    def seen(self, namespace: str) -> Seen:
        """Return what is known of a namespace."""
        return Seen(
            self._reports.get(namespace, {}),
            self.desk.readings.get(namespace, {}),
            nanoseconds(self.desk.clock.now()),
            self.warn_ns,
        )


def _latest(found: Iterable[ServiceStatus]) -> dict[tuple[str, str], ServiceStatus]:
    """Return one status a service and resource: of several replicas that which started last."""
    latest: dict[tuple[str, str], ServiceStatus] = {}
    for status in found:
        known = latest.get((status.service, status.resource))
        if known is None or known.started_at <= status.started_at:
            latest[status.service, status.resource] = status
    return latest
