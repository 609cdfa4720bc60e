"""What the shipped strategies share: at most one order in flight per instrument, towards long, flat or short."""

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Final, Generic, TypeVar

import msgspec
from pydantic import Field

from alpha_panda.sdk import Code, OrderStatus, OrderUpdate, Strategy, StrategyParameters
from alpha_panda.strategies.indicators import Indicator

LONG: Final = 1
FLAT: Final = 0
SHORT: Final = -1

_SECOND: Final = 1_000_000_000
_REFUSALS: Final = (OrderStatus.FAILED, OrderStatus.CANCELLED, OrderStatus.LOST)


class DirectionalParameters(StrategyParameters):
    """Parameters that all shipped strategies have."""

    quantity: Decimal = Field(
        default=Decimal(1),
        gt=0,
        allow_inf_nan=False,
        description="Units of each opening order; a lot multiple.",
    )
    allow_short: bool = Field(
        default=False, description="Whether to go short where the strategy would otherwise be flat."
    )
    retry_seconds: int = Field(
        default=30,
        ge=0,
        le=86_400,
        description="Seconds (event time) without a new order on an instrument after one was refused.",
    )


class _Saved(msgspec.Struct):
    """Snapshot: parameters that shaped the memory, and per token memory, last signal and end of the pause."""

    shape: list[int]
    memory: dict[int, list[float]]
    sent: dict[int, str]
    paused: dict[int, int]


IndicatorT = TypeVar("IndicatorT", bound=Indicator)


class DirectionalStrategy(Strategy, Generic[IndicatorT]):
    """Moves each instrument's confirmed position towards long, flat or short by MARKET orders.

    A position of the wrong sign is closed first, in full (such an order reduces, so that risk limits let it pass),
    and the new one is opened on a later event. A position of the right sign is left alone, whatever its size.
    After a refusal the instrument pauses for `retry_seconds`: repeating at every tick would be a runaway loop.

    A subclass makes one indicator per instrument and says which parameters shape it (`shape`): a snapshot made
    with others is not used for the indicators, which then warm up anew.
    """

    Parameters: ClassVar[type[StrategyParameters]] = DirectionalParameters
    parameters: DirectionalParameters

    def make_indicator(self) -> IndicatorT:
        """Return a fresh indicator for one instrument."""
        raise NotImplementedError

    def shape(self) -> list[int]:
        """Return the parameters that make a dumped indicator usable."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Begin with fresh indicators and no order."""
        self.memory: dict[int, IndicatorT] = {each.token: self.make_indicator() for each in self.instruments}
        self._sent: dict[int, str] = {}
        self._paused: dict[int, int] = {}
        self.below = SHORT if self.parameters.allow_short else FLAT
        """Where to go when the strategy would rather not be long."""
        self.settled: dict[int, int] = {}
        """Sign of the confirmed position where known: `position` only changes together with `on_order`."""

    def aim(self, token: int, sign: int, reason: str) -> None:
        """Work towards a long (LONG), no (FLAT) or a short (SHORT) position; cheap when it is there already."""
        if self.settled.get(token) == sign:
            return
        held = self.position(token)
        held_sign = (held > 0) - (held < 0)
        if held_sign == sign:
            self.settled[token] = sign
        elif not self.has_open_order(token) and self._paused.get(token, 0) <= self.now:
            order = self.sell if held_sign > 0 or (held_sign == 0 and sign < 0) else self.buy
            self._sent[token] = order(
                token, abs(held) if held_sign else self.parameters.quantity, reason=reason
            )

    def on_order(self, order: OrderUpdate) -> None:
        """Look at the position anew; pause the instrument when its order ended without being filled in full."""
        self.settled.pop(order.instrument_token, None)
        if order.status in _REFUSALS:
            self._pause(order.instrument_token)

    def on_rejected(self, signal_id: str, code: Code, message: str) -> None:  # noqa: ARG002 - the base's signature
        """Pause the instrument whose signal was rejected."""
        for token, sent in self._sent.items():
            if sent == signal_id:
                self._pause(token)

    def _pause(self, token: int) -> None:
        self._paused[token] = self.now + self.parameters.retry_seconds * _SECOND

    def on_gap(self, reason: str) -> None:  # noqa: ARG002 - the base's signature
        """Look at all positions anew. Indicators go on: a gap is one larger step."""
        self.settled.clear()

    def explain(self, token: int) -> Mapping[str, object]:
        """Return what the indicator shows (`figures`), and the position that the order starts from."""
        return {**self.figures(token), "position": self.position(token)}

    def figures(self, token: int) -> Mapping[str, object]:  # noqa: ARG002 - for those who override it
        """Return the numbers that an order of this instrument comes from, by name."""
        return {}

    def snapshot(self) -> object:
        """Return the indicators' states, the last signals and the pauses."""
        memory = {token: indicator.dump() for token, indicator in self.memory.items()}
        return msgspec.to_builtins(_Saved(self.shape(), memory, self._sent, self._paused))

    def restore(self, state: object) -> None:
        """Take over a snapshot; instruments that are no longer there are dropped, new ones warm up."""
        saved = msgspec.convert(state, _Saved)
        self._sent, self._paused = saved.sent, saved.paused
        if saved.shape != self.shape():
            return
        for token, dumped in saved.memory.items():
            if token in self.memory:
                self.memory[token].load(dumped)
