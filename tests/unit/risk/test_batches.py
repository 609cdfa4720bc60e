"""Decisions of one fetch: one step in the store, each on what the ones before it have reserved, told after it."""

from collections.abc import Iterator, Sequence

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.producer import MemoryProducer
from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.stored import Decision
from alpha_panda.errors import FencedError, RecordError, UntoldError
from alpha_panda.ports import Outgoing, RecordPosition
from alpha_panda.risk import service as risk_service
from alpha_panda.risk.desk import Desk
from alpha_panda.testing.taps import Harm
from unit.risk.world import RiskWorld, documents, filled, signal


@pytest.fixture
def recorded(clock: VirtualClock) -> Iterator[tuple[RiskWorld, list[list[str]]]]:
    """A world, and the ids of each step that stored decisions."""
    world = RiskWorld(clock)
    steps: list[list[str]] = []
    record = world.decisions.record

    async def noted(epoch: str, *decisions: Decision) -> list[Decision]:
        steps.append([decision.signal_id for decision in decisions])
        return await record(epoch, *decisions)

    world.decisions.record = noted  # type: ignore[method-assign]
    yield world, steps
    world.decisions.record = record  # type: ignore[method-assign]


async def test_signals_that_wait_together_are_stored_in_one_step_and_told_in_their_order(
    recorded: tuple[RiskWorld, list[list[str]]],
) -> None:
    world, steps = recorded
    await world.open()
    names = [f"s{number}" for number in range(5)]
    await world.put(*(world.raw(signal(name)) for name in names))
    async with world.running():
        assert steps == [names]
        assert [name for name, _ in world.told()] == names


async def test_each_is_decided_on_what_those_before_it_reserve(clock: VirtualClock) -> None:
    """Cash for two of three orders: the third of one batch is refused as it would be alone."""
    world = await RiskWorld(clock).open()
    await world.put(*(world.raw(signal(name, quantity=400_000)) for name in ("s1", "s2", "s3")))
    async with world.running():
        verdicts = [(await world.stored(name)).verdict for name in ("s1", "s2", "s3")]
        alone = await world.signal("s4", quantity=400_000)
        last = (await world.stored(alone.signal_id)).verdict
    assert verdicts.count(Verdict.VALIDATED) < 3
    assert verdicts[-1] is last is Verdict.REJECTED


async def test_no_more_than_the_setting_wait_for_one_step(clock: VirtualClock) -> None:
    world = RiskWorld(clock, decision_batch_max=2)
    steps: list[int] = []
    record = world.decisions.record

    async def noted(epoch: str, *decisions: Decision) -> list[Decision]:
        steps.append(len(decisions))
        return await record(epoch, *decisions)

    world.decisions.record = noted  # type: ignore[method-assign]
    await world.open()
    await world.put(*(world.raw(signal(f"s{number}")) for number in range(5)))
    async with world.running():
        assert steps == [2, 2, 1]


async def test_a_fill_that_waits_with_two_signals_does_not_part_them(
    recorded: tuple[RiskWorld, list[list[str]]],
) -> None:
    """All decisions of one fetch are made on one book, and stored together."""
    world, steps = recorded
    await world.open()
    first = signal("s1")
    await world.put(world.raw(first), world.order(filled(first, 100)), world.raw(signal("s2")))
    async with world.running():
        assert steps == [["s1", "s2"]]
        assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10


async def test_the_same_id_twice_in_one_fetch_is_one_decision_told_twice(
    recorded: tuple[RiskWorld, list[list[str]]],
) -> None:
    world, steps = recorded
    await world.open()
    await world.put(world.raw(signal("s1")), world.raw(signal("s1")))
    async with world.running():
        assert steps == [["s1"]]
        assert [name for name, _ in world.told()] == ["s1", "s1"]


async def test_when_the_step_is_not_applied_nothing_is_told_and_a_new_start_decides_all(
    clock: VirtualClock,
) -> None:
    world = await RiskWorld(clock).open()
    world.plan("decisions.record", Harm.REFUSE)
    names = ("s1", "s2", "s3")
    await world.put(*(world.raw(signal(name)) for name in names))
    async with world.running():
        await world.settle()
    assert world.told() == []
    async with world.running():
        assert [name for name, _ in world.told()] == list(names)


async def test_another_word_in_the_store_ends_the_service_before_anything_is_told(
    clock: VirtualClock,
) -> None:
    world = RiskWorld(clock)

    async def another(_epoch: str, *decisions: Decision) -> list[Decision]:
        return [replace(decision, message="somebody else's") for decision in decisions]

    world.decisions.record = another  # type: ignore[method-assign, assignment]
    await world.open()
    await world.put(world.raw(signal("s1")))
    with pytest.raises(FencedError, match="decided by somebody else"):
        async with world.running() as task:
            await task
    assert world.told() == []


class Limit:
    """What the bus does not take: records of a topic with a word in them; None: it takes all."""

    def __init__(self) -> None:
        self.word: bytes | None = None
        self.topic = ""


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    limit = Limit()
    send = MemoryProducer.send

    async def limited(self: MemoryProducer, records: Sequence[Outgoing]) -> list[RecordPosition]:
        for record in records:
            if record.topic == limit.topic and limit.word is not None and limit.word in record.value:
                raise RecordError(f"too large for {limit.topic}")
        return await send(self, records)

    monkeypatch.setattr(MemoryProducer, "send", limited)
    return limit


