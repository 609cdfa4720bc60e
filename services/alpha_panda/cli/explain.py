"""`alpha-panda explain`: the whole story of one order."""

from pathlib import Path
from typing import Annotated, Final

import typer

from alpha_panda.domain.story.model import Ending, Story
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .connecting import over_ports
from .durations import parse_duration
from .output import Form, FormOption, say, say_json
from .plugin_places import InPod, runs

app = typer.Typer()

_STYLES: Final = {Ending.FILLED: "bold green", Ending.RESTING: "bold", Ending.CANCELLED: "bold yellow"}
_OTHER_STYLE: Final = "bold red"
_LABEL: Final = 11

DEFAULT_RECORDS: Final = 200_000
DEFAULT_SECONDS: Final = "30s"


@app.command()
@runs(InPod(account="account", here="events"))
def explain(  # noqa: PLR0913, PLR0917 - a command's options
    order: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A signal's, order's (ap…) or correlation id, or its first 8 characters or more.",
            show_default=False,
        ),
    ],
    events: Annotated[
        Path | None,
        typer.Option(help="Look in this file, written by `run --events`.", show_default=False),
    ] = None,
    account: Annotated[
        str, typer.Option("--account", help="Where to look; default: all accounts.", show_default=False)
    ] = "",
    records: Annotated[
        int, typer.Option(min=1, help="Without a file: read at most so many records of Kafka.")
    ] = DEFAULT_RECORDS,
    within: Annotated[
        str, typer.Option(metavar="TIME", help="… for at most this long: 30s, 2m.")
    ] = DEFAULT_SECONDS,
    output: FormOption = Form.TEXT,
) -> None:
    """Tell the story of one order: tick, strategy, risk, price, journal, broker, fills, book, and how long each took.

    Without --events it asks the running installation: Redis by the id, Kafka from the order's time on. An id that
    nothing is known of ends with exit code 2, and with what was searched.
    """
    seconds = parse_duration(within, "--within")
    story = _from_file(events, order) if events is not None else _live(order, account, records, seconds)
    if output is Form.JSON:
        from .story_text import story_json  # noqa: PLC0415 - keeps `--help` quick

        say_json(story_json(story))
        return
    _print(story)


def _from_file(events: Path, order: str) -> Story:
    from alpha_panda.compose.explain_file import explain_file  # noqa: PLC0415 - as above

    return explain_file(events, order)


def _live(order: str, account: str, records: int, seconds: float) -> Story:
    from alpha_panda.compose.explain_live import Asked, OrderSearch  # noqa: PLC0415 - as above

    async def work(ports: Ports, settings: Settings) -> Story:
        asked = Asked(words=order, account=account, records=records, seconds=seconds)
        return await OrderSearch(ports, settings).story(asked)

    return over_ports(work)


def _print(story: Story) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above

    from .story_text import lines  # noqa: PLC0415 - as above

    told = lines(story)
    console = Console()
    if not console.is_terminal:
        for label, text in told:
            say(f"{label:<{_LABEL}} {text}".rstrip())
        return
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    grid = Table.grid(padding=(0, 1))
    grid.add_column(min_width=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for n, (label, text) in enumerate(told):
        style = "bold" if n else _STYLES.get(story.ending, _OTHER_STYLE)
        grid.add_row(Text(label, style=style), Text(text, style="" if n else "bold"))
    console.print(grid)
