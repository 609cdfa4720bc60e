"""Mean reversion: buy what is unusually far below its recent mean, sell when it is back."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from alpha_panda.sdk import Tick
from alpha_panda.strategies.directional import FLAT, LONG, DirectionalParameters, DirectionalStrategy
from alpha_panda.strategies.indicators import MAX_WINDOW, RollingScore


class MeanReversionParameters(DirectionalParameters):
    """Parameters of MeanReversion."""

    window: int = Field(
        default=50, ge=3, le=MAX_WINDOW, description="Ticks of the rolling mean and standard deviation."
    )
    entry_z: Decimal = Field(
        default=Decimal(2),
        gt=0,
        allow_inf_nan=False,
        description="Standard deviations from the mean at which a position is opened.",
    )
    exit_z: Decimal = Field(
        default=Decimal("0.5"),
        ge=0,
        allow_inf_nan=False,
        description="Standard deviations from the mean at which it is closed; less than `entry_z`.",
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        """Refuse thresholds that can't work: the score of a value within its own window is at most √(window-1)."""
        if self.exit_z >= self.entry_z:
            raise ValueError(f"exitZ ({self.exit_z}) must be less than entryZ ({self.entry_z})")
        if self.entry_z**2 >= self.window - 1:
            raise ValueError(
                f"entryZ ({self.entry_z}) is never reached with window {self.window}: "
                f"it must be less than the square root of window - 1"
            )
        return self


class MeanReversion(DirectionalStrategy[RollingScore]):
    """Long when z <= -entry_z, out when z >= -exit_z; with `allow_short` also short when z >= entry_z, out at exit_z.

    z = (price - mean) / standard deviation (population), both of the last `window` prices, the newest among them:
    the bands of J. Bollinger, "Bollinger on Bollinger Bands" (2001), used as in E. Chan, "Algorithmic Trading"
    (2013), chapter 3. Prices without any spread have no z and cause nothing.
    """

    Parameters = MeanReversionParameters
    parameters: MeanReversionParameters

    def on_start(self) -> None:
        """Work the thresholds out once."""
        super().on_start()
        entry, leave = self.parameters.entry_z, self.parameters.exit_z
        self._entry, self._exit = float(entry), float(leave)
        self._low, self._high = f"z <= -{entry}", f"z >= {entry}"
        self._back = f"z is back within {leave} of the mean"
        self._score = 0.0

    def make_indicator(self) -> RollingScore:
        """Score prices within `window`."""
        return RollingScore(self.parameters.window)

    def shape(self) -> list[int]:
        """Return the window."""
        return [self.parameters.window]

    def on_tick(self, tick: Tick) -> None:
        """Score the price (NaN, so no order, without a full window or without spread)."""
        token = tick.token
        z = self.memory[token].add(tick.last_price)
        if z <= -self._entry:
            self._score = z
            self.aim(token, LONG, self._low)
        elif z >= self._entry:
            self._score = z
            self.aim(token, self.below, self._high)
        elif self.settled.get(token) != FLAT:
            self._leave(token, z)

    def _leave(self, token: int, z: float) -> None:
        """Close what is held once the score is back at the exit on its side."""
        self._score = z
        short = self.position(token) < 0
        if (z <= self._exit) if short else (z >= -self._exit):
            self.aim(token, FLAT, self._back)

    def figures(self, token: int) -> Mapping[str, object]:
        """Return the score, what it is taken of, and the thresholds."""
        mean, deviation = self.memory[token].moments()
        return {
            "z": f"{self._score:.4f}",
            f"mean of {self.parameters.window}": mean,
            "standard deviation": deviation,
            "enters at": f"±{self.parameters.entry_z:f}",
            "leaves at": f"±{self.parameters.exit_z:f}",
        }
