"""Whose a topic is, by its name alone."""

import asyncio

import pytest

from alpha_panda.compose.installation import account_names, bounded, dead_letter_queues, owner_of
from alpha_panda.contracts.topics import TopicMap, dlq, market_ticks
from alpha_panda.errors import DependencyUnavailableError

PREFIXES = ("", "a.", "a.b.")
EVERYTHING = frozenset(
    topic
    for prefix in PREFIXES
    for account in ("paper", "zerodha")
    for topic in (*(spec.name for spec in TopicMap(account, prefix).specs(2)), market_ticks("demo", prefix))
) | {"__consumer_offsets", "paper", "paper.", ".control", "paper.control.old", "orders", "x.dlq"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_each_installation_knows_its_own(prefix: str) -> None:
    assert account_names(EVERYTHING, prefix) == ["paper", "zerodha"]
    queues = dead_letter_queues({dlq(topic) for topic in EVERYTHING} | EVERYTHING, prefix)
    mine = [topic for topic in EVERYTHING if owner_of(topic, prefix)]
    assert queues == sorted(map(dlq, mine))
    assert len(mine) == 2 * 10 + 1
    assert all(topic.removeprefix(prefix).split(".")[0] in ("paper", "zerodha", "demo") for topic in mine)


@pytest.mark.parametrize(
    ("topic", "owner"),
    [
        ("a.paper.signals.raw", ("paper", "signals.raw")),
        ("a.demo.market.ticks", ("demo", "market.ticks")),
        ("paper.signals.raw", None),
        ("a.b.paper.signals.raw", None),
        ("a.paper.signals", None),
        ("a..control", None),
        ("a.paper.signals.raw.dlq", None),
    ],
)
def test_owners_by_hand(topic: str, owner: tuple[str, str] | None) -> None:
    assert owner_of(topic, "a.") == owner


async def test_a_step_that_is_not_answered_ends() -> None:
    with pytest.raises(DependencyUnavailableError, match=r"kafka: no answer within 0\.01 s"):
        await bounded("kafka", 0.01, asyncio.Event().wait())


async def test_a_step_that_is_answered_gives_the_answer() -> None:
    assert await bounded("kafka", 5, asyncio.sleep(0, "answer")) == "answer"
