"""The summary as a person reads it."""

from decimal import Decimal

from rich.console import Console
from rich.table import Table

from alpha_panda.compose.summary import AccountSummary, RunSummary


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print what the run came to."""
    signals, orders = summary.signals, summary.orders
    rate = summary.ticks / summary.duration_seconds if summary.duration_seconds else 0.0
    console.print(
        f"[bold]Ran {summary.duration_seconds:.1f} s[/]: {summary.ticks:,} ticks ({rate:,.0f} a second)"
    )
    console.print(
        f"signals  {signals.raw:,} raw, {signals.validated:,} validated, {signals.rejected:,} rejected"
    )
    console.print(
        f"orders   {orders.filled:,} filled, {orders.submitted:,} rested, {orders.cancelled:,} cancelled,"
        f" {orders.failed:,} failed"
    )
    if summary.dlq:
        console.print(f"[red]{summary.dlq:,} records in dead letter queues[/]")
    console.print(accounts_table(summary))


def accounts_table(summary: RunSummary) -> Table:
    """Return the accounts' books as a table."""
    table = Table(title=None, header_style="bold")
    for column in ("account", "cash", "equity", "realized", "unrealized", "fees", "positions"):
        table.add_column(column, justify="left" if column in {"account", "positions"} else "right")
    for name, account in summary.accounts.items():
        table.add_row(name, *(money(text) for text in _amounts(account)), _positions(account))
    return table


def money(text: str | Decimal) -> str:
    """Return an amount with two decimals and thousands marked."""
    return f"{Decimal(text):,.2f}"


def _amounts(account: AccountSummary) -> tuple[str, ...]:
    return (account.cash, account.equity, account.realized_pnl, account.unrealized_pnl, account.fees)


def _positions(account: AccountSummary) -> str:
    held = [f"{view.quantity} {symbol} @ {view.average_price}" for symbol, view in account.positions.items()]
    return "\n".join(held) or "flat"
