"""What every OrderJournal promises: DESIGN section 4, guard by guard."""

import asyncio
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState, Verdict
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import (
    NO_EPOCH,
    AdoptionRequest,
    BeginVerdict,
    BrokerFacts,
    InstrumentDifference,
    JournalEntry,
    OpeningPosition,
    Outcome,
)
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import DependencyUnavailableError, FencedError, MisuseError, UnknownOutcomeError
from alpha_panda.ports import OpenPage
from contracts.desk import CONTROL_TTL, LEASE_TTL, OWNER, SEND_WITHIN, Desk
from contracts.harness import ACCOUNT, Lose, Stores
from contracts.samples import (
    CANCELLED,
    FILLED,
    LOST,
    PARTIAL,
    PLACED,
    REJECTED,
    SCOPE,
    UNKNOWN,
    entry,
    latch,
    outcome,
    signal,
)

REDUCING: dict[str, Any] = {"signal_class": SignalClass.REDUCING}
STATE = EntryState


def _refused_with(verdict: BeginVerdict, code: Code) -> bool:
    """Whether BEGIN refused for good, just now, with this code."""
    found = verdict.entry
    return (verdict.go, verdict.fresh, found.state, found.code) == (False, True, STATE.FAILED, code)


class _AtTheDesk:
    @pytest.fixture
    async def desk(self, stores: Stores) -> Desk:
        return await Desk.opened(stores)


