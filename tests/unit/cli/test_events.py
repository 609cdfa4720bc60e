"""`alpha-panda events tail` as typed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.compose.watch import Watch, Wish
from alpha_panda.contracts.codec import encode_ticks
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import Envelope, TickBatch
from alpha_panda.ports import Outgoing
from unit import story_kit as kit
from unit.cli.installed import START
from unit.cli.operating import Operator
from unit.story_kit import A

EVENTS = [
    replace(event, ts=START - n * kit.MS)
    for n, event in enumerate([kit.told(), kit.validated(), kit.raw(), kit.PRICES, kit.BEFORE])
]
"""The newest first."""
TAIL = ("events", "tail", "--since", "1m", "--no-follow")


@pytest.fixture
def site(operator: Operator) -> Operator:
    tick = Outgoing(kit.TICKS, kit.batch(replace(kit.TICK, ts=START)), partition=3)
    operator.run(operator.site.produce(tick, *kit.outgoing(*EVENTS)))
    return operator


def types(operator: Operator, *words: str) -> list[str]:
    called = operator(*TAIL, *words)
    assert called.code == 0, called.err
    return [line.split()[1] for line in called.out.splitlines()]


def test_what_is_there_is_told_in_order_of_time(site: Operator) -> None:
    assert types(site) == ["PORTFOLIO_SNAPSHOT", "TRADING_SIGNAL", "VALIDATED_SIGNAL", "ORDER_FILLED"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--type", "order_filled"), ["ORDER_FILLED"]),
        (("--type", "ORDER_FILLED", "--type", "TRADING_SIGNAL"), ["TRADING_SIGNAL", "ORDER_FILLED"]),
        (("--type", "PORTFOLIO_SNAPSHOT"), ["PORTFOLIO_SNAPSHOT"] * 2),
        (("--type", "MARKET_TICKS"), ["MARKET_TICKS"]),
        (("--strategy", "alpha"), ["TRADING_SIGNAL", "VALIDATED_SIGNAL", "ORDER_FILLED"]),
        (("--strategy", "other"), []),
        (("--account", "second"), []),
        (("--id", A[:9]), ["TRADING_SIGNAL", "VALIDATED_SIGNAL", "ORDER_FILLED"]),
        (("--id", "99999999"), []),
        (("--count", "2"), ["PORTFOLIO_SNAPSHOT", "TRADING_SIGNAL"]),
    ],
)
def test_filters_leave_what_they_say(site: Operator, words: tuple[str, ...], expected: list[str]) -> None:
    assert types(site, *words) == expected


def test_what_is_older_is_not_told(site: Operator) -> None:
    ticks = encode_ticks(TickBatch("demo", FeedMode.SIMULATED, 1, START, [replace(kit.TICK, ts=START)]))
    site.run(site.site.produce(Outgoing(kit.TICKS, ticks, partition=2)))
    assert types(site, "--type", "MARKET_TICKS") == ["MARKET_TICKS"] * 2
    site.site.clock.time += 120 * 1_000_000_000
    assert types(site) == []
    assert types(site, "--type", "MARKET_TICKS") == ["MARKET_TICKS"]  # the story kit's is of a later year


def test_json_lines_are_those_of_a_run_s_file(site: Operator, tmp_path: Path) -> None:
    lines = site(*TAIL, "-o", "json").out
    assert [json.loads(line)["type"] for line in lines.splitlines()][1] == "TRADING_SIGNAL"
    file = tmp_path / "tail.jsonl"
    file.write_text(lines, encoding="utf-8")
    assert site("explain", A, "--events", file).code == 0


def test_an_account_that_there_is_not_is_two(site: Operator) -> None:
    called = site(*TAIL, "--account", "nobody")
    assert called.code == 2
    assert "there are: paper, second" in called.err


@pytest.mark.parametrize(
    "words", [("--no-follow",), ("--type", "NOISE"), ("--since", "soon"), ("--count", "0"), ("--id", "abc")]
)
def test_what_makes_no_sense_is_two(operator: Operator, words: tuple[str, ...]) -> None:
    assert operator("events", "tail", *words).code == 2


def test_following_tells_what_comes_after_what_was_there_each_once(site: Operator) -> None:
    later = kit.told(revision=2, ts=START + kit.MS)

    async def follow() -> list[Envelope]:
        settings = site.site.settings()
        found: list[Envelope] = []
        wish = Wish(since=START - 1000 * kit.MS)
        async for _, event in Watch(site.site.ports, settings).records(wish):
            assert isinstance(event, Envelope)
            found.append(event)
            if len(found) == 4:
                await site.site.produce(*kit.outgoing(later))
            if len(found) == 5:
                break
        return found

    async def bounded() -> list[Envelope]:
        async with asyncio.timeout(20):
            return await follow()

    found = site.run(bounded())
    assert [event.id for event in found[-2:]] == [EVENTS[0].id, later.id]
    assert len({event.id for event in found}) == 5


def test_without_since_only_what_comes_is_told(site: Operator) -> None:
    later = kit.told(revision=2, ts=START + kit.MS)

    async def follow() -> str:
        records = Watch(site.site.ports, site.site.settings()).records(Wish())
        first = asyncio.ensure_future(anext(records))
        async with asyncio.timeout(20):
            while not first.done():
                await site.site.produce(*kit.outgoing(later))
                await asyncio.sleep(0.01)
        return first.result()[1].id  # type: ignore[union-attr]

    assert site.run(follow()) == later.id


def test_what_comes_while_the_past_is_read_is_not_lost(site: Operator) -> None:
    later = kit.told(revision=2, ts=START + kit.MS)

    class Late(Watch):
        async def _starts(self, *given: Any) -> Any:
            starts = await super()._starts(*given)
            await site.site.produce(*kit.outgoing(later))  # after it was seen how much there is
            return starts

    async def follow() -> list[str]:
        found: list[str] = []
        async with asyncio.timeout(20):
            wish = Wish(since=START - 1000 * kit.MS)
            async for _, event in Late(site.site.ports, site.site.settings()).records(wish):
                assert isinstance(event, Envelope)
                found.append(event.id)
                if len(found) == 5:
                    break
        return found

    assert site.run(follow())[-1] == later.id
