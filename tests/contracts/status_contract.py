"""What every StatusStore promises."""

import pytest

from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.errors import DependencyUnavailableError
from contracts.harness import Lose, Stores

TTL = 30.0


def _status(
    service: str = "engine", resource: str = "paper", processed: int = 1, instance: str = "engine-0"
) -> ServiceStatus:
    return ServiceStatus(
        service=service,
        resource=resource,
        instance=instance,
        state="running",
        processed=processed,
        errors=0,
        dead_lettered=0,
        last_event_ts=None,
        started_at=1,
        details={"lag": 3, "price": 1.5, "feed": "demo", "ok": True, "none": None},
    )


class StatusStoreContract:
    """Subclass it with a fixture `stores`."""

    async def test_nothing_at_first(self, stores: Stores) -> None:
        assert await stores.statuses.all() == []

    async def test_status_is_kept_whole_until_it_expires(self, stores: Stores) -> None:
        await stores.statuses.put(_status(), TTL)
        await stores.harness.advance(TTL - 1)
        assert await stores.statuses.all() == [_status()]
        await stores.harness.advance(1)
        assert await stores.statuses.all() == []

    async def test_later_status_replaces_and_renews(self, stores: Stores) -> None:
        await stores.statuses.put(_status(), TTL)
        await stores.harness.advance(TTL - 1)
        await stores.statuses.put(_status(processed=2), TTL)
        await stores.harness.advance(TTL - 1)
        assert await stores.statuses.all() == [_status(processed=2)]

    async def test_statuses_come_by_service_and_resource(self, stores: Stores) -> None:
        for service, resource in (("risk", "b"), ("engine", "z"), ("risk", "a")):
            await stores.statuses.put(_status(service, resource), TTL)
        found = [(status.service, status.resource) for status in await stores.statuses.all()]
        assert found == [("engine", "z"), ("risk", "a"), ("risk", "b")]

    async def test_replicas_of_one_service_report_side_by_side(self, stores: Stores) -> None:
        await stores.statuses.put(_status(instance="engine-1", processed=2), TTL)
        await stores.statuses.put(_status(instance="engine-0", processed=1), TTL * 2)
        await stores.statuses.put(_status(instance="engine-1", processed=3), TTL)
        found = [(status.instance, status.processed) for status in await stores.statuses.all()]
        assert found == [("engine-0", 1), ("engine-1", 3)]
        await stores.harness.advance(TTL)
        assert [status.instance for status in await stores.statuses.all()] == ["engine-0"]

    async def test_each_expires_by_itself(self, stores: Stores) -> None:
        await stores.statuses.put(_status("risk"), TTL)
        await stores.statuses.put(_status("engine"), TTL * 2)
        await stores.harness.advance(TTL)
        assert [status.service for status in await stores.statuses.all()] == ["engine"]

    async def test_refused_put_changes_nothing(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.statuses.put(_status(), TTL)
        assert await stores.statuses.all() == []

    async def test_lost_store_has_none(self, stores: Stores) -> None:
        await stores.statuses.put(_status(), TTL)
        await stores.harness.restart(Lose.EVERYTHING)
        assert await stores.statuses.all() == []