class BeginContract(_AtTheDesk):
    """BEGIN: who gets GO."""

    async def test_go_is_stored_whole_before_it_is_given(self, desk: Desk) -> None:
        before = await desk.stores.harness.now()
        request = desk.request(signal(), quote_price=Decimal("2500.05"), quote_ts=7)
        await desk.decide(signal())
        verdict = await desk.stores.journal.begin(request)
        after = await desk.stores.harness.now()
        found = verdict.entry
        assert (verdict.go, verdict.fresh) == (True, True)
        assert found == await desk.stored()
        assert (found.state, found.attempt, found.tag) == (STATE.SENDING, request.attempt, broker_tag("s1"))
        assert before + SEND_WITHIN <= found.send_by <= after + SEND_WITHIN
        assert before <= found.created_at == found.updated_at <= after
        assert (found.signal, found.signal_class) == (signal(), SignalClass.INCREASING)
        assert (found.correlation_id, found.causation_id) == ("corr", "cause")
        assert (found.quote_price, found.quote_ts, found.code) == (Decimal("2500.05"), 7, None)
        assert await desk.open_ids() == ["s1"]
        assert await desk.stores.journal.in_doubt() == [found]

    # ------------------------------------------------------------------------------------------ 1 known id

    async def test_known_id_is_dup_and_never_a_second_go(self, desk: Desk) -> None:
        first = await desk.go()
        again = await desk.begin(signal())
        assert (again.go, again.fresh, again.entry) == (False, False, first)

    @pytest.mark.parametrize("told", [FILLED, PLACED, REJECTED, UNKNOWN])
    async def test_dup_tells_the_present_state(self, desk: Desk, told: Outcome) -> None:
        first = await desk.go()
        settled = await desk.stores.journal.settle("s1", first.attempt, told, first)
        again = await desk.begin(signal())
        assert (again.go, again.fresh, again.entry) == (False, False, settled)

    async def test_refused_id_is_dup_even_when_the_reason_is_gone(self, desk: Desk) -> None:
        await desk.stores.control.drop_spec(SCOPE)
        first = await desk.trade(signal())
        await desk.reopen()
        again = await desk.begin(signal())
        assert (again.go, again.fresh, again.entry) == (False, False, first.entry)

    async def test_of_many_at_once_one_gets_go(self, desk: Desk) -> None:
        await desk.decide(signal())
        verdicts = await asyncio.gather(*(desk.begin(signal()) for _ in range(20)))
        assert sum(verdict.go for verdict in verdicts) == 1
        assert sum(verdict.fresh for verdict in verdicts) == 1

    async def test_lost_reply_of_begin_is_never_followed_by_go(self, desk: Desk) -> None:
        await desk.decide(signal())
        desk.stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await desk.begin(signal())
        again = await desk.begin(signal())
        assert (again.go, again.fresh, again.entry.state) == (False, False, STATE.SENDING)

    async def test_begin_that_was_not_applied_leaves_nothing(self, desk: Desk) -> None:
        await desk.decide(signal())
        desk.stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await desk.begin(signal())
        assert not await desk.stores.journal.known("s1")
        assert (await desk.begin(signal())).go
        assert await desk.stores.journal.known("s0", "s1", "s2") == {"s1"}
        assert await desk.stores.journal.known() == frozenset()

    # ------------------------------------------------------------------------------------- 2 journal epoch

    @pytest.mark.parametrize("epoch", [NO_EPOCH, "made-up"])
    async def test_foreign_epoch_is_written_unknown(self, desk: Desk, epoch: str) -> None:
        before = await desk.stores.harness.now()
        verdict = await desk.trade(signal(), journal_epoch=epoch)
        found = verdict.entry
        assert (verdict.go, verdict.fresh, found.state) == (False, True, STATE.UNKNOWN)
        assert found.send_by >= before + SEND_WITHIN
        assert found.attempt == ""
        assert await desk.open_ids() == ["s1"]
        assert await desk.stores.journal.in_doubt() == [found]
        assert (await desk.begin(signal())).entry == found

    @pytest.mark.parametrize("lose", [Lose.NOTHING, Lose.TAIL])
    async def test_epoch_of_another_run_is_written_unknown_though_it_is_the_stored_one(
        self, desk: Desk, lose: Lose
    ) -> None:
        await desk.decide(signal())
        await desk.stores.harness.mark()
        await desk.stores.harness.restart(lose)
        verdict = await desk.begin(signal())
        assert (verdict.go, verdict.entry.state) == (False, STATE.UNKNOWN)

    @pytest.mark.parametrize("epoch", [NO_EPOCH, "made-up", "old"])
    async def test_missing_epoch_is_written_unknown(self, desk: Desk, epoch: str) -> None:
        asked = desk.epoch if epoch == "old" else epoch
        await desk.stores.harness.restart(Lose.EVERYTHING)
        verdict = await desk.begin(signal(), journal_epoch=asked)
        assert (verdict.go, verdict.fresh, verdict.entry.state) == (False, True, STATE.UNKNOWN)
        assert verdict.entry.signal_class is SignalClass.INCREASING

    async def test_epoch_before_the_restart_stays_foreign_under_a_new_epoch(self, desk: Desk) -> None:
        old = desk.epoch
        await desk.decide(signal())
        await desk.stores.harness.restart(Lose.NOTHING)
        await desk.take_over()
        await desk.reopen()
        assert desk.epoch != old
        assert (await desk.begin(signal(), journal_epoch=old)).entry.state is STATE.UNKNOWN

    async def test_epoch_is_checked_before_all_that_would_fail(self, desk: Desk) -> None:
        await desk.stores.control.drop_spec(SCOPE)
        verdict = await desk.begin(signal(expires_at=1), journal_epoch="made-up", orders_per_second=0)
        assert verdict.entry.state is STATE.UNKNOWN

    # ------------------------------------------------------------------------------------------ 3 decision

    async def test_signal_without_a_decision_is_refused(self, desk: Desk) -> None:
        assert _refused_with(await desk.begin(signal()), Code.PAYLOAD_MISMATCH)

    async def test_rejected_signal_is_refused(self, desk: Desk) -> None:
        verdict = await desk.trade(signal(), decided={"verdict": Verdict.REJECTED})
        assert _refused_with(verdict, Code.PAYLOAD_MISMATCH)

    async def test_payload_that_risk_did_not_validate_is_refused(self, desk: Desk) -> None:
        await desk.decide(signal())
        verdict = await desk.begin(signal(quantity=Decimal(1000)))
        assert _refused_with(verdict, Code.PAYLOAD_MISMATCH)

    async def test_decision_of_a_cancel_is_no_permission_to_order(self, desk: Desk) -> None:
        verdict = await desk.trade(signal(), decided={"signal_class": SignalClass.CANCEL})
        assert _refused_with(verdict, Code.PAYLOAD_MISMATCH)

    # ------------------------------------------------------------------------------------ 4 trading states

    async def test_halted_scope_is_refused(self, desk: Desk) -> None:
        await desk.stores.control.put_spec(SCOPE, TradingState.HALTED, CONTROL_TTL)
        assert _refused_with(await desk.trade(signal()), Code.TRADING_HALTED)

    async def test_halted_scope_is_refused_to_reducing_signals_too(self, desk: Desk) -> None:
        await desk.stores.control.put_spec(SCOPE, TradingState.HALTED, CONTROL_TTL)
        assert _refused_with(await desk.trade(signal(), decided=REDUCING), Code.TRADING_HALTED)

    async def test_missing_control_key_is_halted(self, desk: Desk) -> None:
        await desk.stores.control.drop_spec(SCOPE)
        assert _refused_with(await desk.trade(signal()), Code.TRADING_HALTED)

    async def test_expired_control_key_is_halted(self, desk: Desk) -> None:
        await desk.stores.control.put_spec(SCOPE, TradingState.ACTIVE, 60)
        await desk.stores.harness.advance(60)
        assert _refused_with(await desk.trade(signal()), Code.TRADING_HALTED)

    async def test_control_key_about_to_expire_is_not(self, desk: Desk) -> None:
        await desk.stores.control.put_spec(SCOPE, TradingState.ACTIVE, 60)
        await desk.stores.harness.advance(50)
        assert (await desk.trade(signal())).go

    async def test_latch_binds_over_an_active_spec_until_it_is_cleared(self, desk: Desk) -> None:
        await desk.stores.control.set_latch(latch("halt"))
        assert _refused_with(await desk.trade(signal("s1")), Code.TRADING_HALTED)
        await desk.stores.control.clear_latch(SCOPE, "halt")
        assert (await desk.trade(signal("s2"))).go

    async def test_no_scopes_is_halted(self, desk: Desk) -> None:
        assert _refused_with(await desk.trade(signal(), scopes=()), Code.TRADING_HALTED)

    @pytest.mark.parametrize("halted", ["platform", "strategy"])
    async def test_strictest_of_all_scopes_binds(self, desk: Desk, halted: str) -> None:
        scopes = ("platform", SCOPE, "strategy")
        for scope in scopes:
            state = TradingState.HALTED if scope == halted else TradingState.ACTIVE
            await desk.stores.control.put_spec(scope, state, CONTROL_TTL)
        assert _refused_with(await desk.trade(signal(), scopes=scopes), Code.TRADING_HALTED)
        await desk.stores.control.put_spec(halted, TradingState.ACTIVE, CONTROL_TTL)
        assert (await desk.trade(signal("s2"), scopes=scopes)).go

    async def test_reducing_scope_refuses_what_increases(self, desk: Desk) -> None:
        await desk.stores.control.put_spec(SCOPE, TradingState.REDUCING, CONTROL_TTL)
        assert _refused_with(await desk.trade(signal()), Code.TRADING_REDUCING)

    async def test_reducing_scope_lets_reductions_pass_by_the_stored_class(self, desk: Desk) -> None:
        await desk.stores.control.put_spec(SCOPE, TradingState.REDUCING, CONTROL_TTL)
        verdict = await desk.trade(signal(), decided=REDUCING)
        assert verdict.go
        assert verdict.entry.signal_class is SignalClass.REDUCING

    # -------------------------------------------------------------------------------------- 5 key in doubt

    @pytest.mark.parametrize("told", [None, UNKNOWN])
    async def test_key_in_doubt_refuses_what_increases(self, desk: Desk, told: Outcome | None) -> None:
        first = await desk.go("s1")
        if told:
            await desk.stores.journal.settle("s1", first.attempt, told, first)
        assert _refused_with(await desk.trade(signal("s2")), Code.IN_DOUBT)

    async def test_key_in_doubt_lets_reductions_pass(self, desk: Desk) -> None:
        await desk.go("s1")
        assert (await desk.trade(signal("s2"), decided=REDUCING)).go

    async def test_doubt_about_a_reduction_counts_too(self, desk: Desk) -> None:
        await desk.trade(signal("s1"), decided=REDUCING)
        assert _refused_with(await desk.trade(signal("s2")), Code.IN_DOUBT)

    @pytest.mark.parametrize("other", [{"token": 1}, {"strategy": "rsi"}])
    async def test_doubt_binds_its_own_key_only(self, desk: Desk, other: dict[str, Any]) -> None:
        await desk.go("s1")
        assert (await desk.trade(signal("s2", **other))).go

    @pytest.mark.parametrize("told", [FILLED, PLACED, REJECTED])
    async def test_settled_order_ends_the_doubt(self, desk: Desk, told: Outcome) -> None:
        first = await desk.go("s1")
        await desk.stores.journal.settle("s1", first.attempt, told, first)
        assert (await desk.trade(signal("s2"))).go

    async def test_one_of_two_doubts_settled_leaves_the_other(self, desk: Desk) -> None:
        first = await desk.go("s1")
        await desk.trade(signal("s2"), decided=REDUCING)
        await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        assert _refused_with(await desk.trade(signal("s3")), Code.IN_DOUBT)

    # -------------------------------------------------------------------------------------------- 6 expiry

    @pytest.mark.parametrize("decided", [{}, REDUCING])
    async def test_expired_signal_is_refused(self, desk: Desk, decided: dict[str, Any]) -> None:
        now = await desk.stores.harness.now()
        assert _refused_with(await desk.trade(signal(expires_at=now), decided=decided), Code.SIGNAL_EXPIRED)

    async def test_signal_not_yet_expired_passes(self, desk: Desk) -> None:
        now = await desk.stores.harness.now()
        assert (await desk.trade(signal(expires_at=now + SEND_WITHIN))).go

    # ---------------------------------------------------------------------------------------------- 7 rate

    async def test_rate_limit_refuses_one_more_within_the_second(self, desk: Desk) -> None:
        assert (await desk.trade(signal("s1", token=1), orders_per_second=2)).go
        assert (await desk.trade(signal("s2", token=2), orders_per_second=2)).go
        assert _refused_with(await desk.trade(signal("s3", token=3), orders_per_second=2), Code.RATE_LIMIT)

    async def test_rate_limit_rolls(self, desk: Desk) -> None:
        await desk.trade(signal("s1", token=1), orders_per_second=2)
        await desk.stores.harness.advance(0.6)
        await desk.trade(signal("s2", token=2), orders_per_second=2)
        await desk.stores.harness.advance(0.6)
        assert (await desk.trade(signal("s3", token=3), orders_per_second=2)).go
        assert _refused_with(await desk.trade(signal("s4", token=4), orders_per_second=2), Code.RATE_LIMIT)

    async def test_rate_never_binds_reductions_and_they_take_no_token(self, desk: Desk) -> None:
        for number in range(3):
            verdict = await desk.trade(
                signal(f"r{number}", token=number), decided=REDUCING, orders_per_second=1
            )
            assert verdict.go
        assert (await desk.trade(signal("s1", token=9), orders_per_second=1)).go
        assert (await desk.trade(signal("r9", token=10), decided=REDUCING, orders_per_second=1)).go

    async def test_no_limit_still_counts(self, desk: Desk) -> None:
        await desk.trade(signal("s1", token=1))
        assert _refused_with(await desk.trade(signal("s2", token=2), orders_per_second=1), Code.RATE_LIMIT)

    @pytest.mark.parametrize("reason", ["state", "doubt", "expiry", "dup"])
    async def test_refusal_takes_no_token(self, desk: Desk, reason: str) -> None:
        await desk.go("first")
        await desk.stores.harness.advance(1)
        refused = signal("s1", token=1, expires_at=1) if reason == "expiry" else signal("s1", token=1)
        if reason == "doubt":
            refused = signal("s1")
        if reason == "dup":
            refused = signal("first")
        if reason == "state":
            await desk.stores.control.put_spec(SCOPE, TradingState.REDUCING, CONTROL_TTL)
        assert not (await desk.trade(refused, orders_per_second=1)).go
        await desk.reopen()
        assert (await desk.trade(signal("s2", token=2), orders_per_second=1)).go

    # ------------------------------------------------------------------------------- order and form of refusals

    async def test_refusals_come_in_the_documented_order(self, desk: Desk) -> None:
        """Everything is wrong with it; cure the causes one by one."""
        await desk.go("blocker")
        bad: dict[str, Any] = {"expires_at": 1}
        await desk.stores.control.drop_spec(SCOPE)
        assert _refused_with(
            await desk.begin(signal("s1", **bad), orders_per_second=0), Code.PAYLOAD_MISMATCH
        )
        assert _refused_with(await desk.trade(signal("s2", **bad), orders_per_second=0), Code.TRADING_HALTED)
        await desk.stores.control.put_spec(SCOPE, TradingState.REDUCING, CONTROL_TTL)
        assert _refused_with(
            await desk.trade(signal("s3", **bad), orders_per_second=0), Code.TRADING_REDUCING
        )
        await desk.reopen()
        assert _refused_with(await desk.trade(signal("s4", **bad), orders_per_second=0), Code.IN_DOUBT)
        bad["token"] = 5
        assert _refused_with(await desk.trade(signal("s5", **bad), orders_per_second=0), Code.SIGNAL_EXPIRED)
        assert _refused_with(await desk.trade(signal("s6", token=5), orders_per_second=0), Code.RATE_LIMIT)

    async def test_refusal_is_terminal_stored_and_open(self, desk: Desk) -> None:
        await desk.stores.control.drop_spec(SCOPE)
        found = (await desk.trade(signal())).entry
        assert found == await desk.stored()
        assert (found.attempt, found.tag) == ("", broker_tag("s1"))
        assert found.message
        assert await desk.open_ids() == ["s1"]
        assert await desk.stores.journal.in_doubt() == []

    async def test_refuse_writes_failed_once(self, desk: Desk) -> None:
        first = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_STALE, "12 s old")
        assert _refused_with(first, Code.PRICE_STALE)
        assert first.entry.message == "12 s old"
        again = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_MISSING, "none")
        assert (again.go, again.fresh, again.entry) == (False, False, first.entry)
        assert await desk.open_ids() == ["s1"]
        assert (await desk.trade(signal())).entry == first.entry

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_refuse_under_an_old_epoch_is_unknown_not_failed(self, desk: Desk, lose: Lose) -> None:
        """The store may have lost that it was sent, and its end may have been told."""
        await desk.stores.harness.restart(lose)
        verdict = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_STALE, "12 s old")
        assert (verdict.go, verdict.fresh) == (False, True)
        assert (verdict.entry.state, verdict.entry.code) == (STATE.UNKNOWN, Code.NOT_RECONCILED)

    async def test_refuse_never_touches_what_begin_wrote(self, desk: Desk) -> None:
        first = await desk.go()
        verdict = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_STALE, "old")
        assert (verdict.go, verdict.fresh, verdict.entry) == (False, False, first)
        assert await desk.stored() == first

    async def test_refuse_keeps_the_class_that_risk_decided(self, desk: Desk) -> None:
        await desk.decide(signal(), **REDUCING)
        verdict = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_STALE, "old")
        assert verdict.entry.signal_class is SignalClass.REDUCING


