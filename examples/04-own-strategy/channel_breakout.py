"""A strategy of one's own: buy when the price leaves its recent range upwards, sell when it falls out of it.

The rule is Donchian's channel (as told in C. Faith, "Way of the Turtle", 2007), on ticks instead of days.
"""

from collections import deque
from decimal import Decimal

from pydantic import Field

from alpha_panda.sdk import OrderType, Strategy, StrategyParameters, Tick, Validity


class ChannelBreakout(Strategy):
    """Long above the highest of `window` prices, flat below the lowest of the last `exit_window`.

    It enters by a limit order that is filled at once or not at all, so that it never pays more than `slack_ticks`
    above the price it saw, and leaves at the market.
    """

    class Parameters(StrategyParameters):
        """What `spec.parameters` may hold."""

        window: int = Field(200, ge=2, le=5000, description="Prices whose highest must be exceeded.")
        exit_window: int = Field(100, ge=1, le=5000, description="Prices whose lowest must be undercut.")
        quantity: Decimal = Field(
            Decimal(1), gt=0, description="Units of each buy; a multiple of the lot size."
        )
        slack_ticks: int = Field(5, ge=0, le=1000, description="Tick sizes above the last price still paid.")

    parameters: Parameters

    def on_start(self) -> None:
        """Begin with an empty range for each instrument."""
        size = max(self.parameters.window, self.parameters.exit_window)
        self.prices: dict[int, deque[float]] = {each.token: deque(maxlen=size) for each in self.instruments}

    def on_tick(self, tick: Tick) -> None:
        """Compare the price with the range before it."""
        seen = self.prices[tick.token]
        if len(seen) == seen.maxlen and not self.has_open_order(tick.token):
            self._decide(tick, list(seen))
        seen.append(tick.last_price)

    def _decide(self, tick: Tick, seen: list[float]) -> None:
        held = self.position(tick.token)
        if held > 0:
            if tick.last_price < min(seen[-self.parameters.exit_window :]):
                self.sell(tick.token, held, reason="below the channel")
        elif tick.last_price > max(seen[-self.parameters.window :]):
            instrument = self.instrument(tick.token)
            limit = instrument.quantize(tick.last_price) + self.parameters.slack_ticks * instrument.tick_size
            self.buy(
                tick.token,
                self.parameters.quantity,
                order_type=OrderType.LIMIT,
                limit_price=limit,
                validity=Validity.IOC,
                reason="above the channel",
            )

    def snapshot(self) -> object:
        """Return the ranges: after a restart the strategy goes on where it was."""
        return {token: list(seen) for token, seen in self.prices.items()}

    def restore(self, state: object) -> None:
        """Take the ranges over; instruments that are gone are dropped, windows may have another size now."""
        if isinstance(state, dict):
            for token, seen in state.items():
                if token in self.prices:
                    self.prices[token].extend(seen)
