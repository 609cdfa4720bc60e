"""One strategy's view of its orders: positions from fills, open orders, and what becomes of broken code."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderStatus, Side
from alpha_panda.contracts.events import MAX_REASON, Signal
from alpha_panda.contracts.status_details import CODE_RAISED
from alpha_panda.contracts.stored import OrderFold
from alpha_panda.domain.fold import merge_folds
from alpha_panda.errors import StrategyError
from alpha_panda.testing.virtual_time import run_virtual
from unit.strategy.kit import LIVES, A, B, D, S, World, strategy

BUY, SELL, CANCEL = 100.5, 100.25, 100.75

MakeWorld = Callable[..., World]


async def bought(world: World, price: float = BUY) -> Signal:
    """Start and return the signal of one tick."""
    await world.start()
    await world.tick(A, price)
    (signal,) = await world.signals()
    return signal


class TestPosition:
    async def test_it_is_what_filled_not_what_was_sent(self, world: World) -> None:
        signal = await bought(world)
        assert world.probe().position(A) == 0
        await world.order(signal, S.PLACED)
        assert world.probe().position(A) == 0
        await world.order(signal, S.PARTIALLY_FILLED, "0.4")
        assert world.probe().position(A) == D("0.4")
        await world.order(signal, S.FILLED, "1")
        assert world.probe().positions == [0, D("0.4"), 1]  # right already when on_order is called
        assert [order.status for order in world.probe().orders] == [S.PLACED, S.PARTIALLY_FILLED, S.FILLED]

    async def test_sells_count_below_zero(self, world: World) -> None:
        signal = await bought(world, SELL)
        await world.order(signal, S.FILLED, "1")
        assert (signal.side, world.probe().position(A)) == (Side.SELL, -1)

    async def test_fold_max_duplicates_and_order_between_topics_do_not_matter(self, world: World) -> None:
        signal = await bought(world)
        await world.order(signal, S.FILLED, "1")
        await world.order(signal, S.FILLED, "1")
        await world.order(signal, S.PARTIALLY_FILLED, "0.4")
        assert world.probe().position(A) == 1
        assert not world.probe().has_open_order(A)
        # The partial fill is older news, but that it happened is new to the fold.
        assert [order.status for order in world.probe().orders] == [S.FILLED, S.PARTIALLY_FILLED]

    async def test_cancel_cum_a_cancel_before_its_fill_brings_the_quantity(self, world: World) -> None:
        signal = await bought(world)
        await world.order(signal, S.CANCELLED, "0.4")
        assert (world.probe().position(A), world.probe().has_open_order(A)) == (D("0.4"), False)
        await world.order(signal, S.PARTIALLY_FILLED, "0.4")
        assert world.probe().position(A) == D("0.4")

    async def test_a_correction_may_lower_it(self, world: World) -> None:
        signal = await bought(world)
        await world.order(signal, S.FILLED, "1", revision=1)
        await world.order(signal, S.CANCELLED, "0.4", revision=2, correction=True)
        assert world.probe().position(A) == D("0.4")

    async def test_folds_outlive_a_restart(self, world: World) -> None:
        signal = await bought(world)
        await world.order(signal, S.PARTIALLY_FILLED, "0.4")
        await world.stop()
        await world.start()
        await world.order(signal, S.PARTIALLY_FILLED, "0.4")
        assert world.probe().position(A) == D("0.4")
        assert world.probe().orders == []
        await world.order(signal, S.FILLED, "1")
        assert world.probe().position(A) == 1

    async def test_an_order_that_no_signal_of_this_life_made_counts(self, world: World) -> None:
        signal = await bought(world)
        await world.order(replace(signal, signal_id="closing", side=Side.SELL), S.FILLED, "1")
        assert world.probe().position(A) == -1
        assert world.probe().has_open_order(A)  # its own is still under way

    async def test_external_trades_are_told_apart_by_the_brokers_id(self, world: World) -> None:
        signal = replace(await bought(world), signal_id="")
        await world.order(signal, S.FILLED, "1", broker_order_id="b1", external=True)
        await world.order(signal, S.FILLED, "1", broker_order_id="b2", external=True)
        assert world.probe().position(A) == 2

    async def test_other_strategies_news_is_ignored(self, world: World) -> None:
        signal = await bought(world)
        await world.order(replace(signal, strategy_id="another"), S.FILLED, "1")
        assert (world.probe().position(A), world.probe().orders) == (0, [])
        assert world.probe().has_open_order(A)

    async def test_a_fill_without_a_price_is_its_writers_fault_and_stops_nobody(self, world: World) -> None:
        signal = await bought(world)
        await world.order(signal, S.FILLED, "1", price=None)
        assert not world.task.done()
        assert world.probe().position(A) == 0
        await world.order(signal, S.FILLED, "1")
        assert world.probe().position(A) == 1

    @given(data=st.data())
    def test_any_order_and_repetition_of_the_news_gives_the_same_view(self, data: st.DataObject) -> None:
        fills = data.draw(st.lists(st.integers(1, 9), max_size=3, unique=True).map(sorted))
        news = [(S.PARTIALLY_FILLED, fill) for fill in fills]
        news.append((S.CANCELLED, fills[-1] if fills else 0))
        told = data.draw(st.permutations(news + data.draw(st.lists(st.sampled_from(news), max_size=3))))

        async def main(clock: VirtualClock) -> tuple[Decimal, bool, Decimal]:
            LIVES.clear()
            world = World(clock)
            signal = await bought(world)
            for status, filled in told:
                await world.order(signal, status, str(filled))
            await world.stop()
            before = world.probe().position(A)
            await world.start()
            view = before, world.probe().has_open_order(A), world.probe().position(A)
            await world.stop()
            return view

        filled = D(fills[-1] if fills else 0)
        assert run_virtual(main) == (filled, False, filled)


async def test_a_reason_is_cut_to_what_risk_takes(world: World) -> None:
    """Rather than lose the order for its comment."""
    await world.start()
    probe = world.probe()
    probe.position = lambda _: "x" * 5_000  # type: ignore[assignment, method-assign, return-value]
    await world.tick(A, BUY)
    await world.tick(A, CANCEL)
    reasons = [event.data.reason for event in await world.raw()]  # type: ignore[union-attr]
    assert len(reasons) == 2
    assert [len(reason) for reason in reasons] == [MAX_REASON] * 2


class TestOpenOrders:
    @pytest.mark.parametrize("end", [S.FILLED, S.CANCELLED, S.FAILED])
    async def test_open_from_the_signal_to_its_end(self, world: World, end: OrderStatus) -> None:
        signal = await bought(world)
        assert world.probe().has_open_order(A)
        await world.order(signal, S.PLACED)
        assert world.probe().has_open_order(A)
        await world.order(signal, end, "1" if end is S.FILLED else "0")
        assert not world.probe().has_open_order(A)

    async def test_they_are_per_instrument(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(tokens=(A, B)))
        await bought(world)
        assert (world.probe().has_open_order(A), world.probe().has_open_order(B)) == (True, False)

    async def test_a_rejected_signal_has_ended_and_the_strategy_is_told_once(self, world: World) -> None:
        signal = await bought(world)
        await world.reject(signal)
        await world.reject(signal)
        assert world.probe().rejected == [(signal.signal_id, Code.MAX_ORDER_VALUE)]
        assert not world.probe().has_open_order(A)

    async def test_a_signal_of_another_is_not_ours_to_hear_of(self, world: World) -> None:
        signal = await bought(world)
        await world.reject(replace(signal, signal_id="x", strategy_id="another"))
        assert world.probe().rejected == []
        assert world.probe().has_open_order(A)

    async def test_a_rejected_cancel_request_ends_no_order(self, world: World) -> None:
        await bought(world)
        await world.tick(A, CANCEL)
        request = (await world.raw())[1].data
        await world.reject(request)  # type: ignore[arg-type]
        assert world.probe().has_open_order(A)

    async def test_what_is_open_outlives_a_restart(self, world: World) -> None:
        signal = await bought(world)
        await world.restart()
        assert world.probe().has_open_order(A)
        await world.reject(signal)
        assert not world.probe().has_open_order(A)
        assert world.probe().rejected == [(signal.signal_id, Code.MAX_ORDER_VALUE)]


class TestBrokenCode:
    """Whatever users' code raises stops its cell alone: its state can't be trusted any more."""

    @pytest.mark.parametrize("where", ["on_tick", "snapshot"])
    async def test_in_an_event_others_go_on(self, make_world: MakeWorld, where: str) -> None:
        broken = strategy("broken", parameters={"breaks": where, "at": BUY})
        world = make_world(broken, strategy("sound"))
        await world.start()
        await world.tick(A, 100.0)
        await world.tick(A, BUY)
        await world.tick(A, 101.0)
        assert {signal.strategy_id for signal in await world.signals()} == {"sound"}
        assert world.probe("sound").prices == [100.0, BUY, 101.0]
        await world.tick(A, SELL)
        assert 100.25 not in world.probe("broken").prices
        status = world.service.get_status()
        assert (status.details["failed"], status.details["cells"]) == (1, 2)
        assert f"broken in {where}" in str(status.details["message"])

    async def test_what_it_sent_and_had_not_stored_is_never_produced(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("broken", parameters={"breaks": "on_tick", "at": 7.0}), strategy("sound"))
        await world.start()
        await world.tick(A, BUY, 7.0)
        assert [signal.strategy_id for signal in await world.signals()] == ["sound"]

    @pytest.mark.parametrize("where", ["on_order", "on_rejected"])
    async def test_in_order_news_others_go_on(self, make_world: MakeWorld, where: str) -> None:
        world = make_world(strategy("broken", parameters={"breaks": where}), strategy("sound"))
        await world.start()
        await world.tick(A, BUY)
        for signal in await world.signals():
            await (world.order(signal, S.FILLED, "1") if where == "on_order" else world.reject(signal))
        details = world.service.get_status().details
        assert (details["failed"], details["reason"]) == (1, CODE_RAISED)
        assert not world.probe("sound").has_open_order(A)
        await world.tick(A, SELL)
        assert len(await world.signals()) == 3

    async def test_in_on_start_others_go_on(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("broken", parameters={"breaks": "on_start"}), strategy("sound"))
        await world.start()
        await world.tick(A, BUY)
        assert [signal.strategy_id for signal in await world.signals()] == ["sound"]
        assert world.probe("broken").prices == []

    @pytest.mark.parametrize("where", ["restore", "on_gap"])
    async def test_on_resuming_others_go_on_and_what_is_stored_stays(
        self, make_world: MakeWorld, where: str
    ) -> None:
        broken, sound = strategy("broken"), strategy("sound")
        world = make_world(broken, sound)
        await world.start()
        await world.tick(A, BUY)
        await world.stop()
        before = world.stored("broken")
        await world.recreate(world.topics.orders_filled, 2)
        broken["spec"]["parameters"] = {"breaks": where}
        world.manifest(broken, sound)
        await world.start()
        await world.tick(A, SELL)
        assert [signal.strategy_id for signal in await world.signals()].count("sound") == 2
        assert world.stored("broken") == before
        del broken["spec"]["parameters"]
        await world.stop()
        world.manifest(broken, sound)  # mended
        await world.start()
        assert world.probe("broken").prices == [BUY, SELL]

    async def test_the_last_one_ends_the_service(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(parameters={"breaks": "on_tick"}))
        await world.start()
        await world.tick(A, BUY)
        with pytest.raises(
            StrategyError, match="probe on account paper raised RuntimeError: broken in on_tick"
        ):
            await world.task
        assert await world.raw() == []

    async def test_a_start_that_fails_for_all_ends_the_service(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(parameters={"breaks": "on_start"}))
        await world.start()
        with pytest.raises(StrategyError, match="broken in on_start"):
            await world.task
        assert not world.service.ready.is_set()

    async def test_orders_can_be_sent_while_an_event_is_handled_only(self, world: World) -> None:
        await world.start()
        await world.tick(A, 1.0)
        with pytest.raises(RuntimeError, match="no event is being handled"):
            world.probe().buy(A, 1)


FOLDS = st.builds(
    OrderFold,
    filled_quantity=st.integers(0, 5).map(Decimal),
    rank=st.integers(0, 3),
    statuses=st.sets(st.sampled_from(list(S))).map(lambda seen: tuple(sorted(seen))),
    correction_revision=st.integers(-1, 2),
)


class TestMergedFolds:
    """`domain.fold.merge_folds`: what risk's book and ours know together."""

    @given(FOLDS, FOLDS, FOLDS)
    def test_it_is_a_maximum(self, one: OrderFold, two: OrderFold, three: OrderFold) -> None:
        assert merge_folds(one, one) == one
        assert merge_folds(one, two) == merge_folds(two, one)
        assert merge_folds(merge_folds(one, two), three) == merge_folds(one, merge_folds(two, three))
        assert merge_folds(one, OrderFold()) == one

    def test_by_hand(self) -> None:
        ours = OrderFold(filled_quantity=D(4), rank=3, statuses=(S.CANCELLED,))
        risks = OrderFold(filled_quantity=D(7), rank=2, statuses=(S.PARTIALLY_FILLED,))
        corrected = OrderFold(filled_quantity=D(5), rank=3, correction_revision=6)
        both = OrderFold(filled_quantity=D(7), rank=3, statuses=(S.CANCELLED, S.PARTIALLY_FILLED))
        assert merge_folds(ours, risks) == both
        assert merge_folds(both, corrected).filled_quantity == 5


