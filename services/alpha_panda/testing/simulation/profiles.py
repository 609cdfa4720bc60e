"""How rough a run is: how many of each fault are drawn, and where they strike."""

from dataclasses import dataclass, replace
from typing import Final

CRASH_POINTS: Final = (
    ("engine", "journal.begin"),
    ("engine", "journal.begin"),
    ("engine", "journal.settle"),
    ("engine", "journal.acknowledge"),
    ("engine", "journal.refuse"),
    ("engine", "broker.place"),
    ("engine", "broker.place"),
    ("engine", "consumer.commit"),
    ("engine", "send orders.submitted"),
    ("engine", "send orders.filled"),
    ("engine", "send orders.failed"),
    ("engine", "fetch signals.validated"),
    ("risk", "decisions.claim"),
    ("risk", "decisions.record"),
    ("risk", "decisions.record"),
    ("risk", "decisions.save"),
    ("risk", "journal.known"),
    ("risk", "send signals.validated"),
    ("risk", "send signals.rejected"),
    ("risk", "fetch signals.raw"),
    ("risk", "control.set_latch"),
    ("strategy", "checkpoints.claim"),
    ("strategy", "checkpoints.save"),
    ("strategy", "checkpoints.save"),
    ("strategy", "send signals.raw"),
    ("strategy", "fetch market.ticks"),
    ("order-tracker", "journal.resolve"),
    ("order-tracker", "journal.correct"),
    ("order-tracker", "journal.orphan"),
    ("order-tracker", "journal.adopt"),
    ("order-tracker", "journal.fill"),
    ("order-tracker", "journal.write_epoch"),
    ("order-tracker", "journal.acknowledge"),
    ("order-tracker", "broker.book"),
    ("order-tracker", "broker.cancel"),
    ("order-tracker", "send orders.filled"),
    ("order-tracker", "send control"),
    ("order-tracker", "lease.renew"),
    ("market-feed", "send market.ticks"),
    ("feed-cacher", "prices.write"),
)

