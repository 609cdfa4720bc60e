"""What happens in a run, drawn from its seed before it begins: trading, faults, people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.testing.broker import faults as broker_faults
from alpha_panda.testing.broker.faults import BookFault, Misbehaviour, PlaceFault, Wire
from alpha_panda.testing.simulation.network import Fate, Server, Weather
from alpha_panda.testing.simulation.profiles import Profile
from alpha_panda.testing.simulation.strategy import Action, Script

RELIANCE: Final = "NSE:RELIANCE"
TCS: Final = "NSE:TCS"
TOKENS: Final = {RELIANCE: 738561, TCS: 2953217}
HALTED: Final = ("platform", "account/live", "strategy/alpha")
MANIFESTS: Final = ("account/live", "account/paper", "strategy/alpha", "strategy/beta")
POISONED: Final = ("signals.raw", "signals.validated", "signals.rejected")
PRICED_PEACE: Final = 30 * SECOND_NS
"""How long prices go on after the faults where positions are to be closed."""
BASE: Final = {RELIANCE: 2500.0, TCS: 3900.0}


class Harm(StrEnum):
    """What is done to a process, or to what it talks to."""

    KILL = "kill"
    PAUSE = "pause"
    REPLACE = "pause, and start another in its place"
    SPLIT = "split"
    REFUSE = "refuse the call"
    LOSE_REQUEST = "lose the request"
    LOSE_REPLY = "lose the reply"
    DELAY = "apply the call late"
    STORE_RETURN = "the store returns as another run"
    HALT = "a person halts"


class Return(StrEnum):
    """What a store that comes back under a new run id still has."""

    ALL = "all"
    OLDER = "an older image"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Harm at the `nth` call of an operation by a kind of service (`engine`), before it is sent or once it is done."""

    kind: str
    operation: str
    nth: int
    after: bool
    harm: Harm
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at `at` (ns since the start). `subject`: a member's name, a scope, a topic."""

    at: int
    what: str
    subject: str = ""
    steps: int = 1
    seconds: float = 0.0
    detail: object = None


@dataclass(slots=True)
class Scenario:
    """A whole run. Times are ns since its start."""

    seed: int
    profile: Profile
    duration: int
    ticks: list[tuple[int, str, float]] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    weather: Weather = field(default_factory=Weather)
    skews: dict[str, int] = field(default_factory=dict)


def scenario(seed: int, profile: Profile, members: Sequence[str]) -> Scenario:
    """Draw a run of the members (`engine/live-0`) from a seed."""
    random = Random(f"{profile.name}/{seed}")  # noqa: S311 - reproducible on purpose
    made = Scenario(seed, profile, round(profile.seconds * SECOND_NS))
    made.ticks = _ticks(random, made.duration + (PRICED_PEACE if profile.teardowns else 0))
    made.scripts = {name: _script(random, profile) for name in ("alpha", "beta")}
    made.weather = _weather(random, profile)
    limit = profile.skew_ms * MS_NS
    made.skews = {name: random.randint(-limit, limit) for name in members}
    made.triggers = [_trigger(random, profile) for _ in range(_times(random, profile.triggers))]
    made.events = sorted(_Draw(random, profile, members, made.duration).all(), key=lambda event: event.at)
    return made


def _chance(random: Random, share: float = 0.5) -> bool:
    return random.random() < share


def _times(random: Random, mean: float) -> int:
    """Draw a count with this mean: 0 … 2 · mean."""
    return int(random.random() * (2 * mean + 1))


def _ticks(random: Random, duration: int) -> list[tuple[int, str, float]]:
    rows, prices, at = [], dict(BASE), 100 * MS_NS
    while at < duration:
        symbol = RELIANCE if _chance(random, 0.7) else TCS
        prices[symbol] = round(prices[symbol] * (1 + random.uniform(-0.002, 0.002)) / 0.05) * 0.05
        rows.append((at, symbol, round(prices[symbol], 2)))
        at += random.randint(150, 450) * MS_NS
    return rows


