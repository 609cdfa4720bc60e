"""What the account holds at Zerodha: positions, holdings and money, as one `PortfolioReading`. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from alpha_panda.adapters.http.exchange import Exchange
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import BrokerPosition, PortfolioReading

from .answers import data_of, items_of
from .wire import Funds, Holding, Margins, Position, Positions, listed, parsed, sound, units_of

POSITIONS: Final = "/portfolio/positions"
HOLDINGS: Final = "/portfolio/holdings"
MARGINS: Final = "/user/margins"

COMMODITIES: Final = frozenset({"MCX", "NCO"})
"""Exchanges whose trades are paid from the commodity segment."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the three calls brought."""

    positions: Exchange
    holdings: Exchange
    margins: Exchange


class PortfolioReader:
    """Makes readings of what was read. Args as `book.BookReader`."""

    def __init__(
        self,
        user_id: str,
        instruments: Callable[[], InstrumentMaster],
        trading_day: Callable[[int], str],
    ) -> None:
        self._user_id = user_id
        self._instruments = instruments
        self._trading_day = trading_day

    def reading(self, begun_at: int, answers: Answers | None) -> PortfolioReading:
        """Return what the answers come to; what can't be read is left out, and the reading incomplete."""
        master = self._instruments()
        positions = holdings = None
        cash = None
        if answers is not None:
            positions = _all(_position(item, master) for item in _positions(answers.positions))
            holdings = _all(_holding(item, master) for item in _holdings(answers.holdings))
            cash = cash_of(data_of(answers.margins, Margins), master)
        return PortfolioReading(
            complete=None not in (positions, holdings, cash),
            begun_at=begun_at,
            user=self._user_id,
            trading_day=self._trading_day(begun_at),
            positions=positions or (),
            holdings=holdings or (),
            cash=cash,
        )


def cash_of(margins: Margins | None, master: InstrumentMaster) -> Decimal | None:
    """Return what may be traded with now: of the segments that the feed's instruments are paid from. None: not told."""
    if margins is None:
        return None
    exchanges = {instrument.exchange for instrument in master}
    segments: list[Funds | None] = []
    if exchanges - COMMODITIES or not exchanges:
        segments.append(margins.equity)
    if exchanges & COMMODITIES:
        segments.append(margins.commodity)
    told = [segment.net if segment is not None else None for segment in segments]
    if not all(net is not None and sound(net) for net in told):
        return None
    return sum((net for net in told if net is not None), ZERO)


def _positions(exchange: Exchange) -> Iterable[Position | None]:
    found = data_of(exchange, Positions)
    return (None,) if found is None or found.net is None else found.net


def _holdings(exchange: Exchange) -> Iterable[Holding | None]:
    items = items_of(exchange)
    return (None,) if items is None else (parsed(item, Holding) for item in items)


def _position(item: Position | None, master: InstrumentMaster) -> BrokerPosition | None:
    if item is None or not sound(
        item.quantity, item.overnight_quantity, item.average_price, item.last_price, item.realised
    ):
        return None
    symbol = f"{item.exchange}:{item.tradingsymbol}"
    instrument = listed(master, symbol, item.instrument_token)
    unit = units_of(instrument, item.exchange)
    return BrokerPosition(
        instrument_token=instrument.token if instrument is not None else item.instrument_token,
        symbol=symbol,
        product=item.product,
        quantity=item.quantity * unit,
        average_price=item.average_price or ZERO,
        last_price=item.last_price or ZERO,
        overnight_quantity=(item.overnight_quantity or ZERO) * unit,
        realised=item.realised or ZERO,
    )


def _holding(item: Holding | None, master: InstrumentMaster) -> BrokerPosition | None:
    """Return shares owned since before today, those that are on their way into the depository too.

    What is bought and sold today is a position of the day: the holding stays as it was in the morning.
    """
    if item is None or not sound(
        item.quantity, item.t1_quantity, item.opening_quantity, item.average_price, item.last_price
    ):
        return None
    symbol = f"{item.exchange}:{item.tradingsymbol}"
    instrument = listed(master, symbol, item.instrument_token)
    since_today = item.quantity + (item.t1_quantity or ZERO)
    quantity = since_today if item.opening_quantity is None else item.opening_quantity
    return BrokerPosition(
        instrument_token=instrument.token if instrument is not None else item.instrument_token,
        symbol=symbol,
        product="CNC",
        quantity=quantity,
        average_price=item.average_price or ZERO,
        last_price=item.last_price or ZERO,
        overnight_quantity=quantity,
    )


def _all(items: Iterable[BrokerPosition | None]) -> tuple[BrokerPosition, ...] | None:
    """Return the items, or None if one of them is missing: what can't be read may be what matters."""
    found = list(items)
    return None if None in found else tuple(item for item in found if item is not None)
