"""Risk decides once: one test or more for each guard of `models/strategy-risk` that concerns the risk service."""

import asyncio
from datetime import date, timedelta

import msgspec
import pytest
from structlog.testing import capture_logs

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.enums import OrderStatus, SignalClass, TradingState, Verdict
from alpha_panda.contracts.events import CheckResult, ValidatedSignal
from alpha_panda.contracts.keys import risk_lease
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import Decision
from alpha_panda.errors import FencedError, OffsetOutOfRangeError, UnknownOutcomeError
from alpha_panda.ports import Outgoing, TopicPartition
from alpha_panda.testing.taps import Harm
from unit.risk.world import (
    ACCOUNT,
    BUY,
    RELIANCE,
    SELL,
    TCS,
    D,
    RiskWorld,
    cancel,
    documents,
    filled,
    signal,
    update,
)

SCOPE = account_scope(ACCOUNT)
VALIDATED, REJECTED = "VALIDATED_SIGNAL", "REJECTED_SIGNAL"


@pytest.fixture
async def world(clock: VirtualClock) -> RiskWorld:
    return await RiskWorld(clock).open()


class TestOneDecision:
    async def test_cas_epoch_a_zombies_decision_is_refused_and_it_tells_nothing_afterwards(
        self, world: RiskWorld
    ) -> None:
        async with world.running():
            await world.decisions.claim("another")
            produced = len(world.records)
            await world.signal("s1")
            await world.fill(signal("s0"))
            assert isinstance(await world.end(), FencedError)
            raw_and_fill = 2
            assert len(world.records) == produced + raw_and_fill
            assert await world.decisions.get("s1") is None

    async def test_snap_epoch_a_zombies_snapshot_is_refused_and_it_publishes_no_book(
        self, world: RiskWorld
    ) -> None:
        async with world.running():
            await world.decisions.claim("another")
            books = len(world.books())
            await world.fill(signal("s1"))
            assert isinstance(await world.end(), FencedError)
            assert len(world.books()) == books
            assert (await world.claimed()).snapshot is None
            assert (await world.claimed()).folds == {}

    async def test_a_zombie_that_is_asked_to_stop_publishes_no_book(self, world: RiskWorld) -> None:
        async with world.running():
            await world.decisions.claim("another")
            books = len(world.books())
            await world.services["risk"].stop()
            assert isinstance(await world.end(), FencedError)
            assert len(world.books()) == books

    async def test_a_zombie_that_only_marks_ends(self, world: RiskWorld) -> None:
        async with world.running():
            await world.fill(signal("s1"))
            await world.decisions.claim("another")
            await world.pass_seconds(2)
            assert isinstance(await world.end(), FencedError)

    async def test_a_second_one_waits_for_the_lease_and_takes_over_when_it_is_given_up(
        self, world: RiskWorld
    ) -> None:
        async with world.running() as first:
            await world.start("second")
            await world.signal("s1")
            await world.pass_seconds(30)  # the first renews it
            assert not first.done()
            assert world.lease.owner == "risk"
            await world.services["risk"].stop()
            await world.pass_seconds(5)
            assert world.lease.owner == "second"
            await world.signal("s2")
            assert world.told() == [("s1", VALIDATED), ("s2", VALIDATED)]

    async def test_one_whose_lease_another_took_ends_at_its_next_renewal(self, world: RiskWorld) -> None:
        async with world.running():
            lease = await world.ports.lease.acquire(risk_lease(ACCOUNT), "risk", 1e6)
            assert lease is not None
            await world.pass_seconds(5)
            assert world.tasks["risk"].done()
            assert isinstance(await world.end(), FencedError)

    async def test_atomic_claim_of_two_the_later_one_alone_decides(self, world: RiskWorld) -> None:
        async with world.running():
            world.expire_lease()
            await world.start("second")
            await world.signal("s1")
            assert isinstance(await world.end("risk"), FencedError)
            assert not world.tasks["second"].done()
            assert world.told() == [("s1", VALIDATED)]

    async def test_it_is_stored_before_it_is_told(self, world: RiskWorld) -> None:
        async with world.running():
            await world.signal("s1")
            calls = [call.operation for call in world.taps.calls]
            record = calls.index("decisions.record")
            assert calls[record + 1] == "producer.send"
            assert "producer.send" not in calls[calls.index("consumer.fetch") : record]

    async def test_record_rejects_a_rejection_is_stored_too(self, world: RiskWorld) -> None:
        async with world.running():
            await world.signal("s1", quantity="0.5")
            assert (await world.stored("s1")).verdict is Verdict.REJECTED
            assert world.codes() == {"s1": "LOT_SIZE"}

    async def test_what_is_told_says_what_is_stored(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1")
            (event,), stored = world.events(world.topics.signals_validated), await world.stored("s1")
            told = event.data
            assert isinstance(told, ValidatedSignal)
            assert told.original_signal == made
            assert told.payload_hash == stored.payload_hash == payload_hash(made)
            assert (told.risk_epoch, told.journal_epoch) == (stored.risk_epoch, await world.journal.epoch())
            assert told.signal_class is stored.signal_class is SignalClass.INCREASING
            assert (event.key, event.correlation_id, event.account) == (made.key, "s1", ACCOUNT)
            assert event.causation_id == stored.causation_id


class TestKnownIds:
    async def test_dup_a_known_id_is_told_again_to_the_byte_and_decided_no_more(
        self, world: RiskWorld
    ) -> None:
        async with world.running():
            made = await world.signal("s1")
            stored = await world.stored("s1")
            await world.price({RELIANCE: 200.0})
            await world.ports.control.put_spec(SCOPE, TradingState.HALTED, 1e6)
            await world.pass_seconds(5)
            await world.put(world.raw(made))
            first, second = world.values(world.topics.signals_validated)
            assert first == second
            assert await world.stored("s1") == stored
            assert [call.operation for call in world.taps.calls].count("decisions.record") == 1

    async def test_a_known_rejection_stays_one_when_its_cause_is_gone(self, world: RiskWorld) -> None:
        async with world.running():
            await world.ports.control.put_spec(SCOPE, TradingState.HALTED, 1e6)
            made = await world.signal("s1")
            await world.ports.control.put_spec(SCOPE, TradingState.ACTIVE, 1e6)
            await world.restart()
            await world.put(world.raw(made))
            first, second = world.values(world.topics.signals_rejected)
            assert first == second
            assert world.values(world.topics.signals_validated) == []

    async def test_another_payload_under_a_known_id_is_set_aside_and_told_nothing(
        self, world: RiskWorld
    ) -> None:
        async with world.running():
            await world.signal("s1")
            other = world.raw(signal("s1", quantity=11))
            await world.put(other)
            assert world.letters(world.topics.signals_raw) == [(other.value, "PAYLOAD_MISMATCH")]
            assert world.told() == [("s1", VALIDATED)]
            assert (await world.stored("s1")).signal == signal("s1")
            assert await world.offset(world.topics.signals_raw) == 2
            status = world.services["risk"].get_status()
            assert (status.dead_lettered, status.errors) == (1, 1)

    async def test_another_payload_after_a_restart_too(self, world: RiskWorld) -> None:
        async with world.running():
            await world.signal("s1")
            await world.restart()
            await world.put(world.raw(cancel("s1", signal("s0"))))
            assert [code for _, code in world.letters(world.topics.signals_raw)] == ["PAYLOAD_MISMATCH"]
            assert world.told() == [("s1", VALIDATED)]

    async def test_dec_gc_an_id_is_known_after_its_order_ended(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1")
            await world.fill(made)
            await world.restart()
            await world.put(world.raw(made))
            assert world.told() == [("s1", VALIDATED)] * 2
            assert [call.operation for call in world.taps.calls].count("decisions.record") == 1

    async def test_an_id_that_only_the_journal_knows_is_dropped_not_rejected(self, world: RiskWorld) -> None:
        async with world.running():
            await world.doubt(signal("s1"))
            with capture_logs() as logs:
                await world.signal("s1")
            assert "signal_known_to_the_journal_dropped" in [entry["event"] for entry in logs]
            assert world.told() == []
            assert await world.decisions.get("s1") is None
            assert await world.offset(world.topics.signals_raw) == 1


class TestUnansweredCalls:
    @pytest.mark.parametrize("harm", [Harm.LOSE_REPLY, Harm.LOSE_REQUEST])
    async def test_on_unknown_a_decision_without_a_reply_ends_the_process(
        self, world: RiskWorld, harm: Harm
    ) -> None:
        async with world.running():
            world.plan("decisions.record", harm)
            await world.signal("s1")
            assert isinstance(await world.end(), UnknownOutcomeError)
            assert world.told() == []
            await world.start()
            assert world.told() == [("s1", VALIDATED)]

    async def test_a_decision_that_got_no_reply_is_the_one_that_is_told(self, world: RiskWorld) -> None:
        async with world.running():
            world.plan("decisions.record", Harm.LOSE_REPLY)
            await world.signal("s1")
            await world.end()
            stored = await world.stored("s1")
            await world.ports.control.put_spec(SCOPE, TradingState.HALTED, 1e6)
            await world.start()
            assert world.told() == [("s1", VALIDATED)]
            assert await world.stored("s1") == stored

    @pytest.mark.parametrize("harm", [Harm.LOSE_REPLY, Harm.LOSE_REQUEST])
    async def test_a_snapshot_without_a_reply_ends_the_process(self, world: RiskWorld, harm: Harm) -> None:
        async with world.running():
            world.plan("decisions.save", harm)
            await world.fill(signal("s1"))
            assert isinstance(await world.end(), UnknownOutcomeError)
            await world.start()
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10


class TestPlaceInTheInput:
    @pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER])
    async def test_raw_after_ack_who_dies_around_producing_tells_it_again(
        self, world: RiskWorld, harm: Harm
    ) -> None:
        async with world.running():
            world.plan("producer.send", harm)
            await world.signal("s1")
            stored = await world.stored("s1")
            assert await world.offset(world.topics.signals_raw) == 0
            await world.restart()
            assert set(world.told()) == {("s1", VALIDATED)}
            assert len(set(world.values(world.topics.signals_validated))) == 1
            assert await world.stored("s1") == stored
            assert await world.offset(world.topics.signals_raw) == 1

    @pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER])
    async def test_who_dies_around_saving_decides_nothing_anew(self, world: RiskWorld, harm: Harm) -> None:
        async with world.running():
            world.plan("decisions.save", harm)
            await world.signal("s1")
            stored = await world.stored("s1")
            await world.ports.control.put_spec(SCOPE, TradingState.HALTED, 1e6)
            await world.restart()
            assert set(world.told()) == {("s1", VALIDATED)}
            assert await world.stored("s1") == stored

    async def test_an_event_that_is_not_acknowledged_does_not_pass(self, world: RiskWorld) -> None:
        async with world.running():
            world.bus.faults.fail_sends(topic=world.topics.signals_validated)
            await world.signal("s1")
            await world.end()
            assert await world.offset(world.topics.signals_raw) == 0
            await world.start()
            assert world.told() == [("s1", VALIDATED)]

    async def test_the_groups_offsets_are_not_believed(self, world: RiskWorld) -> None:
        async with world.running():
            await world.signal("s1")
            await world.kill()
            group = TopicPartition(world.topics.signals_raw, 0)
            world.bus._topics.log(group).committed["paper.risk"] = 0
            await world.start()
            assert world.told() == [("s1", VALIDATED)]

    async def test_close_outbox_own_closing_decisions_are_told_again_until_they_end(
        self, world: RiskWorld
    ) -> None:
        epoch = (await world.decisions.claim("before")).epoch
        for name, side, closing in (("c1", SELL, True), ("c2", SELL, True), ("s1", BUY, False)):
            made = signal(name, side)
            stored = Decision(
                signal=made,
                verdict=Verdict.VALIDATED,
                signal_class=SignalClass.REDUCING if closing else SignalClass.INCREASING,
                payload_hash=payload_hash(made),
                risk_epoch=epoch,
                journal_epoch="e",
                decided_at=1,
                correlation_id=name,
                causation_id="",
                closing=closing,
                checks=[CheckResult("schema", True)],
            )
            await world.decisions.record(epoch, stored)
        await world.put(world.order(update(signal("c2", SELL), OrderStatus.CANCELLED)))
        async with world.running():
            assert world.told() == [("c1", VALIDATED), ("c2", VALIDATED)]
            await world.restart()
            assert world.told()[2:] == [("c1", VALIDATED)]
        first, _, again = (event.data for event in world.events(world.topics.signals_validated))
        assert isinstance(first, ValidatedSignal)
        assert first == again
        assert first.checks == [CheckResult("schema", True)]