class SettleContract(_AtTheDesk):
    """What becomes of an order."""

    async def test_what_is_in_doubt_on_a_key_is_listed_by_itself(self, desk: Desk) -> None:
        first, other = await desk.go("s1"), await desk.go("s2", token=2)
        journal = desk.stores.journal
        assert await journal.in_doubt(first.signal.key) == [first]
        assert await journal.in_doubt(other.signal.key) == [other]
        assert await journal.in_doubt("nobody:1") == []
        await journal.settle("s1", first.attempt, FILLED, first)
        assert await journal.in_doubt(first.signal.key) == []
        assert await journal.in_doubt() == [other]

    @pytest.mark.parametrize("told", [FILLED, PARTIAL, PLACED, CANCELLED, REJECTED, UNKNOWN])
    async def test_outcome_is_stored_whole(self, desk: Desk, told: Outcome) -> None:
        first = await desk.go()
        settled = await desk.stores.journal.settle("s1", first.attempt, told, first)
        assert settled == await desk.stored()
        assert (settled.state, settled.send_by) == (told.state, first.send_by)
        assert settled.revision > first.revision
        assert (settled.filled_quantity, settled.average_price) == (told.filled_quantity, told.average_price)
        assert settled.amount == told.amount
        assert (settled.fees, settled.broker_order_id) == (told.fees, told.broker_order_id)
        assert (settled.code, settled.message) == (told.code, told.message)
        assert await desk.open_ids() == ["s1"]
        assert [item.signal_id for item in await desk.stores.journal.resting()] == ["s1"] * told.state.resting
        assert [item.signal_id for item in await desk.stores.journal.in_doubt()] == [
            "s1"
        ] * told.state.in_doubt

    @pytest.mark.parametrize("told", [FILLED, PLACED, REJECTED, CANCELLED])
    async def test_settled_order_is_not_settled_again(self, desk: Desk, told: Outcome) -> None:
        first = await desk.go()
        settled = await desk.stores.journal.settle("s1", first.attempt, told, first)
        for other in (FILLED, REJECTED, UNKNOWN):
            assert await desk.stores.journal.settle("s1", first.attempt, other, first) == settled

    @pytest.mark.parametrize("told", [FILLED, REJECTED])
    async def test_only_the_attempt_that_got_go_settles_from_sending(self, desk: Desk, told: Outcome) -> None:
        first = await desk.go()
        other = msgspec.structs.replace(first, attempt="another")
        assert await desk.stores.journal.settle("s1", "another", told, other) == first
        assert await desk.stored() == first

    @pytest.mark.parametrize("told", [FILLED, REJECTED])
    async def test_unknown_may_be_settled_by_anybody(self, desk: Desk, told: Outcome) -> None:
        """A store that came back older has the entry as UNKNOWN without an attempt; GO's holder still knows."""
        await desk.trade(signal(), journal_epoch="made-up")
        held = entry(signal(), STATE.SENDING, attempt="went", send_by=5)
        settled = await desk.stores.journal.settle("s1", "went", told, held)
        assert settled.state is told.state
        assert await desk.stored() == settled

    async def test_late_answer_settles_what_was_unknown(self, desk: Desk) -> None:
        first = await desk.go()
        unknown = await desk.stores.journal.settle("s1", first.attempt, UNKNOWN, first)
        settled = await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        assert settled.state is STATE.FILLED
        assert settled.revision > unknown.revision > first.revision

    async def test_unknown_over_unknown_changes_nothing(self, desk: Desk) -> None:
        first = await desk.go()
        unknown = await desk.stores.journal.settle("s1", first.attempt, UNKNOWN, first)
        assert await desk.stores.journal.settle("s1", first.attempt, UNKNOWN, first) == unknown

    @pytest.mark.parametrize("told", [FILLED, REJECTED, UNKNOWN])
    async def test_missing_entry_is_re_created_with_gos_send_by_then_settled(
        self, desk: Desk, told: Outcome
    ) -> None:
        first = await desk.go()
        await desk.stores.harness.restart(Lose.EVERYTHING)
        await desk.stores.harness.advance(3)
        settled = await desk.stores.journal.settle("s1", first.attempt, told, first)
        assert settled == await desk.stored()
        assert (settled.state, settled.send_by, settled.tag) == (told.state, first.send_by, first.tag)
        assert await desk.open_ids() == ["s1"]
        assert (await desk.begin(signal())).entry == settled

    async def test_fallback_is_not_used_while_the_entry_is_there(self, desk: Desk) -> None:
        first = await desk.go()
        wrong = msgspec.structs.replace(first, send_by=1, correlation_id="other")
        settled = await desk.stores.journal.settle("s1", first.attempt, FILLED, wrong)
        assert (settled.send_by, settled.correlation_id) == (first.send_by, "corr")

    async def test_settle_whose_reply_is_lost_was_done(self, desk: Desk) -> None:
        first = await desk.go()
        desk.stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        assert (await desk.stored()).state is STATE.FILLED

    @pytest.mark.parametrize("state", [STATE.SENDING, STATE.LOST])
    async def test_settle_takes_no_outcome_that_is_not_the_engines(
        self, desk: Desk, state: EntryState
    ) -> None:
        first = await desk.go()
        with pytest.raises(MisuseError):
            await desk.stores.journal.settle("s1", first.attempt, outcome(state), first)
        assert await desk.stored() == first

    async def test_settle_takes_no_fallback_but_gos_own(self, desk: Desk) -> None:
        first = await desk.go()
        for wrong in ({"attempt": "other"}, {"state": STATE.UNKNOWN}, {"signal": signal("s2")}):
            with pytest.raises(MisuseError):
                await desk.stores.journal.settle(
                    "s1", first.attempt, FILLED, msgspec.structs.replace(first, **wrong)
                )

    # ------------------------------------------------------------------------------------------------ fill

    async def test_fill_changes_a_resting_order_step_by_step(self, desk: Desk) -> None:
        placed = await self._placed(desk)
        partial = await desk.stores.journal.fill("s1", placed.revision, PARTIAL)
        assert partial is not None
        assert (partial.state, partial.filled_quantity, partial.open_quantity) == (
            STATE.PARTIALLY_FILLED,
            4,
            6,
        )
        filled = await desk.stores.journal.fill("s1", partial.revision, FILLED)
        assert filled is not None
        assert filled.state is STATE.FILLED
        assert filled.revision > partial.revision > placed.revision
        assert await desk.stores.journal.resting() == []

    async def test_fill_at_another_revision_does_nothing(self, desk: Desk) -> None:
        placed = await self._placed(desk)
        partial = await desk.stores.journal.fill("s1", placed.revision, PARTIAL)
        assert await desk.stores.journal.fill("s1", placed.revision, FILLED) is None
        assert await desk.stored() == partial

    async def test_of_two_fills_at_once_one_counts(self, desk: Desk) -> None:
        placed = await self._placed(desk)
        done = await asyncio.gather(
            desk.stores.journal.fill("s1", placed.revision, FILLED),
            desk.stores.journal.fill("s1", placed.revision, CANCELLED),
        )
        assert len([item for item in done if item is not None]) == 1
        assert await desk.stored() in done

    @pytest.mark.parametrize("told", [None, UNKNOWN, FILLED, REJECTED, CANCELLED])
    async def test_fill_touches_only_what_rests(self, desk: Desk, told: Outcome | None) -> None:
        found = await desk.go()
        if told:
            found = await desk.stores.journal.settle("s1", found.attempt, told, found)
        assert await desk.stores.journal.fill("s1", found.revision, PARTIAL) is None
        assert await desk.stored() == found

    async def test_fill_of_a_missing_order_does_nothing(self, desk: Desk) -> None:
        assert await desk.stores.journal.fill("s1", 0, FILLED) is None

    async def test_cancel_keeps_what_has_filled(self, desk: Desk) -> None:
        placed = await self._placed(desk)
        partial = await desk.stores.journal.fill("s1", placed.revision, PARTIAL)
        assert partial is not None
        cancelled = await desk.stores.journal.fill("s1", partial.revision, CANCELLED)
        assert cancelled is not None
        assert (cancelled.state, cancelled.code) == (STATE.CANCELLED, Code.CANCELLED_BY_STRATEGY)
        assert (cancelled.filled_quantity, cancelled.average_price, cancelled.fees) == (4, 100, 1)
        assert cancelled.amount == 400

    async def test_triggered_stays_triggered(self, desk: Desk) -> None:
        placed = await self._placed(desk)
        triggered = await desk.stores.journal.fill(
            "s1", placed.revision, outcome(STATE.PLACED, triggered=True)
        )
        assert triggered is not None
        partial = await desk.stores.journal.fill("s1", triggered.revision, PARTIAL)
        assert partial is not None
        assert partial.triggered

    @pytest.mark.parametrize("state", [STATE.SENDING, STATE.UNKNOWN, STATE.LOST])
    async def test_resting_order_never_falls_back_into_doubt(self, desk: Desk, state: EntryState) -> None:
        placed = await self._placed(desk)
        with pytest.raises(MisuseError):
            await desk.stores.journal.fill("s1", placed.revision, outcome(state))
        assert await desk.stored() == placed

    async def test_resting_orders_come_in_the_order_they_began_to_rest(self, desk: Desk) -> None:
        for signal_id in ("b", "a", "c"):
            await self._placed(desk, signal_id)
        first = await desk.stored("b")
        await desk.stores.journal.fill("b", first.revision, PARTIAL)
        assert [item.signal_id for item in await desk.stores.journal.resting()] == ["b", "a", "c"]

    async def _placed(self, desk: Desk, signal_id: str = "s1") -> JournalEntry:
        first = await desk.go(signal_id)
        return await desk.stores.journal.settle(signal_id, first.attempt, PLACED, first)