def _script(random: Random, profile: Profile) -> Script:
    script: Script = {}
    for seen in range(2, profile.signals * 3):
        if _chance(random, profile.density):
            script[seen] = [_action(random)]
    return script


def _action(random: Random) -> Action:
    if _chance(random, 0.12):
        return Action(None)
    side = Side.BUY if _chance(random, 0.6) else Side.SELL
    offset = random.choice((-0.003, -0.001, 0.0, 0.001)) if _chance(random, 0.3) else None
    return Action(side, random.choice((1, 1, 2, 3, 60)), offset)


def _weather(random: Random, profile: Profile) -> Weather:
    scale = profile.weather * random.random()
    return Weather(scale * 0.02, scale * 0.004, scale * 0.008, scale * 0.004, scale * 0.03)


def _trigger(random: Random, profile: Profile) -> Trigger:
    kind, operation = random.choice(profile.crash_points)
    harm = Harm(random.choice(profile.harms))
    return Trigger(
        kind,
        operation,
        nth=random.randint(1, 4),
        after=_chance(random),
        harm=harm,
        steps=random.randint(1, 6),
        seconds=_duration(random),
    )


def _duration(random: Random) -> float:
    """Draw a length of time: short of all deadlines, or beyond some, or beyond all."""
    return random.choice((0.05, 0.3, 0.9, 1.6, 2.5, 4.0, 7.0)) * random.uniform(0.8, 1.2)