class TestLock:
    async def test_an_order_event_is_never_folded_between_computing_and_recording(
        self, world: RiskWorld
    ) -> None:
        """BUY 10 fills while a SELL of 10 is being recorded: it was judged flat, so it is stored as increasing."""
        async with world.running():
            bought = await world.signal("s1")
            gate, record = asyncio.Event(), world.decisions.record

            async def slow(epoch: str, *decisions: Decision) -> list[Decision]:
                await gate.wait()
                return await record(epoch, *decisions)

            world.decisions.record = slow  # type: ignore[method-assign]
            await world.signal("s2", SELL)
            await world.fill(bought)
            assert world.services["risk"].get_status().details["open_orders"] == 2
            gate.set()
            await world.settle()
            assert (await world.stored("s2")).signal_class is SignalClass.INCREASING
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10

    async def test_the_book_is_not_marked_while_a_record_is_handled(self, world: RiskWorld) -> None:
        async with world.running():
            await world.fill(signal("s0"))
            gate, known = asyncio.Event(), world.journal.known

            async def slow(*signal_ids: str) -> frozenset[str]:
                await gate.wait()
                return await known(*signal_ids)

            world.journal.known = slow  # type: ignore[method-assign]
            await world.signal("s1")
            saves = [call.operation for call in world.taps.calls].count("decisions.save")
            await world.pass_seconds(3)
            assert [call.operation for call in world.taps.calls].count("decisions.save") == saves
            gate.set()
            await world.settle()
            assert world.told() == [("s1", VALIDATED)]