HARMS: Final = (
    "kill",
    "kill",
    "pause",
    "pause",
    "pause, and start another in its place",
    "split",
    "refuse the call",
    "lose the request",
    "lose the reply",
    "apply the call late",
    "the store returns as another run",
    "a person halts",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """Mean counts of each fault a run, unless said otherwise. `weather` scales the chances that any call goes wrong.

    `skew_ms`: how far a clock may be off. `latest`: seconds until the broker takes an order that it takes late.
    `doubles`: share of the broker's faults that make two orders of one. `density`: share of a strategy's ticks at which it acts.
    `nights`: all `sleepers` of a kind are stopped at once. `victims`: beginnings of members' names.
    """

    name: str = "mixed"
    seconds: float = 8.0
    signals: int = 8
    density: float = 0.4
    weather: float = 1.0
    skew_ms: int = 150
    triggers: float = 2.0
    kills: float = 1.5
    pauses: float = 1.5
    replacements: float = 0.5
    nights: float = 0.2
    sleepers: tuple[str, ...] = ("engine/live", "engine/paper", "risk", "order-tracker", "strategy")
    splits: float = 1.0
    outages: float = 0.4
    rebalances: float = 0.5
    returns: float = 0.4
    return_kinds: tuple[str, ...] = ("all", "an older image", "an older image", "nothing")
    halts: float = 0.3
    clears: float = 2.0
    states: float = 0.4
    teardowns: float = 0.0
    echoes: float = 0.5
    tampers: float = 0.3
    poisons: float = 0.2
    forgeries: float = 0.2
    stale_books: float = 0.4
    broker: float = 4.0
    books: float = 1.0
    days: float = 0.0
    latest: float = 2.5
    doubles: float = 0.05
    victims: tuple[str, ...] = ()
    crash_points: tuple[tuple[str, str], ...] = CRASH_POINTS
    harms: tuple[str, ...] = HARMS


MIXED: Final = Profile()
CALM: Final = Profile(
    name="calm", weather=0, triggers=0, kills=0, pauses=0, replacements=0, nights=0, splits=0, outages=0, rebalances=0,
    returns=0, halts=0, clears=0, states=0, echoes=0, tampers=0, poisons=0, forgeries=0, stale_books=0, broker=0, books=0, skew_ms=0,
)  # fmt: skip

CRASHES: Final = replace(
    MIXED, name="crashes", weather=0.5, triggers=5.0, kills=2.5, pauses=1.0, returns=0.0, states=0, halts=0
)
"""Processes die at crash points of the protocol; the store stays."""
ZOMBIES: Final = replace(
    MIXED, name="zombies", weather=0.3, triggers=2.5, kills=0.5, pauses=3.0, replacements=3.0, splits=1.5, returns=0.0,
    harms=("pause", "pause", "pause, and start another in its place", "apply the call late", "split"),
)  # fmt: skip
"""Processes sleep beyond every deadline and wake up beside those that took their place."""
RETURNS: Final = replace(
    MIXED, name="returns", weather=0.3, triggers=2.0, kills=0.5, pauses=1.5, returns=2.0, states=0, clears=5.0,
    halts=0.2, return_kinds=("all", "an older image", "an older image", "nothing"),
    harms=("the store returns as another run", "the store returns as another run", "kill", "pause"),
)  # fmt: skip
"""The store comes back as another run, mostly with less than it had."""
HALTS: Final = replace(
    MIXED, name="halts", weather=0.2, triggers=2.0, kills=0.3, pauses=4.0, returns=0.3, halts=2.0, states=2.0,
    clears=3.0, victims=("engine",), harms=("a person halts", "kill", "pause", "the store returns as another run"),
    crash_points=(
        ("engine", "journal.begin"), ("engine", "fetch signals.validated"), ("engine", "prices.read"),
        ("engine", "send orders.failed"), ("engine", "send orders.failed"),
    ),
    nights=1.5, sleepers=("engine/live", "engine/paper"), density=0.8, signals=10,
)  # fmt: skip
"""People halt while engines sleep."""
BROKER: Final = replace(
    MIXED, name="broker", weather=0.3, triggers=0.5, kills=0.5, pauses=0.5, returns=0.0, halts=0.0, states=0, clears=2.0,
    broker=10.0, books=4.0, stale_books=1.0, days=0.3, doubles=0.1, echoes=0, tampers=0, poisons=0, signals=12,
)  # fmt: skip
"""The broker does all it can do wrong."""

TRACKER: Final = replace(
    BROKER,
    name="tracker",
    weather=0.0,
    triggers=4.0,
    days=0.0,
    stale_books=0.0,
    books=1.0,
    kills=0.5,
    pauses=1.0,
    clears=6.0,
    victims=("order-tracker", "engine/live"),
    harms=("the store returns as another run", "kill", "pause", "pause, and start another in its place"),
    crash_points=(
        ("order-tracker", "broker.book"),
        ("order-tracker", "broker.book"),
        ("order-tracker", "journal.find_tag"),
        ("order-tracker", "journal.resolve"),
        ("order-tracker", "journal.fill"),
        ("order-tracker", "send orders.filled"),
        ("order-tracker", "send orders.failed"),
        ("engine", "journal.settle"),
        ("engine", "journal.acknowledge"),
        ("engine", "send orders.submitted"),
    ),
)
"""What follows the orders dies, sleeps, and finds another store than it has read."""

FOLLOW: Final = replace(
    TRACKER,
    name="follow",
    triggers=6.0,
    pauses=0.3,
    replacements=0.2,
    harms=("pause", "pause", "kill", "refuse the call"),
    crash_points=(
        ("engine", "journal.settle"),
        ("engine", "journal.acknowledge"),
        ("engine", "send orders.submitted"),
        ("order-tracker", "send orders.filled"),
        ("order-tracker", "send orders.filled"),
        ("order-tracker", "send orders.cancelled"),
    ),
)
"""Engines sleep between a call and its telling, and who follows the orders can't tell either."""

LATE: Final = replace(
    BROKER, name="late", weather=1.0, broker=14.0, books=0.0, stale_books=0.0, days=0.0, latest=6.0
)
"""The broker's book is always right, and orders come into it late, some after they were called LOST."""
SOON: Final = replace(LATE, name="soon", latest=3.0, broker=24.0)
"""As LATE, but before anybody may call an order LOST."""
SETTLES: Final = replace(
    FOLLOW,
    name="settles",
    triggers=2.0,
    broker=16.0,
    harms=("pause",),
    crash_points=(("engine", "journal.settle"),),
)
"""Engines sleep between the broker's answer and its settling."""
FORGOTTEN: Final = replace(RETURNS, name="forgotten", halts=2.5, clears=0.3, density=0.8, signals=10)
"""People halt, and the store forgets it."""
SLEEPERS: Final = replace(
    ZOMBIES,
    name="sleepers",
    kills=3.0,
    replacements=4.0,
    triggers=0.0,
    victims=("strategy",),
    density=0.8,
    signals=10,
)
"""Strategies wake up beside those that took their place, and those start anew."""
FLATTEN: Final = replace(
    MIXED,
    name="flatten",
    teardowns=1.0,
    halts=0.1,
    clears=6.0,
    states=0,
    returns=0.3,
    density=0.6,
    broker=3.0,
    triggers=3.0,
    victims=("risk", "engine", "order-tracker"),
    crash_points=(
        ("risk", "decisions.record"),
        ("risk", "decisions.record"),
        ("risk", "decisions.save"),
        ("risk", "control.teardowns"),
        ("risk", "send signals.validated"),
        ("engine", "journal.begin"),
        ("engine", "broker.place"),
        ("order-tracker", "journal.fill"),
        ("order-tracker", "control.teardowns"),
        ("order-tracker", "broker.cancel"),
    ),
)
"""Strategies are deleted, and what they hold is closed."""

PROFILES: Final = {
    item.name: item
    for item in (
        MIXED,
        CALM,
        CRASHES,
        ZOMBIES,
        RETURNS,
        HALTS,
        BROKER,
        TRACKER,
        FOLLOW,
        LATE,
        SOON,
        SETTLES,
        FORGOTTEN,
        SLEEPERS,
        FLATTEN,
    )
}
