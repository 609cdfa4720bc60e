"""The engine is stateless on market data: proven on a running pipeline and on what its package imports."""

import ast
from pathlib import Path

import pytest

import alpha_panda.engine
from alpha_panda.contracts.enums import EventType, Side
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from integration.kit import RELIANCE, account, feed, manifests, strategy

TICK_WORDS = (
    "decode_ticks",
    "ticks_of",
    "TickBatch",
    "Tick",
    "market_ticks",
    "tick_partition",
    "encode_ticks",
)


async def test_only_cachers_and_strategies_read_ticks() -> None:
    world = [feed(), account(), account("second"), strategy("a"), strategy("b", accounts=["second"])]
    async with Pipeline(world) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0, at=1)
        await pipeline.signal("a", RELIANCE, Side.BUY, "1")
        reading = pipeline.subscriptions()
        members = {item.member.partition("/")[0] for item in reading}
        assert members == {"order-tracker", "risk", "engine", "feed-cacher", "strategy"}
        on_ticks = {item.group for item in reading if "demo.market.ticks" in item.topics}
        assert on_ticks == {"demo.feed-cacher", "demo.strategy"}
        engines = [item for item in reading if item.member.startswith("engine/")]
        assert len(engines) == 4
        assert {topic for item in engines for topic in item.topics} == {
            "paper.signals.validated",
            "second.signals.validated",
        }


def sources() -> list[Path]:
    return sorted(Path(next(iter(alpha_panda.engine.__path__))).glob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_the_engine_names_nothing_of_ticks(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert names.isdisjoint(TICK_WORDS)


@pytest.mark.parametrize("replicas_down", [1, 2])
async def test_the_first_signal_after_a_restart_executes_at_once(replicas_down: int) -> None:
    async with Pipeline(manifests()) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0, at=1)
        for replica in range(replicas_down):
            await pipeline.kill(f"engine/paper-{replica}")
        await pipeline.idle()
        before, ticks = pipeline.clock.now(), len(pipeline.batches())
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        (filled,) = pipeline.events(EventType.ORDER_FILLED)
        assert outcome_of([filled]) == (EventType.ORDER_FILLED, None)
        assert filled.correlation_id == signal
        assert filled.ts == pipeline.clock.now() == before
        assert len(pipeline.batches()) == ticks


async def test_a_signal_that_waited_for_the_engine_executes_when_it_is_back() -> None:
    async with Pipeline(manifests()) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0, at=1)
        for replica in (0, 1):
            await pipeline.kill(f"engine/paper-{replica}", restart=False)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        now = pipeline.clock.now()
        await pipeline.revive("engine/paper-1")
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_FILLED, None)
        assert pipeline.clock.now() == now
