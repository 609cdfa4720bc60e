"""Generated market data and manifests for the benchmarks: the same from run to run."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

INSTRUMENTS = 10
FIRST_TOKEN = 738561
TOKEN_STEP = 256  # as Kite numbers an exchange's instruments
TICKS_PER_SECOND = 2_000  # of market time: a batch of 50 ms holds 100 ticks
ROW_GROUP = 50_000  # as files of some size have them: a reader holds one at a time
START_NS = 1_767_600_000_000_000_000


def symbol(index: int) -> str:
    """Return the name of an instrument."""
    return f"SIM:I{index}"


def token(index: int) -> int:
    """Return the token of an instrument."""
    return FIRST_TOKEN + TOKEN_STEP * index


def write_ticks(path: Path, ticks: int, per_second: int = TICKS_PER_SECOND, seed: int = 3) -> None:
    """Write a Parquet file of trades: a random walk of 10 instruments, `per_second` ticks together."""
    rng = random.Random(seed)
    prices = [1000.0 + 100 * index for index in range(INSTRUMENTS)]
    symbols, last, stamps = [], [], []
    for number in range(ticks):
        index = rng.randrange(INSTRUMENTS)
        moved = prices[index] * (1 + rng.gauss(0, 0.0003))
        prices[index] = max(1.0, round(moved / 0.05) * 0.05)
        symbols.append(symbol(index))
        last.append(round(prices[index], 2))
        stamps.append(START_NS + number * (1_000_000_000 // per_second))
    table = pa.table({"timestamp": stamps, "symbol": symbols, "last_price": last, "volume": [1.0] * ticks})
    pq.write_table(table, path, row_group_size=ROW_GROUP)


def instrument_lines(count: int) -> str:
    """Return the manifest's list of instruments."""
    return "\n".join(
        f'    - {{symbol: "{symbol(index)}", token: {token(index)}, tickSize: "0.05"}}'
        for index in range(count)
    )


def strategy(name: str, symbols: list[str], threshold_bps: str = "40") -> str:
    """Return the manifest of a momentum strategy."""
    listed = ", ".join(f'"{item}"' for item in symbols)
    return f"""---
apiVersion: alphapanda.io/v1alpha1
kind: Strategy
metadata: {{name: {name}}}
spec:
  type: momentum
  parameters: {{lookback: 20, thresholdBps: "{threshold_bps}", quantity: "1"}}
  marketFeed: bench
  instruments: [{listed}]
  accounts: [paper]
"""


def write_manifest(path: Path, instruments: int, strategies: list[str], source: str) -> None:
    """Write a feed, a paper account without limits on the rate, and the strategies."""
    path.write_text(
        f"""apiVersion: alphapanda.io/v1alpha1
kind: MarketFeed
metadata: {{name: bench}}
spec:
  source: {source}
  instruments:
{instrument_lines(instruments)}
---
apiVersion: alphapanda.io/v1alpha1
kind: BrokerAccount
metadata: {{name: paper}}
spec:
  marketFeed: bench
  paper: {{cash: "100000000"}}
  risk: {{maxOrdersPerSecond: 1000}}
{"".join(strategies)}"""
    )