class TestJournalEpoch:
    async def test_without_a_valid_epoch_nothing_is_decided_and_nothing_lost(
        self, clock: VirtualClock
    ) -> None:
        world = await RiskWorld(clock).open(epoch=False)
        made = signal("s1")
        await world.put(world.raw(made), world.order(filled(signal("s0"))))
        async with world.running():
            with capture_logs() as logs:
                await world.pass_seconds(30)
            assert [entry["event"] for entry in logs].count("waiting_for_the_journal_epoch") <= 1
            assert world.told() == []
            assert await world.decisions.get("s1") is None
            await world.write_epoch()
            await world.pass_seconds(1)
            assert world.told() == [("s1", VALIDATED)]
            assert (await world.stored("s1")).journal_epoch == await world.journal.epoch()
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10

    async def test_a_known_id_is_told_without_one(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1")
            world.database_restart()
            await world.restart()
            await world.put(world.raw(made))
            assert world.told() == [("s1", VALIDATED)] * 2

    async def test_a_store_that_came_back_ends_risk_before_it_decides(self, world: RiskWorld) -> None:
        async with world.running():
            world.database_restart()
            await world.write_epoch()
            await world.signal("s1")
            assert isinstance(await world.end(), FencedError)
            assert world.told() == []
            await world.start()
            assert world.told() == [("s1", VALIDATED)]

    async def test_a_graceful_stop_does_not_wait_for_the_epoch(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open(epoch=False)
        async with world.running():
            await world.signal("s1")
            async with asyncio.timeout(5):
                await world.services["risk"].stop()
            assert await world.end() is None
            await world.write_epoch()
            await world.start()
            assert world.told() == [("s1", VALIDATED)]


class TestGaps:
    async def gap(self, world: RiskWorld, topic: str) -> None:
        """Let three records come while risk is down, and two of them go before it is back."""
        key = world.order(filled(signal("s1"))).key
        await world.kill()
        for n in range(3):
            record = (
                world.raw(signal(f"r{n}")) if topic == world.topics.signals_raw else self.fill(world, f"f{n}")
            )
            await world.put(Outgoing(topic, record.value, key, 0))
        await world.bus.delete_records(TopicPartition(topic, 0), before=3)

    def fill(self, world: RiskWorld, name: str) -> Outgoing:
        return world.order(filled(signal(name, quantity=1)))

    async def test_lost_order_events_halt_the_account_loudly(self, world: RiskWorld) -> None:
        async with world.running():
            await world.put(Outgoing(world.topics.orders_filled, self.fill(world, "f").value, None, 0))
            await self.gap(world, world.topics.orders_filled)
            with capture_logs() as logs:
                await world.start()
            (lost,) = [entry for entry in logs if entry["event"] == "input_lost"]
            assert (lost["log_level"], lost["wanted"], lost["oldest"]) == ("error", 1, 3)
            (latch,) = (await world.latches()).values()
            assert latch.latch_id == "gap-paper.orders.filled-0-1"
            assert latch.state is TradingState.HALTED
            assert latch.reason.startswith("gap: paper.orders.filled/0 ")
            assert world.controls() == [(SCOPE, latch.latch_id, "Halted")]
            await world.signal("s1")
            assert world.codes() == {"s1": "TRADING_HALTED"}
            assert world.books()[-1].trading_state is TradingState.HALTED

    async def test_lost_before_the_first_start_counts_too(self, world: RiskWorld) -> None:
        await world.put(Outgoing(world.topics.orders_failed, b"{}", None, 0))
        await world.bus.delete_records(TopicPartition(world.topics.orders_failed, 0), before=1)
        async with world.running():
            assert list(await world.latches()) == ["gap-paper.orders.failed-0-0"]

    async def test_a_topic_made_anew_is_a_gap(self, world: RiskWorld) -> None:
        async with world.running():
            await world.put(Outgoing(world.topics.orders_filled, self.fill(world, "f").value, None, 0))
            await world.kill()
            world.bus.delete_topic(world.topics.orders_filled)
            await world.start()
            assert list(await world.latches()) == ["gap-paper.orders.filled-0-1"]
            await world.put(Outgoing(world.topics.orders_filled, self.fill(world, "g").value, None, 0))
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 2

    async def test_lost_signals_are_logged_and_halt_nothing(self, world: RiskWorld) -> None:
        async with world.running():
            await self.gap(world, world.topics.signals_raw)
            with capture_logs() as logs:
                await world.start()
            assert "input_lost" in [entry["event"] for entry in logs]
            assert await world.latches() == {}
            await world.signal("s1")
            assert world.told() == [("s1", VALIDATED)]

    async def test_a_gap_that_a_person_has_cleared_is_not_found_again(self, world: RiskWorld) -> None:
        async with world.running():
            await self.gap(world, world.topics.orders_filled)
            await world.start()
            (latch_id,) = await world.latches()
            assert await world.ports.control.clear_latch(SCOPE, latch_id)
            await world.restart()
            assert await world.latches() == {}

    async def test_no_gap_no_halt(self, world: RiskWorld) -> None:
        async with world.running():
            await world.fill(signal("s1"))
            await world.bus.delete_records(TopicPartition(world.topics.orders_filled, 0), before=10)
            for partition in range(4):
                await world.bus.delete_records(
                    TopicPartition(world.topics.orders_filled, partition), before=10
                )
            await world.restart()
            assert await world.latches() == {}

    async def test_losing_them_while_it_runs_ends_risk(self, world: RiskWorld) -> None:
        async with world.running():
            gate, known = asyncio.Event(), world.journal.known

            async def slow(*signal_ids: str) -> frozenset[str]:
                await gate.wait()
                return await known(*signal_ids)

            world.journal.known = slow  # type: ignore[method-assign]
            await world.signal("s1")
            for n in range(2):
                await world.put(
                    Outgoing(world.topics.orders_filled, self.fill(world, f"f{n}").value, None, 0)
                )
            await world.bus.delete_records(TopicPartition(world.topics.orders_filled, 0), before=1)
            gate.set()
            assert isinstance(await world.end(), OffsetOutOfRangeError)
            await world.start()
            assert list(await world.latches()) == ["gap-paper.orders.filled-0-0"]


class TestUnusableRecords:
    @pytest.mark.parametrize("value", [b"", b"not json", b"{}"])
    async def test_garbage_among_the_signals_is_set_aside_and_risk_goes_on(
        self, world: RiskWorld, value: bytes
    ) -> None:
        async with world.running():
            await world.put(Outgoing(world.topics.signals_raw, value))
            await world.signal("s1")
            assert world.letters(world.topics.signals_raw) == [(value, "UNDECODABLE")]
            assert world.told() == [("s1", VALIDATED)]
            assert await world.latches() == {}

    async def test_an_order_event_that_cant_be_read_halts_the_account(self, world: RiskWorld) -> None:
        async with world.running():
            await world.put(Outgoing(world.topics.orders_filled, b"{}", None, 2))
            assert world.letters(world.topics.orders_filled) == [(b"{}", "UNDECODABLE")]
            (latch,) = (await world.latches()).values()
            day = world.clock.now() // (86_400 * 10**9)
            today = (date(1970, 1, 1) + timedelta(days=day)).isoformat()
            assert (latch.latch_id, latch.reason[:4]) == (
                f"gap-unreadable-paper.orders.filled-{today}",
                "gap:",
            )
            await world.put(Outgoing(world.topics.orders_filled, b"[]", None, 1))
            assert len(await world.latches()) == 1  # one for a person to look at, however many there are
            await world.signal("s1")
            assert world.codes() == {"s1": "TRADING_HALTED"}

    async def test_events_on_the_wrong_topic_do_nothing_but_are_set_aside(self, world: RiskWorld) -> None:
        async with world.running():
            order = world.order(filled(signal("s1")))
            await world.put(Outgoing(world.topics.signals_raw, order.value))
            assert world.letters(world.topics.signals_raw) == [(order.value, "UNDECODABLE")]
            raw = world.raw(signal("s2"))
            await world.put(Outgoing(world.topics.orders_filled, raw.value))
            assert world.letters(world.topics.orders_filled) == [(raw.value, "UNDECODABLE")]
            assert world.told() == []
            assert len(world.books()) == 1


class TestRuleOfTheModel:
    """Guards that live in the gate and the fold: here that the service feeds them what they need."""

    async def test_less_open_reducing_takes_no_more_than_open_reductions_leave(
        self, world: RiskWorld
    ) -> None:
        async with world.running():
            await world.fill(await world.signal("s1", BUY, 10))
            await world.signal("s2", SELL, 7)
            await world.signal("s3", SELL, 3)
            assert (await world.stored("s3")).signal_class is SignalClass.REDUCING
            await world.signal("s4", SELL, 1)
            assert world.codes() == {"s4": "REDUCTION_OPEN"}

    async def test_same_side_an_increasing_order_waits_for_the_reducing_one_of_its_side(
        self, world: RiskWorld
    ) -> None:
        async with world.running():
            await world.fill(await world.signal("s1", BUY, 10))
            reducing = await world.signal("s2", SELL, 10)
            await world.signal("s3", SELL, 5)
            await world.fill(reducing)
            await world.signal("s4", SELL, 5)
            assert world.codes() == {"s3": "REDUCTION_OPEN"}
            assert (await world.stored("s4")).signal_class is SignalClass.INCREASING

    async def test_sides_open_orders_of_both_sides_are_not_netted(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"maxPosition": "10"})).open()
        async with world.running():
            await world.signal("s1", BUY, 10)
            await world.signal("s2", SELL, 10, strategy="beta")
            await world.signal("s3", BUY, 1)
            assert world.codes() == {"s3": "MAX_POSITION"}

    async def test_exempt_a_limit_never_traps_a_position(self, clock: VirtualClock) -> None:
        limits = {"maxPosition": "10", "maxOrderQuantity": "10", "maxOrdersPerDay": 2}
        world = await RiskWorld(clock, documents(risk=limits)).open()
        async with world.running():
            await world.fill(await world.signal("s1", BUY, 10))
            await world.fill(signal("external", BUY, 90))
            await world.signal("s2", SELL, 100)
            assert (await world.stored("s2")).signal_class is SignalClass.REDUCING
            assert world.codes() == {}

    async def test_cancel_cum_a_cancelled_order_keeps_what_it_filled(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1", BUY, 10)
            gone = update(made, OrderStatus.CANCELLED, filled_quantity=D(4), price=D(100))
            await world.put(world.order(gone))
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 4
            assert world.books()[-1].open_orders == 0

    async def test_fold_repeats_and_old_news_change_nothing(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1", BUY, 10)
            events = [world.order(filled(made, 100, n)) for n in (4, 10)]
            placed = world.order(update(made, OrderStatus.PLACED))
            for record in (events[1], events[0], placed, events[1], events[0]):
                await world.put(record)
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10
            assert world.books()[-1].cash == 1_000_000 - 1000


class TestCancelRequests:
    @pytest.mark.parametrize("status", [None, OrderStatus.PLACED, OrderStatus.FILLED, OrderStatus.FAILED])
    @pytest.mark.parametrize("state", [TradingState.ACTIVE, TradingState.HALTED])
    async def test_a_known_order_may_be_cancelled_whatever_the_states(
        self, world: RiskWorld, status: OrderStatus | None, state: TradingState
    ) -> None:
        async with world.running():
            made = await world.signal("s1")
            if status is not None:
                await world.put(world.order(update(made, status)))
            await world.ports.control.put_spec(SCOPE, state, 1e6)
            await world.put(world.raw(cancel("c1", made)))
            assert world.told()[-1] == ("c1", VALIDATED)
            assert (await world.stored("c1")).signal_class is SignalClass.CANCEL

    async def test_an_order_that_nobody_knows_is_refused(self, world: RiskWorld) -> None:
        async with world.running():
            await world.put(world.raw(cancel("c1", signal("s1"))))
            assert world.codes() == {"c1": "UNKNOWN_ORDER"}

    async def test_a_rejected_order_is_none_to_cancel(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1", quantity="0.5")
            await world.put(world.raw(cancel("c1", made)))
            assert world.codes()["c1"] == "UNKNOWN_ORDER"

    async def test_somebody_elses_order_is_refused(self, world: RiskWorld) -> None:
        async with world.running():
            made = await world.signal("s1")
            other = msgspec.structs.replace(cancel("c1", made), strategy_id="beta")
            await world.put(world.raw(other))
            assert world.codes() == {"c1": "UNKNOWN_ORDER"}

    async def test_no_limit_on_rates_binds_it(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"maxOrdersPerDay": 1})).open()
        async with world.running():
            made = await world.signal("s1", token=TCS)
            for n in range(3):
                await world.put(world.raw(cancel(f"c{n}", made)))
            assert world.codes() == {}
