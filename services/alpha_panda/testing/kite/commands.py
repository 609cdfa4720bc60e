"""What another process can tell the local Kite to do, as values; and how the server does it."""

from decimal import Decimal
from typing import Any, Protocol, assert_never

import msgspec

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.units import nanoseconds

from .core import KiteCore
from .faults import BookFault, CallFault, CancelFault, KitePlaceFault, PlaceFault
from .sockets import Hub, SocketFault


class Obedient(Protocol):
    """What is commanded: see `server.KiteServer`."""

    core: KiteCore
    hub: Hub
    ticks_per_second: float

    def now(self) -> int:
        """Return the time."""

    def new_session(self) -> str:
        """Log in."""

    def request_token(self) -> str:
        """Log in as with the browser."""

    async def refuse_for(self, seconds: float) -> None:
        """Take no connections for a while."""


class _Command(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower, omit_defaults=True):
    pass


class Plan(_Command, frozen=True, kw_only=True):
    """Misbehave so the next `times`, or (if not None) for so many `seconds` from now."""

    fault: PlaceFault | KitePlaceFault | CancelFault | BookFault | CallFault
    times: int = 1
    seconds: float | None = None


class Behave(_Command, frozen=True, kw_only=True):
    """Forget what is planned."""


class Price(_Command, frozen=True, kw_only=True):
    """Move the market."""

    token: int
    price: Decimal


class Fill(_Command, frozen=True, kw_only=True):
    """Trade so much of an order."""

    order_id: str
    quantity: int
    price: Decimal


class Reject(_Command, frozen=True, kw_only=True):
    """Refuse an order that was taken."""

    order_id: str
    message: str = "refused by the exchange"


class Elsewhere(_Command, frozen=True, kw_only=True):
    """Place an order as the client does in Kite's own app: without a tag."""

    token: int
    side: Side
    quantity: int
    product: str = "MIS"
    price: Decimal = ZERO


class SquareOff(_Command, frozen=True, kw_only=True):
    """Close the intraday positions."""


class EndSession(_Command, frozen=True, kw_only=True):
    """End what is open."""


class Day(_Command, frozen=True, kw_only=True):
    """End the day, begin another."""

    trading_day: str


class Silence(_Command, frozen=True, kw_only=True):
    """Take no connections for so many seconds."""

    seconds: float


class Login(_Command, frozen=True, kw_only=True):
    """Log in elsewhere: a new access token, the one before dies. `exchanged` False: only its request token."""

    exchanged: bool = True


class Expire(_Command, frozen=True, kw_only=True):
    """Kill all access tokens; open sockets stay."""


class Configure(_Command, frozen=True, kw_only=True):
    """Change fields of the configuration."""

    changes: dict[str, Any]


class Walk(_Command, frozen=True, kw_only=True):
    """Let prices move so often a second."""

    ticks_per_second: float


class Sockets(_Command, frozen=True, kw_only=True):
    """Let something go wrong with the sockets."""

    fault: SocketFault


Command = (
    Plan | Behave | Price | Fill | Reject | Elsewhere | SquareOff | EndSession | Day | Silence | Login | Expire
    | Configure | Walk | Sockets
)  # fmt: skip


async def obey(server: Obedient, command: Command) -> str:  # noqa: C901, PLR0912 - a list of commands
    """Do it; return the token or order id that came of it, empty if none did.

    Raises:
        KeyError: no such order or instrument.
        ValueError: the configuration can't be so.

    """
    core, now = server.core, server.now()
    match command:
        case Plan(fault=fault, times=times, seconds=None):
            core.plan(fault, times)
        case Plan(fault=fault, seconds=float() as seconds):
            core.plan_during(fault, now, now + nanoseconds(seconds))
        case Plan(fault=fault):
            core.plan(fault)
        case Behave():
            core.behave()
        case Price(token=token, price=price):
            core.set_price(token, price, now)
        case Fill(order_id=order_id, quantity=quantity, price=price):
            core.fill(order_id, quantity, price, now)
        case Reject(order_id=order_id, message=message):
            core.refuse(order_id, now, message)
        case Elsewhere():
            return _elsewhere(server, command, now)
        case SquareOff():
            core.square_off(now)
        case EndSession():
            core.end_session(now)
        case Day(trading_day=day):
            core.change_day(day, now)
        case Silence(seconds=seconds):
            await server.refuse_for(seconds)
        case Login(exchanged=exchanged):
            return server.new_session() if exchanged else server.request_token()
        case Expire():
            core.expire_token()
        case Configure(changes=changes):
            core.configure(**changes)
        case Walk(ticks_per_second=rate):
            server.ticks_per_second = rate
        case Sockets(fault=fault):
            await server.hub.apply(fault)
        case _:
            assert_never(command)
    return ""


def _elsewhere(server: Obedient, order: Elsewhere, now: int) -> str:
    placed = server.core.trade_elsewhere(
        order.token, order.side, order.quantity, now, order.product, order.price
    )
    return placed.order_id
