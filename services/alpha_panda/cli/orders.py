"""`alpha-panda orders`: what the journal knows of orders, and a person's word on those in doubt."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
import typer

from alpha_panda.compose.adoption import Adoption, AdoptionDesk
from alpha_panda.compose.order_desk import Found, Listing, OrderDesk, Resolution
from alpha_panda.compose.verdicts import Verdict, Word
from alpha_panda.contracts.stored import Decision, InstrumentDifference, JournalEntry
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .connecting import over_ports, person
from .output import ByOption, Form, FormOption, moment, say, say_json, say_table, warn
from .plugin_places import InPod, runs

app = typer.Typer(
    name="orders",
    help="Look at orders in the journal, and decide on those whose outcome nobody else can tell.",
    no_args_is_help=True,
)

Account = Annotated[str, typer.Argument(help="Name of the BrokerAccount.", show_default=False)]
Order = Annotated[str, typer.Argument(help="Signal id, or the order's tag (ap…).", show_default=False)]
DIFFERENCE_COLUMNS = ("symbol", "ours", "broker", "books", "price", "since")
TEXT_COLUMNS = ("id", "state", "order", "filled", "price", "strategy", "since", "why")


# ------------------------------------------------------------------------------------------------------ list


@app.command("list")
@runs(InPod(account="account"))
def list_orders(
    account: Account,
    in_doubt: Annotated[
        bool, typer.Option("--in-doubt", help="Only orders that the broker may or may not have.")
    ] = False,
    resting: Annotated[bool, typer.Option("--resting", help="Only orders that rest at the venue.")] = False,
    open_: Annotated[
        bool, typer.Option("--open", help="Only orders whose present state Kafka has not acknowledged.")
    ] = False,
    output: FormOption = Form.TEXT,
) -> None:
    """List the orders that are not over: in doubt, resting, or over but not told yet."""
    asked = [
        which
        for which, wanted in (
            (Listing.IN_DOUBT, in_doubt),
            (Listing.RESTING, resting),
            (Listing.OPEN, open_),
        )
        if wanted
    ]
    if len(asked) > 1:
        raise UserInputError("one of --in-doubt, --resting and --open; without any, all three kinds")

    async def work(ports: Ports, settings: Settings) -> tuple[bool, list[JournalEntry]]:
        desk = OrderDesk(ports, settings)
        entries = await desk.listed(account, asked[0] if asked else Listing.ALL)
        return await desk.ready(account), entries

    ready, entries = over_ports(work)
    if output is Form.JSON:
        say_json({"account": account, "ready": ready, "orders": [entry_json(entry) for entry in entries]})
        return
    if entries:
        say_table(TEXT_COLUMNS, [_row(entry) for entry in entries])
    else:
        say(f"{account}: no {asked[0] if asked else 'open'} orders")
    if not ready:
        warn(
            f"note: the journal of {account} has no valid epoch, nothing is sent: Redis has come back and its "
            "order-tracker is comparing, or none has started"
        )


def _row(entry: JournalEntry) -> tuple[str, ...]:
    signal = entry.signal
    price = f"{entry.average_price:f}" if entry.filled_quantity else ""
    why = f"{entry.code or ''} {entry.message}".strip()
    order = f"{signal.side} {signal.quantity:f} {signal.symbol} {signal.order_type}"
    since = moment(entry.updated_at) or ""
    filled = f"{entry.filled_quantity:f}"
    return (entry.signal_id, entry.state, order, filled, price, signal.strategy_id, since, why)


# ------------------------------------------------------------------------------------------------------ show


@app.command("show")
@runs(InPod(account="account"))
def show_order(
    order: Order,
    account: Annotated[
        str, typer.Option("--account", help="Where to look; default: all accounts.", show_default=False)
    ] = "",
    output: FormOption = Form.TEXT,
) -> None:
    """Show one order: what the journal holds, and what risk decided, check by check."""

    async def work(ports: Ports, settings: Settings) -> Found:
        return await OrderDesk(ports, settings).find(order, account)

    found = over_ports(work)
    if output is Form.JSON:
        entry = None if found.entry is None else entry_json(found.entry)
        decision = None if found.decision is None else decision_json(found.decision)
        say_json({"account": found.account, "entry": entry, "decision": decision})
        return
    say(f"account           {found.account}")
    if found.entry is None:
        say("journal           not begun: no engine has asked to send it")
    else:
        _say_fields(entry_json(found.entry))
    if found.decision is None:
        say("decision          none is stored")
    else:
        _say_decision(found.decision)


def _say_decision(decision: Decision) -> None:
    code = "" if decision.code is None else f" {decision.code} {decision.message}"
    at = moment(decision.decided_at)
    say(f"decision          {decision.verdict} ({decision.signal_class}) at {at}{code}")
    for check in decision.checks:
        word = "passed" if check.passed else f"FAILED {check.code or ''} {check.message}".rstrip()
        say(f"  {check.check:<30} {word}")


def _say_fields(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if value not in (None, "", False):
            say(f"{name:<17} {value}")


# --------------------------------------------------------------------------------------------------- resolve


@app.command("resolve")
@runs(InPod(account="account"))
def resolve_order(  # noqa: PLR0913, PLR0917 - a command's options
    account: Account,
    order: Order,
    word: Annotated[
        Word, typer.Option("--as", help="What the broker's book says became of it.", show_default=False)
    ],
    reason: Annotated[
        str,
        typer.Option("--reason", help="Where you know it from; it stays with the order.", show_default=False),
    ],
    quantity: Annotated[
        str | None, typer.Option(help="What has filled in all; default: all of it if filled, else nothing.")
    ] = None,
    price: Annotated[str | None, typer.Option(help="Average price of what has filled.")] = None,
    fees: Annotated[str | None, typer.Option(help="Fees of what has filled.")] = None,
    broker_order_id: Annotated[str, typer.Option(help="The broker's own id of it.", show_default=False)] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't only show what would change.")] = False,
    by: ByOption = None,
    output: FormOption = Form.TEXT,
) -> None:
    """Decide what became of an order in doubt. Look into the broker's own order book first.

    The order's event follows from the order-tracker, once. If the broker's book contradicts you later, the book
    is corrected and the account halted.
    """
    if not reason.strip():
        raise UserInputError("--reason is empty; say where you know it from")
    verdict = Verdict(
        word=word,
        by=person(by),
        reason=reason,
        quantity=_number("--quantity", quantity),
        price=_number("--price", price),
        fees=_number("--fees", fees),
        broker_order_id=broker_order_id,
    )

    async def work(ports: Ports, settings: Settings) -> Resolution:
        return await OrderDesk(ports, settings).resolve(account, order, verdict, dry_run=not yes)

    resolution = over_ports(work)
    before, after = entry_json(resolution.before), entry_json(resolution.after)
    if output is Form.JSON:
        say_json({"account": account, "applied": resolution.applied, "before": before, "after": after})
    else:
        for name, value in after.items():
            if value != before[name] or name in ("signal_id", "order"):
                say(
                    f"{name:<17} {value}" if value == before[name] else f"{name:<17} {before[name]} → {value}"
                )
    if not yes:
        raise UserInputError("nothing was changed; add --yes to say so to the journal")
    if not resolution.applied:
        warn(
            "failed: somebody else decided it meanwhile; your word was not taken, the journal holds the above"
        )
        raise typer.Exit(1)
    if output is Form.TEXT:
        say("its event follows from the order-tracker within seconds, or when it is running again")


# ---------------------------------------------------------------------------------------------------- adopt


@app.command("adopt")
@runs(InPod(account="account"))
def adopt_differences(  # noqa: PLR0913, PLR0917 - a command's options
    account: Account,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", help="Where you know it from; it stays with the booking.", show_default=False
        ),
    ],
    instrument: Annotated[
        str,
        typer.Option("--instrument", help="Only this symbol; default: all that differ.", show_default=False),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't only show what would be booked.")] = False,
    by: ByOption = None,
    output: FormOption = Form.TEXT,
) -> None:
    """Book what a live account's broker holds otherwise than the account's book says. Look at the broker first.

    The order-tracker compares once more and books what still differs just so, as an external trade; what that closes
    is taken from the strategies that held it.
    """
    if not reason.strip():
        raise UserInputError("--reason is empty; say where you know it from")

    async def work(ports: Ports, settings: Settings) -> Adoption:
        desk = AdoptionDesk(ports, settings)
        return await desk.adopt(account, instrument, by=person(by), reason=reason, dry_run=not yes)

    adoption = over_ports(work)
    found = [difference_json(item) for item in adoption.differences]
    if output is Form.JSON:
        say_json({"account": account, "applied": yes, "asked": sorted(adoption.asked), "differences": found})
    else:
        say_table(
            DIFFERENCE_COLUMNS, [tuple(str(item[name]) for name in DIFFERENCE_COLUMNS) for item in found]
        )
    if not yes:
        raise UserInputError("nothing was changed; add --yes to have it booked")
    if output is Form.TEXT:
        say("the order-tracker compares once more and books it within seconds, or when it is running again")


def difference_json(item: InstrumentDifference) -> dict[str, Any]:
    """Return a difference as the command prints it."""
    return {
        "symbol": item.symbol,
        "ours": f"{item.ours:f}",
        "broker": f"{item.theirs:f}",
        "books": f"{item.quantity:+f}",
        "price": f"{item.price:f}",
        "since": moment(item.since) or "",
        "id": item.difference_id,
    }


def _number(option: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        raise UserInputError(
            f"{option} {text!r} is no number; a plain decimal such as 2500.05 is wanted"
        ) from None


# ------------------------------------------------------------------------------------------------------ JSON


def entry_json(entry: JournalEntry) -> dict[str, Any]:
    """Return an entry as the commands print it: quantities and money as text, times as ISO 8601 UTC."""
    signal = entry.signal
    return {
        "signal_id": entry.signal_id,
        "order_id": entry.tag,
        "state": entry.state.value,
        "strategy": signal.strategy_id,
        "symbol": signal.symbol,
        "side": signal.side.value,
        "order_type": signal.order_type.value,
        "quantity": f"{signal.quantity:f}",
        "limit_price": None if signal.limit_price is None else f"{signal.limit_price:f}",
        "trigger_price": None if signal.trigger_price is None else f"{signal.trigger_price:f}",
        "class": entry.signal_class.value,
        "filled_quantity": f"{entry.filled_quantity:f}",
        "average_price": f"{entry.average_price:f}" if entry.filled_quantity else None,
        "fees": f"{entry.fees:f}",
        "broker_order_id": entry.broker_order_id,
        "late": entry.late,
        "code": None if entry.code is None else entry.code.value,
        "message": entry.message,
        "revision": entry.revision,
        "created_at": moment(entry.created_at),
        "updated_at": moment(entry.updated_at),
        "send_by": moment(entry.send_by),
        "correlation_id": entry.correlation_id,
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as the commands print it."""
    return {
        "verdict": decision.verdict.value,
        "class": decision.signal_class.value,
        "code": None if decision.code is None else decision.code.value,
        "message": decision.message,
        "decided_at": moment(decision.decided_at),
        "closing": decision.closing,
        "signal": msgspec.to_builtins(decision.signal),
        "checks": [{**msgspec.to_builtins(check), "passed": check.passed} for check in decision.checks],
    }
