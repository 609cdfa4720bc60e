"""One machine drives the memory stores and the Lua scripts: equal replies, and each guard's absence is noticed."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec
import pytest
import redis  # noqa: TC002 - as the other imports
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import OrderFold, RiskSnapshot
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import BeginRequest
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import ACCOUNT, Lose
from contracts.memory_guards import GUARDS, memory_kinds, take_out
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
from contracts.side_by_side import GUARD, Difference, Pair, PatchedDatabase, Sides, patched_database, without
from unit.adapters.redis.test_scripts import FILES

LEASE: Final = tracker_lease(ACCOUNT)
IDS: Final = ("a", "b", "c", "d", "e", "f")
SCOPES: Final = ("platform", "account")
STATES: Final = st.sampled_from(TradingState)
OUTCOMES: Final = st.sampled_from(
    [
        FILLED,
        PARTIAL,
        PLACED,
        CANCELLED,
        REJECTED,
        UNKNOWN,
        LOST,
        outcome(EntryState.SENDING),
        outcome(EntryState.CANCELLED, 4),
    ]
)
SOME: Final = st.sampled_from(IDS)
OWNERS: Final = st.sampled_from(["x", "y"])
MOSTLY: Final = st.sampled_from([True, True, True, False])
"""Whether an epoch, a revision, a run is the present one."""

REFUSALS: Final = ("", "", "", "", "payload", "epoch", "scopes", "expired", "rate")
EXTERNAL: Final = "external:b9"


class World:
    """What all examples share: a server and a loop."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[PatchedDatabase]
    client: ClassVar["redis.Redis"]


