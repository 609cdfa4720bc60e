"""`alpha-panda explain` as typed: from a file, and from an installation that runs or half runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.contracts.codes import REMEDIES, Code
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.events import Envelope, Signal
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Outgoing
from contracts.desk import Desk
from contracts.samples import PLACED, UNKNOWN
from unit import story_kit as kit
from unit.cli.kit import Alpha, Called
from unit.cli.operating import Operator
from unit.story_kit import A, B

FILLED = [kit.BEFORE, kit.raw(), kit.validated(), kit.told(), kit.PRICES, kit.AFTER]


def told_of(called: Called) -> dict[str, list[str]]:
    """The lines by label."""
    found: dict[str, list[str]] = {}
    label = ""
    for line in called.out.splitlines():
        label = line[:11].strip() or label
        found.setdefault(label, []).append(line[12:])
    return found


# ----------------------------------------------------------------------------------------------------- a file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return kit.write(tmp_path / "events.jsonl", FILLED)


def test_a_filled_order_as_a_trader_reads_it(alpha: Alpha, file: Path) -> None:
    called = alpha("explain", A[:8], "--events", file)
    assert called.code == 0
    told = told_of(called)
    assert told["FILLED"][0] == "BUY 10 NSE:RELIANCE MARKET DAY: 10 at 2,504.25"
    assert told["FILLED"][1] == "account paper · strategy alpha · 2024-01-01, times in UTC"
    assert told["Tick"][0] == "03:45:00.000  2,503.00 (bid 2,502.95, ask 2,503.00) on feed demo, simulated"
    assert told["Strategy"][0].endswith("good until 03:45:10.000; its tick was 3.00 ms old")
    assert told["Strategy"][1:] == ["because: it rose", "return = 12 bps"]
    assert told["Risk"][0] == "03:45:00.007  passed, increasing: 3 of 3 checks passed"
    assert told["Risk"][1] == "✓ price_fresh                  2.50 ms (limit 5 s)"
    assert told["Risk"][2] == "✓ account.max_order_value      25,030 (limit 500,000)"
    assert told["Price"] == ["2,503.00 of 03:45:00.005, 4.00 ms old when the engine began"]
    assert told["Order"][1] == "03:45:00.049  FILLED 10 at 2504.25, fees 7.5128 (engine/paper, +40.0 ms)"
    assert told["Fill"] == [
        "10 at 2,504.25 = 25,042.50, fees 7.5128, 1.25 a unit worse than the engine's price"
    ]
    assert told["Book"] == [
        "position 0 → 10, cash 1,000,000.00 → 974,949.9872",
        "this order: position +10, cash -25,050.0128",
    ]
    assert "tick → answer 49.0 ms" in told["Time"][0]


def test_a_rejected_one_begins_with_why_and_what_to_do(alpha: Alpha, tmp_path: Path) -> None:
    file = kit.write(tmp_path / "f", [kit.raw(), kit.rejected()])
    called = alpha("explain", A, "--events", file)
    assert called.code == 0  # it was explained
    told = told_of(called)
    assert told["REJECTED"][0] == "BUY 10 NSE:RELIANCE MARKET DAY"
    assert told["Why"][0] == "MAX_ORDER_QUANTITY: account: quantity 10 exceeds 5; the quote is 1.50 ms old"
    assert told["What to do"] == [REMEDIES[Code.MAX_ORDER_QUANTITY]]
    assert told["Risk"][1].startswith("✗ account.max_order_quantity   10 (limit 5)")


def test_as_json_it_has_times_money_and_spans(alpha: Alpha, file: Path) -> None:
    story = alpha("explain", A, "--events", file, "-o", "json").json
    assert (story["ending"], story["order"]["quantity"]) == ("FILLED", "10")
    assert (story["tick"]["at"], story["tick"]["ts"]) == ("2024-01-01T03:45:00.000Z", kit.T0)
    assert story["tick"]["age_ns"] == 3 * kit.MS
    assert story["steps"][1]["after_ns"] == 40 * kit.MS
    assert story["book"]["after"]["cash"] == "974949.9872"
    assert story["decision"]["checks"][1]["limit"] == "5000000000"
    assert {hop["name"]: hop["span_ns"] for hop in story["hops"]}["order → answer"] == 40 * kit.MS
    json.dumps(story)


@pytest.mark.parametrize(
    ("words", "said"), [("ffffffff-none", "nothing is known"), ("ffff", "too short"), ("11111111-", "")]
)
def test_an_id_that_means_nothing_ends_with_two(alpha: Alpha, file: Path, words: str, said: str) -> None:
    called = alpha("explain", words, "--events", file)
    assert called.code == (2 if said else 0)
    assert said in called.err


def test_without_a_file_or_an_installation_it_says_what_there_could_be(alpha: Alpha) -> None:
    called = alpha("explain", A)
    assert called.code == 2
    assert "--events FILE" in called.err


# ------------------------------------------------------------------------------------------- an installation


def produce(operator: Operator, *events: Envelope) -> None:
    operator.run(operator.site.produce(*kit.outgoing(*events)))


def ticks(operator: Operator) -> str:
    """Produce the causing tick; return its record's id."""
    tick = Outgoing(kit.TICKS, kit.batch(kit.TICK), partition=3)
    operator.run(operator.site.produce(tick))
    return f"{kit.TICKS}/3/0#{kit.TOKEN}:21"


