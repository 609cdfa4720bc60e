"""The state machine that drives the memory stores and the Lua scripts side by side, by Hypothesis or by hand.

What is called a rule here is called by its name in `guard_steps.py` too, with the same arguments: what Hypothesis
finds (`side_by_side_search.py`) can be pasted there.
"""

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, Final

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import (
    AdoptionRequest,
    BrokerFacts,
    Checkpoint,
    JournalEntry,
    OrderFold,
    RiskSnapshot,
)
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import BeginRequest
from contracts.harness import ACCOUNT, Lose
from contracts.memory_guards import memory_kinds
from contracts.samples import (
    CANCELLED,
    FILLED,
    LOST,
    PARTIAL,
    PLACED,
    REJECTED,
    SECOND,
    UNKNOWN,
    decision,
    entry,
    latch,
    outcome,
    signal,
)
from contracts.side_by_side import Pair, Sides, World

STRATEGY: Final = ("momentum", ACCOUNT)
LEASE: Final = tracker_lease(ACCOUNT)
RECENT: Final = 6
"""How many of the latest orders the rules come back to."""

SCOPES: Final = ("platform", "account")
STATES: Final = st.sampled_from(TradingState)
OUTCOMES: Final = {
    "filled": FILLED,
    "partial": PARTIAL,
    "placed": PLACED,
    "cancelled": CANCELLED,
    "cancelled in part": outcome(EntryState.CANCELLED, 4),
    "rejected": REJECTED,
    "unknown": UNKNOWN,
    "lost": LOST,
    "sending": outcome(EntryState.SENDING),
}
"""By names, so that a found sequence of rules can be pasted into guard_steps.py."""

TOLD: Final = st.sampled_from(sorted(OUTCOMES))
SOME: Final = st.integers(0, RECENT)
"""How far back: 0 is an order that `trade` has not begun."""

CLASSES: Final = st.sampled_from([SignalClass.INCREASING, SignalClass.REDUCING])
TOUCHED: Final = st.sampled_from([1, 1, 1, 2, 2, 0, 3, RECENT])
OWNERS: Final = st.sampled_from(["x", "y"])
MOSTLY: Final = st.sampled_from([True, True, True, False])
"""Whether an epoch, a revision, a run is the present one."""

REFUSALS: Final = ("", "", "", "", "payload", "epoch", "scopes", "expired", "rate", "spec", "latch")
EXTERNAL: Final = "external:b9"


Step = tuple[str, dict[str, Any]]
"""A rule's name, and its arguments by name."""


def recorded(played: Callable[..., None]) -> Callable[..., None]:
    """Note each call that no other step makes."""

    @wraps(played)
    def step_of(day: "SideBySide", *args: Any, **named: Any) -> None:
        if not day.within:
            bound = signature(played).bind(day, *args, **named).arguments
            day.steps.append(
                (played.__name__, {name: value for name, value in bound.items() if name != "self"})
            )
        day.within += 1
        try:
            played(day, *args, **named)
        finally:
            day.within -= 1

    return step_of


