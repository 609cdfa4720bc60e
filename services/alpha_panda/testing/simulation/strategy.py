"""The strategy of the simulation: at its n-th tick it does what the scenario says."""

from decimal import Decimal  # noqa: TC003 - one style of imports
from typing import Final, NamedTuple

from pydantic import Field

from alpha_panda.contracts.enums import OrderType, Side
from alpha_panda.contracts.events import Tick
from alpha_panda.sdk import Strategy, StrategyParameters


class Action(NamedTuple):
    """One thing to do. `offset`: of a limit from the tick's price, as a share; None: a MARKET order.

    `side` None: cancel the order that was sent last.
    """

    side: Side | None
    quantity: int = 1
    offset: float | None = None


Script = dict[int, list[Action]]

SCRIPTS: Final[dict[str, Script]] = {}
"""What each strategy does, by the parameter `label`: the scenario's, for the run at hand."""


class ScriptedParameters(StrategyParameters):
    """Whose script it is."""

    label: str = Field(default="", description="Key of `SCRIPTS`.")


class Scripted(Strategy):
    """Trades by the number of ticks it has seen; a restart goes on counting from the checkpoint."""

    Parameters = ScriptedParameters
    parameters: ScriptedParameters

    def on_start(self) -> None:
        """See the base class."""
        self.seen = 0
        self.last = ""

    def on_tick(self, tick: Tick) -> None:
        """See the base class."""
        self.seen += 1
        for action in SCRIPTS.get(self.parameters.label, {}).get(self.seen, ()):
            self._act(action, tick)

    def snapshot(self) -> object:
        """See the base class."""
        return [self.seen, self.last]

    def restore(self, state: object) -> None:
        """See the base class."""
        if not isinstance(state, list):
            raise TypeError(f"not a state of this strategy: {state!r}")
        self.seen, self.last = state

    def _act(self, action: Action, tick: Tick) -> None:
        if action.side is None:
            if self.last:
                self.cancel(self.last)
            return
        send = self.buy if action.side is Side.BUY else self.sell
        if action.offset is None:
            self.last = send(tick.token, action.quantity)
            return
        price: Decimal = self.instrument(tick.token).quantize(tick.last_price * (1 + action.offset))
        self.last = send(tick.token, action.quantity, order_type=OrderType.LIMIT, limit_price=price)