class TrackerContract(_AtTheDesk):
    """What only the holder of the order-tracker's lease may do."""

    @pytest.mark.parametrize("told", [FILLED, PARTIAL, PLACED, CANCELLED, REJECTED])
    @pytest.mark.parametrize("unknown", [False, True])
    async def test_resolve_settles_what_is_in_doubt(
        self, desk: Desk, told: Outcome, *, unknown: bool
    ) -> None:
        first = await desk.go()
        if unknown:
            await desk.stores.journal.settle("s1", first.attempt, UNKNOWN, first)
        resolved = await desk.stores.journal.resolve(desk.lease, "s1", told)
        assert resolved == await desk.stored()
        assert resolved is not None
        assert (resolved.state, resolved.filled_quantity) == (told.state, told.filled_quantity)
        assert not resolved.late

    @pytest.mark.parametrize("told", [FILLED, PLACED, REJECTED])
    async def test_resolve_leaves_what_is_settled(self, desk: Desk, told: Outcome) -> None:
        first = await desk.go()
        settled = await desk.stores.journal.settle("s1", first.attempt, told, first)
        await desk.stores.harness.advance(60)
        assert await desk.stores.journal.resolve(desk.lease, "s1", LOST) is None
        assert await desk.stores.journal.resolve(desk.lease, "s2", LOST) is None
        assert await desk.stored() == settled

    async def test_settle_after_resolve_returns_the_other_outcome(self, desk: Desk) -> None:
        first = await desk.go()
        resolved = await desk.stores.journal.resolve(desk.lease, "s1", FILLED)
        assert await desk.stores.journal.settle("s1", first.attempt, REJECTED, first) == resolved

    async def test_lost_is_refused_while_the_permission_to_send_lasts(self, desk: Desk) -> None:
        first = await desk.go()
        await desk.stores.harness.advance(4)
        assert await desk.stores.journal.resolve(desk.lease, "s1", LOST) is None
        assert await desk.stored() == first
        await desk.stores.harness.advance(1)
        resolved = await desk.stores.journal.resolve(desk.lease, "s1", LOST)
        assert resolved is not None
        assert (resolved.state, resolved.code) == (STATE.LOST, Code.ORDER_LOST)

    async def test_overdue_sending_becomes_unknown_once(self, desk: Desk) -> None:
        first = await desk.go()
        unknown = await desk.stores.journal.resolve(desk.lease, "s1", UNKNOWN)
        assert unknown is not None
        assert unknown.state is STATE.UNKNOWN
        assert unknown.revision > first.revision
        assert await desk.stores.journal.resolve(desk.lease, "s1", UNKNOWN) == unknown

    # --------------------------------------------------------------------------------------------- correct

    @pytest.mark.parametrize("before", [LOST, REJECTED])
    @pytest.mark.parametrize("told", [FILLED, PARTIAL, PLACED, CANCELLED])
    async def test_late_match_corrects_and_latches_in_one_step(
        self, desk: Desk, before: Outcome, told: Outcome
    ) -> None:
        found = await self._ended(desk, before)
        await desk.stores.journal.acknowledge("s1", found.revision)
        corrected = await desk.stores.journal.correct(desk.lease, "s1", told, latch())
        assert corrected == await desk.stored()
        assert corrected is not None
        assert (corrected.state, corrected.late) == (told.state, True)
        assert corrected.revision > found.revision
        assert (corrected.filled_quantity, corrected.average_price) == (
            told.filled_quantity,
            told.average_price,
        )
        assert await desk.open_ids() == ["s1"]
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == (latch(),)
        assert _refused_with(await desk.trade(signal("s2", token=2)), Code.TRADING_HALTED)

    async def test_correction_is_made_once(self, desk: Desk) -> None:
        await self._ended(desk, LOST)
        corrected = await desk.stores.journal.correct(desk.lease, "s1", FILLED, latch())
        await desk.stores.control.clear_latch(SCOPE, "late:s1")
        assert await desk.stores.journal.correct(desk.lease, "s1", FILLED, latch()) is None
        assert await desk.stored() == corrected
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == ()

    async def test_refused_correction_neither_corrects_nor_latches(self, desk: Desk) -> None:
        found = await self._ended(desk, LOST)
        desk.stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await desk.stores.journal.correct(desk.lease, "s1", FILLED, latch())
        (control,) = await desk.stores.control.read([SCOPE])
        assert (await desk.stored(), control.latches) == (found, ())

    async def test_corrected_order_that_rests_fills_on_and_stays_late(self, desk: Desk) -> None:
        await self._ended(desk, LOST)
        corrected = await desk.stores.journal.correct(desk.lease, "s1", PLACED, latch())
        assert corrected is not None
        assert await desk.stores.journal.resting() == [corrected]
        filled = await desk.stores.journal.fill("s1", corrected.revision, FILLED)
        assert filled is not None
        assert (filled.state, filled.late) == (STATE.FILLED, True)

    async def test_more_fills_over_a_terminal_state_are_corrected(self, desk: Desk) -> None:
        first = await desk.go()
        await desk.stores.journal.settle("s1", first.attempt, CANCELLED, first)
        corrected = await desk.stores.journal.correct(desk.lease, "s1", outcome(STATE.CANCELLED, 4), latch())
        assert corrected is not None
        assert (corrected.state, corrected.filled_quantity, corrected.late) == (STATE.CANCELLED, 4, True)

    @pytest.mark.parametrize("before", [FILLED, CANCELLED, PLACED, UNKNOWN, None])
    async def test_correct_leaves_what_needs_none(self, desk: Desk, before: Outcome | None) -> None:
        found = await desk.go()
        if before:
            found = await desk.stores.journal.settle("s1", found.attempt, before, found)
        told = FILLED if before is not CANCELLED else CANCELLED
        assert await desk.stores.journal.correct(desk.lease, "s1", told, latch()) is None
        assert await desk.stores.journal.correct(desk.lease, "s2", told, latch()) is None
        assert await desk.stored() == found
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == ()

    @pytest.mark.parametrize("before", [LOST, REJECTED])
    async def test_row_that_the_broker_refused_corrects_nothing(self, desk: Desk, before: Outcome) -> None:
        found = await self._ended(desk, before)
        assert await desk.stores.journal.correct(desk.lease, "s1", REJECTED, latch()) is None
        (control,) = await desk.stores.control.read([SCOPE])
        assert (await desk.stored(), control.latches) == (found, ())

    @pytest.mark.parametrize("state", [STATE.SENDING, STATE.UNKNOWN, STATE.LOST])
    async def test_correct_takes_only_what_a_book_can_show(self, desk: Desk, state: EntryState) -> None:
        found = await self._ended(desk, LOST)
        with pytest.raises(MisuseError):
            await desk.stores.journal.correct(desk.lease, "s1", outcome(state), latch())
        assert await desk.stored() == found

    # ------------------------------------------------------------------------- the account at its broker

    async def test_what_the_order_tracker_knows_of_the_broker_is_what_it_said_last(self, desk: Desk) -> None:
        journal = desk.stores.journal
        assert await journal.facts() is None
        await journal.put_facts(desk.lease, BrokerFacts(problem="not yet"))
        differing = InstrumentDifference(
            difference_id="7-1",
            instrument_token=7,
            symbol="NSE:X",
            ours=Decimal(10),
            theirs=Decimal("-2.5"),
            price=Decimal("100.05"),
            since=2**62,
            confirmed=True,
        )
        opening = OpeningPosition(
            instrument_token=7,
            symbol="NSE:X",
            quantity=Decimal(3),
            price=Decimal("1.05"),
            last_price=Decimal(1),
        )
        facts = BrokerFacts(
            journal_epoch="epoch",
            user="AB1234",
            trading_day="2026-01-02",
            reconciled=True,
            compared_at=2**62,
            differences=(differing,),
            unjudged=(1, 2),
            cash=Decimal("1000000.05"),
            cash_at=1,
            opened_at=3,
            opening=(opening,),
            token_valid_until=0,
        )
        await journal.put_facts(desk.lease, facts)
        assert await journal.facts() == facts

    async def test_a_stale_lease_says_nothing_of_the_broker(self, desk: Desk) -> None:
        journal, stale = desk.stores.journal, desk.lease
        await journal.put_facts(stale, BrokerFacts(problem="mine"))
        await desk.stores.lease.release(tracker_lease(ACCOUNT), OWNER, stale)
        await desk.take_over()
        with pytest.raises(FencedError):
            await journal.put_facts(stale, BrokerFacts(reconciled=True))
        assert await journal.facts() == BrokerFacts(problem="mine")

    async def test_of_two_words_on_a_difference_the_first_stays(self, desk: Desk) -> None:
        journal = desk.stores.journal
        first = AdoptionRequest(difference_id="7-1", by="ann", reason="seen", asked_at=1)
        assert await journal.ask_adoption(first)
        assert not await journal.ask_adoption(first)
        assert not await journal.ask_adoption(msgspec.structs.replace(first, by="bob"))
        assert await journal.ask_adoption(msgspec.structs.replace(first, difference_id="8-1"))
        assert await journal.adoptions("7-1", "9-1") == {"7-1": first}
        assert await journal.adoptions() == {}
        assert await journal.facts() is None

    # ---------------------------------------------------------------------------------------------- orphan

    async def test_row_without_an_entry_is_booked_and_latches(self, desk: Desk) -> None:
        row = entry(signal("external:b9"), STATE.FILLED, tag="apxyz", filled_quantity=Decimal(10))
        booked = await desk.stores.journal.orphan(desk.lease, row, latch("orphan"))
        assert booked == await desk.stored("external:b9")
        assert booked is not None
        assert (booked.late, booked.filled_quantity, booked.tag) == (True, 10, "apxyz")
        assert await desk.open_ids() == ["external:b9"]
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == (latch("orphan"),)
        assert await desk.stores.journal.orphan(desk.lease, row, latch("again")) is None

    async def test_row_of_somebody_else_is_booked_and_latches_nothing(self, desk: Desk) -> None:
        row = entry(signal("external:b9"), STATE.FILLED, tag="external:b9", filled_quantity=Decimal(10))
        booked = await desk.stores.journal.orphan(desk.lease, row, None)
        assert booked == await desk.stored("external:b9")
        assert booked is not None
        assert (booked.late, booked.filled_quantity) == (True, 10)
        assert await desk.open_ids() == ["external:b9"]
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == ()
        assert await desk.stores.journal.orphan(desk.lease, row, None) is None

    async def test_begin_finds_an_orphan_by_its_tag(self, desk: Desk) -> None:
        """The order is at the broker already: its signal must never get GO."""
        row = entry(signal("external:b9"), STATE.FILLED, tag=broker_tag("s1"))
        booked = await desk.stores.journal.orphan(desk.lease, row, latch("orphan"))
        await desk.stores.control.clear_latch(SCOPE, "orphan")
        verdict = await desk.trade(signal("s1"))
        assert (verdict.go, verdict.fresh, verdict.entry) == (False, False, booked)
        assert await desk.stores.journal.known("s1")
        refused = await desk.stores.journal.refuse(desk.request(signal("s1")), Code.PRICE_STALE, "old")
        assert refused.entry == booked

    async def test_settle_and_adopt_find_an_orphan_by_its_tag(self, desk: Desk) -> None:
        first = await desk.go()
        await desk.stores.harness.restart(Lose.EVERYTHING)
        await desk.take_over()
        row = entry(signal("external:b9"), STATE.PLACED, tag=first.tag)
        booked = await desk.stores.journal.orphan(desk.lease, row, latch("orphan"))
        assert await desk.stores.journal.settle("s1", first.attempt, FILLED, first) == booked
        await desk.stores.journal.adopt(desk.lease, await desk.stores.journal.run_id(), [entry(signal("s1"))])
        assert await desk.stores.journal.get("s1") is None

    async def test_many_are_found_at_once_by_id_or_tag(self, desk: Desk) -> None:
        one, two = await desk.go("s1"), await desk.go("s2", token=2)
        journal = desk.stores.journal
        assert await journal.get_many("s2", "nobody", "s1", "s2") == {"s1": one, "s2": two}
        assert await journal.find_tags(two.tag, "", "nobody", one.tag) == {one.tag: one, two.tag: two}
        assert await journal.get_many() == await journal.find_tags() == {}

    async def test_find_tag_returns_the_entry_of_the_tag(self, desk: Desk) -> None:
        assert await desk.stores.journal.find_tag(broker_tag("s1")) is None
        assert await desk.stores.journal.find_tag("") is None
        first = await desk.go()
        assert await desk.stores.journal.find_tag(first.tag) == first
        settled = await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        assert await desk.stores.journal.find_tag(first.tag) == settled

    async def test_second_order_of_a_tag_is_booked_beside_the_first(self, desk: Desk) -> None:
        """A proxy repeated the request: both orders count, and the tag still means the signal's own entry."""
        first = await desk.go()
        settled = await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        row = entry(signal("external:b9"), STATE.FILLED, tag=first.tag)
        assert await desk.stores.journal.orphan(desk.lease, row, latch("orphan")) is not None
        assert await desk.stores.journal.find_tag(first.tag) == settled
        assert await desk.stored("external:b9") != settled

    async def test_orphan_is_an_accepted_order(self, desk: Desk) -> None:
        with pytest.raises(MisuseError):
            await desk.stores.journal.orphan(desk.lease, entry(signal("external:b9")), latch())
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == ()

    # --------------------------------------------------------------------------------------------- fencing

    @pytest.mark.parametrize("how", ["taken over", "released", "never held"])
    async def test_stale_lease_writes_nothing(self, desk: Desk, how: str) -> None:
        found = await self._ended(desk, LOST)
        doubtful = await desk.go("s2")
        await self._lose_lease(desk, how)
        journal, run_id = desk.stores.journal, await desk.stores.journal.run_id()
        row = entry(signal("external:b9"), STATE.FILLED)
        for write in (
            journal.resolve(desk.lease, "s2", FILLED),
            journal.correct(desk.lease, "s1", FILLED, latch()),
            journal.orphan(desk.lease, row, latch()),
            journal.adopt(desk.lease, run_id, [entry(signal("s3"))]),
            journal.write_epoch(desk.lease, run_id),
        ):
            with pytest.raises(FencedError):
                await write
        assert [await desk.stored("s1"), await desk.stored("s2")] == [found, doubtful]
        assert not await journal.known("s3")
        assert not await journal.known("external:b9")
        (control,) = await desk.stores.control.read([SCOPE])
        assert control.latches == ()

    async def test_stale_lease_writes_no_epoch(self, desk: Desk) -> None:
        await desk.stores.harness.restart(Lose.NOTHING)
        await self._lose_lease(desk, "taken over")
        with pytest.raises(FencedError):
            await desk.stores.journal.write_epoch(desk.lease, await desk.stores.journal.run_id())
        assert await desk.stores.journal.epoch() is None

    async def test_expired_lease_that_nobody_took_still_writes(self, desk: Desk) -> None:
        await desk.go()
        await desk.stores.harness.advance(LEASE_TTL * 2)
        assert await desk.stores.journal.resolve(desk.lease, "s1", FILLED) is not None

    async def test_lease_of_another_account_does_not_count(self, desk: Desk) -> None:
        await desk.go()
        for _ in range(3):
            other = await desk.stores.lease.acquire(tracker_lease("other"), "x", LEASE_TTL)
        assert other is not None
        assert other != desk.lease
        with pytest.raises(FencedError):
            await desk.stores.journal.resolve(other, "s1", FILLED)

    async def _lose_lease(self, desk: Desk, how: str) -> None:
        name = tracker_lease(ACCOUNT)
        if how == "taken over":
            await desk.stores.harness.advance(LEASE_TTL)
            assert await desk.stores.lease.acquire(name, "another", LEASE_TTL) is not None
        elif how == "released":
            await desk.stores.lease.release(name, OWNER, desk.lease)
        else:
            desk.lease += 100

    async def _ended(self, desk: Desk, how: Outcome) -> JournalEntry:
        first = await desk.go()
        if how is not LOST:
            return await desk.stores.journal.settle("s1", first.attempt, how, first)
        await desk.stores.harness.advance(60)
        lost = await desk.stores.journal.resolve(desk.lease, "s1", LOST)
        assert lost is not None
        return lost


