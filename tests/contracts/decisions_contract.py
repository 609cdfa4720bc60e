"""What every DecisionStore promises."""

import asyncio
from decimal import Decimal

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import SignalClass, Verdict
from alpha_panda.contracts.events import CheckResult
from alpha_panda.contracts.stored import OrderFold, RiskSnapshot
from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from contracts.harness import Lose, Stores
from contracts.samples import cancel_request, decision, signal

SNAPSHOT = RiskSnapshot(offsets={"paper.signals.raw/0": 7}, state=b"book")
FOLD = OrderFold(filled_quantity=Decimal(4), average_price=Decimal(100), rank=2)


class DecisionStoreContract:
    """Subclass it with a fixture `stores`."""

    async def test_first_claim_finds_nothing(self, stores: Stores) -> None:
        claim = await stores.decisions.claim("risk-0")
        assert (claim.decisions, claim.snapshot, claim.folds) == ({}, None, {})
        assert claim.epoch

    async def test_each_claim_has_a_fresh_epoch_even_of_the_same_owner(self, stores: Stores) -> None:
        epochs = {(await stores.decisions.claim("risk-0")).epoch for _ in range(5)}
        assert len(epochs) == 5

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_epochs_are_never_repeated_after_a_restart(self, stores: Stores, lose: Lose) -> None:
        await stores.harness.mark()
        before = (await stores.decisions.claim("risk-0")).epoch
        await stores.harness.restart(lose)
        assert (await stores.decisions.claim("risk-0")).epoch != before

    async def test_claim_returns_all_that_is_stored(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        first = decision(
            signal("s1"), checks=[CheckResult("lot", passed=True, value="1")], code=Code.LOT_SIZE, message="m"
        )
        second = decision(cancel_request("c1"), signal_class=SignalClass.CANCEL)
        await stores.decisions.record(epoch, first)
        await stores.decisions.record(epoch, second)
        await stores.decisions.save(epoch, SNAPSHOT, {"s1": FOLD})
        claim = await stores.decisions.claim("risk-1")
        assert claim.decisions == {"s1": first, "c1": second}
        assert (claim.snapshot, claim.folds) == (SNAPSHOT, {"s1": FOLD})

    async def test_claim_is_a_copy(self, stores: Stores) -> None:
        claim = await stores.decisions.claim("risk-0")
        claim.decisions["s1"] = decision(signal())
        claim.folds["s1"] = FOLD
        again = await stores.decisions.claim("risk-0")
        assert (again.decisions, again.folds) == ({}, {})

    async def test_several_are_stored_in_one_step_and_an_earlier_one_wins(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        earlier = decision(signal("s2"), message="earlier")
        await stores.decisions.record(epoch, earlier)
        asked = [decision(signal(name), message="later") for name in ("s1", "s2", "s3")]
        assert await stores.decisions.record(epoch, *asked) == [asked[0], earlier, asked[2]]
        kept = [await stores.decisions.get(name) for name in ("s1", "s2", "s3")]
        assert kept == [asked[0], earlier, asked[2]]

    async def test_of_several_under_a_stale_epoch_none_is_stored(self, stores: Stores) -> None:
        stale = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.claim("risk-1")
        with pytest.raises(FencedError):
            await stores.decisions.record(stale, decision(signal("s1")), decision(signal("s2")))
        assert [await stores.decisions.get(name) for name in ("s1", "s2")] == [None, None]

    async def test_record_stores_and_returns_the_decision(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        assert await stores.decisions.record(epoch, decision(signal())) == [decision(signal())]
        assert await stores.decisions.get("s1") == decision(signal())
        assert await stores.decisions.get("s2") is None

    async def test_earlier_decision_wins(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.record(epoch, decision(signal()))
        other = decision(signal(), verdict=Verdict.REJECTED, code=Code.DAILY_LOSS)
        assert await stores.decisions.record(epoch, other) == [decision(signal())]
        assert await stores.decisions.get("s1") == decision(signal())

    async def test_stale_epoch_records_nothing(self, stores: Stores) -> None:
        stale = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.claim("risk-1")
        with pytest.raises(FencedError):
            await stores.decisions.record(stale, decision(signal()))
        assert await stores.decisions.get("s1") is None

    async def test_stale_epoch_learns_nothing_of_a_stored_decision(self, stores: Stores) -> None:
        stale = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.record(stale, decision(signal()))
        await stores.decisions.claim("risk-1")
        with pytest.raises(FencedError):
            await stores.decisions.record(stale, decision(signal()))

    async def test_stale_epoch_saves_nothing(self, stores: Stores) -> None:
        stale = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.claim("risk-1")
        with pytest.raises(FencedError):
            await stores.decisions.save(stale, SNAPSHOT, {"s1": FOLD})
        claim = await stores.decisions.claim("risk-1")
        assert (claim.snapshot, claim.folds) == (None, {})

    @pytest.mark.parametrize("epoch", ["", "made-up"])
    async def test_unclaimed_epoch_is_fenced(self, stores: Stores, epoch: str) -> None:
        with pytest.raises(FencedError):
            await stores.decisions.record(epoch, decision(signal()))

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_claim_ends_with_the_stores_run(self, stores: Stores, lose: Lose) -> None:
        """What risk remembers may be more than what the store kept: it must claim anew."""
        epoch = (await stores.decisions.claim("risk-0")).epoch
        await stores.harness.mark()
        await stores.harness.restart(lose)
        with pytest.raises(FencedError):
            await stores.decisions.record(epoch, decision(signal()))
        with pytest.raises(FencedError):
            await stores.decisions.save(epoch, SNAPSHOT, {})

    async def test_save_replaces_the_snapshot_and_puts_only_the_changed_folds(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.save(epoch, SNAPSHOT, {"s1": FOLD, "s2": FOLD})
        later, changed = RiskSnapshot(offsets={}, state=b"later"), OrderFold(rank=3)
        await stores.decisions.save(epoch, later, {"s2": changed})
        claim = await stores.decisions.claim("risk-0")
        assert (claim.snapshot, claim.folds) == (later, {"s1": FOLD, "s2": changed})

    async def test_others_read_the_snapshot_that_was_saved_last(self, stores: Stores) -> None:
        assert await stores.decisions.snapshot() is None
        epoch = (await stores.decisions.claim("risk-0")).epoch
        assert await stores.decisions.snapshot() is None
        await stores.decisions.save(epoch, SNAPSHOT, {})
        assert await stores.decisions.snapshot() == SNAPSHOT

    async def test_folds_are_of_validated_orders_only(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        await stores.decisions.record(epoch, decision(signal("folded")))
        await stores.decisions.record(epoch, decision(signal("new")))
        await stores.decisions.record(epoch, decision(signal("rejected"), verdict=Verdict.REJECTED))
        await stores.decisions.record(epoch, decision(cancel_request("c1"), signal_class=SignalClass.CANCEL))
        await stores.decisions.save(epoch, SNAPSHOT, {"folded": FOLD, "external:b7": FOLD})
        assert await stores.decisions.folds() == {
            "folded": (signal("folded"), FOLD),
            "new": (signal("new"), OrderFold()),
        }

    async def test_refused_record_changes_nothing(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.decisions.record(epoch, decision(signal()))
        assert await stores.decisions.get("s1") is None

    async def test_record_whose_reply_is_lost_is_found_by_the_next_claim(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.decisions.record(epoch, decision(signal()))
        assert (await stores.decisions.claim("risk-1")).decisions == {"s1": decision(signal())}

    async def test_save_is_all_or_nothing(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.decisions.save(epoch, SNAPSHOT, {"s1": FOLD})
        claim = await stores.decisions.claim("risk-0")
        assert (claim.snapshot, claim.folds) == (None, {})
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.decisions.save(claim.epoch, SNAPSHOT, {"s1": FOLD})
        claim = await stores.decisions.claim("risk-0")
        assert (claim.snapshot, claim.folds) == (SNAPSHOT, {"s1": FOLD})

    async def test_claim_whose_reply_is_lost_still_fences(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.decisions.claim("risk-1")
        with pytest.raises(FencedError):
            await stores.decisions.record(epoch, decision(signal()))

    async def test_of_two_decisions_at_once_one_wins_for_both(self, stores: Stores) -> None:
        epoch = (await stores.decisions.claim("risk-0")).epoch
        verdicts = [decision(signal(), message=str(number)) for number in range(10)]
        stored = await asyncio.gather(*(stores.decisions.record(epoch, item) for item in verdicts))
        assert len({item.message for (item,) in stored}) == 1
