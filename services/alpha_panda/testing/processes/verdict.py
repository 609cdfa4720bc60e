"""What holds of a platform once it has come to rest: the promises of DESIGN section 1, from what can be seen."""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import RecordError
from alpha_panda.ports import OrderJournal, Record
from alpha_panda.runtime.dead_letter import original
from alpha_panda.testing.broker.core import BrokerCore

from .recorder import Recorder, Story


async def faults(
    recorder: Recorder,
    journal: OrderJournal,
    core: BrokerCore | None,
    sent: Collection[str],
    letters: int | None,
) -> list[str]:
    """Return all that does not hold; ask again until nothing is on its way. `core`: a live account's broker."""
    found = [f"{lag} records not read yet"] if (lag := await recorder.lag()) else []
    signals = [name for name in recorder.stories if not name.startswith("external:")]
    found += end_faults(recorder.stories, {*signals, *sent})
    found += book_faults(recorder)
    if core is not None:
        core.settle(time.time_ns())
        found += unsent_faults(recorder, core)
    return [*found, *await journal_faults(journal), *letter_faults(recorder.dead_letters, letters)]


def letter_faults(dead_letters: Sequence[Record], expected: int | None) -> list[str]:
    """There are as many dead letters as expected (None: any number), and each can be replayed."""
    found = [f"can't be replayed: {letter.id}" for letter in dead_letters if not _replayable(letter)]
    if expected is not None and len(dead_letters) != expected:
        told = [(letter.topic, dict(letter.headers)) for letter in dead_letters[:3]]
        found.append(f"{len(dead_letters)} dead letters, {expected} expected: {told}")
    return found


def _replayable(letter: Record) -> bool:
    try:
        original(letter)
    except RecordError:
        return False
    return True


def call_faults(recorder: Recorder, core: BrokerCore, sent: Collection[str]) -> list[str]:
    """At most one call a signal, and no call that belongs to none. It may be asked at any time."""
    known = {broker_tag(signal_id): signal_id for signal_id in (*recorder.stories, *sent)}
    found = []
    for tag, calls in core.placed().items():
        if calls > 1:
            found.append(f"{calls} broker calls for {known.get(tag, tag)}")
        if tag not in known:
            found.append(f"a broker call with the tag {tag}, which is of no signal")
    return found


def end_faults(stories: Mapping[str, Story], signals: Collection[str]) -> list[str]:
    """Each of the signals has exactly one terminal outcome."""
    found = []
    for signal_id in signals:
        story = stories.get(signal_id, Story())
        if len(story.ends) != 1 and not story.cancel:
            found.append(f"{signal_id} has the ends {sorted(story.ends)}: {story}")
    return found


def unsent_faults(recorder: Recorder, core: BrokerCore) -> list[str]:
    """What was filled was sent; what the broker executed is told."""
    told = {broker_tag(name): story.fold.filled_quantity for name, story in recorder.stories.items()}
    traded: Counter[str] = Counter()
    for trade in core.executed():
        traded[trade.tag] += trade.quantity  # type: ignore[assignment] # a Counter of Decimals
    return [
        f"order {tag}: told {told.get(tag, Decimal(0))}, executed {traded.get(tag, Decimal(0))}"
        for tag in told.keys() | traded.keys()
        if told.get(tag, Decimal(0)) != traded.get(tag, Decimal(0))
    ]


def book_faults(recorder: Recorder) -> list[str]:
    """The last published book is what the order events come to."""
    snapshot = recorder.snapshot
    if snapshot is None:
        return ["no book was published"]
    held: dict[str, Decimal] = {}
    cash = snapshot.opening_cash
    for story in recorder.stories.values():
        if story.fold.filled_quantity:
            held[story.symbol] = (
                held.get(story.symbol, Decimal(0)) + story.side.sign * story.fold.filled_quantity
            )
            cash -= story.side.sign * story.fold.amount + story.fold.fees
    told = {symbol: quantity for symbol, quantity in held.items() if quantity}
    booked = {symbol: view.quantity for symbol, view in snapshot.positions.items() if view.quantity}
    found = [] if told == booked else [f"book {_difference(booked, told)} (book / fills)"]
    return found if cash == snapshot.cash else [*found, f"cash {snapshot.cash}, fills come to {cash}"]


async def journal_faults(journal: OrderJournal) -> list[str]:
    """Nothing waits to be told, nothing is in doubt."""
    found = []
    if await journal.epoch() is None:
        found.append("the journal has no valid epoch")
    if waiting := [entry.signal_id for entry in await journal.unacknowledged()]:
        found.append(f"in `open`: {waiting[:5]} ({len(waiting)})")
    if doubtful := [entry.signal_id for entry in await journal.in_doubt()]:
        found.append(f"in doubt: {doubtful[:5]} ({len(doubtful)})")
    return found


def _difference(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> str:
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(f"{name}: {one.get(name)} / {other.get(name)}" for name in names)
