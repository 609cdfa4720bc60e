from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.topics import TopicMap, key_partition, tick_partition
from alpha_panda.ports import TopicPartition
from alpha_panda.sdk import Strategy, StrategyParameters
from alpha_panda.strategy.cell import Cell, CellSpec
from alpha_panda.strategy.router import Router, account_topics

TICKS = "demo.market.ticks"


def cell(name: str, *tokens: int, account: str = "paper") -> Cell:
    spec = CellSpec(
        strategy_id=name,
        strategy_uid=name,
        account=account,
        topics=TopicMap(account),
        strategy_class=Strategy,
        parameters=StrategyParameters(),
        instruments=tuple(
            Instrument(token=token, symbol=f"X:{token}", tick_size=Decimal(1)) for token in tokens
        ),
        signal_ttl=1,
        max_tick_age=1,
    )
    return Cell(spec, cast("Any", SimpleNamespace()), lambda: None)


def router(*cells: Cell) -> Router:
    return Router(cells, TICKS, 8, 4)


def test_a_token_leads_to_the_cells_that_want_it_in_the_order_of_the_manifests() -> None:
    one, two = cell("one", 1, 2), cell("two", 2, 3)
    routes = router(one, two)
    assert routes.by_token == {1: [one], 2: [one, two], 3: [two]}


def test_a_cell_reads_its_own_accounts_news_and_rejections() -> None:
    one, two = cell("one", 1), cell("two", 1, account="other")
    routes = router(one, two)
    assert routes.by_order("paper.orders.filled", "one:1") == (one,)
    assert routes.by_order("other.signals.rejected", "two:1") == (two,)
    assert routes.by_order("other.signals.rejected", "one:1") == ()
    assert set(account_topics(one)) == {
        *(f"paper.orders.{kind}" for kind in ("submitted", "filled", "failed", "cancelled", "updated")),
        "paper.signals.rejected",
    }


def test_the_partitions_are_those_of_its_tokens_and_keys_and_no_others() -> None:
    tokens = (738561, 2953217)
    one = cell("one", *tokens)
    wanted = router(one).partitions()
    ticks = {p.partition for p in wanted if p.topic == TICKS}
    orders = {p.partition for p in wanted if p.topic == "paper.orders.filled"}
    assert ticks == {tick_partition(token, 8) for token in tokens}
    assert orders == {key_partition(f"one:{token}", 4) for token in tokens}
    assert list(wanted) == sorted(wanted, key=lambda p: (p.topic, p.partition))
    assert len(set(wanted)) == len(wanted)


def test_cells_share_what_they_both_need() -> None:
    shared = router(cell("one", 5), cell("one", 5, account="other")).partitions()
    assert shared.count(TopicPartition(TICKS, tick_partition(5, 8))) == 1


def test_a_dropped_cell_gets_nothing_and_a_delivery_under_way_is_not_disturbed() -> None:
    one, two = cell("one", 1), cell("two", 1)
    routes = router(one, two)
    walked = []
    for each in routes.by_token[1]:
        walked.append(each)
        routes.drop(one) if one in routes.by_token[1] else None
    assert walked == [one, two]
    assert routes.by_token == {1: [two]}
    assert routes.by_order("paper.orders.filled", "one:1") == ()
    assert routes.by_order("paper.orders.filled", "two:1") == (two,)
    assert list(routes.partitions_of) == [two.key]


@pytest.mark.parametrize("key", ["external:b1", ":7", "one", "", None, "one:1:1"])
def test_news_that_is_of_no_strategy_concerns_nobody(key: str | None) -> None:
    assert router(cell("one", 1)).by_order("paper.orders.filled", key) == ()


def test_the_partition_of_a_token_that_nobody_wants_is_not_asked_for() -> None:
    routes = router(cell("one", 1))
    assert routes.tick_partition(1) == tick_partition(1, 8)
    with pytest.raises(KeyError):
        routes.tick_partition(2)
