"""What every Lease promises."""

import asyncio

import pytest

from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from contracts.harness import Lose, Stores

NAME, TTL = "market-feed:demo", 15.0


class LeaseContract:
    """Subclass it with a fixture `stores`."""

    async def test_first_epoch_is_positive(self, stores: Stores) -> None:
        epoch = await stores.lease.acquire(NAME, "a", TTL)
        assert epoch is not None
        assert epoch > 0

    async def test_held_lease_is_not_given_to_another(self, stores: Stores) -> None:
        await stores.lease.acquire(NAME, "a", TTL)
        await stores.harness.advance(TTL - 1)
        assert await stores.lease.acquire(NAME, "b", TTL) is None

    async def test_expired_lease_goes_to_another_with_a_greater_epoch(self, stores: Stores) -> None:
        first = await stores.lease.acquire(NAME, "a", TTL)
        await stores.harness.advance(TTL)
        second = await stores.lease.acquire(NAME, "b", TTL)
        assert first is not None
        assert second is not None
        assert second > first

    async def test_same_owner_again_gets_a_greater_epoch_that_fences_its_former_self(
        self, stores: Stores
    ) -> None:
        first = await stores.lease.acquire(NAME, "a", TTL)
        second = await stores.lease.acquire(NAME, "a", TTL)
        assert first is not None
        assert second is not None
        assert second > first
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "a", first, TTL)

    async def test_names_are_independent(self, stores: Stores) -> None:
        await stores.lease.acquire(NAME, "a", TTL)
        assert await stores.lease.acquire("other", "b", TTL) is not None

    async def test_renewal_restarts_the_time(self, stores: Stores) -> None:
        epoch = await self._acquired(stores, "a")
        await stores.harness.advance(TTL - 1)
        await stores.lease.renew(NAME, "a", epoch, TTL)
        await stores.harness.advance(TTL - 1)
        assert await stores.lease.acquire(NAME, "b", TTL) is None

    async def test_late_renewal_of_a_lease_nobody_took_succeeds(self, stores: Stores) -> None:
        epoch = await self._acquired(stores, "a")
        await stores.harness.advance(TTL * 3)
        await stores.lease.renew(NAME, "a", epoch, TTL)
        assert await stores.lease.acquire(NAME, "b", TTL) is None

    async def test_renewal_after_a_takeover_is_fenced(self, stores: Stores) -> None:
        epoch = await self._acquired(stores, "a")
        await stores.harness.advance(TTL)
        await self._acquired(stores, "b")
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "a", epoch, TTL)

    async def test_renewal_under_another_owners_name_is_fenced(self, stores: Stores) -> None:
        epoch = await self._acquired(stores, "a")
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "b", epoch, TTL)

    async def test_renewal_of_a_lease_that_never_was_is_fenced(self, stores: Stores) -> None:
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "a", 0, TTL)

    async def test_released_lease_is_free_at_once_and_its_epoch_fenced(self, stores: Stores) -> None:
        first = await self._acquired(stores, "a")
        await stores.lease.release(NAME, "a", first)
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "a", first, TTL)
        assert await self._acquired(stores, "b") > first

    @pytest.mark.parametrize(("owner", "off"), [("b", 0), ("a", -1), ("a", 1)])
    async def test_release_of_what_is_not_ours_does_nothing(
        self, stores: Stores, owner: str, off: int
    ) -> None:
        epoch = await self._acquired(stores, "a")
        await stores.lease.release(NAME, owner, epoch + off)
        assert await stores.lease.acquire(NAME, "c", TTL) is None
        await stores.lease.renew(NAME, "a", epoch, TTL)

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_epochs_grow_over_restarts_whatever_was_lost(self, stores: Stores, lose: Lose) -> None:
        await stores.harness.mark()
        epoch = await self._acquired(stores, "a")
        await stores.harness.restart(lose)
        await stores.harness.advance(TTL)
        assert await self._acquired(stores, "b") > epoch

    async def test_holder_of_a_lease_that_the_store_lost_is_fenced(self, stores: Stores) -> None:
        epoch = await self._acquired(stores, "a")
        await stores.harness.restart(Lose.EVERYTHING)
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "a", epoch, TTL)

    async def test_epoch_ends_with_the_stores_run_though_nothing_is_lost(self, stores: Stores) -> None:
        """[G_RUN] What a holder concluded from a journal that is gone must not be written into the next one."""
        epoch = await self._acquired(stores, "a")
        await stores.harness.restart(Lose.NOTHING)
        with pytest.raises(FencedError):
            await stores.lease.renew(NAME, "a", epoch, TTL)
        assert await self._acquired(stores, "a") > epoch

    async def test_of_many_at_once_one_gets_it(self, stores: Stores) -> None:
        epochs = await asyncio.gather(*(stores.lease.acquire(NAME, f"o{i}", TTL) for i in range(20)))
        assert len([epoch for epoch in epochs if epoch is not None]) == 1

    async def test_refused_acquire_changes_nothing(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.lease.acquire(NAME, "a", TTL)
        assert await stores.lease.acquire(NAME, "b", TTL) is not None

    async def test_acquire_whose_reply_is_lost_holds_the_lease(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.lease.acquire(NAME, "a", TTL)
        assert await stores.lease.acquire(NAME, "b", TTL) is None

    async def _acquired(self, stores: Stores, owner: str) -> int:
        epoch = await stores.lease.acquire(NAME, owner, TTL)
        assert epoch is not None
        return epoch
