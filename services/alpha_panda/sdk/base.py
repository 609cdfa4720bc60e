"""The base class of all strategies and of their parameters."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderType, Side, Validity
from alpha_panda.contracts.events import OrderUpdate, Tick
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.sdk.bars import Bar
from alpha_panda.sdk.intents import (
    CancelIntent,
    Number,
    OrderIntent,
    StrategyRuntime,
    check_order_prices,
    exact,
    order_price,
)


class StrategyParameters(BaseModel):
    """Base of a strategy's parameters: what `spec.parameters` of its manifest may hold.

    Field names are snake_case in Python; manifests may write camelCase or snake_case. Unknown names are refused.
    Give each field a default and a description.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, values: Any) -> Any:  # noqa: ANN401 - what a manifest holds may be anything
        """Refuse a parameter that is given twice: in camelCase and in snake_case."""
        if isinstance(values, dict):
            for name in cls.model_fields:
                if to_camel(name) != name and name in values and to_camel(name) in values:
                    raise ValueError(f"{to_camel(name)} and {name} are the same parameter: give one of them")
        return values


class Strategy:
    """Base of all strategies: synchronous, no I/O, no clock, state per instrument.

    One instance serves one pair of strategy and account, with all instruments of the strategy. Override the
    `on_…` methods that you need; the order of calls is: constructor, `on_start`, `restore` (only if there is a
    checkpoint), then events. An exception stops the strategy on that account: alone in its process, the process ends
    and starts again from the checkpoint; beside others, they go on and it stays stopped until a restart.

    Set `Parameters` to your own subclass of StrategyParameters, and annotate `parameters` with it.
    """

    Parameters: ClassVar[type[StrategyParameters]] = StrategyParameters
    parameters: StrategyParameters

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        declared: object = cls.Parameters
        if not (isinstance(declared, type) and issubclass(declared, StrategyParameters)):
            raise TypeError(
                f"{cls.__name__}.Parameters must be a subclass of StrategyParameters, not {declared!r}"
            )

    def __init__(
        self, parameters: StrategyParameters, instruments: Sequence[Instrument], runtime: StrategyRuntime
    ) -> None:
        if not isinstance(parameters, self.Parameters):
            raise TypeError(
                f"{type(self).__name__} takes {self.Parameters.__name__}, not {type(parameters).__name__}"
            )
        self.parameters = parameters
        self.runtime = runtime
        self._master = InstrumentMaster.of(instruments)

    # ------------------------------------------------------------------------------------- to be overridden

    @property
    def bar_seconds(self) -> int:
        """Length of the bars that `on_bar` gets, in seconds; 0: none.

        By default the parameter `bar_seconds`, if there is one. A class attribute may replace it. Read once,
        after the constructor.
        """
        seconds: int = getattr(self.parameters, "bar_seconds", 0)
        return seconds

    def on_start(self) -> None:
        """Set up state; called once, before `restore` and all events. No order can be sent from here."""

    def on_tick(self, tick: Tick) -> None:
        """Handle a price of one of the strategy's instruments."""

    def on_bar(self, bar: Bar) -> None:
        """Handle a finished bar of `bar_seconds`."""

    def on_order(self, order: OrderUpdate) -> None:
        """Handle news of an own order; `position` already includes it. Quantities are cumulative."""

    def on_rejected(self, signal_id: str, code: Code, message: str) -> None:
        """Handle the refusal of an own signal: no order was made of it."""

    def on_gap(self, reason: str) -> None:
        """Handle that ticks or order news were missed; `position` is right again. No order can be sent from here."""

    def snapshot(self) -> object:
        """Return the state as what MessagePack can hold: None, bool, int, float, str, bytes, list, dict.

        Called after any event that sent a signal, so it should be cheap.
        """
        return None

    def explain(self, token: int) -> Mapping[str, object]:  # noqa: ARG002 - for those who override it
        """Return what the strategy goes by on this instrument just now, by name: for people, see `alpha-panda explain`.

        Asked once for each signal, while it is being sent: it goes with the signal. At most 20 entries of 100
        characters each, and 2 KB in all, are taken; what it raises is told in their place and stops nothing. It must
        change nothing, and can send no order.
        """
        return {}

    def restore(self, state: object) -> None:
        """Take over what `snapshot` returned, perhaps with other parameters or instruments than now."""

    # ----------------------------------------------------------------------------------------- to be called

    def buy(  # noqa: PLR0913 - an order has that many terms; all but two are named and have defaults
        self,
        token: int,
        quantity: Number,
        *,
        order_type: OrderType = OrderType.MARKET,
        limit_price: Number | None = None,
        trigger_price: Number | None = None,
        validity: Validity = Validity.DAY,
        reason: str = "",
    ) -> str:
        """Send a signal to buy and return its id.

        Raises:
            TypeError: a float as quantity or price.
            ValueError: quantity or price not above zero, price off the tick grid, or not what the type needs.
            UnknownInstrumentError: the token is not one of the strategy's instruments.

        """
        return self._order(
            token,
            Side.BUY,
            quantity,
            order_type=order_type,
            limit_price=limit_price,
            trigger_price=trigger_price,
            validity=validity,
            reason=reason,
        )

    def sell(  # noqa: PLR0913 - as `buy`
        self,
        token: int,
        quantity: Number,
        *,
        order_type: OrderType = OrderType.MARKET,
        limit_price: Number | None = None,
        trigger_price: Number | None = None,
        validity: Validity = Validity.DAY,
        reason: str = "",
    ) -> str:
        """Send a signal to sell and return its id; errors as in `buy`."""
        return self._order(
            token,
            Side.SELL,
            quantity,
            order_type=order_type,
            limit_price=limit_price,
            trigger_price=trigger_price,
            validity=validity,
            reason=reason,
        )

    def cancel(self, signal_id: str, reason: str = "") -> str:
        """Ask to cancel the order that this signal made; return the id of the request."""
        return self.runtime.submit(CancelIntent(signal_id=signal_id, reason=reason))

    def position(self, token: int) -> Decimal:
        """Return the confirmed position, from fills: signed quantity."""
        return self.runtime.position(token)

    def has_open_order(self, token: int) -> bool:
        """Whether an own order on this instrument is under way: sent, and not ended."""
        return self.runtime.has_open_order(token)

    @property
    def now(self) -> int:
        """Time of the event being handled, UTC ns; never wall-clock time."""
        return self.runtime.now()

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The strategy's instruments, in the order of its manifest."""
        return tuple(self._master)

    def instrument(self, token: int) -> Instrument:
        """Return one of the strategy's instruments; UnknownInstrumentError for another token."""
        return self._master.token(token)

    def _order(  # noqa: PLR0913 - as `buy`
        self,
        token: int,
        side: Side,
        quantity: Number,
        *,
        order_type: OrderType,
        limit_price: Number | None,
        trigger_price: Number | None,
        validity: Validity,
        reason: str,
    ) -> str:
        instrument = self.instrument(token)
        intent = OrderIntent(
            token=token,
            side=side,
            quantity=exact(quantity, "quantity"),
            order_type=order_type,
            limit_price=order_price(limit_price, "limit_price", instrument),
            trigger_price=order_price(trigger_price, "trigger_price", instrument),
            validity=validity,
            reason=reason,
        )
        check_order_prices(intent)
        return self.runtime.submit(intent)
