"""RSI: buy when falls have dominated, sell when rises have."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from alpha_panda.sdk import Bar, Tick
from alpha_panda.strategies.directional import LONG, DirectionalParameters, DirectionalStrategy
from alpha_panda.strategies.indicators import MAX_WINDOW, WilderRsi


class RsiParameters(DirectionalParameters):
    """Parameters of Rsi."""

    period: int = Field(
        default=14, ge=2, le=MAX_WINDOW, description="Changes that Wilder's smoothing averages over."
    )
    oversold: Decimal = Field(default=Decimal(30), gt=0, lt=100, description="RSI at or below which to buy.")
    overbought: Decimal = Field(
        default=Decimal(70), gt=0, lt=100, description="RSI at or above which to sell."
    )
    bar_seconds: int = Field(
        default=0, ge=0, le=86_400, description="Length of the bars whose closes are used; 0: every tick."
    )

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.oversold >= self.overbought:
            raise ValueError(f"oversold ({self.oversold}) must be less than overbought ({self.overbought})")
        return self


class Rsi(DirectionalStrategy[WilderRsi]):
    """Long when RSI <= oversold; out (or short) when RSI >= overbought; in between it keeps what it has.

    RSI = 100 - 100 / (1 + average gain / average loss) with Wilder's smoothing; see `indicators.WilderRsi`.
    """

    Parameters = RsiParameters
    parameters: RsiParameters

    def on_start(self) -> None:
        """Work the thresholds out once."""
        super().on_start()
        low, high = self.parameters.oversold, self.parameters.overbought
        self._oversold, self._overbought = float(low), float(high)
        self._by_tick = self.bar_seconds == 0
        self._low, self._high = f"RSI <= {low}", f"RSI >= {high}"
        self._index = 0.0

    def make_indicator(self) -> WilderRsi:
        """Average over `period` changes."""
        return WilderRsi(self.parameters.period)

    def shape(self) -> list[int]:
        """Return the period and the length of the bars."""
        return [self.parameters.period, self.parameters.bar_seconds]

    def on_tick(self, tick: Tick) -> None:
        """Use the price, unless bars are asked for."""
        if self._by_tick:
            self._see(tick.token, tick.last_price)

    def on_bar(self, bar: Bar) -> None:
        """Use the bar's close."""
        self._see(bar.token, bar.close)

    def _see(self, token: int, price: float) -> None:
        rsi = self.memory[token].add(price)
        if rsi <= self._oversold:
            self._index = rsi
            self.aim(token, LONG, self._low)
        elif rsi >= self._overbought:
            self._index = rsi
            self.aim(token, self.below, self._high)

    def figures(self, token: int) -> Mapping[str, object]:  # noqa: ARG002 - those of the price being handled
        """Return the index and the thresholds."""
        return {
            f"RSI({self.parameters.period})": f"{self._index:.2f}",
            "buys at": f"{self.parameters.oversold:f}",
            "sells at": f"{self.parameters.overbought:f}",
        }
