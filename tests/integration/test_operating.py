"""What an operator's commands do to a whole pipeline: halt, resume, resolve, replay."""

from decimal import Decimal
from typing import Any

from alpha_panda.compose.control_room import ControlRoom
from alpha_panda.compose.dead_letter_office import DeadLetterOffice
from alpha_panda.compose.order_desk import Listing, OrderDesk
from alpha_panda.compose.verdicts import Verdict, Word
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderType, Side, TradingState
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import BookReading, Outcome
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from alpha_panda.testing.taps import Harm
from integration.kit import RELIANCE, TCS, account, manifests

FILLED = (EventType.ORDER_FILLED, None)
HALTED = (EventType.REJECTED_SIGNAL, Code.TRADING_HALTED)


def control_room(pipeline: Pipeline) -> ControlRoom:
    return ControlRoom(pipeline.run.ports, pipeline.settings, "ann")


async def priced(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])


async def bought(pipeline: Pipeline, **fields: Any) -> str:
    return await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", **fields)


async def test_a_halt_stops_orders_and_cancels_what_rests_until_it_is_cleared() -> None:
    for scope in (PLATFORM, account_scope("paper"), strategy_scope("alpha")):
        async with Pipeline(manifests()) as pipeline:
            await priced(pipeline)
            resting = await bought(pipeline, order_type=OrderType.LIMIT, limit="2400", ttl=60.0)
            room = control_room(pipeline)
            (halt,) = await room.halt([scope], TradingState.HALTED, "odd fills")
            assert halt.complete, halt.problems
            assert outcome_of(pipeline.about(await bought(pipeline))) == HALTED
            await pipeline.advance(2)
            assert outcome_of(pipeline.about(resting)) == (
                EventType.ORDER_CANCELLED,
                Code.CANCELLED_BY_STATE,
            )
            resumed = await room.resume(scope, [halt.latch.latch_id], "looked")
            assert resumed.reading.state is TradingState.ACTIVE
            await priced(pipeline)
            assert outcome_of(pipeline.about(await bought(pipeline))) == FILLED


async def test_a_halt_outlives_a_redis_that_forgets_and_a_cleared_one_does_not_return() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        room, control = control_room(pipeline), pipeline.stores().control
        kept, gone = await room.halt([account_scope("paper"), PLATFORM], TradingState.HALTED, "x")
        await room.resume(PLATFORM, [gone.latch.latch_id], "")
        assert await control.clear_latch(kept.latch.scope, kept.latch.latch_id)  # as a loss would
        pipeline.stores().database.restart()
        await pipeline.kill("strategy/alpha")  # its claim is as stale as risk's, which notices by itself
        await priced(pipeline)
        await bought(pipeline)
        await pipeline.advance(60)
        readings = await control.read((PLATFORM, account_scope("paper")))
        assert [[latch.latch_id for latch in reading.latches] for reading in readings] == [
            [],
            [kept.latch.latch_id],
        ]


async def test_a_loss_that_stands_latches_again_and_refuses_what_increases() -> None:
    """As the note of `resume` says: the limit is the manifest's to raise, not the latch's to forget."""
    async with Pipeline(manifests(account=account(risk={"maxDailyLoss": "10"}))) as pipeline:
        await priced(pipeline)
        await bought(pipeline)
        await pipeline.tick(RELIANCE, 2480.0)
        await pipeline.advance(2)
        room, scope = control_room(pipeline), account_scope("paper")
        (latch,) = (await room.reading(scope)).latches
        resumed = await room.resume(scope, [latch.latch_id], "")
        assert resumed.cleared == (latch,)
        assert len(resumed.notes) == 1
        await pipeline.advance(2)
        (again,) = (await room.reading(scope)).latches
        assert again.latch_id != latch.latch_id  # which a manifest may still name
        assert again.state is TradingState.REDUCING
        assert again.set_at > latch.set_at
        await room.resume(scope, [again.latch_id], "")
        await pipeline.tick(RELIANCE, 2480.0)
        assert outcome_of(pipeline.about(await bought(pipeline)))[1] is Code.DAILY_LOSS
        actions = [event.data.action for event in pipeline.events(EventType.CONTROL_CHANGED)]  # type: ignore[union-attr]
        assert actions[:4] == ["set", "cleared", "set", "cleared"]