def with_tick(event: Envelope, cause: str) -> Envelope:
    from msgspec.structs import replace  # noqa: PLC0415 - here alone

    return replace(event, causation_id=cause)


def test_from_kafka_alone_it_tells_the_same(operator: Operator, file: Path) -> None:
    cause = ticks(operator)
    produce(operator, kit.BEFORE, with_tick(kit.raw(), cause), *FILLED[2:])
    live = told_of(operator("explain", A[:10]))
    of_file = told_of(operator("explain", A, "--events", file))
    live["Tick"][1] = of_file["Tick"][1]  # another record
    assert live == of_file


@pytest.fixture
def desk(operator: Operator) -> Desk:
    return operator.run(operator.site.desk())


def sent(operator: Operator, desk: Desk, outcome: Any, signal: Signal | None = None) -> Signal:
    """Have an order of story_kit's signal in the journal."""
    made = signal or kit.signal(expires_at=2**62)

    async def prepare() -> None:
        verdict = await desk.trade(made)
        assert verdict.go
        await desk.stores.journal.settle(made.signal_id, verdict.entry.attempt, outcome, verdict.entry)

    operator.run(prepare())
    return made


@pytest.mark.parametrize("words", [A, broker_tag(A)])
def test_an_order_in_doubt_is_found_by_its_id_though_no_event_tells_of_it(
    operator: Operator, desk: Desk, words: str
) -> None:
    sent(operator, desk, UNKNOWN)
    told = told_of(operator("explain", words))
    assert told["IN DOUBT"][0] == "BUY 10 NSE:RELIANCE MARKET DAY"
    assert told["Why"][0] == "IN_DOUBT: time-out"
    assert "alpha-panda orders resolve" in told["What to do"][0]


def test_with_kafka_down_the_stores_still_tell(operator: Operator, desk: Desk) -> None:
    sent(operator, desk, PLACED)
    operator.site.bus.down = True
    called = operator("explain", A, "--account", "paper")
    assert called.code == 0
    assert told_of(called)["RESTING"][0].startswith("BUY 10")
    assert operator("explain", A).code == 1  # which accounts there are, Kafka alone knows


def test_with_redis_down_the_events_still_tell(operator: Operator) -> None:
    produce(operator, *FILLED)
    for operation in ("journal.get", "decisions.get", "get", "find_tag"):
        operator.site.refuse(operation)
    called = operator("explain", A)
    assert called.code == 0
    assert told_of(called)["FILLED"][0].endswith("10 at 2,504.25")


