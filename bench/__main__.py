"""`make bench` (`python -m bench`): measures, prints a table, writes bench/results/latest.json. Not a test: nothing fails.

What runs over a real Kafka and a real Redis is compared with bare loops over the same libraries in the same run, the
sides in turns: see the docstrings of `cache`, `ticks_to_signals`, `signals_to_orders` and `latency` for what the bare
side does and does not do.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import cache, latency, replay, routing, signals_to_orders, telemetry, ticks_to_signals, zerodha
from bench.world import Servers
from rich.console import Console
from rich.table import Table

from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    tick_records: int
    rounds: int
    order_rounds: int
    turns: int
    turn_seconds: float
    replay_ticks: int


FULL: Final = Size(6_000, 5, 5, 3, 10.0, 300_000)
QUICK: Final = Size(2_000, 3, 3, 2, 4.0, 100_000)

Result = dict[str, Any]
Row = tuple[str, ...]


def _cache(servers: Servers, size: Size) -> Result:
    return asyncio.run(cache.compare(servers, records=size.tick_records, rounds=size.rounds)).as_json()


def _signal(servers: Servers, size: Size) -> Result:
    comparison = ticks_to_signals.compare(servers, records=size.tick_records, rounds=size.rounds)
    return asyncio.run(comparison).as_json()


def _order(servers: Servers, size: Size) -> Result:
    return asyncio.run(signals_to_orders.compare(servers, rounds=size.order_rounds)).as_json()


def _latency(servers: Servers, size: Size) -> Result:
    return asyncio.run(latency.compare(servers, turns=size.turns, seconds=size.turn_seconds)).as_json()


def _live(servers: Servers, size: Size) -> Result:
    return asyncio.run(zerodha.live(servers, seconds=2 * size.turn_seconds))


OVER_SERVERS: Final[dict[str, Callable[[Servers, Size], Result]]] = {
    "cache": _cache,
    "signal": _signal,
    "order": _order,
    "latency": _latency,
    "live": _live,
}
IN_PROCESS: Final[dict[str, Callable[[Size], Result]]] = {
    "replay": lambda size: replay.compare(size.replay_ticks),
    "telemetry": lambda size: telemetry.compare(size.replay_ticks, size.rounds),
    "parser": lambda size: zerodha.compare_parsers(size.rounds),
    "routing": lambda _: {str(count): cost for count, cost in routing.cost_by_strategies().items()},
}
PARTS: Final = (*OVER_SERVERS, *IN_PROCESS)
TITLES: Final = {"cache": "tick → Redis cache", "signal": "tick → signal", "order": "signal → paper order"}
BESIDE: Final = "… a batch at once (unsafe)"


def main() -> None:
    """Run the parts that were asked for."""
    options = _options()
    size = QUICK if options.quick else FULL
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that has just started makes it talk
    console = Console(width=max(110, Console().width))
    results: dict[str, Result] = {}
    with ExitStack() as stack:
        servers = None
        for part in options.only:
            console.print(f"[dim]{part} …[/dim]")
            if part in IN_PROCESS:
                results[part] = IN_PROCESS[part](size)
                continue
            servers = servers or _started(stack)
            results[part] = OVER_SERVERS[part](servers, size)
            results[part]["load"] = round(os.getloadavg()[0], 1)
    for table in _tables(results):
        console.print(table)
    machine = {
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "quick": options.quick,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**results, **machine}, indent=2, ensure_ascii=False) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Benchmarks.")
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: rough figures")
    return parser.parse_args()


def _parts(text: str) -> tuple[str, ...]:
    asked = [part.strip() for part in text.split(",")]
    if unknown := sorted(set(asked) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in asked)


def _started(stack: ExitStack) -> Servers:
    kafka, redis = stack.enter_context(KafkaServer()), stack.enter_context(RedisServer())
    return Servers(kafka.bootstrap_servers, redis.url)


# -------------------------------------------------------------------------------------------------- tables


def _tables(results: dict[str, Result]) -> list[Table]:
    compared = [_compared_row(title, results[part]) for part, title in TITLES.items() if part in results]
    if "order" in results:
        compared.append(_beside_row(BESIDE, results["order"]["at_once"]))
    if "latency" in results:
        compared.append(_latency_row(results["latency"]))
    tables = []
    if compared:
        columns = ("", "aim", "ours", "bare", "ratio", "by CPU", "machine's load", "verdict")
        tables.append(_table("over Kafka and Redis, against bare loops", columns, compared))
    if "replay" in results:
        tables.append(_replay_table(results["replay"]))
    if "telemetry" in results:
        tables.append(_telemetry_table(results["telemetry"]))
    if "parser" in results:
        tables.append(_parser_table(results["parser"]))
    if "live" in results:
        tables.append(_live_table(results["live"]))
    if "routing" in results:
        costs = results["routing"]
        first = next(iter(costs.values()))
        rows: list[Row] = [
            (f"{int(count):,}", f"{cost:,.0f}", f"{cost / first:.2f}") for count, cost in costs.items()
        ]
        title = "cost of a tick that one of them wants, 10,000 instruments"
        tables.append(_table(title, ("strategies", "ns a tick", "ratio"), rows))
    return tables


def _table(title: str, columns: Row, rows: list[Row]) -> Table:
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _compared_row(title: str, result: Result) -> Row:
    return (
        title,
        f"≥ {result['aim']:.0%}",
        f"{result['ours_per_second']:,.0f}/s",
        f"{result['bare_per_second']:,.0f}/s",
        f"{result['ratio']:.0%}",
        f"{result['cpu_ratio']:.0%}",
        f"{result['load']}",
        "met" if result["met"] else "missed",
    )


def _beside_row(title: str, result: Result) -> Row:
    """Return a row for a loop that is shown beside the one that the aim speaks of."""
    row = _compared_row(title, {**result, "load": ""})
    return (title, "", *row[2:-1], "")


def _latency_row(result: Result) -> Row:
    return (
        "tick → order visible, p50 (p99)",
        f"≤ {result['aim']:g} x",
        f"{result['ours_p50_ms']:.1f} ({result['ours_p99_ms']:.0f}) ms",
        f"{result['bare_p50_ms']:.1f} ({result['bare_p99_ms']:.0f}) ms",
        f"{result['ratio']:.2f} x",
        "",
        f"{result['load']}",
        "met" if result["met"] else "missed",
    )


def _telemetry_table(result: Result) -> Table:
    sides = (("busy: 100 ticks a batch", result["busy"]), ("sparse: 1 or 2", result["sparse"]))
    rows: list[Row] = [
        (title, *_telemetry_cells(side), f"{side['scrape_ms']:.1f} ms") for title, side in sides
    ]
    ordering = result["ordering"]
    trace = f"a trace: {ordering['trace_us_an_order'] / 1e3:.1f} ms an order"
    rows.append((f"busy, {ordering['orders']:,} orders; {trace}", *_telemetry_cells(ordering), ""))
    verdict = "met" if result["met"] else "missed"
    title = f"CPU of a tick through the pipeline (aim without orders: at most {result['aim']:.0%} more: {verdict})"
    columns = ("", "off", "metrics", "… and traces", "… and 1 % of ticks", "a scrape")
    return _table(title, columns, rows)


def _telemetry_cells(side: Result) -> Row:
    """Return what a tick costs on each side, and how much more than without anything."""
    added = side["added"]
    return tuple(
        f"{cost:.2f} µs" + (f" ({added[name]:+.1%})" if name in added else "")
        for name, cost in side["us_a_tick"].items()
    )


def _parser_table(result: Result) -> Table:
    rows: list[Row] = [
        (
            name,
            f"{side['ours_per_second']:,.0f}/s",
            f"{side['official_per_second']:,.0f}/s",
            f"{side['ratio']:.0f} x",
        )
        for name, side in result.items()
    ]
    met = all(side["ratio"] >= zerodha.PARSER_AIM for side in result.values())
    title = f"Kite's frames, packets a second (aim: {zerodha.PARSER_AIM:g} x: {'met' if met else 'missed'})"
    return _table(title, ("a frame of", "ours", "official client", "ratio"), rows)


def _live_table(result: Result) -> Table:
    row = (
        f"{result['ticks_per_second']:,.0f} of {result['wanted_per_second']:,.0f}/s",
        f"{result['p50_ms']:.1f} ms",
        f"{result['p99_ms']:.1f} ms",
        f"{result['max_ms']:.0f} ms",
        f"{result['cores_of_the_service']:.2f}",
        f"{result['conflated']:,}",
        f"{result['load']}",
    )
    verdict = "met" if result["met"] else "missed"
    title = (
        f"Kite's frames → ticks on Kafka, 9,000 instruments (aim: p99 {result['aim_p99_ms']:g} ms: {verdict})"
    )
    columns = ("ticks read", "p50", "p99", "most", "service's cores", "conflated", "machine's load")
    return _table(title, columns, [row])


def _replay_table(result: Result) -> Table:
    dense = f"{result['pipeline_ticks_per_second_when_dense']:,.0f} ticks/s of CPU"
    rows: list[Row] = [
        ("pipeline", f"{result['pipeline_ticks_per_second']:,.0f} ticks/s of CPU"),
        ("bare loop, the arithmetic alone", f"{result['bare_ticks_per_second']:,.0f} ticks/s of CPU"),
        ("pipeline, market five times as busy", dense),
        ("share of the bare loop", f"{result['share_of_bare']:.1%}"),
        ("orders filled", f"{result['orders_filled']:,.0f}"),
        ("peak memory", f"{result['peak_mib']:.0f} MiB"),
        ("peak memory at a quarter of the ticks", f"{result['peak_mib_at_a_quarter_of_the_ticks']:.0f} MiB"),
    ]
    title = f"replay through the whole embedded pipeline: {result['ticks']:,} ticks, 10 momentum strategies"
    return _table(title, ("", ""), rows)


if __name__ == "__main__":
    main()
