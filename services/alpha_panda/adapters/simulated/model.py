"""The price model of the simulated feed: a pure, seeded generator of ticks.

Each instrument's price is a geometric Brownian motion with small jumps (Merton 1976), seen on the grid of its tick
size. Market time runs `time_scale` times as fast as the feed's time, session after session without nights; a
trading year has 252 sessions of 375 minutes (the NSE's). Within a session the variance, and with it the volume,
follows a U: u(x) = 0.5 + 1.5 (2x - 1)², x from 0 (open) to 1 (close), whose mean is 1.

Over market years t the log price moves by a normal part of variance (1 - JUMP_SHARE) sigma² t and by jumps of
variance JUMP_SHARE sigma² t together, so that sigma is the annualised volatility of what is seen; its mean is
(drift - sigma²/2) t. A common factor gives the normal parts of any two instruments the correlation `correlation`.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from alpha_panda.adapters.batching import DEFAULT_MAX_DELAY_NS, DEFAULT_MAX_TICKS
from alpha_panda.adapters.pacing import DEFAULT_ALIVE_EVERY_NS, DEFAULT_MAX_LAG_NS
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import SettingsError
from alpha_panda.ports import SourceBatch

NS = 1_000_000_000
SESSION_SECONDS = 375 * 60
YEAR_SECONDS = 252 * SESSION_SECONDS
JUMP_SHARE = 0.1
JUMPS_PER_SESSION = 10
BLOCK = 64
"""Ticks made at once: that many fall into each BLOCK / ticks_per_second seconds, at random moments."""
DEFAULT_START_TS = 1_704_080_700 * NS
"""2024-01-01T03:45:00Z, a Monday, when the NSE opened."""
DEFAULT_PRICE = 100

_SPREADS = (1, 1, 1, 2, 2, 3)
_VOLUME_SIGMA = 1.0
_MEDIAN_LOTS = 20
_VOLUME_STEPS = 1024


@dataclass(frozen=True, slots=True)
class SimulatedOptions:
    """Settings of the simulated feed.

    Attributes:
        seed: same seed, options and instruments: same ticks, whatever the clock does.
        ticks_per_second: of all instruments together, per second of feed time.
        volatility: annualised, 0.3 is 30 %.
        drift: annualised expected return.
        correlation: of any two instruments' moves, 0 to 1.
        time_scale: market seconds that pass in one second of feed time.
        speed: on a wall clock: feed seconds per second; 0 as fast as possible.
        start_ts: UTC ns of the feed's begin on a virtual clock that is not later.
        batch_max_ticks, batch_max_delay_ns: when a batch is full.
        alive_every_ns: how often a feed that waits for its next tick says that it lives.
        max_lag_ns: how far a late feed catches up.

    Raises:
        SettingsError: a value is out of its range.

    """

    seed: int = 0
    ticks_per_second: float = 200.0
    volatility: float = 0.3
    drift: float = 0.0
    correlation: float = 0.3
    time_scale: float = 120.0
    speed: float = 1.0
    start_ts: int = DEFAULT_START_TS
    batch_max_ticks: int = DEFAULT_MAX_TICKS
    batch_max_delay_ns: int = DEFAULT_MAX_DELAY_NS
    alive_every_ns: int = DEFAULT_ALIVE_EVERY_NS
    max_lag_ns: int = DEFAULT_MAX_LAG_NS

    def __post_init__(self) -> None:
        checks = {
            "ticks_per_second": (self.ticks_per_second > 0, "more than 0"),
            "volatility": (self.volatility >= 0, "0 or more"),
            "drift": (math.isfinite(self.drift), "finite"),
            "correlation": (0 <= self.correlation <= 1, "0 to 1"),
            "time_scale": (self.time_scale > 0, "more than 0"),
            "speed": (self.speed >= 0, "0 or more"),
        }
        for name, (right, allowed) in checks.items():
            if not right or not math.isfinite(getattr(self, name)):
                raise SettingsError(f"simulated feed: {name} is {getattr(self, name)}; allowed: {allowed}")


def session_shape(x: float) -> float:
    """Return the variance, relative to the session's mean, at the share `x` of the session."""
    return 0.5 + 1.5 * (2 * x - 1) ** 2


def shape_integral(session: float) -> float:
    """Return the integral of the session shape from 0 to `session` (in sessions; 2.5 is the third's middle)."""
    whole, x = divmod(session, 1.0)
    return whole + 0.5 * x + 0.25 * ((2 * x - 1) ** 3 + 1)


