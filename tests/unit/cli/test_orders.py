"""`alpha-panda orders` as typed."""

from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, Verdict
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.domain.ids import broker_tag
from contracts.desk import Desk
from contracts.samples import PARTIAL, PLACED, UNKNOWN, cancel_request, decision, entry, latch, signal
from unit.cli.installed import SECOND
from unit.cli.operating import Operator

LOST_AFTER = 30 * SECOND
RESOLVE = ("orders", "resolve", "paper")
WHY = ("--reason", "the broker's web page", "--by", "ann")


@pytest.fixture
def desk(operator: Operator) -> Desk:
    return operator.run(operator.site.desk())


def entry_of(operator: Operator, signal_id: str = "s1") -> JournalEntry:
    entry = operator.run(operator.site.ports.journal("paper").get(signal_id))
    assert entry is not None
    return entry


def in_doubt(operator: Operator, desk: Desk, signal_id: str = "s1", **changes: Any) -> JournalEntry:
    """Have an order that the engine gave up on, long ago."""

    async def prepare() -> JournalEntry:
        sent = await desk.go(signal_id, **changes)
        return await desk.stores.journal.settle(signal_id, sent.attempt, UNKNOWN, sent)

    entry = operator.run(prepare())
    assert entry.state is EntryState.UNKNOWN
    operator.site.clock.time = entry.send_by + LOST_AFTER
    return entry


# ----------------------------------------------------------------------------------------------------- list


async def three_kinds(desk: Desk) -> None:
    for signal_id, token, outcome in (("doubt", 1, UNKNOWN), ("rests", 2, PLACED), ("part", 3, PARTIAL)):
        sent = await desk.go(signal_id, token=token)
        settled = await desk.stores.journal.settle(signal_id, sent.attempt, outcome, sent)
        if signal_id == "rests":
            await desk.stores.journal.acknowledge(signal_id, settled.revision)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["doubt", "part", "rests"]),
        (("--in-doubt",), ["doubt"]),
        (("--resting",), ["part", "rests"]),
        (("--open",), ["doubt", "part"]),
    ],
)
def test_what_is_not_over_is_listed(
    operator: Operator, desk: Desk, words: tuple[str, ...], expected: list[str]
) -> None:
    operator.run(three_kinds(desk))
    called = operator("orders", "list", "paper", *words, "-o", "json")
    assert called.code == 0
    assert called.json["ready"] is True
    assert sorted(item["signal_id"] for item in called.json["orders"]) == expected
    assert operator.site.bus.asked == 0  # the journal is enough


def test_in_a_pipe_the_list_has_a_line_an_order(operator: Operator, desk: Desk) -> None:
    operator.run(three_kinds(desk))
    lines = operator("orders", "list", "paper", "--in-doubt").out.splitlines()
    assert lines[0].split("\t") == ["ID", "STATE", "ORDER", "FILLED", "PRICE", "STRATEGY", "SINCE", "WHY"]
    assert lines[1].split("\t")[:3] == ["doubt", "UNKNOWN", "BUY 10 NSE:RELIANCE MARKET"]
    assert lines[1].endswith("time-out")
    assert len(lines) == 2


def test_an_account_without_orders_says_so(operator: Operator, desk: Desk) -> None:
    called = operator("orders", "list", "paper")
    assert (called.code, called.out) == (0, "paper: no open orders\n")
    assert "no valid epoch" not in called.err


def test_a_journal_without_an_epoch_says_so(operator: Operator) -> None:
    called = operator("orders", "list", "second")
    assert called.code == 0
    assert "no valid epoch" in called.err


def test_a_mistyped_account_is_no_empty_account(operator: Operator) -> None:
    called = operator("orders", "list", "papr")
    assert called.code == 2
    assert "there are: paper, second" in called.err


def test_two_kinds_at_once_are_refused(operator: Operator) -> None:
    assert operator("orders", "list", "paper", "--open", "--resting").code == 2


def test_a_silent_redis_is_a_failure(operator: Operator, desk: Desk) -> None:
    operator.site.refuse("in_doubt", 1)
    called = operator("orders", "list", "paper")
    assert called.code == 1
    assert called.err.startswith("failed: store")


# ----------------------------------------------------------------------------------------------------- show


def test_an_order_is_shown_with_its_decision(operator: Operator, desk: Desk) -> None:
    doubtful = in_doubt(operator, desk)
    for order in (doubtful.signal_id, doubtful.tag):
        shown = operator("orders", "show", order, "-o", "json").json
        assert shown["account"] == "paper"
        assert (shown["entry"]["signal_id"], shown["entry"]["state"]) == ("s1", "UNKNOWN")
        assert shown["decision"]["verdict"] == "VALIDATED"
    text = operator("orders", "show", "s1").out
    assert "state             UNKNOWN" in text
    assert "decision          VALIDATED (increasing)" in text