class SideBySide(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sides = Sides(World.database, World.client, World.runner, memory_kinds())
        self.attempts = 0
        self.leases: list[Pair] = []
        self.risks: list[Pair] = [Pair("none", "none")]
        self.epochs: list[Pair] = [Pair("none", "none")]
        self.runs: list[Pair] = [Pair("none", "none")]
        self.found: dict[str, Pair] = {}
        self.gone: dict[str, Pair] = {}

    @initialize()
    def open(self) -> None:
        """Somebody trades already."""
        self.acquire(owner="x", ttl=1e6)
        self.claim()
        self.write_epoch(lease=True, run=True)
        for scope in SCOPES:
            self.put_spec(scope=scope, state=TradingState.ACTIVE, ttl=600)

    # ------------------------------------------------------------------------------------------------ parts

    def present(self, values: list[Pair], present: bool) -> Any:
        """Return the latest value, or the one before."""
        return values[-1] if present or len(values) == 1 else values[-2]

    def signal(self, signal_id: str) -> Signal:
        """Two keys, three signals each."""
        return signal(signal_id, token=IDS.index(signal_id) % 2 + 1, expires_at=10**18 * 4)

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
        if reply is None or reply.memory is None:
            return
        pair = Pair(getattr(reply.memory, "entry", reply.memory), getattr(reply.redis, "entry", reply.redis))
        self.found[pair.memory.signal_id] = pair
        if getattr(reply.memory, "go", False):
            self.gone[pair.memory.signal_id] = pair

    def revision(self, signal_id: str, off: int) -> Pair:
        pair = self.found.get(signal_id)
        return Pair(pair.memory.revision + off, pair.redis.revision + off) if pair else Pair(off, off)

    # ----------------------------------------------------------------------------------------------- leases

    @rule(owner=OWNERS, ttl=st.sampled_from([2, 1e6]))
    def acquire(self, owner: str, ttl: float) -> None:
        reply = self.sides.call("lease", "acquire", LEASE, owner, ttl, made="lease")
        if reply is not None and reply.memory is not None:
            self.leases.append(reply)

    @rule(owner=OWNERS, present=MOSTLY, ttl=st.sampled_from([2, 1e6]))
    def renew(self, owner: str, ttl: float, *, present: bool) -> None:
        self.sides.call("lease", "renew", LEASE, owner, self.present(self.leases, present), ttl)

    @rule(owner=OWNERS, present=MOSTLY)
    def release(self, owner: str, *, present: bool) -> None:
        self.sides.call("lease", "release", LEASE, owner, self.present(self.leases, present))

    # ------------------------------------------------------------------------------------------------- risk

    @rule()
    def claim(self) -> None:
        reply = self.sides.call("decisions", "claim", "risk")
        assert reply is not None
        self.risks.append(Pair(reply.memory.epoch, reply.redis.epoch))

    @rule(
        of=SOME,
        verdict=st.sampled_from([Verdict.VALIDATED, Verdict.VALIDATED, Verdict.REJECTED]),
        of_class=st.sampled_from([SignalClass.INCREASING, *SignalClass]),
        present=MOSTLY,
    )
    def decide(self, of: str, verdict: Verdict, of_class: SignalClass, *, present: bool) -> None:
        made = decision(self.signal(of), verdict=verdict, signal_class=of_class)
        self.sides.call("decisions", "record", self.present(self.risks, present), made)

    @rule(present=MOSTLY, orders=st.sets(SOME), rank=st.integers(0, 3))
    def save(self, orders: set[str], rank: int, *, present: bool) -> None:
        folds = {order: OrderFold(rank=rank) for order in sorted(orders)}
        snapshot = RiskSnapshot(offsets={"t/0": rank}, state=b"\x00\xff")
        self.sides.call("decisions", "save", self.present(self.risks, present), snapshot, folds)

    # ---------------------------------------------------------------------------------------------- engines

    @rule(of=SOME, wrong=st.sampled_from(REFUSALS))
    def begin(self, of: str, wrong: str) -> None:
        self.remember(self.sides.call("journal", "begin", self.request(of, wrong)))

    @rule(
        ids=st.lists(SOME, min_size=1, max_size=4),
        of_class=st.sampled_from([SignalClass.INCREASING, SignalClass.REDUCING]),
        told=st.none() | OUTCOMES,
        wrong=st.sampled_from(REFUSALS),
    )
    def trade(self, ids: list[str], of_class: SignalClass, told: Any, wrong: str) -> None:
        """The usual way, under present epochs."""
        for signal_id in ids:
            self.decide(of=signal_id, verdict=Verdict.VALIDATED, of_class=of_class, present=True)
            self.begin(of=signal_id, wrong=wrong)
            if told is not None:
                self.settle(of=signal_id, told=told, stranger=False)

    @rule(of=SOME, wrong=st.sampled_from(["", "epoch"]))
    def refuse(self, of: str, wrong: str) -> None:
        self.remember(
            self.sides.call("journal", "refuse", self.request(of, wrong), Code.PRICE_STALE, "12 s old")
        )

    @rule(of=SOME, told=OUTCOMES, stranger=st.sampled_from([False, False, True]))
    def settle(self, of: str, told: Any, *, stranger: bool) -> None:
        held = self.gone.get(of)
        if held is None or stranger:
            made = entry(self.signal(of), EntryState.SENDING, attempt="stranger", send_by=77)
            held = Pair(made, made)
        attempt = held.memory.attempt
        self.remember(self.sides.call("journal", "settle", of, attempt, told, held))

    @rule(of=SOME, told=OUTCOMES, off=st.sampled_from([0, 0, 1]))
    def fill(self, of: str, told: Any, off: int) -> None:
        self.remember(self.sides.call("journal", "fill", of, self.revision(of, off), told))

    @rule(of=SOME, off=st.sampled_from([0, 0, -1]))
    def acknowledge(self, of: str, off: int) -> None:
        self.sides.call("journal", "acknowledge", of, self.revision(of, off))

    # ---------------------------------------------------------------------------------------- order-tracker

    @rule(of=SOME, told=OUTCOMES, lease=MOSTLY)
    def resolve(self, of: str, told: Any, *, lease: bool) -> None:
        self.remember(self.sides.call("journal", "resolve", self.present(self.leases, lease), of, told))

    @rule(of=SOME, told=OUTCOMES, lease=MOSTLY, scope=st.sampled_from(SCOPES), state=STATES)
    def correct(self, of: str, told: Any, scope: str, state: TradingState, *, lease: bool) -> None:
        held = latch(f"late:{of}", scope, state)
        self.remember(self.sides.call("journal", "correct", self.present(self.leases, lease), of, told, held))

    @rule(of=SOME, state=st.sampled_from(EntryState), known=st.booleans(), lease=MOSTLY)
    def orphan(self, of: str, state: EntryState, *, known: bool, lease: bool) -> None:
        row = self.signal(of) if known else msgspec.structs.replace(self.signal(of), signal_id=EXTERNAL)
        made = entry(row, state, tag=broker_tag(of), filled_quantity=Decimal(3))
        held = latch("stray", SCOPES[0], TradingState.REDUCING)
        self.remember(self.sides.call("journal", "orphan", self.present(self.leases, lease), made, held))

    @rule(
        told=st.dictionaries(SOME, st.sampled_from(EntryState), max_size=3),
        late=st.booleans(),
        filled=st.sampled_from([0, 9, 10]),
        created=st.sampled_from([0, 12]),
        lease=MOSTLY,
        run=MOSTLY,
    )
    def adopt(
        self, told: dict[str, EntryState], filled: int, created: int, *, late: bool, lease: bool, run: bool
    ) -> None:
        learnt = [
            entry(self.signal(of), state, late=late, filled_quantity=Decimal(filled), created_at=created)
            for of, state in told.items()
        ]
        holder, of_run = self.present(self.leases, lease), self.sides.run if run else self.runs[-1]
        self.sides.call("journal", "adopt", holder, of_run, learnt)

    @rule(lease=MOSTLY, run=MOSTLY)
    def write_epoch(self, *, lease: bool, run: bool) -> None:
        holder, of_run = self.present(self.leases, lease), self.sides.run if run else self.runs[-1]
        reply = self.sides.call("journal", "write_epoch", holder, of_run, made="epoch")
        if reply is not None:
            self.epochs.append(reply)

    # --------------------------------------------------------------------------------------- people and world

    @rule(scope=st.sampled_from(SCOPES), state=STATES, ttl=st.sampled_from([2, 600, 600]))
    def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        self.sides.call("control", "put_spec", scope, state, ttl)

    @rule(scope=st.sampled_from(SCOPES))
    def drop_spec(self, scope: str) -> None:
        self.sides.call("control", "drop_spec", scope)

    @rule(scope=st.sampled_from(SCOPES), state=STATES, name=st.sampled_from(["p", "q"]))
    def set_latch(self, scope: str, state: TradingState, name: str) -> None:
        self.sides.call("control", "set_latch", latch(name, scope, state))

    @rule(scope=st.sampled_from(SCOPES), name=st.sampled_from(["p", "q", "stray", "late:a"]))
    def clear_latch(self, scope: str, name: str) -> None:
        self.sides.call("control", "clear_latch", scope, name)

    @rule()
    def release_all(self) -> None:
        """A person has looked; trading goes on."""
        for scope in SCOPES:
            for name in ("p", "q", "stray", *(f"late:{of}" for of in IDS)):
                self.clear_latch(scope=scope, name=name)
            self.put_spec(scope=scope, state=TradingState.ACTIVE, ttl=600)

    @rule(seconds=st.sampled_from([0.4, 1, 3, 6]))
    def advance(self, seconds: float) -> None:
        self.sides.advance(seconds)

    @rule()
    def mark(self) -> None:
        self.sides.mark()

    @rule(lose=st.sampled_from(Lose), reopened=st.booleans())
    def restart(self, lose: Lose, *, reopened: bool) -> None:
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

    @rule(of=SOME)
    def look(self, of: str) -> None:
        """All that can be read of one order."""
        self.sides.read(
            ("journal", "get", of),
            ("journal", "find_tag", broker_tag(of)),
            ("journal", "known", of),
            ("journal", "in_doubt", self.signal(of).key),
            ("decisions", "get", of),
            ("decisions", "folds"),
        )
        self.sides.call("journal", "run_id", made="run")

    def teardown(self) -> None:
        for signal_id in (*IDS, EXTERNAL):
            self.sides.read(("journal", "get", signal_id), ("journal", "find_tag", broker_tag(signal_id)))


COMMON: Final = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
AGREEING: Final = settings(COMMON, max_examples=50, stateful_step_count=40)
MUTATED: Final = settings(
    COMMON,
    max_examples=400,
    stateful_step_count=30,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)

LUA_GUARDS: Final = sorted(
    match.group(1)
    for file in FILES
    for line in file.read_text(encoding="utf-8").splitlines()
    if (match := GUARD.search(line))
)
ELSEWHERE: Final = frozenset({"claim holds"})
"""Guards of what happens within one call: test_redis_decisions.py."""


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with RedisServer(appendfsync="no") as server, asyncio.Runner() as runner, server.client() as client:
        World.runner, World.client, World.database = runner, client, patched_database(server)
        yield
        runner.run(World.database.close())


def test_memory_and_scripts_agree() -> None:
    run_state_machine_as_test(SideBySide, settings=AGREEING)


@pytest.mark.parametrize("guard", [name for name in LUA_GUARDS if name not in ELSEWHERE])
def test_script_without_a_guard_differs(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatchedDatabase, "patch", staticmethod(without(guard)))
    with pytest.raises(Difference):
        run_state_machine_as_test(SideBySide, settings=MUTATED)


def test_each_guard_of_the_scripts_stands_in_memory_too() -> None:
    assert sorted(GUARDS) == [name for name in LUA_GUARDS if name not in ELSEWHERE]


@pytest.mark.parametrize("guard", GUARDS)
def test_memory_without_a_guard_differs(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(guard, monkeypatch)
    with pytest.raises(Difference):
        run_state_machine_as_test(SideBySide, settings=MUTATED)
