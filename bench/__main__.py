"""`make bench` (`python -m bench [TICKS]`): measures, prints a table, writes bench/results/latest.json. Not a test: nothing passes or fails."""

import json
import platform
import sys
from pathlib import Path

from bench.replay import compare
from bench.routing import cost_by_strategies
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main(ticks: int) -> None:
    """Run all benchmarks."""
    replay = compare(ticks)
    routing = cost_by_strategies()
    console = Console()
    table = Table("replay through the whole pipeline", "", title=f"{ticks:,} ticks, 10 momentum strategies")
    table.add_row("pipeline", f"{replay['pipeline_ticks_per_second']:,.0f} ticks/s of CPU")
    table.add_row("bare loop, the arithmetic alone", f"{replay['bare_ticks_per_second']:,.0f} ticks/s of CPU")
    dense = f"{replay['pipeline_ticks_per_second_when_dense']:,.0f} ticks/s of CPU"
    table.add_row("pipeline, market five times as busy", dense)
    table.add_row("share of the bare loop", f"{replay['share_of_bare']:.1%}")
    table.add_row("orders filled", f"{replay['orders_filled']:,.0f}")
    table.add_row("peak memory", f"{replay['peak_mib']:.0f} MiB")
    table.add_row(
        "peak memory at a quarter of the ticks", f"{replay['peak_mib_at_a_quarter_of_the_ticks']:.0f} MiB"
    )
    console.print(table)
    first = next(iter(routing.values()))
    table = Table(
        "strategies", "ns a tick", "ratio", title="cost of a tick that one of them wants, 10,000 instruments"
    )
    for count, cost in routing.items():
        table.add_row(f"{count:,}", f"{cost:,.0f}", f"{cost / first:.2f}")
    console.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"python": sys.version.split()[0], "machine": platform.machine()}
    RESULTS.write_text(json.dumps({"replay": replay, "routing_ns": routing, **machine}, indent=2) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