class OpenContract(_AtTheDesk):
    """`open`: what has not been told to Kafka."""

    async def test_acknowledged_state_leaves_open(self, desk: Desk) -> None:
        settled = await self._settled(desk, FILLED)
        assert await desk.stores.journal.acknowledge("s1", settled.revision)
        assert await desk.open_ids() == []
        assert await desk.stored() == settled

    async def test_acknowledging_twice_is_the_same_as_once(self, desk: Desk) -> None:
        settled = await self._settled(desk, FILLED)
        await desk.stores.journal.acknowledge("s1", settled.revision)
        assert await desk.stores.journal.acknowledge("s1", settled.revision)
        assert await desk.open_ids() == []

    @pytest.mark.parametrize("off", [-1, 1])
    async def test_event_of_another_state_acknowledges_nothing(self, desk: Desk, off: int) -> None:
        settled = await self._settled(desk, FILLED)
        assert not await desk.stores.journal.acknowledge("s1", settled.revision + off)
        assert await desk.open_ids() == ["s1"]

    async def test_entry_in_doubt_never_leaves_open(self, desk: Desk) -> None:
        first = await desk.go()
        assert not await desk.stores.journal.acknowledge("s1", first.revision)
        unknown = await desk.stores.journal.settle("s1", first.attempt, UNKNOWN, first)
        assert not await desk.stores.journal.acknowledge("s1", unknown.revision)
        assert await desk.open_ids() == ["s1"]

    async def test_missing_entry_is_not_acknowledged(self, desk: Desk) -> None:
        assert not await desk.stores.journal.acknowledge("s1", 0)

    async def test_later_change_puts_the_entry_back(self, desk: Desk) -> None:
        placed = await self._settled(desk, PLACED)
        await desk.stores.journal.acknowledge("s1", placed.revision)
        filled = await desk.stores.journal.fill("s1", placed.revision, FILLED)
        assert await desk.stores.journal.unacknowledged() == [filled]
        assert not await desk.stores.journal.acknowledge("s1", placed.revision)

    async def test_refusal_leaves_open_when_told(self, desk: Desk) -> None:
        verdict = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_STALE, "old")
        assert await desk.stores.journal.acknowledge("s1", verdict.entry.revision)
        assert await desk.open_ids() == []

    async def test_open_entries_come_with_the_oldest_change_first(self, desk: Desk) -> None:
        first = await desk.go("b")
        await desk.go("a", token=2)
        await desk.stores.journal.settle("b", first.attempt, FILLED, first)
        assert await desk.open_ids() == ["a", "b"]

    async def test_many_are_acknowledged_each_by_its_own_state(self, desk: Desk) -> None:
        told = []
        for number, off in enumerate((0, 1, 0), start=1):
            first = await desk.go(f"s{number}", token=number)
            settled = await desk.stores.journal.settle(f"s{number}", first.attempt, FILLED, first)
            told.append((f"s{number}", settled.revision + off))
        doubtful = await desk.go("s4", token=4)
        told += [("s4", doubtful.revision), ("nobody", 0)]
        assert await desk.stores.journal.acknowledge_all(told) == 2
        assert await desk.open_ids() == ["s2", "s4"]
        assert await desk.stores.journal.acknowledge_all([]) == 0

    async def test_open_is_read_in_pages(self, desk: Desk) -> None:
        entries = {f"s{number}": await desk.go(f"s{number}", token=number) for number in range(1, 6)}
        journal = desk.stores.journal
        page = await journal.open_page(0, 2)
        assert [item.signal_id for item in page.entries] == ["s1", "s2"]
        assert page.after is not None
        settled = await journal.settle("s1", entries["s1"].attempt, FILLED, entries["s1"])
        await journal.acknowledge("s1", settled.revision)  # gone
        await journal.settle("s3", entries["s3"].attempt, FILLED, entries["s3"])  # to the end
        second = await journal.open_page(page.after, 2)
        assert [item.signal_id for item in second.entries] == ["s4", "s5"]
        assert second.after is not None
        third = await journal.open_page(second.after, 2)
        assert [(item.signal_id, item.state) for item in third.entries] == [("s3", STATE.FILLED)]
        assert third.after is None

    async def test_pages_of_nothing(self, desk: Desk) -> None:
        assert await desk.stores.journal.open_page(0, 2) == OpenPage([], None)

    async def test_the_page_after_the_last_full_one_is_empty(self, desk: Desk) -> None:
        await desk.go()
        page = await desk.stores.journal.open_page(0, 1)
        assert page.after is not None
        assert await desk.stores.journal.open_page(page.after, 1) == OpenPage([], None)

    @pytest.mark.parametrize("lose", [Lose.TAIL, Lose.EVERYTHING])
    async def test_revisions_never_repeat_over_a_restart(self, desk: Desk, lose: Lose) -> None:
        """Else the acknowledgement of a lost state would take another state out of `open`, untold."""
        first = await desk.go()
        await desk.stores.harness.mark()
        lost = await desk.stores.journal.settle("s1", first.attempt, PLACED, first)
        await desk.stores.harness.restart(lose)
        settled = await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        assert settled.revision > lost.revision
        assert not await desk.stores.journal.acknowledge("s1", lost.revision)
        assert await desk.open_ids() == ["s1"]

    async def test_revisions_of_a_new_entry_never_repeat_over_a_restart(self, desk: Desk) -> None:
        refusal = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_STALE, "old")
        await desk.stores.harness.restart(Lose.EVERYTHING)
        again = await desk.stores.journal.refuse(desk.request(signal()), Code.PRICE_MISSING, "none")
        assert again.fresh
        assert again.entry.revision > refusal.entry.revision

    async def _settled(self, desk: Desk, told: Outcome) -> JournalEntry:
        first = await desk.go()
        return await desk.stores.journal.settle("s1", first.attempt, told, first)