def test_a_rejected_signal_is_shown_too(operator: Operator, desk: Desk) -> None:
    rejected = decision(signal("no"), verdict=Verdict.REJECTED, code=Code.MAX_POSITION, message="too much")
    operator.run(desk.stores.decisions.record(desk.risk, rejected))
    called = operator("orders", "show", "no", "--account", "paper")
    assert called.code == 0
    assert "not begun" in called.out
    assert "REJECTED (increasing)" in called.out
    assert "MAX_POSITION too much" in called.out


def test_an_order_booked_by_its_tag_is_found_by_its_signal(operator: Operator, desk: Desk) -> None:
    late = entry(signal("external:b1"), EntryState.FILLED, tag=broker_tag("s1"))

    async def prepare() -> None:
        await desk.decide(signal("s1"))
        await desk.stores.journal.orphan(desk.lease, late, latch())

    operator.run(prepare())
    shown = operator("orders", "show", "s1", "-o", "json").json
    assert shown["entry"]["signal_id"] == "external:b1"
    assert shown["decision"]["signal"]["signal_id"] == "s1"


def test_what_nobody_knows_is_not_shown(operator: Operator, desk: Desk) -> None:
    called = operator("orders", "show", "s9")
    assert called.code == 2
    assert "no order 's9'" in called.err
    assert "paper, second" in called.err


# -------------------------------------------------------------------------------------------------- resolve


def test_an_order_in_doubt_is_filled_by_hand(operator: Operator, desk: Desk) -> None:
    in_doubt(operator, desk)
    numbers = ("--price", "2500.05", "--fees", "1.5", "--broker-order-id", "b7")
    called = operator(*RESOLVE, "s1", "--as", "filled", *numbers, *WHY, "--yes")
    assert called.code == 0
    assert "state             UNKNOWN → FILLED" in called.out
    assert "order-tracker" in called.out
    entry = entry_of(operator)
    assert (entry.state, f"{entry.filled_quantity}", f"{entry.average_price}") == (
        EntryState.FILLED,
        "10",
        "2500.05",
    )
    assert (f"{entry.fees}", entry.broker_order_id) == ("1.5", "b7")
    assert entry.message == "by hand (ann): the broker's web page"
    assert [item.signal_id for item in operator.run(desk.stores.journal.unacknowledged())] == ["s1"]


@pytest.mark.parametrize(
    ("word", "state", "code"),
    [
        ("cancelled", EntryState.CANCELLED, None),
        ("failed", EntryState.FAILED, Code.BROKER_REJECTED),
        ("lost", EntryState.FAILED, Code.ORDER_LOST),
    ],
)
def test_an_order_that_traded_nothing_is_ended(
    operator: Operator, desk: Desk, word: str, state: EntryState, code: Code | None
) -> None:
    in_doubt(operator, desk)
    called = operator(*RESOLVE, "s1", "--as", word, *WHY, "--yes", "-o", "json")
    assert called.code == 0
    assert (called.json["applied"], called.json["before"]["state"]) == (True, "UNKNOWN")
    entry = entry_of(operator)
    assert (entry.state, entry.code, entry.filled_quantity) == (state, code, 0)


def test_an_order_is_resolved_by_its_tag(operator: Operator, desk: Desk) -> None:
    doubtful = in_doubt(operator, desk)
    assert operator(*RESOLVE, doubtful.tag, "--as", "lost", *WHY, "--yes").code == 0
    assert entry_of(operator).state is EntryState.FAILED


def test_an_overdue_order_is_resolved_and_one_under_way_is_not(operator: Operator, desk: Desk) -> None:
    sent = operator.run(desk.go("s1"))
    words = (*RESOLVE, "s1", "--as", "filled", "--price", "1", *WHY, "--yes")
    early = operator(*words)
    assert early.code == 2
    assert "may still be on its way: look again in 5 s" in early.err
    assert entry_of(operator).state is EntryState.SENDING
    operator.site.clock.time = sent.send_by
    assert operator(*words).code == 0
    assert entry_of(operator).state is EntryState.FILLED


def test_without_a_yes_it_only_shows(operator: Operator, desk: Desk) -> None:
    in_doubt(operator, desk)
    called = operator(*RESOLVE, "s1", "--as", "lost", *WHY)
    assert called.code == 2
    assert "UNKNOWN → FAILED" in called.out
    assert "add --yes" in called.err
    assert entry_of(operator).state is EntryState.UNKNOWN


def test_what_has_ended_is_not_decided_again(operator: Operator, desk: Desk) -> None:
    in_doubt(operator, desk)
    assert operator(*RESOLVE, "s1", "--as", "lost", *WHY, "--yes").code == 0
    revision = entry_of(operator).revision
    called = operator(*RESOLVE, "s1", "--as", "filled", "--price", "1", *WHY, "--yes")
    assert called.code == 2
    assert "what has ended is not decided again" in called.err
    assert entry_of(operator).revision == revision