async def test_a_persons_word_ends_an_order_in_doubt_with_one_event() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        broker = pipeline.broker()
        broker.answers.append(Outcome(state=EntryState.UNKNOWN, message="time-out"))
        incomplete = BookReading(complete=False, begun_at=0, user="", trading_day="")
        broker.books.extend([incomplete] * 1000)  # a broker that never tells
        doubtful = await bought(pipeline)
        await pipeline.advance(60)
        desk = OrderDesk(pipeline.run.ports, pipeline.settings)
        (listed,) = await desk.listed("paper", Listing.IN_DOUBT)
        assert (listed.signal_id, listed.state) == (doubtful, EntryState.UNKNOWN)
        await priced(pipeline)
        assert outcome_of(pipeline.about(await bought(pipeline)))[1] is Code.IN_DOUBT
        verdict = Verdict(
            word=Word.FILLED,
            by="ann",
            reason="on the statement",
            price=Decimal(2500),
        )
        resolution = await desk.resolve("paper", doubtful, verdict)
        assert resolution.applied
        await pipeline.advance(5)
        told = [event for event in pipeline.events() if getattr(event.data, "order_id", "") == listed.tag]
        (event,) = told
        assert event.type is EventType.ORDER_FILLED
        assert isinstance(event.data, OrderUpdate)
        assert event.data.message == "by hand (ann): on the statement"
        assert pipeline.snapshot().positions[RELIANCE].quantity == 1
        assert await desk.listed("paper", Listing.ALL) == []
        await priced(pipeline)
        assert outcome_of(pipeline.about(await bought(pipeline))) == FILLED
        assert broker.calls[doubtful] == 1


async def test_a_replayed_decision_passes_risk_and_is_not_traded_again() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        for replica in (0, 1):
            pipeline.taps.plan(f"engine/paper-{replica}", "prices.read", Harm.REFUSE, times=50)
        refused = await bought(pipeline)
        await pipeline.advance(8)
        pipeline.taps.clear()
        await pipeline.advance(10)
        await priced(pipeline)
        office = DeadLetterOffice(pipeline.run.ports, pipeline.settings, "ann")
        queue = pipeline.topics().signals_validated + ".dlq"
        raw = len([record for record in pipeline.records if record.topic == pipeline.topics().signals_raw])
        done = await office.replay(queue, None)
        await pipeline.idle()
        assert [(item.topic, item.landed) for item in done.sent] == [(pipeline.topics().signals_raw, raw)]
        decisions = [event.id for event in pipeline.events(EventType.VALIDATED_SIGNAL)]
        assert len(decisions) == 2  # told again by risk
        assert len(set(decisions)) == 1
        assert [event.type for event in pipeline.about(refused)] == [
            EventType.VALIDATED_SIGNAL,
            EventType.ORDER_FAILED,
        ]
        assert pipeline.broker().placed == []


async def test_a_replayed_poison_signal_is_seen_by_risk_and_set_aside_again() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        await pipeline.produce(pipeline.topics().signals_raw, b"\x00 poison", key="k")
        office = DeadLetterOffice(pipeline.run.ports, pipeline.settings, "ann")
        (queue,) = await office.topics(topic=pipeline.topics().signals_raw)
        assert (await office.overview(queue)).codes == {"UNDECODABLE": 1}
        done = await office.replay(queue, [0])
        await pipeline.idle()
        assert (len(done.sent), done.skipped, done.problem) == (1, (), "")
        assert (await office.overview(queue)).codes == {"UNDECODABLE": 2}
        assert (await office.overview(queue)).services == {"risk": 2}
        await office.purge(queue, 2)
        assert (await office.overview(queue)).count == 0
        assert outcome_of(pipeline.about(await bought(pipeline))) == FILLED
