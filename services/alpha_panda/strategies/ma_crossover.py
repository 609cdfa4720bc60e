"""Moving-average crossover: long after the fast mean has crossed above the slow one, until it crosses back."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from alpha_panda.sdk import Bar, Tick
from alpha_panda.strategies.directional import LONG, DirectionalParameters, DirectionalStrategy
from alpha_panda.strategies.indicators import MAX_WINDOW, Crossover


class MaCrossoverParameters(DirectionalParameters):
    """Parameters of MaCrossover."""

    fast: int = Field(
        default=10, ge=1, le=MAX_WINDOW, description="Prices in the fast mean; less than `slow`."
    )
    slow: int = Field(default=30, ge=2, le=MAX_WINDOW, description="Prices in the slow mean.")
    bar_seconds: int = Field(
        default=0, ge=0, le=86_400, description="Length of the bars whose closes are used; 0: every tick."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        return self


class MaCrossover(DirectionalStrategy[Crossover]):
    """Long once mean(last `fast` prices) crosses above mean(last `slow`); out (or short) once it crosses below.

    Simple means. Which one is above when the means first exist is no crossing: nothing is done before the first.
    Source: W. Brock, J. Lakonishok, B. LeBaron, "Simple technical trading rules and the stochastic properties of
    stock returns", Journal of Finance 47 (1992): the variable-length moving average rule, without a band.
    """

    Parameters = MaCrossoverParameters
    parameters: MaCrossoverParameters

    def on_start(self) -> None:
        """Work the reasons out once."""
        super().on_start()
        fast, slow = self.parameters.fast, self.parameters.slow
        self._by_tick = self.bar_seconds == 0
        self._above = f"mean of {fast} crossed above mean of {slow}"
        self._under = f"mean of {fast} crossed below mean of {slow}"

    def make_indicator(self) -> Crossover:
        """Follow both means."""
        return Crossover(self.parameters.fast, self.parameters.slow)

    def shape(self) -> list[int]:
        """Return both lengths and that of the bars."""
        return [self.parameters.fast, self.parameters.slow, self.parameters.bar_seconds]

    def on_tick(self, tick: Tick) -> None:
        """Use the price, unless bars are asked for."""
        if self._by_tick:
            self._see(tick.token, tick.last_price)

    def on_bar(self, bar: Bar) -> None:
        """Use the bar's close."""
        self._see(bar.token, bar.close)

    def _see(self, token: int, price: float) -> None:
        side = self.memory[token].add(price)
        if side > 0:
            self.aim(token, LONG, self._above)
        elif side < 0:
            self.aim(token, self.below, self._under)

    def figures(self, token: int) -> Mapping[str, object]:
        """Return both means."""
        fast, slow = self.memory[token].means()
        return {f"mean of {self.parameters.fast}": fast, f"mean of {self.parameters.slow}": slow}
