"""The runner's guards, each named as in the model of strategy runner and risk where it has one."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, Side, Verdict
from alpha_panda.contracts.events import OrderUpdate, RejectedSignal
from alpha_panda.contracts.status_details import CODE_RAISED, STOPPED, RunnerFigures
from alpha_panda.contracts.stored import OrderFold
from alpha_panda.domain.ids import signal_id
from alpha_panda.errors import DependencyUnavailableError, FencedError, StrategyError, UnknownOutcomeError
from alpha_panda.ports import Outgoing, Subscription, TopicPartition
from alpha_panda.strategy.service import build
from unit.strategy.kit import LIVES, SECOND, TICKS, A, B, C, D, Probe, S, World, sides, strategy

BUY, SELL, CANCEL = 100.5, 100.25, 100.75
"""Prices at which the probe acts."""

MakeWorld = Callable[..., World]


class Echo(Probe):
    """Sells what it has bought as soon as it hears of the fill."""

    def on_order(self, order: OrderUpdate) -> None:
        super().on_order(order)
        if order.side is Side.BUY:
            self.sell(order.instrument_token, 1)


async def dies(world: World, error: type[Exception]) -> None:
    with pytest.raises(error):
        await world.task


async def crash_before_producing(world: World, price: float = BUY) -> None:
    """Let the runner store a signal and die before it is in the bus."""
    world.bus.faults.fail_sends(topic=world.topics.signals_raw)
    await world.tick(A, price)
    await dies(world, DependencyUnavailableError)


class TestWhatIsProduced:
    async def test_a_signal_names_its_tick_and_the_price_that_it_saw(self, world: World) -> None:
        await world.start()
        await world.tick(A, 100.0, BUY)
        (event,) = await world.raw()
        (signal,) = await world.signals()
        assert (event.type, event.causation_id) == (EventType.TRADING_SIGNAL, f"{TICKS}/0/0#{A}:2")
        assert (event.account, event.key, event.correlation_id) == ("paper", f"probe:{A}", signal.signal_id)
        assert (signal.side, signal.quantity, signal.price) == (Side.BUY, 1, D("100.50"))
        assert signal.expires_at == world.clock.now() + 10 * SECOND

    async def test_ids_follow_from_lineage_account_and_counter(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        await world.tick(A, SELL)
        ids = [signal_id(world.stored().lineage, "paper", n) for n in (1, 2)]
        assert [signal.signal_id for signal in await world.signals()] == ids

    async def test_the_cause_of_a_signal_from_order_news_is_that_event(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(cls="unit.strategy.test_runner:Echo"))
        await world.start()
        await world.tick(A, BUY)
        (first,) = await world.signals()
        await world.order(first, S.FILLED, "1")
        (news,) = await world.events(world.topics.orders_filled, 2)
        _, echo = await world.raw()
        assert echo.causation_id == news.id
        assert sides(await world.signals()) == [Side.BUY, Side.SELL]
        assert (await world.signals())[1].price is None  # no tick, no price

    async def test_a_cancel_goes_the_way_of_signals_with_an_id_of_its_own(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY, CANCEL)
        signal, cancel = await world.raw()
        assert cancel.type is EventType.CANCEL_REQUEST
        assert cancel.key == signal.key
        assert cancel.data.order_signal_id == signal.correlation_id  # type: ignore[union-attr]
        assert cancel.correlation_id == signal_id(world.stored().lineage, "paper", 2)

    async def test_a_cancel_of_an_order_that_ended_is_dropped_but_uses_its_number(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        await world.order(signal, S.FILLED, "1")
        await world.tick(A, CANCEL, SELL)
        assert [event.type for event in await world.raw()] == [EventType.TRADING_SIGNAL] * 2
        assert (await world.signals())[1].signal_id == signal_id(world.stored().lineage, "paper", 3)


class TestCheckpointBeforeProduce:
    async def test_pending_stored_and_sent_again_with_the_same_ids(self, world: World) -> None:
        await world.start()
        await crash_before_producing(world)
        assert await world.raw() == []
        pending = [item.event for item in world.stored().pending]
        await world.start()
        assert await world.raw() == pending
        assert len(pending) == 1

    async def test_nothing_is_produced_if_the_checkpoint_is_refused(self, world: World) -> None:
        await world.start()
        world.database.faults.refuse("save")
        await world.tick(A, BUY)
        await dies(world, DependencyUnavailableError)
        assert await world.raw() == []
        await world.start()  # nothing was stored: the tick comes again
        assert len(await world.raw()) == 1

    async def test_on_unknown_die_and_learn_by_the_claim_what_was_stored(self, world: World) -> None:
        await world.start()
        world.database.faults.lose_reply("save")
        await world.tick(A, BUY)
        await dies(world, UnknownOutcomeError)
        assert await world.raw() == []
        (pending,) = [item.event for item in world.stored().pending]
        await world.start()
        assert await world.raw() == [pending]
        assert world.probe().prices == [BUY]

    async def test_resend_all_whatever_their_age(self, world: World) -> None:
        await world.start()
        await crash_before_producing(world)
        await world.clock.advance(3600)
        await world.start()
        assert len(await world.raw()) == 1
        assert await world.suppressed() == []

    async def test_keep_unacked_until_the_bus_has_acknowledged(self, world: World) -> None:
        await world.start()
        world.bus.faults.fail_sends(topic=world.topics.signals_raw, written=True)
        await world.tick(A, BUY)
        await dies(world, DependencyUnavailableError)
        world.bus.faults.fail_sends(topic=world.topics.signals_raw)
        await world.start()  # stores once more before it sends, and dies again
        await dies(world, DependencyUnavailableError)
        await world.start()
        first, again = await world.raw()
        assert first == again

    async def test_acknowledged_signals_leave_the_next_checkpoint(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        assert len(world.stored().pending) == 1
        await world.tick(A, SELL)
        assert [item.event for item in world.stored().pending] == (await world.raw())[1:]
        await world.stop()
        assert world.stored().pending == []

    async def test_all_signals_of_a_fetch_are_stored_at_once_and_sent_in_order(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY, SELL, BUY)
        assert [item.event for item in world.stored().pending] == await world.raw()
        assert sides(await world.signals()) == [Side.BUY, Side.SELL, Side.BUY]


class TestLease:
    async def test_a_second_runner_waits_until_the_first_gives_up(self, world: World) -> None:
        await world.start()
        second = build(world.context("pod-2"))
        task = asyncio.create_task(second.run())
        try:
            await world.tick(A, BUY)
            for _ in range(30):
                await world.clock.advance(1)  # the first renews its lease
            assert world.lease().owner == "pod-1"
            assert not second.ready.is_set()
            await world.stop()
            await world.clock.advance(5)
            assert world.lease().owner == "pod-2"
            assert second.ready.is_set()
            await world.tick(A, BUY)
            assert len(await world.raw()) == 2
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def test_a_runner_of_several_holds_the_lease_of_their_feed(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(), strategy("other", (B,)))
        await world.start()
        assert (world.lease("demo").owner, world.lease("probe").owner) == ("pod-1", "")
        await world.stop()
        assert world.lease("demo").owner == ""


class TestIncarnation:
    async def test_cas_inc_stops_a_zombie_before_it_produces(self, world: World) -> None:
        await world.start()
        zombie = world.task
        await world.start()
        assert world.task is not zombie
        await world.tick(A, BUY)  # both see it
        with pytest.raises(FencedError):
            await zombie
        assert len(await world.raw()) == 1
        assert not world.task.done()

    async def test_inc_unique_also_when_the_store_falls_back(self, world: World) -> None:
        image = world.database.checkpoint_image()
        await world.start()
        zombie = world.task
        world.database.restart(image)  # the store has forgotten the zombie's claim
        await world.start()
        await world.tick(A, BUY)
        with pytest.raises(FencedError):
            await zombie
        assert len(await world.raw()) == 1


class TestResume:
    async def test_offs_in_cas_state_offsets_sequences_and_counter_are_one(self, world: World) -> None:
        await world.start()
        await world.tick(A, 100.0, BUY)
        stored = world.stored()
        assert stored.counter == 1
        assert stored.sequences == {A: (1, 2)}
        assert stored.offsets[f"{TICKS}/0"].offset == 1
        assert stored.offsets[f"{TICKS}/0"].topic_id == await world.bus.topic_id(TICKS)
        await world.restart()
        assert (world.probe().restored, world.probe().prices) == (True, [100.0, BUY])
        await world.tick(A, SELL)
        last = (await world.signals())[-1]
        assert (last.signal_id, last.reason) == (signal_id(stored.lineage, "paper", 2), "3 seen, holding 0")

    @pytest.mark.parametrize("committed", [0, 3])
    async def test_seek_checkpoint_never_the_groups_offset(self, world: World, committed: int) -> None:
        await world.start()
        await world.tick(A, 100.0)
        await world.tick(A, BUY)  # stored: two records
        await world.tick(A, 101.0)  # not stored
        await world.kill()
        ticks = TopicPartition(TICKS, 0)
        async with world.bus.consumer(Subscription("probe.strategy", partitions=(ticks,))) as consumer:
            await consumer.commit({ticks: committed})
        await world.start()
        assert world.probe().prices == [100.0, BUY, 101.0]

    async def test_a_strategy_without_a_past_begins_with_the_next_tick(self, world: World) -> None:
        await world.start()
        await world.kill()
        world.manifest(strategy("other"))
        await world.tick(A, 100.0)
        await world.start()
        await world.tick(A, 101.0)
        assert world.probe("other").prices == [101.0]
        assert not world.probe("other").restored

    async def test_what_emits_nothing_is_stored_after_so_many_records(self, make_world: MakeWorld) -> None:
        world = make_world(checkpoint_max_records=3)
        await world.start()
        for price in (1.0, 2.0):
            await world.tick(A, price)
        assert world.stored().sequences == {}
        await world.tick(A, 3.0)
        assert world.stored().sequences == {A: (1, 3)}

    async def test_what_emits_nothing_is_stored_after_so_long(self, world: World) -> None:
        await world.start()
        await world.clock.advance(4.9)
        await world.tick(A, 1.0)
        assert world.stored().sequences == {}
        await world.clock.advance(0.2)
        await world.tick(A, 2.0)
        assert world.stored().sequences == {A: (1, 2)}

    async def test_a_graceful_stop_stores_everything(self, world: World) -> None:
        await world.start()
        await world.tick(A, 1.0)
        await world.stop()
        await world.start()
        assert world.probe().prices == [1.0]
        assert world.probe().restored

    async def test_open_bars_survive_a_restart(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(parameters={"bars": 60}))
        await world.start()
        await world.tick(A, 100.0)
        await world.stop()
        state = world.stored().state
        await world.start()
        await world.stop()
        assert world.stored().state == state


class TestTicksSeen:
    async def test_seqs_a_tick_that_is_not_newer_is_dropped(self, world: World) -> None:
        await world.start()
        record = world.ticks(A, 100.0, BUY)
        await world.send(record, record)
        await world.tick(A, 99.0, seq=1)
        assert world.probe().prices == [100.0, BUY]
        assert len(await world.raw()) == 1

    async def test_seqs_also_after_a_restart(self, world: World) -> None:
        await world.start()
        record = world.ticks(A, 100.0, BUY)
        await world.send(record)
        await world.restart()
        await world.send(record)
        assert world.probe().prices == [100.0, BUY]

    async def test_sequences_are_per_token(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(tokens=(A, B)))
        await world.start()
        await world.tick(A, 1.0, 2.0, 3.0)
        await world.tick(B, 4.0)
        assert world.probe().prices == [1.0, 2.0, 3.0, 4.0]

    async def test_a_new_feed_epoch_starts_its_sequences_anew_and_ends_the_older(self, world: World) -> None:
        await world.start()
        await world.tick(A, 1.0, 2.0)
        old = world.ticks(A, 3.0)
        world.epoch = 2
        await world.tick(A, 4.0)
        await world.send(old)
        assert world.probe().prices == [1.0, 2.0, 4.0]

    async def test_a_feed_epoch_is_a_matter_of_its_partition(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(tokens=(A, C)))
        await world.start()
        await world.tick(A, 1.0)
        await world.tick(C, 2.0)
        last = world.ticks(
            C, 3.0
        )  # of the old feed, and no record of the new one has come yet in this partition
        world.epoch = 2
        await world.tick(A, 4.0)
        await world.send(last)
        assert world.probe().prices == [1.0, 2.0, 4.0, 3.0]

    async def test_an_older_epoch_is_refused_after_a_restart_too_by_tokens_that_had_no_tick_since(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(strategy(tokens=(A, B)))
        await world.start()
        await world.tick(A, 1.0)
        old = world.ticks(A, 9.0)
        world.epoch = 2
        await world.tick(B, 2.0)
        await world.stop()
        await world.start()
        await world.send(old)
        await world.tick(A, 3.0)
        assert world.probe().prices == [1.0, 2.0, 3.0]

    async def test_heartbeats_change_nothing(self, world: World) -> None:
        await world.start()
        await world.tick(A, 1.0)
        record = world.ticks(A, 2.0)
        await world.send(record)
        assert world.probe().prices == [1.0, 2.0]
        assert world.service.get_status().processed == 2

    async def test_a_record_that_is_none_is_counted_and_passed_over(self, world: World) -> None:
        await world.start()
        await world.send(Outgoing(TICKS, b"\xc1", partition=0))
        await world.tick(A, BUY)
        assert world.service.get_status().errors == 1
        assert len(await world.raw()) == 1


class TestSuppression:
    OLD = 11 * SECOND
    """Older than `maxTickAgeSeconds`, which is 5."""

    async def test_an_old_tick_builds_state_and_sends_nothing(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY, ts=world.clock.now() - self.OLD)
        await world.tick(A, SELL, ts=world.clock.now() - 5 * SECOND)
        assert world.probe().prices == [BUY, SELL]
        assert sides(await world.signals()) == [Side.SELL]  # five seconds are not too old

    async def test_consume_n_a_suppressed_signal_uses_its_number(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY, ts=world.clock.now() - self.OLD)
        await world.tick(A, SELL)
        lineage = world.stored().lineage
        (event,) = await world.suppressed()
        assert isinstance(event.data, RejectedSignal)
        assert event.type is EventType.REJECTED_SIGNAL
        assert event.data.code is Code.SIGNAL_SUPPRESSED
        assert event.data.original_signal.signal_id == signal_id(lineage, "paper", 1)
        assert (await world.signals())[0].signal_id == signal_id(lineage, "paper", 2)
        assert world.probe().rejected == [(event.correlation_id, Code.SIGNAL_SUPPRESSED)]
        assert event.causation_id == f"{TICKS}/0/0#{A}:1"

    async def test_event_after_cas_it_waits_for_the_checkpoint_like_a_signal(self, world: World) -> None:
        await world.start()
        world.bus.faults.fail_sends(topic=world.topics.signals_rejected)
        await world.tick(A, BUY, ts=world.clock.now() - self.OLD)
        await dies(world, DependencyUnavailableError)
        (pending,) = [item.event for item in world.stored().pending]
        assert await world.suppressed() == []
        await world.start()
        assert await world.suppressed() == [pending]

    async def test_a_suppressed_signal_is_no_open_order_once_it_is_known(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY, ts=world.clock.now() - self.OLD)
        assert not world.probe().has_open_order(A)

    async def test_cancels_are_never_too_old(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        await world.tick(A, CANCEL, ts=world.clock.now() - self.OLD)
        assert [event.type for event in await world.raw()] == [
            EventType.TRADING_SIGNAL,
            EventType.CANCEL_REQUEST,
        ]


class TestLineage:
    async def test_it_lasts_as_long_as_store_and_resource(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        lineage = world.stored().lineage
        await world.restart()
        await world.tick(A, SELL)
        assert world.stored().lineage == lineage

    async def test_renew_lineage_when_the_store_came_back_older(self, world: World) -> None:
        await world.start()
        image = world.database.checkpoint_image()
        await world.tick(A, BUY)
        lineage = world.stored().lineage
        world.database.restart(image)
        await world.restart()  # the same tick again, but under n = 1 of another lineage
        first, second = await world.signals()
        assert world.stored().lineage != lineage
        assert first.signal_id == signal_id(lineage, "paper", 1)
        assert second.signal_id == signal_id(world.stored().lineage, "paper", 1)

    async def test_renew_lineage_even_if_the_store_lost_nothing(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        lineage = world.stored().lineage
        world.database.restart()
        await world.restart()
        await world.tick(A, SELL)
        assert world.probe().prices == [BUY, SELL]
        assert world.stored().lineage != lineage
        assert world.stored().counter == 1

    async def test_a_new_resource_of_the_same_name_inherits_nothing_but_the_position(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(strategy(uid="one"))
        await world.start()
        await crash_before_producing(world)
        lineage, old = world.stored().lineage, world.stored().pending[0].event.data
        assert not isinstance(old, OrderUpdate)
        await world.book((old, Verdict.VALIDATED, OrderFold(filled_quantity=D(1), rank=3)))  # type: ignore[arg-type]
        world.manifest(strategy(uid="two"))
        await world.start()
        assert not world.probe().restored
        assert await world.raw() == []  # the old one's signal is not sent in the new one's name
        assert world.probe().position(A) == 1
        await world.tick(A, SELL)
        assert world.stored().lineage != lineage

    async def test_a_store_that_lost_everything_means_a_new_start(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        lineage = world.stored().lineage
        world.database.restart(EMPTY_IMAGE)
        await world.restart()
        await world.tick(A, SELL)
        assert (world.probe().prices, world.probe().restored) == ([SELL], False)
        assert world.stored().lineage != lineage


class TestGaps:
    async def test_topic_check_a_topic_created_anew_is_a_gap_and_the_book_is_loaded(
        self, world: World
    ) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        await world.stop()
        await world.recreate(world.topics.orders_filled, 2)  # with it, the news of the fill is gone
        await world.book((signal, Verdict.VALIDATED, OrderFold(filled_quantity=D(1), rank=3)))
        await world.start()
        probe = world.probe()
        assert [gap.split(": ")[1].rpartition("/")[0] for gap in probe.gaps] == [world.topics.orders_filled]
        assert (probe.restored, probe.prices) == (True, [BUY])
        assert (probe.positions, probe.has_open_order(A)) == ([1], False)

    async def test_after_a_gap_the_same_news_adds_nothing(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        await world.stop()
        await world.recreate(world.topics.orders_filled, 2)
        await world.book((signal, Verdict.VALIDATED, OrderFold(filled_quantity=D(1), rank=3)))
        await world.start()
        await world.order(signal, S.FILLED, "1")
        assert world.probe().position(A) == 1

    async def test_the_book_does_not_undo_what_risk_has_not_stored_yet(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        await world.order(signal, S.FILLED, "1")
        await world.stop()
        await world.recreate(world.topics.orders_cancelled, 2)
        await world.book((signal, Verdict.VALIDATED, None))  # behind: knows of no fill
        await world.start()
        assert len(world.probe().gaps) == 1
        assert world.probe().position(A) == 1

    async def test_a_signal_that_was_rejected_unheard_is_no_open_order(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        await world.stop()
        await world.recreate(world.topics.signals_rejected, 2)
        await world.book((signal, Verdict.REJECTED, None))
        await world.start()
        assert not world.probe().has_open_order(A)

    async def test_other_strategies_orders_in_the_book_are_theirs(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        theirs = replace(signal, strategy_id="another")
        await world.stop()
        await world.recreate(world.topics.orders_filled, 2)
        await world.book((theirs, Verdict.VALIDATED, OrderFold(filled_quantity=D(5), rank=3)))
        await world.start()
        assert world.probe().position(A) == 0

    async def test_missing_ticks_are_a_gap_in_which_orders_are_not_touched(self, world: World) -> None:
        await world.start()
        await world.tick(A, 1.0)
        await world.stop()
        await world.tick(A, 2.0)
        await world.tick(A, 3.0)
        await world.bus.delete_records(TopicPartition(TICKS, 0), 2)
        world.database.faults.refuse("folds")  # asked of nobody
        await world.start()
        assert world.probe().prices == [1.0, 3.0]
        assert len(world.probe().gaps) == 1
        assert world.service.get_status().errors == 1

    async def test_order_news_that_is_gone_loads_the_book(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        (signal,) = await world.signals()
        await world.stop()
        await world.order(signal, S.FILLED, "1")
        for partition in (0, 1):
            filled = TopicPartition(world.topics.orders_filled, partition)
            await world.bus.delete_records(filled, (await world.bus.offsets(filled.topic))[filled][1])
        await world.book((signal, Verdict.VALIDATED, OrderFold(filled_quantity=D(1), rank=3)))
        await world.start()
        assert world.probe().positions == [1]

    async def test_only_those_who_needed_the_records_hear_of_a_gap(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [C]))
        await world.start()
        await world.stop()
        await world.tick(A, 1.0)
        await world.bus.delete_records(TopicPartition(TICKS, 0), 1)
        await world.start()
        assert (len(world.probe("one").gaps), len(world.probe("two").gaps)) == (1, 0)

    async def test_an_offset_beyond_the_end_is_a_gap_too(self, world: World) -> None:
        await world.start()
        for price in (1.0, 2.0):
            await world.tick(A, price)
        await world.stop()
        stored = world.stored()
        stored.offsets[f"{TICKS}/0"] = replace(stored.offsets[f"{TICKS}/0"], offset=7)
        await world.start()
        await world.tick(A, 3.0)
        assert (world.probe().prices, len(world.probe().gaps)) == ([1.0, 2.0, 3.0], 1)

    async def test_an_instrument_more_whose_offsets_nobody_has_stored_is_a_gap(self, world: World) -> None:
        await world.start()
        await world.tick(A, 1.0)
        await world.stop()
        world.manifest(strategy(tokens=(A, C)))
        await world.start()
        assert len(world.probe().gaps) == 1
        await world.tick(C, 2.0)
        await world.tick(A, 3.0)
        assert world.probe().prices == [1.0, 2.0, 3.0]

    async def test_a_sibling_less_is_no_gap(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [C], accounts=["other"]))
        await world.start()
        await world.tick(A, 1.0)
        await world.stop()
        world.manifest(strategy("one", [A]))
        await world.start()
        assert (world.probe("one").gaps, world.probe("one").prices) == ([], [1.0])


class TestSeveralCells:
    async def test_two_accounts_are_two_instances(self, make_world: MakeWorld) -> None:
        world = make_world(strategy(accounts=["paper", "other"]))
        await world.start()
        await world.tick(A, BUY)
        mine, other = (await world.signals())[0], (await world.signals("other"))[0]
        assert mine.signal_id != other.signal_id
        await world.order(mine, S.FILLED, "1")
        assert world.probe().position(A) == 1
        assert world.probe(account="other").position(A) == 0
        assert world.probe(account="other").has_open_order(A)
        assert world.stored().lineage != world.stored(account="other").lineage

    async def test_the_one_ahead_drops_what_it_saw(self, make_world: MakeWorld) -> None:
        # Both hold A; only `two` has B: its signal stores it alone, beyond what is stored of `one`.
        world = make_world(strategy("one", [A]), strategy("two", [A, B]))
        await world.start()
        await world.tick(A, 1.0)
        await world.tick(B, BUY)
        await world.tick(A, 2.0)
        await world.restart()
        assert world.probe("one").prices == [1.0, 2.0]
        assert world.probe("two").prices == [1.0, BUY, 2.0]
        assert len({signal.signal_id for signal in await world.signals()}) == 1

    async def test_the_one_ahead_drops_it_after_a_second_crash_too(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [A, B]))
        await world.start()
        await world.tick(A, 1.0)
        await world.tick(B, BUY)
        await world.kill()
        world.bus.faults.fail_sends(topic=world.topics.signals_raw)
        await world.start()  # stores at once, sends the pending signal, fails
        await dies(world, DependencyUnavailableError)
        await world.start()
        assert world.probe("two").prices == [1.0, BUY]
        assert len({signal.signal_id for signal in await world.signals()}) == 1

    async def test_the_one_behind_gets_the_rest_of_an_older_feed_epoch(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [B]))
        await world.start()
        await world.tick(A, 1.0, 2.0)
        world.epoch = 2
        await world.tick(B, BUY)
        await world.kill()  # `two` is stored in epoch 2, `one` nowhere
        await world.tick(A, 3.0)
        await world.start()
        await world.tick(B, 4.0)
        assert world.probe("one").prices == [1.0, 2.0, 3.0]
        assert world.probe("two").prices == [BUY, 4.0]

    async def test_one_that_is_ahead_in_several_tokens_goes_on(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A, B, C]), strategy("two", [A, B, C]))
        await world.start()
        for token in (A, B, C):
            await world.tick(token, 1.0)
        await world.stop()
        world.manifest(strategy("two", [A, B, C]), strategy("new", [A, B, C]))
        await world.start()
        for token in (C, B, A, C):
            await world.tick(token, 2.0)
        assert world.probe("two").prices == [1.0] * 3 + [2.0] * 4
        assert world.probe("new").prices[-4:] == [2.0] * 4

    async def test_only_the_partitions_that_are_needed_are_taken(self, world: World) -> None:
        await world.start()
        group = Subscription(
            "probe.strategy", partitions=(TopicPartition(TICKS, 0), TopicPartition(TICKS, 1))
        )
        await world.tick(A, BUY)
        await world.stop()
        assert {name for name in world.stored().offsets if name.startswith(TICKS)} == {f"{TICKS}/0"}
        orders = [name for name in world.stored().offsets if name.startswith(world.topics.orders_filled)]
        assert len(orders) == 1
        async with world.bus.consumer(group) as consumer:
            assert await consumer.committed(TopicPartition(TICKS, 1)) is None

    async def test_cells_that_nothing_has_happened_to_are_not_encoded_again(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [C]), checkpoint_max_records=1)
        await world.start()
        await world.tick(C, 1.0)
        before = world.stored("two").state
        await world.tick(A, 2.0)
        assert world.stored("two").state is before  # the very object: not encoded again
        assert world.stored("two").offsets[f"{TICKS}/0"].offset == 1
        await world.restart()
        await world.tick(C, 3.0)
        assert world.probe("two").prices == [1.0, 3.0]

    async def test_news_of_others_does_not_make_a_cell_be_encoded_again(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [A]), checkpoint_max_records=1)
        await world.start()
        await world.tick(A, 1.0)
        await world.tick(A, BUY)
        mine, _ = await world.signals()
        await world.tick(A, 2.0)
        before = world.stored("two").state
        await world.order(mine, S.FILLED, "1")
        assert mine.strategy_id == "one"
        assert world.stored("two").state is before

    async def test_news_of_an_order_reaches_its_own_strategy_alone(self, make_world: MakeWorld) -> None:
        world = make_world(strategy("one", [A]), strategy("two", [A]))
        await world.start()
        await world.tick(A, BUY)
        mine = next(signal for signal in await world.signals() if signal.strategy_id == "one")
        called: list[str] = []
        for name in ("one", "two"):
            cell = cast("Any", world.probe(name).runtime)
            cell.on_account_event = lambda _, name=name: called.append(name)
        await world.order(mine, S.FILLED, "1")
        assert called == ["one"]

    async def test_one_that_crashes_is_told_and_stays_stopped_while_the_others_go_on(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(
            strategy("one", [A], parameters={"breaks": "on_tick", "at": 2.0}), strategy("two", [A])
        )
        await world.start()
        await world.tick(A, 1.0, 2.0, BUY)
        assert [str(error) for error in world.stopped] == [
            "strategy one on account paper raised RuntimeError: broken in on_tick"
        ]
        assert world.stopped[0].place.endswith("in _break)")
        assert world.probe("one").prices == [1.0]
        assert world.probe("two").prices == [1.0, 2.0, BUY]

    async def test_the_last_one_that_crashes_ends_the_service_and_is_not_told_as_stopped(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(strategy("one", [A], parameters={"breaks": "on_tick", "at": 2.0}))
        await world.start()
        await world.tick(A, 2.0)
        await dies(world, StrategyError)
        assert world.stopped == []

    async def test_the_last_status_of_a_service_that_a_strategy_has_ended_says_why(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(strategy("one", [A], parameters={"breaks": "on_tick", "at": 2.0}))
        await world.start()
        await world.tick(A, 2.0)
        await dies(world, StrategyError)
        (status,) = await MemoryStatusStore(world.database).all()
        told = RunnerFigures.of(status.details)
        assert (status.state, told.state, told.reason) == ("failed", STOPPED, CODE_RAISED)
        assert "broken in on_tick" in told.message


class TestReady:
    async def test_ready_means_that_the_consumer_is_at_its_place(self, world: World) -> None:
        world.database.faults.refuse("claim")
        await world.start()
        assert not world.service.ready.is_set()
        await dies(world, DependencyUnavailableError)
        await world.start()
        assert world.service.ready.is_set()

    async def test_status_tells_cells_failures_and_signals(self, world: World) -> None:
        await world.start()
        await world.tick(A, BUY)
        status = world.service.get_status()
        assert status.details["cells"] == 1
        assert (status.details["failed"], status.details["signals"], status.details["message"]) == (0, 1, "")
        assert status.details["feed"] == "demo"
        assert len(LIVES["probe", "paper"]) == 1
