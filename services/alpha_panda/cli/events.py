"""`alpha-panda events`: what happens in a running installation, as it happens."""

import asyncio
from contextlib import suppress
from typing import Annotated, Final

import typer

from alpha_panda.compose.finding import wanted_id
from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import Envelope, TickBatch
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import OutputError, UserInputError
from alpha_panda.ports import Record
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .connecting import over_ports
from .durations import parse_duration
from .output import Form, FormOption, moment
from .plugin_places import InPod, runs

app = typer.Typer(
    name="events",
    help="Signals, decisions, orders and books of a running installation.",
    no_args_is_help=True,
)

_TYPE_WIDTH: Final = max(len(item.value) for item in EventType)


@app.callback()
def events() -> None:
    """Keep `tail` a command of the group, though it is alone."""


@app.command("tail")
@runs(InPod(near="accounts"))
def tail(  # noqa: PLR0913, PLR0917 - a command's options
    accounts: Annotated[
        list[str] | None,
        typer.Option("--account", help="Only of this account; may be repeated.", show_default=False),
    ] = None,
    strategies: Annotated[
        list[str] | None,
        typer.Option("--strategy", help="Only of this strategy; may be repeated.", show_default=False),
    ] = None,
    types: Annotated[
        list[EventType] | None,
        typer.Option(
            "--type",
            help="Only of this type; may be repeated. Ticks, and books that prices alone have moved, are shown only if "
            "they are named.",
            show_default=False,
            case_sensitive=False,
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option("--id", help="Only of this order: an id, or 8 characters of one.", show_default=False),
    ] = "",
    since: Annotated[
        str,
        typer.Option(
            help="Begin so long ago: 30s, 5m, 2h. Default: now.", metavar="TIME", show_default=False
        ),
    ] = "",
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many events.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on until Ctrl-C, or end with what is there.")
    ] = True,
    output: FormOption = Form.TEXT,
) -> None:
    """Print events as they come, a line each; with -o json as `run --events` writes them, for `explain --events`.

    Each partition is in order; between topics the order is that of arrival.
    """
    if not follow and not since:
        raise UserInputError("--no-follow ends with what is there: say by --since where it begins")
    seconds = parse_duration(since, "--since") if since else None
    wanted = wanted_id(order) if order else ""

    async def work(ports: Ports, settings: Settings) -> None:
        from alpha_panda.compose.watch import Watch, Wish  # noqa: PLC0415 - keeps `--help` quick

        wish = Wish(
            accounts=accounts or (),
            strategies=strategies or (),
            types=types or (),
            order=wanted,
            since=None if seconds is None else ports.clock.now() - nanoseconds(seconds),
            follow=follow,
        )
        shown = 0
        with suppress(asyncio.CancelledError):  # Ctrl-C: the way to end it, no failure
            async for record, told in Watch(ports, settings).records(wish):
                _print(record, told, output)
                shown += 1
                if shown == count:
                    return

    try:
        over_ports(work)
    except BrokenPipeError:  # the reader has had enough: `| head`
        return


def _print(record: Record, told: Envelope | TickBatch, output: Form) -> None:
    try:
        typer.echo(_line(record, told) if output is Form.JSON else _words(told))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"an event could not be written to stdout: {error}") from error


def _line(record: Record, told: Envelope | TickBatch) -> str:
    from alpha_panda.compose.recorder import event_line, tick_line  # noqa: PLC0415 - as above

    return (tick_line(record) if isinstance(told, TickBatch) else event_line(record)).decode()


def _words(told: Envelope | TickBatch) -> str:
    from .live import gist  # noqa: PLC0415 - as above

    if isinstance(told, TickBatch):
        last = told.ticks[-1]
        what = f"{len(told.ticks)} ticks, the last: token {last.token} at {last.last_price}"
        return f"{moment(told.ts)}  {EventType.MARKET_TICKS.value:<{_TYPE_WIDTH}}  {told.feed}  {what}"
    order = told.correlation_id if told.type is not EventType.PORTFOLIO_SNAPSHOT else ""
    return (
        f"{moment(told.ts)}  {told.type.value:<{_TYPE_WIDTH}}  {told.account}  {gist(told)}  {order}".rstrip()
    )
