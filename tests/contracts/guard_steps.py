"""What tells each guard apart: steps on the opened stores, in which a store without it answers otherwise.

Each function is one sequence of rules of `SideBySide`, from its `open` (lease, claim and epoch are there, all is
Active). Its decorator names the guard, and the call whose replies differ first. A new guard's steps may be found by
`side_by_side_search.py`.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from alpha_panda.contracts.enums import EntryState, FeedMode, SignalClass, TradingState, Verdict
from alpha_panda.contracts.stored import PriceRange, Quote
from contracts.harness import Lose
from contracts.side_by_side import Pair
from contracts.side_by_side_machine import SideBySide

Steps = Callable[[SideBySide], None]


class Told(NamedTuple):
    """How a guard is told apart: the call whose replies differ first, and the steps that lead there."""

    at: str
    steps: Steps


TOLD: Final[dict[str, Told]] = {}
"""Guard → how it is told apart."""

WITHIN_A_CALL: Final = {
    "claim holds": "it acts between the commands of one call of the Redis store; memory's call is one step",
}
"""Guards that no steps can tell apart, and why; the test of the table mutates each by itself."""


def tells(guard: str, *, at: str) -> Callable[[Steps], Steps]:
    """Put steps into the table."""

    def register(steps: Steps) -> Steps:
        assert guard not in TOLD, f"{guard} has steps already"
        TOLD[guard] = Told(at, steps)
        return steps

    return register


def play(guard: str) -> None:
    """Play a guard's steps, and look at all that both sides hold then."""
    day = SideBySide()
    day.open()
    TOLD[guard].steps(day)
    day.look_at_all()


# ---------------------------------------------------------------------------------------------------- leases


@tells("held lease", at="lease.acquire")
def _(day: SideBySide) -> None:
    day.acquire(owner="y")


@tells("released lease", at="journal.adopt")
def _(day: SideBySide) -> None:
    day.release()
    day.adopt({})


@tells("lease's run", at="journal.adopt")
def _(day: SideBySide) -> None:
    day.restart()
    day.adopt({})


@tells("lease epoch", at="journal.adopt")
def _(day: SideBySide) -> None:
    day.acquire()
    day.adopt({}, lease=False)


@tells("renewal", at="lease.renew")
def _(day: SideBySide) -> None:
    day.acquire()
    day.renew(present=False)


@tells("owner", at="lease.renew")
def _(day: SideBySide) -> None:
    day.renew(owner="y")


@tells("release", at="journal.adopt")
def _(day: SideBySide) -> None:
    day.release(owner="y")
    day.adopt({})


# --------------------------------------------------------------------------------------------------- control


@tells("latch once", at="control.read")
def _(day: SideBySide) -> None:
    day.set_latch(state=TradingState.HALTED)
    day.set_latch(state=TradingState.REDUCING)


@tells("asked once", at="control.clear_requests")
def _(day: SideBySide) -> None:
    day.request_clears(asked_at=1)
    day.request_clears(asked_at=2)


@tells("expired control key", at="journal.begin")
def _(day: SideBySide) -> None:
    day.put_spec("account", ttl=2)
    day.advance(3)
    day.order()


@tells("latch", at="journal.begin")
def _(day: SideBySide) -> None:
    day.set_latch(state=TradingState.HALTED)
    day.order()


@tells("no scopes", at="journal.begin")
def _(day: SideBySide) -> None:
    day.order(wrong="scopes")


# ------------------------------------------------------------------------------------------------------ risk


@tells("risk epoch", at="decisions.record")
def _(day: SideBySide) -> None:
    day.claim()
    day.decide(0, present=False)


@tells("claim's run", at="decisions.record")
def _(day: SideBySide) -> None:
    day.restart()
    day.decide(0)


@tells("record", at="decisions.record")
def _(day: SideBySide) -> None:
    day.claim()
    day.decide(0, present=False)


@tells("save", at="decisions.save")
def _(day: SideBySide) -> None:
    day.claim()
    day.save({"s0"}, present=False)


@tells("decided once", at="decisions.record")
def _(day: SideBySide) -> None:
    day.decide(0, Verdict.REJECTED)
    day.decide(0, Verdict.VALIDATED)


# ---------------------------------------------------------------------------------------------------- engine