def test_a_journal_that_lost_its_memory_does_not_prove_that_nothing_was_sent(operator: Operator) -> None:
    produce(operator, kit.raw(), kit.validated())
    called = operator("explain", A)
    assert called.out.startswith("VALIDATED, OUTCOME NOT KNOWN BUY 10")


@pytest.mark.parametrize("more", [(), ("epoch",)])
@pytest.mark.usefixtures("desk")  # which makes the journal ready
def test_with_redis_down_a_validated_one_is_not_said_to_be_unsent(
    operator: Operator, more: tuple[str, ...]
) -> None:
    """It may be in doubt: that the journal alone knows."""
    produce(operator, kit.raw(), kit.validated())
    assert operator("explain", A).out.startswith("VALIDATED, NOT SENT BUY 10")
    for operation in ("journal.get", "decisions.get", "get", "find_tag", *more):
        operator.site.refuse(operation)
    called = operator("explain", A)
    assert "NOT SENT" not in called.out
    assert called.out.startswith("VALIDATED, OUTCOME NOT KNOWN BUY 10")


def test_a_redis_that_is_mute_is_waited_for_but_once(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def never(*wanted: object) -> None:
        asked.append(wanted)
        await asyncio.Event().wait()

    produce(operator, *FILLED)
    monkeypatch.setattr(MemoryOrderJournal, "get", never)
    monkeypatch.setattr(MemoryDecisionStore, "get", never)
    called = operator("explain", A)
    assert len(asked) == 1  # and not for each account, before and after the search
    assert told_of(called)["FILLED"][0].endswith("10 at 2,504.25")
    assert told_of(called)["Note"] == ["redis was not asked in full: redis: no answer within 0.5 s"]


def test_nothing_found_says_how_far_it_looked(operator: Operator, desk: Desk) -> None:
    produce(operator, *FILLED)
    called = operator("explain", "99999999")
    assert called.code == 2
    assert "the accounts paper, second" in called.err
    assert "newest 3 records (1 of paper.orders.filled, 1 of paper.signals.raw" in called.err


def test_the_search_is_bounded_and_says_so(operator: Operator) -> None:
    events = [kit.raw(kit.signal(f"{B[:-3]}{n:03}")) for n in range(40)]
    produce(operator, kit.raw(), *events)
    called = operator("explain", A, "--records", "20")
    assert called.code == 2
    assert "there is more, --records and --within allow it" in called.err
    assert operator("explain", A, "--records", "200").code == 0


def test_an_account_that_is_named_is_the_only_one_looked_at(operator: Operator) -> None:
    produce(operator, *FILLED)
    assert operator("explain", A, "--account", "second").code == 2
    assert operator("explain", A, "--account", "paper").code == 0


def test_what_was_set_aside_is_a_note(operator: Operator) -> None:
    produce(operator, kit.raw())
    value = kit.outgoing(kit.raw())[0].value
    error = DependencyUnavailableError("redis", "away")
    operator.run(operator.site.set_aside("paper.signals.raw", value, error, timestamp=kit.T0))
    note = told_of(operator("explain", A))["Note"][0]
    assert note.startswith("set aside in paper.signals.raw.dlq at offset 0:")
    assert "away" in note


def test_a_request_to_cancel_leads_to_its_order(operator: Operator) -> None:
    asked = kit.cancel()
    placed = kit.told(OrderStatus.PLACED, "0")
    ended = kit.told(OrderStatus.CANCELLED, "0", revision=2, ts=asked.ts + kit.MS)
    produce(operator, kit.raw(), kit.validated(), placed, asked, ended)
    told = told_of(operator("explain", asked.correlation_id))
    assert told["CANCELLED"][0].startswith("BUY 10")
    assert any("asks to cancel it: it fell" in line for line in told["Order"])
