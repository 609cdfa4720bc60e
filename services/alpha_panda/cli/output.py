"""How the operators' commands print: tables on a terminal, tab-separated lines in a pipe, or one JSON object."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from alpha_panda.contracts.units import SECOND_NS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Form(StrEnum):
    """What goes to stdout."""

    TEXT = "text"
    JSON = "json"


FormOption = Annotated[
    Form, typer.Option("--output", "-o", help="text: for people; json: one object on stdout.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who gives the command; default: the system's user.")
]


def say(text: str) -> None:
    """Print a line of the result."""
    typer.echo(text)


def warn(text: str) -> None:
    """Print a line that does not belong to the result."""
    typer.echo(text, err=True)


def say_json(value: Mapping[str, Any]) -> None:
    """Print the one object."""
    typer.echo(json.dumps(value, indent=2))


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their columns' names."""
    from rich import box  # noqa: PLC0415 - keeps `--help` and a piped command quick
    from rich.console import Console  # noqa: PLC0415 - as above

    console = Console()
    if not console.is_terminal:
        for row in ([column.upper() for column in columns], *rows):
            say("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def moment(ts: int | None) -> str | None:
    """Return UTC ns as ISO 8601 with milliseconds; None for none."""
    if ts is None:
        return None
    at = _EPOCH + timedelta(microseconds=ts // (SECOND_NS // 1_000_000))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