class EpochContract(_AtTheDesk):
    """The store comes back."""

    async def test_no_epoch_before_the_first(self, stores: Stores) -> None:
        assert await stores.journal.epoch() is None

    async def test_epoch_is_written_once_a_run(self, desk: Desk) -> None:
        assert await desk.stores.journal.epoch() == desk.epoch
        assert (
            await desk.stores.journal.write_epoch(desk.lease, await desk.stores.journal.run_id())
            == desk.epoch
        )

    @pytest.mark.parametrize("lose", list(Lose))
    async def test_epoch_ends_with_the_run(self, desk: Desk, lose: Lose) -> None:
        run_id = await desk.stores.journal.run_id()
        await desk.stores.harness.mark()
        await desk.stores.harness.restart(lose)
        assert await desk.stores.journal.epoch() is None
        assert await desk.stores.journal.run_id() != run_id

    async def test_epoch_of_a_run_that_is_over_is_not_written(self, desk: Desk) -> None:
        seen = await desk.stores.journal.run_id()
        await desk.stores.harness.restart(Lose.NOTHING)
        with pytest.raises(FencedError):
            await desk.stores.journal.write_epoch(desk.lease, seen)
        assert await desk.stores.journal.epoch() is None

    async def test_epochs_are_never_repeated(self, desk: Desk) -> None:
        epochs = [desk.epoch]
        for _ in range(3):
            await desk.stores.harness.restart(Lose.EVERYTHING)
            await desk.take_over()
            await desk.reopen()
            epochs.append(desk.epoch)
        assert len(set(epochs)) == 4

    async def test_epoch_whose_reply_is_lost_is_the_valid_one(self, desk: Desk) -> None:
        await desk.stores.harness.restart(Lose.NOTHING)
        run_id = await desk.stores.journal.run_id()
        lease = await desk.stores.lease.acquire(tracker_lease(ACCOUNT), OWNER, LEASE_TTL)
        assert lease is not None
        desk.lease = lease
        desk.stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await desk.stores.journal.write_epoch(desk.lease, run_id)
        assert await desk.stores.journal.write_epoch(desk.lease, run_id) == await desk.stores.journal.epoch()

    # ----------------------------------------------------------------------------------------------- adopt

    async def test_adopt_re_creates_what_is_missing_as_it_was_told(self, desk: Desk) -> None:
        filled = entry(signal("s1"), STATE.FILLED, filled_quantity=Decimal(10), average_price=Decimal(99))
        unknown = entry(signal("s2"), send_by=77)
        await self._adopt(desk, filled, unknown)
        found = await desk.stored("s1")
        assert (found.state, found.filled_quantity, found.average_price) == (STATE.FILLED, 10, 99)
        found = await desk.stored("s2")
        assert (found.state, found.send_by) == (STATE.UNKNOWN, 77)
        assert await desk.open_ids() == ["s1", "s2"]
        assert [item.signal_id for item in await desk.stores.journal.in_doubt()] == ["s2"]

    async def test_what_ended_and_was_told_does_not_enter_open(self, desk: Desk) -> None:
        learnt = [
            entry(signal("s1"), STATE.FILLED, filled_quantity=Decimal(10)),
            entry(signal("s2"), STATE.PLACED),
            entry(signal("s3", token=2), STATE.UNKNOWN),
            entry(signal("s4"), STATE.FAILED),
        ]
        await self._adopt(desk, *learnt, told=("s1", "s2", "s3"))
        assert await desk.open_ids() == ["s2", "s3", "s4"]
        assert (await desk.stored("s1")).state is STATE.FILLED

    async def test_what_the_store_knows_better_stays_open_whatever_was_told(self, desk: Desk) -> None:
        first = await desk.go()
        await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        await self._adopt(desk, entry(signal("s1"), STATE.LOST), told=("s1",))
        assert await desk.open_ids() == ["s1"]

    async def test_what_was_told_settles_an_older_image_and_leaves_open(self, desk: Desk) -> None:
        first = await desk.go()
        told = entry(signal("s1"), STATE.FILLED, filled_quantity=Decimal(10), revision=first.revision + 1)
        await self._adopt(desk, told, told=("s1",))
        assert await desk.open_ids() == []
        assert await desk.stores.journal.in_doubt() == []
        assert (await desk.stored()).revision == told.revision  # that of the event which everybody has

    async def test_an_event_older_than_the_entry_is_told_anew(self, desk: Desk) -> None:
        first = await desk.go()
        placed = await desk.stores.journal.settle("s1", first.attempt, PLACED, first)
        told = entry(signal("s1"), STATE.FILLED, filled_quantity=Decimal(10), revision=placed.revision)
        await self._adopt(desk, told, told=("s1",))
        assert await desk.open_ids() == ["s1"]
        assert (await desk.stored()).revision > placed.revision

    @pytest.mark.parametrize("state", [STATE.UNKNOWN, STATE.FILLED])
    async def test_adopted_signal_never_gets_go(self, desk: Desk, state: EntryState) -> None:
        await self._adopt(desk, entry(signal("s1"), state))
        verdict = await desk.trade(signal("s1"))
        assert (verdict.go, verdict.fresh) == (False, False)

    async def test_adopted_doubt_binds_its_key(self, desk: Desk) -> None:
        await self._adopt(desk, entry(signal("s1")))
        assert _refused_with(await desk.trade(signal("s2")), Code.IN_DOUBT)

    @pytest.mark.parametrize("state", [STATE.FILLED, STATE.FAILED, STATE.LOST, STATE.CANCELLED])
    async def test_entry_in_doubt_takes_the_outcome_of_its_terminal_event(
        self, desk: Desk, state: EntryState
    ) -> None:
        await desk.go()
        await self._adopt(desk, entry(signal("s1"), state))
        assert (await desk.stored()).state is state

    async def test_entry_in_doubt_stays_as_it_is_without_one(self, desk: Desk) -> None:
        first = await desk.go()
        await self._adopt(desk, entry(signal("s1"), send_by=9))
        assert await desk.stored() == first

    async def test_resting_order_takes_its_end_from_kafka(self, desk: Desk) -> None:
        """On paper no broker's book would ever tell, and the tracker would fill it again."""
        first = await desk.go()
        placed = await desk.stores.journal.settle("s1", first.attempt, PLACED, first)
        await self._adopt(desk, entry(signal("s1"), STATE.FILLED, filled_quantity=Decimal(10)))
        found = await desk.stored()
        assert found.state is STATE.FILLED
        assert found.revision > placed.revision
        assert await desk.stores.journal.resting() == []

    async def test_adopt_never_undoes_what_the_store_knows(self, desk: Desk) -> None:
        first = await desk.go()
        filled = await desk.stores.journal.settle("s1", first.attempt, FILLED, first)
        for state in (STATE.UNKNOWN, STATE.PLACED, STATE.FAILED, STATE.LOST):
            await self._adopt(desk, entry(signal("s1"), state))
        assert await desk.stored() == filled

    async def test_lost_correction_comes_back_from_kafka(self, desk: Desk) -> None:
        first = await desk.go()
        await desk.stores.journal.settle("s1", first.attempt, REJECTED, first)
        await self._adopt(desk, entry(signal("s1"), STATE.FILLED, late=True, filled_quantity=Decimal(10)))
        found = await desk.stored()
        assert (found.state, found.late, found.filled_quantity) == (STATE.FILLED, True, 10)
        await self._adopt(desk, entry(signal("s1"), STATE.LOST))
        assert await desk.stored() == found

    @pytest.mark.parametrize("state", [STATE.PLACED, STATE.CANCELLED])
    async def test_lost_correction_without_fills_comes_back_too(self, desk: Desk, state: EntryState) -> None:
        first = await desk.go()
        await desk.stores.journal.settle("s1", first.attempt, REJECTED, first)
        await self._adopt(desk, entry(signal("s1"), state, late=True))
        found = await desk.stored()
        assert (found.state, found.late) == (state, True)

    async def test_adopt_repeated_changes_nothing(self, desk: Desk) -> None:
        told = entry(signal("s1"), STATE.FILLED, filled_quantity=Decimal(10))
        await self._adopt(desk, told)
        found = await desk.stored()
        await desk.stores.journal.acknowledge("s1", found.revision)
        await self._adopt(desk, told)
        assert await desk.stored() == found
        assert await desk.open_ids() == []

    async def test_adopt_for_a_run_that_is_over_writes_nothing(self, desk: Desk) -> None:
        seen = await desk.stores.journal.run_id()
        await desk.stores.harness.restart(Lose.NOTHING)
        with pytest.raises(FencedError):
            await desk.stores.journal.adopt(desk.lease, seen, [entry(signal("s1"))])
        assert not await desk.stores.journal.known("s1")

    async def test_go_before_a_lost_tail_is_not_given_again(self, desk: Desk) -> None:
        """The whole return: lost SENDING, rebuilt from Kafka, new epoch, the record comes once more."""
        await desk.stores.harness.mark()
        await desk.go()
        await desk.stores.harness.restart(Lose.TAIL)
        await desk.take_over()
        await self._adopt(desk, entry(signal("s1")))
        await desk.reopen()
        for epoch in (desk.epoch, NO_EPOCH):
            verdict = await desk.trade(signal("s1"), journal_epoch=epoch)
            assert (verdict.go, verdict.fresh, verdict.entry.state) == (False, False, STATE.UNKNOWN)

    async def _adopt(self, desk: Desk, *entries: JournalEntry, told: Collection[str] = ()) -> None:
        await desk.stores.journal.adopt(desk.lease, await desk.stores.journal.run_id(), entries, told)


class OrderJournalContract(BeginContract, SettleContract, TrackerContract, OpenContract, EpochContract):
    """Subclass it with a fixture `stores`."""