class TestExplaining:
    async def test_its_words_and_the_tick_s_time_go_with_the_signal(self, world: World) -> None:
        await world.start()
        world.probe().explain = lambda token: {"token": token}  # type: ignore[method-assign]
        await world.tick(A, BUY)
        (event,) = await world.raw()
        assert isinstance(event.data, Signal)
        assert event.data.state == {"token": str(A)}
        assert 0 < event.data.tick_ts <= event.ts

    async def test_a_strategy_without_words_of_its_own_says_none(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (event,) = await world.raw()
        assert isinstance(event.data, Signal)
        assert event.data.state == {}

    async def test_what_explain_raises_costs_no_order(self, world: World) -> None:
        def fails(token: int) -> dict[str, object]:
            raise ValueError(token)

        await world.start()
        world.probe().explain = fails  # type: ignore[method-assign]
        await world.tick(A, BUY)
        (event,) = await world.raw()
        assert isinstance(event.data, Signal)
        assert event.data.state == {"explain": f"raised ValueError: {A}"}

    async def test_no_order_can_be_sent_from_explain(self, world: World) -> None:
        await world.start()
        probe = world.probe()
        probe.explain = lambda token: {"id": probe.buy(token, 1)}  # type: ignore[method-assign]
        await world.tick(A, BUY)
        (event,) = await world.raw()
        assert isinstance(event.data, Signal)
        assert "can't send" in event.data.state["explain"]
