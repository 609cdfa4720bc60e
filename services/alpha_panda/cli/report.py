"""The summary as a person reads it: numbers whole, on a terminal of 80 columns too."""

from decimal import Decimal
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from alpha_panda.compose.summary import AccountSummary, RunSummary

_Justify = Literal["left", "right"]


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print what the run came to."""
    rate = summary.ticks / summary.duration_seconds if summary.duration_seconds else 0.0
    console.print(
        f"[bold]Ran {summary.duration_seconds:.1f} s[/]: {summary.ticks:,} ticks ({rate:,.0f} a second)",
        highlight=False,
    )
    console.print(counts_lines(summary), highlight=False)
    console.print(books(summary), highlight=False)


def counts_lines(summary: RunSummary) -> Text:
    """Return the counts of signals, orders and dead letters, and the strategies that crashed, a line each."""
    signals, orders = summary.signals, summary.orders
    text = Text.assemble(
        ("signals  ", "bold"),
        f"{signals.raw:,} raw, {signals.validated:,} validated, {signals.rejected:,} rejected\n",
        ("orders   ", "bold"),
        f"{orders.filled:,} filled, {orders.submitted:,} rested, {orders.cancelled:,} cancelled,"
        f" {orders.failed:,} failed",
    )
    if summary.dlq:
        text.append(f"\n{summary.dlq:,} records in dead letter queues", "red")
    for failure in summary.failures:
        text.append(f"\nstopped: {failure}", "bold red")
    return text


def books(summary: RunSummary, most: int | None = None) -> RenderableType:
    """Return the accounts' amounts and below them their positions, of which at most `most` are shown."""
    if not summary.accounts:
        return Text("no account")
    return Group(_accounts_table(summary), _positions_table(summary, most))


def _accounts_table(summary: RunSummary) -> Table:
    table = _table(("account", "left"), *((name, "right") for name in _AMOUNTS))
    for name, account in summary.accounts.items():
        table.add_row(name, *(money(text) for text in _amounts(account)))
    return table


_AMOUNTS = ("cash", "equity", "realized", "unrealized", "fees")


def _positions_table(summary: RunSummary, most: int | None) -> RenderableType:
    rows = [
        (name, symbol, plain(view.quantity), plain(view.average_price))
        for name, account in summary.accounts.items()
        for symbol, view in account.positions.items()
    ]
    if not rows:
        return Text("  no positions")
    table = _table(
        ("account", "left"), ("position", "left"), ("quantity", "right"), ("average price", "right")
    )
    shown = rows if most is None else rows[:most]
    for row in shown:
        table.add_row(*row)
    hidden = len(rows) - len(shown)
    return Group(table, Text(f"  and {hidden:,} more positions")) if hidden else table


def _table(*columns: tuple[str, _Justify]) -> Table:
    """Return an empty table in which numbers keep their columns whole and names give way first, by folding."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=justify == "right", overflow="fold")
    return table


def money(text: str | Decimal) -> str:
    """Return an amount with two decimals and thousands marked."""
    return f"{Decimal(text):,.2f}"


def plain(text: str | Decimal) -> str:
    """Return a number with all its decimals and thousands marked."""
    return f"{Decimal(text):,f}"


def _amounts(account: AccountSummary) -> tuple[str, ...]:
    return (account.cash, account.equity, account.realized_pnl, account.unrealized_pnl, account.fees)