def test_who_comes_second_is_told(operator: Operator, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order-tracker found the order between our reading and our word."""
    before = in_doubt(operator, desk)
    journal = operator.site.ports.journal("paper")
    settle = journal.settle
    found = PLACED

    async def too_late(*words: Any) -> JournalEntry:
        await journal.resolve(desk.lease, "s1", found)
        return await settle(*words)

    monkeypatch.setattr(journal, "settle", too_late)
    called = operator(*RESOLVE, "s1", "--as", "lost", *WHY, "--yes")
    assert called.code == 1
    assert "somebody else decided" in called.err
    entry = entry_of(operator)
    assert entry == replace(before, state=entry.state, revision=entry.revision, updated_at=entry.updated_at,
                            message="", broker_order_id="b1")  # fmt: skip
    assert entry.state is EntryState.PLACED


def test_a_lost_reply_is_a_failure_that_can_be_repeated(operator: Operator, desk: Desk) -> None:
    in_doubt(operator, desk)
    operator.site.database.faults.lose_reply("settle")
    called = operator(*RESOLVE, "s1", "--as", "lost", *WHY, "--yes")
    assert called.code == 1
    assert "`orders show` tells" in called.err
    assert entry_of(operator).state is EntryState.FAILED


def test_what_was_never_begun_has_nothing_to_resolve(operator: Operator, desk: Desk) -> None:
    operator.run(desk.decide(signal("s1")))
    called = operator(*RESOLVE, "s1", "--as", "lost", *WHY, "--yes")
    assert called.code == 2
    assert "no engine has begun it" in called.err


def test_a_cancel_request_is_no_order(operator: Operator, desk: Desk) -> None:
    operator.run(desk.stores.decisions.record(desk.risk, decision(cancel_request("c1"))))
    assert operator(*RESOLVE, "c1", "--as", "lost", *WHY, "--yes").code == 2
    assert operator("orders", "show", "c1").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--as", "lost", "--reason", " "),
        ("--as", "lost"),
        ("--as", "gone", *WHY),
        ("--as", "filled", "--price", "abc", *WHY),
        ("--as", "filled", "--price", "1", "--quantity", "11", *WHY),
        ("--as", "filled", "--price", "NaN", *WHY),
        ("--as", "filled", *WHY),
    ],
)
def test_what_does_not_fit_changes_nothing(operator: Operator, desk: Desk, words: tuple[str, ...]) -> None:
    in_doubt(operator, desk)
    called = operator(*RESOLVE, "s1", *words, "--yes")
    assert called.code == 2
    assert called.err.startswith("error: ")
    assert entry_of(operator).state is EntryState.UNKNOWN


# -------------------------------------------------------------------------------------------------- missing


def missing(operator: Operator, desk: Desk) -> JournalEntry:
    """Have an order that rests by the broker's word, and that its book lacks."""

    async def prepare() -> JournalEntry:
        sent = await desk.go("s1")
        rests = await desk.stores.journal.settle("s1", sent.attempt, PLACED, sent)
        mark = replace(PLACED, code=Code.ORDER_MISSING, message="not in 3 complete reads")
        entry = await desk.stores.journal.fill("s1", rests.revision, mark)
        assert entry is not None
        return entry

    entry = operator.run(prepare())
    operator.site.clock.time = entry.send_by + LOST_AFTER
    return entry


def test_a_missing_order_is_listed_as_one(operator: Operator, desk: Desk) -> None:
    missing(operator, desk)
    (line,) = operator("orders", "list", "paper").out.splitlines()[1:]
    assert line.split("\t")[1] == "PLACED"
    assert line.endswith("ORDER_MISSING not in 3 complete reads")


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("--as", "filled", "--price", "2500"), EntryState.FILLED),
        (("--as", "cancelled"), EntryState.CANCELLED),
        (("--as", "lost"), EntryState.FAILED),
    ],
)
def test_a_missing_order_is_resolved_by_hand(
    operator: Operator, desk: Desk, words: tuple[str, ...], state: EntryState
) -> None:
    missing(operator, desk)
    assert operator(*RESOLVE, "s1", *words, *WHY, "--yes").code == 0
    entry = entry_of(operator)
    assert (entry.state, entry.message) == (state, "by hand (ann): the broker's web page")
    assert operator.run(desk.stores.journal.resting()) == []


def test_a_missing_order_that_has_come_back_is_not_decided(
    operator: Operator, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row appeared between our reading and our word."""
    before = missing(operator, desk)
    journal = operator.site.ports.journal("paper")
    fill = journal.fill

    async def too_late(*words: Any) -> JournalEntry | None:
        await fill("s1", before.revision, PARTIAL)
        return await fill(*words)

    monkeypatch.setattr(journal, "fill", too_late)
    called = operator(*RESOLVE, "s1", "--as", "lost", *WHY, "--yes")
    assert called.code == 1
    assert "somebody else decided" in called.err
    assert entry_of(operator).state is EntryState.PARTIALLY_FILLED