@tells("tag", at="journal.begin")
def _(day: SideBySide) -> None:
    day.stray_before_its_signal(None)


@tells("known id", at="journal.begin")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.begin(1)


@tells("refuse known id", at="journal.refuse")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.refuse(1)


@tells("journal epoch", at="journal.begin")
def _(day: SideBySide) -> None:
    day.order(wrong="epoch")


@tells("refuse journal epoch", at="journal.refuse")
def _(day: SideBySide) -> None:
    day.refuse(0, wrong="epoch")


@tells("epoch's run", at="journal.begin")
def _(day: SideBySide) -> None:
    day.restart()
    day.claim()
    day.order()


@tells("decision", at="journal.begin")
def _(day: SideBySide) -> None:
    day.begin(0)


@tells("verdict", at="journal.begin")
def _(day: SideBySide) -> None:
    day.decide(0, Verdict.REJECTED)
    day.begin(0)


@tells("payload", at="journal.begin")
def _(day: SideBySide) -> None:
    day.order(wrong="payload")


@tells("halted", at="journal.begin")
def _(day: SideBySide) -> None:
    day.set_latch(state=TradingState.HALTED)
    day.order(of_class=SignalClass.REDUCING)


@tells("reducing", at="journal.begin")
def _(day: SideBySide) -> None:
    day.set_latch(state=TradingState.REDUCING)
    day.order()


@tells("key in doubt", at="journal.begin")
def _(day: SideBySide) -> None:
    """The first and the third order have one key."""
    day.order("unknown")
    day.order()
    day.order()


@tells("expiry", at="journal.begin")
def _(day: SideBySide) -> None:
    day.order(wrong="expired")


@tells("rate", at="journal.begin")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.order(wrong="rate")


@tells("attempt", at="journal.settle")
def _(day: SideBySide) -> None:
    day.order()
    day.settle(1, "filled", stranger=True)


@tells("settled", at="journal.settle")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.settle(1, "rejected")


@tells("unknown again", at="journal.settle")
def _(day: SideBySide) -> None:
    day.order("unknown")
    day.settle(1, "unknown")


@tells("resting", at="journal.fill")
def _(day: SideBySide) -> None:
    day.order("cancelled")
    day.fill(1, "filled")


@tells("revision", at="journal.fill")
def _(day: SideBySide) -> None:
    day.order("placed")
    day.fill(1, "filled", off=1)


# --------------------------------------------------------------------------------------------- order-tracker


@tells("resolve lease", at="journal.resolve")
def _(day: SideBySide) -> None:
    day.order()
    day.acquire()
    day.resolve(1, "filled", lease=False)


@tells("resolve in doubt", at="journal.resolve")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.resolve(1, "rejected")


@tells("lost after send_by", at="journal.resolve")
def _(day: SideBySide) -> None:
    day.order()
    day.resolve(1, "lost")


@tells("correct lease", at="journal.correct")
def _(day: SideBySide) -> None:
    day.order("rejected")
    day.acquire()
    day.correct(1, "filled", lease=False)


@tells("correct terminal", at="journal.correct")
def _(day: SideBySide) -> None:
    day.order("placed")
    day.correct(1, "filled")


@tells("correction needed", at="journal.correct")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.correct(1, "filled")


@tells("correct latch", at="control.read")
def _(day: SideBySide) -> None:
    day.order("rejected")
    day.correct(1, "filled")


@tells("orphan lease", at="journal.orphan")
def _(day: SideBySide) -> None:
    day.acquire()
    day.orphan(0, lease=False)


@tells("orphan known", at="journal.orphan")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.orphan(1, known=True)


@tells("orphan latch", at="control.read")
def _(day: SideBySide) -> None:
    day.orphan(0)


@tells("facts lease", at="journal.put_facts")
def _(day: SideBySide) -> None:
    day.acquire()
    day.put_facts(lease=False)


@tells("adopt lease", at="journal.adopt")
def _(day: SideBySide) -> None:
    day.acquire()
    day.adopt({0: EntryState.FILLED}, lease=False)


@tells("adopt run", at="journal.adopt")
def _(day: SideBySide) -> None:
    day.adopt({0: EntryState.FILLED}, run=False)


@tells("further", at="journal.unacknowledged")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.adopt({1: EntryState.UNKNOWN})


