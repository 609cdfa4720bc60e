"""Who keeps a latch, what is told when it is set and cleared, and where a return looks for it."""

import pytest

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import TopicMap, TopicSpec, platform_control
from alpha_panda.runtime.control_topics import (
    Keeper,
    Keepers,
    account_names,
    control_topics,
    installation_topics,
    owner_of,
)

NAMES = ["a", "b"]


@pytest.fixture
async def bus(clock: VirtualClock) -> MemoryBus:
    """Accounts `a` and `b` of prefix `t.`, `c` of another."""
    made = MemoryBus(clock, ids=SeededIds(1))
    topics = ("t.a.control", "t.b.control", "t.b.signals.raw", "u.c.control", "t.demo.market.ticks")
    await made.ensure_topics([TopicSpec(topic, 1) for topic in topics])
    return made


def latch(scope: str) -> Latch:
    return Latch(latch_id="x", scope=scope, state=TradingState.HALTED, reason="", set_by="ann", set_at=1)


@pytest.mark.parametrize(
    ("scope", "installation", "topics"),
    [
        (account_scope("a"), "", ["t.a.control"]),
        (account_scope("c"), "", []),
        (strategy_scope("s"), "", ["t.a.control", "t.b.control"]),
        (strategy_scope("s"), "inst", ["t.a.control", "t.b.control"]),
        (PLATFORM, "", ["t.a.control", "t.b.control"]),
        (PLATFORM, "inst", ["inst.platform-control"]),
    ],
)
async def test_an_accounts_latch_is_its_own_a_strategys_everybodys_and_the_platforms_the_installations(
    bus: MemoryBus, scope: str, installation: str, topics: list[str]
) -> None:
    keepers = Keepers(bus, "t.", installation)
    found = keepers.of(scope, await keepers.accounts(scope))
    assert [keeper.topic for keeper in found] == topics
    assert set(topics) <= await bus.topics()


async def test_a_place_without_a_prefix_keeps_the_platforms_latch_for_all_prefixes(bus: MemoryBus) -> None:
    """As in the operator's pod: it needs no account, and asks for none."""
    keepers = Keepers(bus, "", "inst")
    assert await keepers.accounts(PLATFORM) == []
    assert [keeper.topic for keeper in keepers.of(PLATFORM, ())] == ["inst.platform-control"]
    for prefix, account in (("t.", "a"), ("u.", "c")):
        topics = await control_topics(bus, TopicMap(account, prefix), "inst")
        assert topics[0] == f"{prefix}{account}.control"
        assert topics[-1] == "inst.platform-control"


async def test_a_return_looks_into_all_topics_of_the_prefix_and_no_others(bus: MemoryBus) -> None:
    assert await control_topics(bus, TopicMap("b", "t."), "") == ("t.b.control", "t.a.control")
    own = await control_topics(bus, TopicMap("new", "t."), "other")
    assert own == ("t.new.control", "t.a.control", "t.b.control", "other.platform-control")


@pytest.mark.parametrize("prefix", ["", "inst.", "inst.platform-control."])
def test_the_installations_topic_is_no_accounts(prefix: str) -> None:
    (spec,) = installation_topics("inst")
    assert spec == platform_control("inst")
    assert spec.compacted
    assert owner_of(spec.name, prefix) is None
    names = {name for each in ("inst", "platform-control") for name in TopicMap(each, prefix).specs(1)}
    assert spec.name not in {item.name for item in names}
    assert installation_topics("") == ()


def test_accounts_are_found_by_their_control_topics_below_the_prefix() -> None:
    topics = [
        "t.a.control",
        "t.b.control",
        "t.b.signals.raw",
        "u.c.control",
        "t.demo.market.ticks",
        "control",
    ]
    assert account_names(topics, "t.") == NAMES
    assert owner_of("t.demo.market.ticks", "t.") == ("demo", "market.ticks")
    assert owner_of("u.c.control", "t.") is None


@pytest.mark.parametrize(
    ("keeper", "source"), [(Keeper("t.a.control", "a"), "ann/a"), (Keeper("p", ""), "ann")]
)
def test_a_keeper_hears_of_the_beginning_and_of_the_end_under_the_latchs_key(
    keeper: Keeper, source: str
) -> None:
    told = keeper.told(latch(PLATFORM))
    cleared = keeper.cleared(latch(PLATFORM), reason="looked", by="ann", now=5)
    changes = []
    for record in (told, cleared):
        assert (record.topic, record.key) == (keeper.topic, "platform/x")
        event = decode_event(record.value)
        assert (event.account, event.source) == (keeper.account, source)
        assert isinstance(event.data, ControlChanged)
        changes.append((event.ts, event.data.action, event.data.set_by))
    assert changes == [(1, "set", "ann"), (5, "cleared", "ann")]