class _Draw:
    """Draws events; each method those of one kind of trouble."""

    def __init__(self, random: Random, profile: Profile, members: Sequence[str], duration: int) -> None:
        self._random = random
        self._profile = profile
        self._duration = duration
        self._victims = [name for name in members if not profile.victims or name.startswith(profile.victims)]

    def all(self) -> list[Event]:
        """Return everything that happens, in no order."""
        return [
            *self._processes(),
            *self._links(),
            *self._store(),
            *self._states(),
            *self._records(),
            *self._broker(),
        ]

    def _at(self) -> int:
        return self._random.randint(SECOND_NS // 2, self._duration)

    def _some(self, mean: float) -> range:
        return range(_times(self._random, mean))

    def _member(self) -> str:
        return self._random.choice(self._victims)

    def _processes(self) -> Iterator[Event]:
        random, profile = self._random, self._profile
        for _ in self._some(profile.kills):
            yield Event(self._at(), "kill", self._member(), random.randint(1, 30), _duration(random) / 2)
        for what, mean in (("pause", profile.pauses), ("replace", profile.replacements)):
            for _ in self._some(mean):
                yield Event(self._at(), what, self._member(), random.randint(1, 30), _duration(random))
        for _ in self._some(profile.nights):
            yield Event(self._at(), "night", random.choice(profile.sleepers), 1, random.uniform(2.0, 4.5))

    def _links(self) -> Iterator[Event]:
        random, profile, servers = self._random, self._profile, [server.value for server in Server]
        for _ in self._some(profile.splits):
            yield Event(self._at(), "split", self._member(), 1, _duration(random), random.choice(servers))
        for _ in self._some(profile.outages):
            yield Event(self._at(), "outage", random.choice(servers), 1, random.uniform(0.1, 1.5))
        for _ in self._some(profile.rebalances):
            yield Event(self._at(), "rebalance", self._member())

    def _store(self) -> Iterator[Event]:
        random, profile = self._random, self._profile
        for _ in self._some(profile.returns):
            moment, kind = self._at(), random.choice(profile.return_kinds)
            if kind == Return.OLDER.value:
                yield Event(max(0, moment - random.randint(0, 3000) * MS_NS), "image")
            yield Event(moment, "return", "store", 1, random.uniform(0.0, 0.6), kind)

    def _states(self) -> Iterator[Event]:
        random, profile = self._random, self._profile
        for _ in self._some(profile.halts):
            yield Event(self._at(), "halt", random.choice(HALTED))
        for _ in self._some(profile.clears):
            yield Event(self._at(), "clear")
        for _ in self._some(profile.states):
            state = random.choice(("Active", "Reducing", "Halted"))
            yield Event(self._at(), "state", random.choice(MANIFESTS), detail=state)
        if profile.teardowns:  # late enough that there is something to close; both of them, at times
            for name in ("alpha", "beta")[: 1 + _chance(random)]:
                yield Event(random.randint(self._duration // 3, self._duration), "delete", name)

    def _records(self) -> Iterator[Event]:
        random, profile = self._random, self._profile
        for what, mean in (
            ("echo", profile.echoes),
            ("tamper", profile.tampers),
            ("forge", profile.forgeries),
        ):
            for _ in self._some(mean):
                yield Event(self._at(), what, detail=random.random())
        for _ in self._some(profile.poisons):
            yield Event(self._at(), "poison", random.choice(POISONED), detail=random.random())

    def _broker(self) -> Iterator[Event]:
        random, profile = self._random, self._profile
        for _ in self._some(profile.stale_books)[:1]:  # more would be more readings than make an order LOST
            yield Event(self._at(), "stale book", detail=random.randint(1, 2))
        for _ in self._some(profile.broker):
            yield Event(self._at(), "broker", detail=_broker_fault(random, profile))
        for _ in self._some(profile.books):
            yield Event(self._at(), "book", seconds=_duration(random), detail=_book_fault(random))
        for _ in self._some(profile.days):
            yield Event(self._at(), "new day")


def _broker_fault(random: Random, profile: Profile) -> Misbehaviour:
    """Draw what the broker does with an order and what the caller sees of it, each by itself."""
    named = (
        lambda: broker_faults.slow(random.uniform(0, 1.5)),
        lambda: broker_faults.hang(accepts=_chance(random)),
        lambda: broker_faults.drop_reply(accepts=_chance(random)),
        broker_faults.cut_reply,
        lambda: broker_faults.accept_late(random.uniform(0, profile.latest)),
        broker_faults.refuse_connection,
        broker_faults.reject,
        broker_faults.too_many_requests,
        lambda: broker_faults.strange_too_many_requests(accepts=_chance(random)),
        lambda: broker_faults.server_error(accepts=_chance(random)),
        lambda: broker_faults.garbage(accepts=_chance(random)),
        lambda: broker_faults.timeout_400(accepts=_chance(random)),
        broker_faults.rest,
        lambda: broker_faults.rest_then_fill(random.uniform(0, 3)),
        lambda: broker_faults.partial("0.5", rest_after=random.choice((None, 0.5, 2.0))),
        lambda: broker_faults.refuse_later(random.uniform(0, 1)),
        lambda: broker_faults.cancel_unanswered(effective=_chance(random)),
        broker_faults.cancel_loses_race,
        broker_faults.cancel_error,
    )
    if _chance(random, profile.doubles):
        return PlaceFault(
            copies=2, repeat_after=random.uniform(0, 1), wire=random.choice((Wire.ANSWER, Wire.RESET))
        )
    return random.choice(named)()


def _book_fault(random: Random) -> BookFault:
    return random.choice(
        (
            lambda: broker_faults.book_lag(random.uniform(0.1, 1.5)),
            lambda: broker_faults.book_truncated(random.randint(0, 3)),
            broker_faults.book_cut,
            lambda: broker_faults.book_of_day("2026-01-01"),
            lambda: broker_faults.book_of_user("ZZ9999"),
            broker_faults.book_error,
            broker_faults.book_garbage,
            lambda: broker_faults.book_unanswered(Wire.RESET),
        )
    )()


FATES: Final = {
    Harm.REFUSE: Fate.REFUSED,
    Harm.LOSE_REQUEST: Fate.REQUEST_LOST,
    Harm.LOSE_REPLY: Fate.REPLY_LOST,
    Harm.DELAY: Fate.LATE,
}
