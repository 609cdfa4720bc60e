"""`alpha-panda run`: loads, checks, runs, shows, sums up."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

import typer
from rich.console import Console

from alpha_panda.compose.embedded import EmbeddedRun, RunOptions, check, run_embedded
from alpha_panda.compose.summary import RunSummary
from alpha_panda.errors import OutputError, StrategyError, UserInputError
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import Settings

from .confirming import check_egress, confirm_live
from .live import LiveView
from .loading import load
from .report import print_summary

_INPUT_SUFFIXES: Final = frozenset({".yaml", ".yml", ".py", ".csv", ".gz", ".parquet"})
"""Endings of files that a run reads: writing events over one would be a slip."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The arguments of `run`; `duration` in seconds, `output` None: by whether stdout is a terminal."""

    paths: tuple[Path, ...]
    duration: float | None
    max_ticks: int | None
    output: str | None
    events: Path | None
    seed: int | None
    live: bool = False


def run_command(request: RunRequest, settings: Settings) -> None:
    """Run to the end and print the summary.

    Raises:
        UserInputError: before anything has started.
        StrategyError: after the summary: a strategy crashed, and was stopped while others went on.

    """
    configure_logging(_quieter(settings), tracebacks=_wants_tracebacks(settings))
    resources = load(request.paths)
    check(resources, settings)
    confirm_live(resources, live=request.live)
    check_egress(resources, settings)
    options = RunOptions(request.duration, request.max_ticks, request.seed)
    with ExitStack() as stack:
        events = None if request.events is None else _opened(request.events, stack)
        console = Console()
        live = request.output == "live" or (request.output is None and console.is_terminal)
        view = stack.enter_context(LiveView(console)) if live else None
        if view is not None:
            configure_logging(_quieter(settings), view.log_stream, tracebacks=_wants_tracebacks(settings))

        async def beside(run: EmbeddedRun) -> None:
            with _stop_on_signals(run):
                await (asyncio.Event().wait() if view is None else view.follow(run))

        # One object and nothing else on stdout: what a strategy prints goes to stderr.
        with redirect_stdout(sys.stderr) if request.output == "json" else nullcontext():
            summary = run_embedded(resources, settings, options, events_file=events, beside=beside)
    _print(summary, console, as_json=request.output == "json")
    if summary.failures:
        raise StrategyError("; ".join(summary.failures))


def _quieter(settings: Settings) -> Settings:
    """Return the settings with warnings only, unless the user has chosen a level: here the view tells the rest."""
    if "log_level" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"log_level": "WARNING"})


def _wants_tracebacks(settings: Settings) -> bool:
    """Whether the user has asked for more than a message: at the end there is one that says what went wrong."""
    return settings.log_level == "DEBUG"


def _opened(path: Path, stack: ExitStack) -> BinaryIO:
    if path.suffix in _INPUT_SUFFIXES:
        raise UserInputError(
            f"--events {path} would overwrite a manifest, code or data; allowed: a .jsonl file"
        )
    try:
        file = path.open("wb")
    except OSError as error:
        raise UserInputError(f"--events {path}: can't be written: {error.strerror}") from error
    stack.callback(_close, file)
    return file


def _close(file: BinaryIO) -> None:
    """Close; the run has told what could not be written, here it would only hide that."""
    with suppress(OSError):
        file.close()


@contextmanager
def _stop_on_signals(run: EmbeddedRun) -> Iterator[None]:
    """Drain at the first Ctrl-C or SIGTERM; a second one ends the process at once.

    Plain handlers, not the loop's: those never run while a strategy of the user's does not return.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        loop.call_soon_threadsafe(run.request_stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(summary: RunSummary, console: Console, *, as_json: bool) -> None:
    try:
        if as_json:
            typer.echo(summary.as_json())
        else:
            print_summary(summary, console)
        sys.stdout.flush()
    except (OSError, AttributeError) as error:  # AttributeError: there is no stdout at all
        raise OutputError(f"the summary could not be written to stdout: {error}") from error