class PriceModel:
    """Makes the ticks, block by block. The n-th tick depends on options and instruments alone."""

    def __init__(self, options: SimulatedOptions, instruments: Sequence[Instrument]) -> None:
        self._random = random.Random(options.seed)  # noqa: S311 - a simulation
        self._block = 0
        self._block_seconds = BLOCK / options.ticks_per_second
        self._sessions_per_second = options.time_scale / SESSION_SECONDS
        variance = options.volatility**2 / 252
        self._sigma = math.sqrt(variance * (1 - JUMP_SHARE))
        self._jump_sigma = math.sqrt(variance * JUMP_SHARE / JUMPS_PER_SESSION)
        self._drift = options.drift / 252 - variance / 2
        self._common, self._own = math.sqrt(options.correlation), math.sqrt(1 - options.correlation)
        self._factor = 0.0
        self._factor_time = 0.0
        self._tokens = [item.token for item in instruments]
        references = [item.reference_price or DEFAULT_PRICE for item in instruments]
        self._logs = [math.log(reference) for reference in references]
        self._times = [0.0] * len(instruments)
        self._factors = [0.0] * len(instruments)
        self._jump_times = [self._random.expovariate(JUMPS_PER_SESSION) for _ in instruments]
        grids = [Fraction(item.tick_size) for item in instruments]
        self._grids = [(float(1 / grid), grid.numerator, grid.denominator) for grid in grids]
        self._lots = [float(item.lot_size) for item in instruments]
        self._volumes = _volume_table(self._random)

    def block(self) -> SourceBatch:
        """Return the next BLOCK ticks; `ts` counts nanoseconds from the feed's begin."""
        moments = sorted(self._random.random() for _ in range(BLOCK))
        seconds = [(self._block + moment) * self._block_seconds for moment in moments]
        self._block += 1
        count = len(self._tokens)
        picks = [int(self._random.random() * count) for _ in range(BLOCK)]
        ticks = [
            self._tick(pick, second * self._sessions_per_second)
            for pick, second in zip(picks, seconds, strict=True)
        ]
        prices, bids, asks, volumes = zip(*ticks, strict=True)
        return SourceBatch(
            tokens=[self._tokens[pick] for pick in picks],
            prices=list(prices),
            ts=[int(second * NS) for second in seconds],
            volumes=list(volumes),
            bids=list(bids),
            asks=list(asks),
        )

    def _tick(self, pick: int, session: float) -> tuple[float, float, float, float]:
        """Return price, bid, ask and volume of an instrument `session` sessions after the feed's begin."""
        draw = self._random.random
        time = shape_integral(session)
        self._logs[pick] += self._move(pick, time)
        per_price, numerator, denominator = self._grids[pick]
        steps = max(1, round(math.exp(self._logs[pick]) * per_price))
        spread = _SPREADS[int(draw() * len(_SPREADS))]
        bid = steps - (0 if draw() < 0.5 or steps <= spread else spread)  # noqa: PLR2004 - as many buys as sells
        shape = session_shape(session % 1.0)
        volume = self._volumes[int(draw() * _VOLUME_STEPS)] * shape
        return (
            steps * numerator / denominator,
            bid * numerator / denominator,
            (bid + spread) * numerator / denominator,
            max(1, round(volume)) * self._lots[pick],
        )

    def _move(self, pick: int, time: float) -> float:
        """Return the change of the log price since the instrument's last tick; `time` is in sessions of shape 1."""
        gauss = self._random.gauss
        self._factor += gauss(0.0, 1.0) * math.sqrt(max(0.0, time - self._factor_time))
        self._factor_time = time
        passed = max(0.0, time - self._times[pick])  # rounding may go back by a hair
        own = gauss(0.0, 1.0) * math.sqrt(passed)
        common = self._factor - self._factors[pick]
        move = self._drift * passed + self._sigma * (self._common * common + self._own * own)
        while self._jump_times[pick] <= time:
            move += gauss(0.0, self._jump_sigma)
            self._jump_times[pick] += self._random.expovariate(JUMPS_PER_SESSION)
        self._times[pick], self._factors[pick] = time, self._factor
        return move


def _volume_table(source: random.Random) -> list[float]:
    """Return lots drawn from a lognormal distribution, for quick drawing with replacement."""
    return [source.lognormvariate(math.log(_MEDIAN_LOTS), _VOLUME_SIGMA) for _ in range(_VOLUME_STEPS)]
