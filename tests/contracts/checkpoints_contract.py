"""What every CheckpointStore promises."""

from decimal import Decimal

import pytest

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import Envelope
from alpha_panda.contracts.stored import Checkpoint, OrderFold, PendingEvent, TopicOffset
from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from contracts.harness import Lose, Stores
from contracts.samples import signal

FOLD = OrderFold(filled_quantity=Decimal(4), rank=2)
WHO = ("momentum", "paper")


def _checkpoint(counter: int = 1) -> Checkpoint:
    event = Envelope(
        id="e1",
        type=EventType.TRADING_SIGNAL,
        version=1,
        ts=1,
        source="strategy",
        account="paper",
        key="momentum:738561",
        correlation_id="s1",
        causation_id="demo.market.ticks/0/5#738561:9",
        data=signal(),
    )
    return Checkpoint(
        lineage="line",
        store_run_id="run",
        strategy_uid="uid",
        counter=counter,
        state=b"state",
        offsets={"demo.market.ticks/0": TopicOffset("topic", 6)},
        sequences={738561: (1, 9)},
        pending=[PendingEvent("paper.signals.raw", event)],
    )


class CheckpointStoreContract:
    """Subclass it with a fixture `stores`."""

    async def test_first_claim_finds_nothing_but_the_run(self, stores: Stores) -> None:
        claim = await stores.checkpoints.claim(*WHO)
        assert (claim.checkpoint, claim.folds) == (None, {})
        assert claim.store_run_id == await stores.journal.run_id()
        assert claim.incarnation

    async def test_claim_returns_the_last_checkpoint_and_all_folds(self, stores: Stores) -> None:
        incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
        await stores.checkpoints.save(*WHO, incarnation, _checkpoint(1), {"s1": FOLD, "s2": FOLD})
        await stores.checkpoints.save(*WHO, incarnation, _checkpoint(2), {"s2": OrderFold()})
        claim = await stores.checkpoints.claim(*WHO)
        assert (claim.checkpoint, claim.folds) == (_checkpoint(2), {"s1": FOLD, "s2": OrderFold()})

    async def test_claimed_folds_are_a_copy(self, stores: Stores) -> None:
        claim = await stores.checkpoints.claim(*WHO)
        claim.folds["s1"] = FOLD
        assert (await stores.checkpoints.claim(*WHO)).folds == {}

    async def test_incarnations_are_fresh(self, stores: Stores) -> None:
        assert len({(await stores.checkpoints.claim(*WHO)).incarnation for _ in range(5)}) == 5

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_incarnations_are_never_repeated_after_a_restart(self, stores: Stores, lose: Lose) -> None:
        await stores.harness.mark()
        before = (await stores.checkpoints.claim(*WHO)).incarnation
        await stores.harness.restart(lose)
        assert (await stores.checkpoints.claim(*WHO)).incarnation != before

    async def test_stale_incarnation_saves_nothing(self, stores: Stores) -> None:
        stale = (await stores.checkpoints.claim(*WHO)).incarnation
        fresh = (await stores.checkpoints.claim(*WHO)).incarnation
        await stores.checkpoints.save(*WHO, fresh, _checkpoint(1), {})
        with pytest.raises(FencedError):
            await stores.checkpoints.save(*WHO, stale, _checkpoint(2), {"s1": FOLD})
        claim = await stores.checkpoints.claim(*WHO)
        assert (claim.checkpoint, claim.folds) == (_checkpoint(1), {})

    @pytest.mark.parametrize("incarnation", ["", "made-up"])
    async def test_unclaimed_incarnation_is_fenced(self, stores: Stores, incarnation: str) -> None:
        with pytest.raises(FencedError):
            await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), {})

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_claim_ends_with_the_stores_run(self, stores: Stores, lose: Lose) -> None:
        incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
        await stores.harness.mark()
        await stores.harness.restart(lose)
        with pytest.raises(FencedError):
            await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), {})

    async def test_claim_names_the_present_run_of_the_store(self, stores: Stores) -> None:
        before = (await stores.checkpoints.claim(*WHO)).store_run_id
        await stores.harness.restart(Lose.NOTHING)
        after = (await stores.checkpoints.claim(*WHO)).store_run_id
        assert after != before
        assert after == await stores.journal.run_id()

    async def test_tail_of_checkpoints_can_be_lost(self, stores: Stores) -> None:
        incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
        await stores.checkpoints.save(*WHO, incarnation, _checkpoint(1), {})
        await stores.harness.mark()
        await stores.checkpoints.save(*WHO, incarnation, _checkpoint(2), {"s1": FOLD})
        await stores.harness.restart(Lose.TAIL)
        claim = await stores.checkpoints.claim(*WHO)
        assert (claim.checkpoint, claim.folds) == (_checkpoint(1), {})

    @pytest.mark.parametrize("other", [("momentum", "live"), ("rsi", "paper")])
    async def test_strategies_and_accounts_are_apart(self, stores: Stores, other: tuple[str, str]) -> None:
        incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
        claim = await stores.checkpoints.claim(*other)
        assert claim.incarnation != incarnation
        await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), {"s1": FOLD})
        claim = await stores.checkpoints.claim(*other)
        assert (claim.checkpoint, claim.folds) == (None, {})
        with pytest.raises(FencedError):
            await stores.checkpoints.save(*other, incarnation, _checkpoint(), {})

    async def test_refused_save_changes_nothing(self, stores: Stores) -> None:
        incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), {"s1": FOLD})
        claim = await stores.checkpoints.claim(*WHO)
        assert (claim.checkpoint, claim.folds) == (None, {})

    async def test_save_whose_reply_is_lost_is_found_by_the_next_claim(self, stores: Stores) -> None:
        incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), {"s1": FOLD})
        claim = await stores.checkpoints.claim(*WHO)
        assert (claim.checkpoint, claim.folds) == (_checkpoint(), {"s1": FOLD})