async def test_a_signal_that_is_too_long_is_set_aside_and_its_neighbours_are_told(
    clock: VirtualClock,
) -> None:
    world = await RiskWorld(clock, decision_batch_max=2).open()
    long = world.raw(signal("s2", reason="x" * 600_000))
    await world.put(world.raw(signal("s1")), long, world.raw(signal("s3")))
    async with world.running() as task:
        assert [name for name, _ in world.told()] == ["s1", "s3"]
        assert world.letters(world.topics.signals_raw) == [(long.value, "UNDECODABLE")]
        assert await world.decisions.get("s2") is None
        assert not task.done()


@pytest.mark.parametrize("batch", [2, 100])
async def test_a_decision_that_can_not_be_told_is_not_the_fault_of_the_record_in_hand(
    clock: VirtualClock, limit: Limit, batch: int
) -> None:
    """The second of three is refused by the bus: no dead letter; once it is taken all three are told."""
    world = await RiskWorld(clock, decision_batch_max=batch).open()
    limit.topic, limit.word = world.topics.signals_validated, b'"s2"'
    names = ("s1", "s2", "s3")
    await world.put(*(world.raw(signal(name)) for name in names))
    async with world.running():
        error = await world.end()
    assert isinstance(error, UntoldError)
    assert world.told() == []
    assert world.letters(world.topics.signals_raw) == []
    assert await world.offset(world.topics.signals_raw) == 0
    limit.word = None
    async with world.running():
        assert [name for name, _ in world.told()] == list(names)
        assert await world.latches() == {}


async def test_a_fill_behind_a_decision_that_can_not_be_told_is_booked_later(
    clock: VirtualClock, limit: Limit
) -> None:
    world = await RiskWorld(clock).open()
    limit.topic, limit.word = world.topics.signals_validated, b""
    first = signal("s1")
    await world.put(world.raw(first), world.order(filled(first, 100)))
    async with world.running():
        assert isinstance(await world.end(), UntoldError)
    assert world.letters(world.topics.orders_filled) == []
    assert await world.latches() == {}
    limit.word = None
    async with world.running():
        assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10


async def test_a_latch_that_can_not_be_told_is_not_the_fault_of_the_record_in_hand(
    clock: VirtualClock, limit: Limit
) -> None:
    world = await RiskWorld(clock).open()
    limit.topic, limit.word = world.topics.control, b""
    async with world.running():
        made = await world.signal("s1", quantity="0.5")  # refused
        await world.fill(made)
        assert isinstance(await world.end(), UntoldError)
    assert world.letters(world.topics.orders_filled) == []


# ------------------------------------------------------------------------------------------- what is remembered


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> list[Desk]:
    """Every desk that is made."""
    made: list[Desk] = []

    class Noted(Desk):
        def __init__(self, *parts: object) -> None:
            super().__init__(*parts)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(risk_service, "Desk", Noted)
    return made


async def test_what_was_told_is_remembered_without_its_checks_and_told_again_with_them(
    clock: VirtualClock, desks: list[Desk]
) -> None:
    """The same bytes: by the one that told it, and by one that took over."""
    world = await RiskWorld(clock, documents(risk={"maxOrderQuantity": "10"})).open()
    signals = (signal("good"), signal("bad", quantity=11))
    records = [world.raw(made) for made in signals]
    for _ in range(2):
        async with world.running():
            await world.put(*records)
            await world.put(*records, *records)
            (good, bad) = (desks[-1]._ledger.decisions[name] for name in ("good", "bad"))
            assert [(item.checks, item.message) for item in (good, bad)] == [([], "")] * 2
    assert (await world.stored("bad")).message
    for topic in (world.topics.signals_validated, world.topics.signals_rejected):
        values = world.values(topic)
        assert len(values) == 6
        assert len(set(values)) == 1
        assert b'"checks":[{' in values[0]


@pytest.mark.parametrize("lost", [True, False])
async def test_what_the_store_no_longer_holds_as_it_was_is_not_told_again(
    clock: VirtualClock, *, lost: bool
) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        made = await world.signal("s1")
        held = (await world.claimed()).decisions
        if lost:
            del held["s1"]
        else:
            held["s1"] = replace(held["s1"], decided_at=1)
        await world.put(world.raw(made))
        assert isinstance(await world.end(), FencedError)
    assert len(world.told()) == 1


async def test_what_was_found_under_another_epoch_than_the_last_is_looked_up_again(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that became whole only then may know more: ids that it knows are dropped."""
    world = await RiskWorld(clock).open()
    looks: list[str] = []
    known, epoch = world.journal.known, world.journal.epoch

    async def noted(*signal_ids: str) -> frozenset[str]:
        looks.extend(signal_ids)
        found = await known(*signal_ids)
        return found | {"s2"} if looks.count("s2") > 1 else found

    async def other() -> str:
        return f"{await epoch()}-and-later"

    async with world.running():
        await world.signal("s1")
        monkeypatch.setattr(world.journal, "known", noted)
        monkeypatch.setattr(world.journal, "epoch", other)
        await world.put(world.raw(signal("s2")), world.raw(signal("s3")))
        assert looks.count("s2") == looks.count("s3") == 2
        assert await world.decisions.get("s2") is None
        assert (await world.stored("s3")).journal_epoch == await other()
        await world.signal("s4")
        assert looks.count("s4") == 1