@tells("adopted told", at="journal.unacknowledged")
def _(day: SideBySide) -> None:
    day.adopt({0: EntryState.FILLED})


@tells("adopted terminal", at="journal.unacknowledged")
def _(day: SideBySide) -> None:
    day.adopt({0: EntryState.PLACED}, with_events=True)


@tells("adopted revision", at="journal.unacknowledged")
def _(day: SideBySide) -> None:
    day.order("unknown")
    day.adopt({1: EntryState.FILLED}, with_events=True, off=0)


@tells("epoch lease", at="journal.write_epoch")
def _(day: SideBySide) -> None:
    day.acquire()
    day.write_epoch(lease=False)


@tells("epoch run", at="journal.write_epoch")
def _(day: SideBySide) -> None:
    day.write_epoch(run=False)


@tells("one epoch a run", at="journal.write_epoch")
def _(day: SideBySide) -> None:
    day.write_epoch()


@tells("acknowledged revision", at="journal.acknowledge")
def _(day: SideBySide) -> None:
    day.order("filled")
    day.acknowledge(1, off=-1)


@tells("acknowledged doubt", at="journal.acknowledge")
def _(day: SideBySide) -> None:
    day.order("unknown")
    day.acknowledge(1)


# -------------------------------------------------------------------------------------- strategies and prices


@tells("incarnation of this run", at="checkpoints.save")
def _(day: SideBySide) -> None:
    day.claim_strategy()
    day.claim_strategy()
    day.save_strategy(present=False)


FEED: Final = "demo"
TOKEN: Final = 5


def _written(
    day: SideBySide,
    *,
    epoch: int = 1,
    seq: int = 1,
    of: int = 1,
    beats: Mapping[int, int],
    partitions: int = 1,
) -> None:
    """Write a quote (sequence `seq` of the feed's epoch `of`) and proofs of life; look at what is stored then."""
    quote = Quote(last_price=100.0 + seq, ts=seq, feed=FEED, mode=FeedMode.REPLAY, feed_epoch=of, seq=seq)
    day.sides.call("prices", "write", FEED, epoch, {TOKEN: quote}, beats, partitions)
    day.sides.read(("prices", "readings", FEED, [TOKEN, TOKEN + 1]))


@tells("feed epoch", at="prices.write")
def _(day: SideBySide) -> None:
    _written(day, epoch=2, beats={0: 1})
    _written(day, epoch=1, beats={0: 2})


@tells("newer sequence", at="prices.readings")
def _(day: SideBySide) -> None:
    _written(day, seq=10, beats={0: 1})
    _written(day, seq=9, beats={0: 1})


@tells("newer epoch", at="prices.readings")
def _(day: SideBySide) -> None:
    _written(day, epoch=2, of=2, beats={0: 1})
    _written(day, epoch=2, of=1, beats={0: 1})


@tells("own proofs", at="prices.readings")
def _(day: SideBySide) -> None:
    """With two partitions those of one say nothing."""
    _written(day, beats={0: 1}, partitions=1)
    _written(day, beats={}, partitions=2)


@tells("newer heartbeat", at="prices.readings")
def _(day: SideBySide) -> None:
    _written(day, seq=1, beats={0: 10})
    _written(day, seq=2, beats={0: 9})


@tells("cursor of this store", at="prices.ranges")
def _(day: SideBySide) -> None:
    """The store loses all, and the clock is set back: the reader's cursor is above all that is there."""
    read = PriceRange(
        cursor=-1,
        token=TOKEN,
        low=99.0,
        high=101.0,
        last=100.0,
        ts=1,
        first_seq=1,
        last_seq=2,
        mode=FeedMode.REPLAY,
    )
    day.sides.call("prices", "publish_ranges", FEED, [read, read])
    found = day.sides.call("prices", "ranges", FEED, {TOKEN: 0}, 0)
    assert found is not None
    cursor = Pair(found.memory[-1].cursor, found.redis[-1].cursor)
    day.restart(Lose.EVERYTHING)
    day.advance(-100)
    day.sides.call("prices", "publish_ranges", FEED, [msgspec.structs.replace(read, first_seq=3, last_seq=4)])
    day.sides.call("prices", "ranges", FEED, {TOKEN: cursor}, 0)
