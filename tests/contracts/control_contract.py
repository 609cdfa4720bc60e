"""What every ControlStore promises."""

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import CLEARED, IGNORED, ClearRequest, ControlReading, TeardownRequest
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
from contracts.harness import Lose, Stores
from contracts.samples import SCOPE, latch

TTL = 60.0
STRATEGY_SCOPE = "strategy/momentum"


def teardown(uid: str = "uid-1", policy: str = "Flatten", requested_at: int = 1) -> TeardownRequest:
    return TeardownRequest(scope=STRATEGY_SCOPE, uid=uid, policy=policy, requested_at=requested_at)


def clear(latch_id: str, asked_at: int, outcome: str = "") -> ClearRequest:
    return ClearRequest(scope=SCOPE, latch_id=latch_id, asked_at=asked_at, outcome=outcome)


async def _read(stores: Stores, scope: str = SCOPE) -> ControlReading:
    (reading,) = await stores.control.read([scope])
    return reading


class ControlStoreContract:
    """Subclass it with a fixture `stores`."""

    async def test_scope_that_was_never_written_is_halted(self, stores: Stores) -> None:
        reading = await _read(stores)
        assert reading == ControlReading(scope=SCOPE, spec=None, expired=False, latches=())
        assert reading.state is TradingState.HALTED

    @pytest.mark.parametrize("state", list(TradingState))
    async def test_spec_binds_while_it_lives(self, stores: Stores, state: TradingState) -> None:
        await stores.control.put_spec(SCOPE, state, TTL)
        await stores.harness.advance(TTL - 1)
        reading = await _read(stores)
        assert (reading.spec, reading.expired, reading.state) == (state, False, state)

    async def test_spec_expires_into_halted_and_says_that_it_expired(self, stores: Stores) -> None:
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        await stores.harness.advance(TTL)
        reading = await _read(stores)
        assert (reading.spec, reading.expired) == (TradingState.ACTIVE, True)
        assert reading.state is TradingState.HALTED
        assert reading.deliberate_state is TradingState.ACTIVE

    async def test_renewing_a_spec_restarts_its_life(self, stores: Stores) -> None:
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        await stores.harness.advance(TTL - 1)
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        await stores.harness.advance(TTL - 1)
        assert (await _read(stores)).state is TradingState.ACTIVE

    async def test_renewing_an_expired_spec_revives_it(self, stores: Stores) -> None:
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        await stores.harness.advance(TTL * 2)
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        assert (await _read(stores)).state is TradingState.ACTIVE

    async def test_dropped_spec_is_as_never_written(self, stores: Stores) -> None:
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        await stores.control.drop_spec(SCOPE)
        await stores.control.drop_spec(SCOPE)
        assert (await _read(stores)).spec is None
        assert (await _read(stores)).state is TradingState.HALTED

    async def test_latch_tightens_the_spec_and_never_expires(self, stores: Stores) -> None:
        await stores.control.set_latch(latch(state=TradingState.REDUCING))
        await stores.harness.advance(TTL * 1000)
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        reading = await _read(stores)
        assert reading.latches == (latch(state=TradingState.REDUCING),)
        assert reading.state is TradingState.REDUCING

    async def test_spec_never_loosens_a_latch(self, stores: Stores) -> None:
        await stores.control.set_latch(latch())
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        assert (await _read(stores)).state is TradingState.HALTED

    async def test_same_latch_id_again_changes_nothing(self, stores: Stores) -> None:
        await stores.control.set_latch(latch())
        await stores.control.set_latch(latch(state=TradingState.ACTIVE))
        assert (await _read(stores)).latches == (latch(),)

    async def test_latches_come_in_the_order_they_were_set(self, stores: Stores) -> None:
        for latch_id in ("b", "a", "c"):
            await stores.control.set_latch(latch(latch_id))
        assert [item.latch_id for item in (await _read(stores)).latches] == ["b", "a", "c"]

    async def test_clearing_names_the_latch(self, stores: Stores) -> None:
        await stores.control.set_latch(latch("a"))
        await stores.control.set_latch(latch("b"))
        assert not await stores.control.clear_latch(SCOPE, "c")
        assert not await stores.control.clear_latch("account:other", "a")
        assert await stores.control.clear_latch(SCOPE, "a")
        assert not await stores.control.clear_latch(SCOPE, "a")
        assert (await _read(stores)).latches == (latch("b"),)

    async def test_clearing_may_name_the_time_too_and_spares_a_later_latch_of_the_id(
        self, stores: Stores
    ) -> None:
        later = replace(latch("a"), set_at=latch("a").set_at + 1)
        await stores.control.set_latch(later)
        assert not await stores.control.clear_latch(SCOPE, "a", set_at=latch("a").set_at)
        assert not await stores.control.clear_latch(SCOPE, "b", set_at=later.set_at)
        assert (await _read(stores)).latches == (later,)
        assert await stores.control.clear_latch(SCOPE, "a", set_at=later.set_at)
        assert not await stores.control.clear_latch(SCOPE, "a", set_at=later.set_at)
        assert (await _read(stores)).latches == ()

    async def test_read_answers_in_the_order_asked_each_scope_by_itself(self, stores: Stores) -> None:
        await stores.control.put_spec("b", TradingState.ACTIVE, TTL)
        await stores.control.set_latch(latch(scope="a", state=TradingState.REDUCING))
        readings = await stores.control.read(["b", "a", "none"])
        assert [reading.scope for reading in readings] == ["b", "a", "none"]
        assert [len(reading.latches) for reading in readings] == [0, 1, 0]
        assert [reading.state for reading in readings] == [
            TradingState.ACTIVE,
            TradingState.HALTED,
            TradingState.HALTED,
        ]

    async def test_refused_write_changes_nothing(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.control.set_latch(latch())
        assert (await _read(stores)).latches == ()

    async def test_write_whose_reply_is_lost_was_done(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.control.set_latch(latch())
        assert (await _read(stores)).latches == (latch(),)

    async def test_read_whose_reply_is_lost_is_a_mere_failure(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(DependencyUnavailableError):
            await _read(stores)

    async def test_lost_store_is_halted(self, stores: Stores) -> None:
        await stores.control.put_spec(SCOPE, TradingState.ACTIVE, TTL)
        await stores.harness.restart(Lose.EVERYTHING)
        assert (await _read(stores)).state is TradingState.HALTED

    async def test_restart_without_loss_keeps_all(self, stores: Stores) -> None:
        await stores.control.set_latch(latch())
        await stores.harness.restart(Lose.NOTHING)
        assert (await _read(stores)).latches == (latch(),)

    async def test_what_was_written_after_the_mark_is_lost_with_the_tail(self, stores: Stores) -> None:
        await stores.control.set_latch(latch("kept"))
        await stores.harness.mark()
        await stores.control.set_latch(latch("lost"))
        await stores.control.clear_latch(SCOPE, "kept")
        await stores.harness.restart(Lose.TAIL)
        assert (await _read(stores)).latches == (latch("kept"),)

    # ---------------------------------------------------------------------------------------- teardowns

    async def test_teardown_stands_until_it_is_withdrawn(self, stores: Stores) -> None:
        assert await stores.control.teardowns() == ()
        await stores.control.request_teardown(teardown())
        assert await stores.control.teardowns() == (teardown(),)
        await stores.harness.advance(TTL * 1000)
        assert await stores.control.teardowns() == (teardown(),)
        await stores.control.withdraw_teardown(STRATEGY_SCOPE, "uid-1")
        await stores.control.withdraw_teardown(STRATEGY_SCOPE, "uid-1")
        assert await stores.control.teardowns() == ()

    async def test_first_request_of_a_uid_stays(self, stores: Stores) -> None:
        await stores.control.request_teardown(teardown())
        await stores.control.request_teardown(teardown(policy="Retain", requested_at=9))
        assert await stores.control.teardowns() == (teardown(),)

    async def test_two_strategies_of_one_name_are_told_apart_and_come_oldest_first(
        self, stores: Stores
    ) -> None:
        await stores.control.request_teardown(teardown("uid-2", requested_at=1))
        await stores.control.request_teardown(teardown("uid-1", requested_at=2))
        assert [item.uid for item in await stores.control.teardowns()] == ["uid-2", "uid-1"]
        await stores.control.withdraw_teardown(STRATEGY_SCOPE, "uid-2")
        assert [item.uid for item in await stores.control.teardowns()] == ["uid-1"]

    async def test_teardowns_are_lost_with_the_store(self, stores: Stores) -> None:
        await stores.control.request_teardown(teardown())
        await stores.harness.restart(Lose.EVERYTHING)
        assert await stores.control.teardowns() == ()

    # ------------------------------------------------------------------------------- latches to be cleared

    async def test_latches_that_a_manifest_names_are_asked_for_once(self, stores: Stores) -> None:
        assert await stores.control.clear_requests([SCOPE]) == ()
        await stores.control.request_clears(SCOPE, ["b", "a"], 5)
        await stores.control.request_clears(SCOPE, ["a", "b"], 6)
        assert await stores.control.clear_requests([SCOPE]) == (clear("a", 5), clear("b", 5))

    async def test_what_is_done_stays_done_while_it_is_named(self, stores: Stores) -> None:
        await stores.control.request_clears(SCOPE, ["a"], 5)
        await stores.control.end_clear(clear("a", 5), CLEARED)
        await stores.control.end_clear(clear("a", 5), IGNORED)
        await stores.control.request_clears(SCOPE, ["a"], 6)
        assert await stores.control.clear_requests([SCOPE]) == (clear("a", 5, CLEARED),)

    async def test_an_id_that_is_named_no_more_is_forgotten_and_may_be_asked_for_again(
        self, stores: Stores
    ) -> None:
        await stores.control.request_clears(SCOPE, ["a", "b"], 5)
        await stores.control.end_clear(clear("a", 5), CLEARED)
        await stores.control.request_clears(SCOPE, ["b"], 6)
        assert await stores.control.clear_requests([SCOPE]) == (clear("b", 5),)
        await stores.control.request_clears(SCOPE, ["a", "b"], 7)
        assert await stores.control.clear_requests([SCOPE]) == (clear("a", 7), clear("b", 5))
        await stores.control.request_clears(SCOPE, [], 8)
        assert await stores.control.clear_requests([SCOPE]) == ()

    async def test_the_end_of_an_earlier_request_is_not_that_of_a_new_one(self, stores: Stores) -> None:
        await stores.control.request_clears(SCOPE, ["a"], 7)
        await stores.control.end_clear(clear("a", 5), CLEARED)
        await stores.control.end_clear(clear("gone", 5), CLEARED)
        assert await stores.control.clear_requests([SCOPE]) == (clear("a", 7),)

    async def test_requests_are_each_scopes_own_and_touch_no_latch(self, stores: Stores) -> None:
        await stores.control.set_latch(latch("a"))
        await stores.control.request_clears("z", ["a"], 5)
        await stores.control.request_clears(SCOPE, ["a"], 6)
        found = await stores.control.clear_requests(["z", SCOPE, "none"])
        assert [(item.scope, item.asked_at) for item in found] == [(SCOPE, 6), ("z", 5)]
        assert await stores.control.clear_requests([]) == ()
        assert (await _read(stores)).latches == (latch("a"),)
