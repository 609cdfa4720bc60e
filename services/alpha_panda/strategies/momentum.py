"""Momentum: follow a move of some size over the last ticks."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from pydantic import Field

from alpha_panda.sdk import Tick
from alpha_panda.strategies.directional import LONG, DirectionalParameters, DirectionalStrategy
from alpha_panda.strategies.indicators import MAX_WINDOW, Lookback

_SLACK: Final = 1e-12
"""A return that equals the threshold in decimal counts: more than float rounding, less than any price step."""


class MomentumParameters(DirectionalParameters):
    """Parameters of Momentum."""

    lookback: int = Field(
        default=20, ge=1, le=MAX_WINDOW, description="Ticks over which the return is taken."
    )
    threshold_bps: Decimal = Field(
        default=Decimal(10),
        gt=0,
        lt=10_000,
        allow_inf_nan=False,
        description="Return, in basis points (1/100 %), that counts as a move.",
    )


class Momentum(DirectionalStrategy[Lookback]):
    """Long when price / price `lookback` ticks ago - 1 >= threshold; out (or short) when <= -threshold.

    Between the thresholds it keeps what it has. Time-series momentum: T. Moskowitz, Y. H. Ooi, L. H. Pedersen,
    "Time series momentum", Journal of Financial Economics 104 (2012), here with a threshold against noise.
    """

    Parameters = MomentumParameters
    parameters: MomentumParameters

    def on_start(self) -> None:
        """Work the thresholds out once."""
        super().on_start()
        lookback, bps = self.parameters.lookback, self.parameters.threshold_bps
        self._rise = float(1 + bps / 10_000) - _SLACK
        self._fall = float(1 - bps / 10_000) + _SLACK
        self._rose = f"return over {lookback} ticks >= {bps} bps"
        self._fell = f"return over {lookback} ticks <= -{bps} bps"
        self._compared = (0.0, 0.0)

    def make_indicator(self) -> Lookback:
        """Remember `lookback` prices."""
        return Lookback(self.parameters.lookback)

    def shape(self) -> list[int]:
        """Return the lookback."""
        return [self.parameters.lookback]

    def on_tick(self, tick: Tick) -> None:
        """Compare the price with that of `lookback` ticks ago (NaN, so false, while there is none)."""
        prices = self.memory[tick.token].prices
        old = prices[0]
        price = tick.last_price
        prices.append(price)
        if price >= old * self._rise:
            if old > 0.0:  # a return on a price of zero or less means nothing
                self._compared = (price, old)
                self.aim(tick.token, LONG, self._rose)
        elif price <= old * self._fall and old > 0.0:
            self._compared = (price, old)
            self.aim(tick.token, self.below, self._fell)

    def figures(self, token: int) -> Mapping[str, object]:  # noqa: ARG002 - those of the price being handled
        """Return the two prices that were compared, the return between them and the threshold."""
        price, old = self._compared
        return {
            "price": price,
            f"price {self.parameters.lookback} ticks ago": old,
            "return": f"{(price / old - 1) * 10_000:.2f} bps" if old else "none",
            "threshold": f"{self.parameters.threshold_bps:f} bps",
        }