def step(**arguments: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a rule whose calls are noted; what is only made of other rules is a plain `rule`."""
    made: Callable[..., Callable[..., None]] = rule(**arguments)  # type: ignore[call-overload]  # any names
    return lambda played: made(recorded(played))


class SideBySide(RuleBasedStateMachine):
    """Both sides, driven by rules. `steps`: what has been played on them."""

    last: ClassVar["SideBySide"]

    def __init__(self) -> None:
        super().__init__()
        type(self).last = self
        self.steps: list[Step] = []
        self.within = 0
        self.sides = Sides(World.database, World.client, World.runner, memory_kinds())
        self.attempts = 0
        self.leases: list[Pair] = []
        self.risks: list[Pair] = [Pair("none", "none")]
        self.epochs: list[Pair] = [Pair("none", "none")]
        self.runs: list[Pair] = [Pair("none", "none")]
        self.gone: dict[str, Pair] = {}
        self.incarnations: list[Pair] = [Pair("none", "none")]
        self.traded = 0

    @initialize(orders=st.lists(st.tuples(CLASSES, st.none() | TOLD), min_size=2, max_size=RECENT))
    def begin_the_day(self, orders: list[tuple[SignalClass, Any]]) -> None:
        """Orders in many states stand in the journal: the rules, few of which play in each example, meet them."""
        self.open()
        for of_class, told in orders:
            self.order(told, of_class=of_class)

    @recorded
    def open(self) -> None:
        """Somebody trades already."""
        self.acquire()
        self.claim()
        self.write_epoch()
        for scope in SCOPES:
            self.put_spec(scope=scope)

    # ------------------------------------------------------------------------------------------------ parts

    def id(self, back: int) -> str:
        return f"s{max(0, self.traded - back)}"

    def present(self, values: list[Pair], present: bool) -> Any:
        """Return the latest value, or the one before."""
        return values[-1] if present or len(values) == 1 else values[-2]

    def signal(self, signal_id: str) -> Signal:
        """Two keys, three signals each."""
        return signal(signal_id, token=int(signal_id[1:]) % 2 + 1, expires_at=10**18 * 4)

    def request(self, signal_id: str, wrong: str) -> BeginRequest:
        self.attempts += 1
        made = self.signal(signal_id)
        if wrong == "expired":
            made = msgspec.structs.replace(made, expires_at=self.sides.clock.time)
        return BeginRequest(
            signal=made,
            payload_hash="other" if wrong == "payload" else payload_hash(self.signal(signal_id)),
            journal_epoch=self.present(self.epochs, wrong != "epoch"),
            attempt=f"attempt-{self.attempts}",
            send_within=5 * SECOND + 7,
            scopes=() if wrong == "scopes" else SCOPES,
            orders_per_second=1 if wrong == "rate" else None,
            correlation_id="corr",
            causation_id="cause",
            quote_price=Decimal("2500.05"),
        )

    def remember(self, reply: Pair | None) -> None:
        """Keep what came with GO: who got it settles."""
        if reply is not None and reply.memory.go:
            self.gone[reply.memory.entry.signal_id] = Pair(reply.memory.entry, reply.redis.entry)

    def revision(self, signal_id: str, off: int) -> Pair:
        """Return the entry's present revision, or another one."""
        entries = self.sides.call("journal", "get", signal_id)
        if entries is None or entries.memory is None:
            return Pair(-1, -1)
        return Pair(entries.memory.revision + off, entries.redis.revision + off)

    # ----------------------------------------------------------------------------------------------- leases

    @step(owner=OWNERS, ttl=st.sampled_from([2, 1e6]))
    def acquire(self, owner: str = "x", ttl: float = 1e6) -> None:
        reply = self.sides.call("lease", "acquire", LEASE, owner, ttl, made="lease")
        if reply is not None and reply.memory is not None:
            self.leases.append(reply)

    @step(owner=OWNERS, present=MOSTLY, ttl=st.sampled_from([2, 1e6]))
    def renew(self, owner: str = "x", ttl: float = 1e6, *, present: bool = True) -> None:
        self.sides.call("lease", "renew", LEASE, owner, self.present(self.leases, present), ttl)

    @step(owner=OWNERS, present=MOSTLY)
    def release(self, owner: str = "x", *, present: bool = True) -> None:
        self.sides.call("lease", "release", LEASE, owner, self.present(self.leases, present))

    # ------------------------------------------------------------------------------------------------- risk

    @step()
    def claim(self) -> None:
        reply = self.sides.call("decisions", "claim", "risk")
        assert reply is not None
        self.risks.append(Pair(reply.memory.epoch, reply.redis.epoch))

    @step(
        back=SOME,
        verdict=st.sampled_from([Verdict.VALIDATED, Verdict.VALIDATED, Verdict.REJECTED]),
        of_class=st.sampled_from([SignalClass.INCREASING, *SignalClass]),
        present=MOSTLY,
    )
    def decide(
        self,
        back: int,
        verdict: Verdict = Verdict.VALIDATED,
        of_class: SignalClass = SignalClass.INCREASING,
        *,
        present: bool = True,
    ) -> None:
        of = self.id(back)
        made = decision(self.signal(of), verdict=verdict, signal_class=of_class)
        self.sides.call("decisions", "record", self.present(self.risks, present), made)

    @step(present=MOSTLY, orders=st.sets(st.sampled_from(["s0", "s1", EXTERNAL])), rank=st.integers(0, 3))
    def save(self, orders: AbstractSet[str] = frozenset(), rank: int = 1, *, present: bool = True) -> None:
        folds = {order: OrderFold(rank=rank) for order in sorted(orders)}
        snapshot = RiskSnapshot(offsets={"t/0": rank}, state=b"\x00\xff")
        self.sides.call("decisions", "save", self.present(self.risks, present), snapshot, folds)

    # ---------------------------------------------------------------------------------------------- engines

    @step(back=SOME, wrong=st.sampled_from(REFUSALS))
    def begin(self, back: int, wrong: str = "") -> None:
        of = self.id(back)
        if wrong == "spec":
            self.put_spec(scope=SCOPES[0], ttl=2)
            self.advance(seconds=3)
        if wrong == "latch":
            self.set_latch(scope=SCOPES[1])
        self.remember(self.sides.call("journal", "begin", self.request(of, wrong)))

    @rule(
        count=st.integers(1, 4),
        of_class=CLASSES,
        told=st.none() | TOLD,
        wrong=st.sampled_from(REFUSALS),
    )
    def trade(self, count: int, of_class: SignalClass, told: str | None, wrong: str) -> None:
        """The usual way: a person has looked, owners are there, signals are decided, begun and settled."""
        self.release_all()
        self.open()
        for _ in range(count):
            self.order(told, wrong, of_class)

    @recorded
    def order(
        self, told: str | None = None, wrong: str = "", of_class: SignalClass = SignalClass.INCREASING
    ) -> None:
        """Decide a new signal, begin it and settle it; `told` None leaves it SENDING."""
        self.traded += 1
        self.decide(back=1, of_class=of_class)
        self.begin(back=1, wrong=wrong)
        if told is not None:
            self.settle(back=1, told=told)

    @step(back=SOME, wrong=st.sampled_from(["", "epoch"]))
    def refuse(self, back: int, wrong: str = "") -> None:
        of = self.id(back)
        self.sides.call("journal", "refuse", self.request(of, wrong), Code.PRICE_STALE, "12 s old")

    @step(back=TOUCHED, told=TOLD, stranger=st.sampled_from([False, False, True]))
    def settle(self, back: int, told: str, *, stranger: bool = False) -> None:
        of = self.id(back)
        held = self.gone.get(of)
        if held is None or stranger:
            made = entry(self.signal(of), EntryState.SENDING, attempt="stranger", send_by=77)
            held = Pair(made, made)
        attempt = held.memory.attempt
        self.sides.call("journal", "settle", of, attempt, OUTCOMES[told], held)

    @step(back=TOUCHED, told=TOLD, off=st.sampled_from([0, 0, 1]))
    def fill(self, back: int, told: str, off: int = 0) -> None:
        of = self.id(back)
        self.sides.call("journal", "fill", of, self.revision(of, off), OUTCOMES[told])

    @step(back=TOUCHED, off=st.sampled_from([0, 0, -1]))
    def acknowledge(self, back: int, off: int = 0) -> None:
        of = self.id(back)
        self.sides.call("journal", "acknowledge", of, self.revision(of, off))

    @step(backs=st.lists(TOUCHED, max_size=3), off=st.sampled_from([0, 0, -1]))
    def acknowledge_all(self, backs: list[int], off: int = 0) -> None:
        ids = [self.id(back) for back in backs]
        revisions = [self.revision(of, off) for of in ids]
        told = Pair(
            [(of, pair.memory) for of, pair in zip(ids, revisions, strict=True)],
            [(of, pair.redis) for of, pair in zip(ids, revisions, strict=True)],
        )
        self.sides.call("journal", "acknowledge_all", told)

    # ---------------------------------------------------------------------------------------- order-tracker

    @step(back=TOUCHED, told=TOLD, lease=MOSTLY)
    def resolve(self, back: int, told: str, *, lease: bool = True) -> None:
        of = self.id(back)
        self.sides.call("journal", "resolve", self.present(self.leases, lease), of, OUTCOMES[told])

    @rule(back=TOUCHED)
    def lose(self, back: int) -> None:
        """The book has been read without it, too early perhaps."""
        self.resolve(back=back, told="lost")

    @rule(told=st.none() | TOLD)
    def stray_before_its_signal(self, told: str | None) -> None:
        """The broker has an order whose signal is yet to come (again): a store that lost it meets it so."""
        self.open()
        self.orphan(back=0)
        self.release_all()
        self.order(told)

    @step(back=TOUCHED, told=TOLD, lease=MOSTLY, scope=st.sampled_from(SCOPES), state=STATES)
    def correct(
        self,
        back: int,
        told: str,
        scope: str = SCOPES[1],
        state: TradingState = TradingState.HALTED,
        *,
        lease: bool = True,
    ) -> None:
        of = self.id(back)
        held = latch(f"late:{of}", scope, state)
        holder = self.present(self.leases, lease)
        self.sides.call("journal", "correct", holder, of, OUTCOMES[told], held)

    @step(
        back=SOME,
        state=st.sampled_from(EntryState),
        known=st.booleans(),
        lease=MOSTLY,
        latched=MOSTLY,
    )
    def orphan(
        self,
        back: int,
        state: EntryState = EntryState.PLACED,
        *,
        known: bool = False,
        lease: bool = True,
        latched: bool = True,
    ) -> None:
        of = self.id(back)
        row = self.signal(of) if known else msgspec.structs.replace(self.signal(of), signal_id=EXTERNAL)
        made = entry(row, state, tag=broker_tag(of), filled_quantity=Decimal(3))
        held = latch("stray", SCOPES[0], TradingState.REDUCING) if latched else None
        self.sides.call("journal", "orphan", self.present(self.leases, lease), made, held)

    @step(problem=st.sampled_from(["", "why"]), lease=MOSTLY, asked=st.sampled_from(["d1", "d2"]))
    def put_facts(self, problem: str = "", asked: str = "d1", *, lease: bool = True) -> None:
        facts = BrokerFacts(problem=problem, reconciled=not problem, cash=Decimal("100.05"))
        self.sides.call("journal", "put_facts", self.present(self.leases, lease), facts)
        request = AdoptionRequest(difference_id=asked, by="ann", reason=problem, asked_at=1)
        self.sides.call("journal", "ask_adoption", request)
        self.sides.read(("journal", "facts"), ("journal", "adoptions", "d1", "d2"))

    @step(
        told=st.dictionaries(SOME, st.sampled_from(EntryState), max_size=3),
        late=st.booleans(),
        filled=st.sampled_from([0, 9, 10]),
        created=st.sampled_from([0, 12]),
        lease=MOSTLY,
        run=MOSTLY,
        with_events=st.booleans(),
    )
    def adopt(
        self,
        told: dict[int, EntryState],
        filled: int = 0,
        created: int = 0,
        *,
        late: bool = False,
        lease: bool = True,
        run: bool = True,
        with_events: bool = False,
        off: int | None = None,
    ) -> None:
        """`off`: how far the events' revisions are from the entries'; None: they have none."""
        learnt = [
            entry(
                self.signal(self.id(back)),
                state,
                late=late,
                filled_quantity=Decimal(filled),
                created_at=created,
            )
            for back, state in told.items()
        ]
        by_side = Pair(learnt, learnt)
        if off is not None:
            revisions = [self.revision(item.signal_id, off) for item in learnt]
            by_side = Pair(*(_revised(learnt, side) for side in zip(*revisions, strict=True)))
        holder, of_run = self.present(self.leases, lease), self.sides.run if run else self.runs[-1]
        known_by = frozenset(item.signal_id for item in learnt) if with_events else frozenset[str]()
        self.sides.call("journal", "adopt", holder, of_run, by_side, known_by)

    @step(lease=MOSTLY, run=MOSTLY)
    def write_epoch(self, *, lease: bool = True, run: bool = True) -> None:
        holder, of_run = self.present(self.leases, lease), self.sides.run if run else self.runs[-1]
        reply = self.sides.call("journal", "write_epoch", holder, of_run, made="epoch")
        if reply is not None:
            self.epochs.append(reply)

    # ------------------------------------------------------------------------------------------- strategies

    @step()
    def claim_strategy(self) -> None:
        reply = self.sides.call("checkpoints", "claim", *STRATEGY)
        assert reply is not None
        self.incarnations.append(Pair(reply.memory.incarnation, reply.redis.incarnation))

    @step(counter=st.integers(0, 3), present=MOSTLY)
    def save_strategy(self, counter: int = 1, *, present: bool = True) -> None:
        checkpoint = Checkpoint(
            lineage="line",
            store_run_id="run",
            strategy_uid="uid",
            counter=counter,
            state=b"\x00\xff",
            offsets={},
            sequences={1: (1, counter)},
            pending=[],
        )
        folds = {f"s{counter}": OrderFold(rank=counter)}
        incarnation = self.present(self.incarnations, present)
        self.sides.call("checkpoints", "save", *STRATEGY, incarnation, checkpoint, folds)

    # --------------------------------------------------------------------------------------- people and world

    @step(scope=st.sampled_from(SCOPES), state=STATES, ttl=st.sampled_from([2, 600, 600]))
    def put_spec(self, scope: str, state: TradingState = TradingState.ACTIVE, ttl: float = 600) -> None:
        self.sides.call("control", "put_spec", scope, state, ttl)

    @step(scope=st.sampled_from(SCOPES))
    def drop_spec(self, scope: str) -> None:
        self.sides.call("control", "drop_spec", scope)

    @step(scope=st.sampled_from(SCOPES), state=STATES, name=st.sampled_from(["p", "q"]))
    def set_latch(
        self, scope: str = SCOPES[0], state: TradingState = TradingState.HALTED, name: str = "p"
    ) -> None:
        self.sides.call("control", "set_latch", latch(name, scope, state))

    @step(scope=st.sampled_from(SCOPES), name=st.sampled_from(["p", "q", "stray", "late:s1"]))
    def clear_latch(self, scope: str, name: str) -> None:
        self.sides.call("control", "clear_latch", scope, name)

    @step(
        scope=st.sampled_from(SCOPES), names=st.sets(st.sampled_from(["p", "q"])), asked_at=st.integers(1, 3)
    )
    def request_clears(
        self, scope: str = SCOPES[0], names: Collection[str] = ("p",), asked_at: int = 1
    ) -> None:
        self.sides.call("control", "request_clears", scope, sorted(names), asked_at)
        self.sides.call("control", "clear_requests", SCOPES)

    @step()
    def release_all(self) -> None:
        """A person has looked; trading goes on."""
        readings = self.sides.call("control", "read", SCOPES)
        assert readings is not None
        for latched in (held for reading in readings.memory for held in reading.latches):
            self.clear_latch(scope=latched.scope, name=latched.latch_id)
        for scope in SCOPES:
            self.put_spec(scope=scope)

    @step(seconds=st.sampled_from([0.4, 1, 3, 6]))
    def advance(self, seconds: float) -> None:
        self.sides.advance(seconds)

    @step()
    def mark(self) -> None:
        self.sides.mark()

    @step(lose=st.sampled_from(Lose), reopened=st.booleans())
    def restart(self, lose: Lose = Lose.NOTHING, *, reopened: bool = False) -> None:
        self.runs.append(self.sides.run)
        self.sides.restart(lose)
        if reopened:
            self.open()

    # -------------------------------------------------------------------------------------------- invariants

    @invariant()
    def lists_agree(self) -> None:
        if self.leases:
            self.sides.read(
                ("journal", "unacknowledged"),
                ("journal", "resting"),
                ("journal", "in_doubt"),
                ("control", "read", SCOPES),
            )
            self.sides.call("journal", "epoch", made="epoch")

    @step(back=SOME)
    def look(self, back: int) -> None:
        """All that can be read of one order."""
        of = self.id(back)
        self.sides.read(
            ("journal", "get", of),
            ("journal", "get_many", of, "nobody"),
            ("journal", "find_tag", broker_tag(of)),
            ("journal", "find_tags", broker_tag(of), "nobody"),
            ("journal", "known", of),
            ("journal", "in_doubt", self.signal(of).key),
            ("decisions", "get", of),
            ("decisions", "folds"),
        )
        self.sides.call("journal", "run_id", made="run")

    def look_at_all(self) -> None:
        """What a sequence of rules by hand ends with: a write that nobody was told of is seen here."""
        self.lists_agree()
        for back in range(min(self.traded, RECENT) + 1):
            self.look(back)
        self.claim()
        self.claim_strategy()

    def teardown(self) -> None:
        for signal_id in (*(self.id(back) for back in range(RECENT)), EXTERNAL):
            self.sides.read(("journal", "get", signal_id), ("journal", "find_tag", broker_tag(signal_id)))


def _revised(entries: list[JournalEntry], revisions: Sequence[int]) -> list[JournalEntry]:
    return [
        msgspec.structs.replace(item, revision=revision)
        for item, revision in zip(entries, revisions, strict=True)
    ]


COMMON: Final = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
