"""The commands, their arguments and their exit codes.

0: done, Ctrl-C included · 1: something failed while running · 2: what was given is wrong (one message, nothing
done).
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import TyperException

from alpha_panda import __version__
from alpha_panda.contracts.manifests import json_schema
from alpha_panda.errors import AlphaPandaError, StrategyError, UserInputError
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import load_settings

from . import dev, dlq, events, explain, halt, orders, status
from .durations import parse_duration
from .loading import load, load_for_pod
from .login import login
from .plugin_places import Here, runs
from .secrets import refuse_password

app = typer.Typer(
    name="alpha-panda",
    help="Trading strategies as Kubernetes resources, and the same manifests on a laptop in one process.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(halt.app)
app.add_typer(orders.app)
app.add_typer(dlq.app)
app.add_typer(explain.app)
app.add_typer(status.app)
app.add_typer(events.app)
app.add_typer(dev.app)

app.command()(login)

EXIT_FAILED = 1
EXIT_USAGE = 2
_CTRL_C = 130  # typer's word for it; ours is 0

Paths = Annotated[list[Path], typer.Argument(help="Manifest files, or folders of them.", show_default=False)]
Output = Literal["live", "json"]
Kind = Literal["MarketFeed", "BrokerAccount", "Strategy"]


@app.command()
@runs(Here())
def run(  # noqa: PLR0913, PLR0917 - a command's options
    paths: Paths,
    duration: Annotated[
        str | None, typer.Option(help="Stop after this long on the wall clock: 30s, 5m, 2h.", metavar="TIME")
    ] = None,
    max_ticks: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many ticks, over all feeds.")
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option(
            help="live: a view and a summary; json: one object on stdout. Default: live on a terminal, else plain."
        ),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="Write every event to this file, a JSON object a line.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Same ids and simulated prices from run to run; a replay repeats."),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(help="Run over this Kafka: host:port[,host:port].", metavar="SERVERS"),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(help="… and this Redis, without its password: redis://host:6379/0.", metavar="URL"),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve figures for Prometheus at /metrics on this port."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Yes, live accounts shall move real money: don't ask.")
    ] = False,
) -> None:
    """Run everything that the manifests name, in this one process.

    With --kafka and --redis the events and the stores are there instead of in this process: the run can be watched,
    halted and resolved from outside, and goes on where an earlier one has ended. Prices then come on the wall clock.

    An account with `live: true` moves real money: you are asked to type its name, unless --live says it.
    """
    from .run import RunRequest, run_command  # noqa: PLC0415 - keeps `--help` and `version` quick

    if redis is not None:
        refuse_password(redis)
    seconds = None if duration is None else parse_duration(duration, "--duration")
    request = RunRequest(tuple(paths), seconds, max_ticks, output, events, seed, live)
    given = {"kafka_bootstrap_servers": kafka, "redis_url": redis, "metrics_port": metrics_port}
    run_command(request, load_settings(**{name: value for name, value in given.items() if value is not None}))


@app.command()
@runs(Here())
def validate(paths: Paths) -> None:
    """Check manifests and say what is in them; exit code 2 and every fault if something is wrong."""
    from alpha_panda.adapters.clock import RealClock  # noqa: PLC0415 - as above
    from alpha_panda.compose.embedded import calendar_warnings, check  # noqa: PLC0415 - as above

    settings = load_settings()
    configure_logging(settings)
    resources = load(paths)
    check(resources, settings)
    for warning in calendar_warnings(resources, RealClock().now()):
        typer.echo(f"warning: {warning}", err=True)
    for resource in resources:
        typer.echo(f"{resource.ref}: ok")


@app.command()
@runs(Here())
def service(
    name: Annotated[str, typer.Argument(help="Name of the service, e.g. engine.", show_default=False)],
    manifests: Annotated[
        list[Path],
        typer.Option("--manifests", help="Manifest file or folder; may be repeated.", show_default=False),
    ],
    resource: Annotated[
        str, typer.Option("--resource", help="What it serves, e.g. BrokerAccount/paper.", show_default=False)
    ],
) -> None:
    """Start one service, as a pod does: over the Kafka and Redis of the settings, until SIGTERM or SIGINT.

    It follows its manifests while it runs: limits, trading states, strategies that come and go. A strategy that its
    manifest makes impossible is not started: the service's status says why, and it waits for another manifest.
    """
    from alpha_panda.compose.process import run_pod  # noqa: PLC0415 - as above

    run_pod(name, manifests, resource, load_settings(), read=load_for_pod)


@app.command()
@runs(Here())
def control(paths: Paths) -> None:
    """Write and renew the trading states of the manifests, where no operator does; until stopped.

    Follows what changes in them; what can't be used leaves the states before standing.
    """
    from alpha_panda.compose.live_manifests import LiveManifests  # noqa: PLC0415 - as above
    from alpha_panda.compose.process import run_control  # noqa: PLC0415 - as above

    manifests = LiveManifests(paths, lambda: load(paths))
    manifests.begin()
    run_control(manifests.resources, load_settings(), manifests=manifests)


@app.command()
@runs(Here())
def version() -> None:
    """Print the version."""
    typer.echo(f"alpha-panda {__version__}")


def _version_option(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option("--version", callback=_version_option, is_eager=True, help="Print the version and exit."),
]


@app.callback()
def root(_version: VersionOption = False) -> None:
    """Trading strategies as Kubernetes resources, and the same manifests on a laptop in one process."""


@app.command()
@runs(Here())
def schema(
    kind: Annotated[Kind, typer.Argument(help="Kind of the manifest.", show_default=False)],
) -> None:
    """Print the JSON Schema of a kind of manifest."""
    typer.echo(json.dumps(json_schema(kind), indent=2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: errors become one message, never a traceback of the user's fault."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: app(words, standalone_mode=False, prog_name="alpha-panda"))


def guarded(command: Callable[[], object]) -> int:
    """Return the exit code of a command; what it raises becomes one message."""
    try:
        result = command()
    except UserInputError as error:
        typer.echo(f"error: {error}", err=True)
        return EXIT_USAGE
    except typer.Exit as error:
        result = error.exit_code
    except TyperException as error:
        if error.format_message():  # without a command the help has said it all
            typer.echo(f"error: {error.format_message()}", err=True)
        return EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        return 0
    except AlphaPandaError as error:
        typer.echo(f"failed: {error}{error.place if isinstance(error, StrategyError) else ''}", err=True)
        return EXIT_FAILED
    return result if isinstance(result, int) and result != _CTRL_C else 0
