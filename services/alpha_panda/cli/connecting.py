"""The transports of the operators' commands: one place that opens them, and runs a command's work over them."""

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import typer

from alpha_panda.adapters.clock import RealClock
from alpha_panda.errors import DependencyUnavailableError, UserInputError
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import Settings, env_name, load_settings

from .person_login import DENIED, REMEDY, log_in_as_person

T = TypeVar("T")


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Ports]:
    """Give ports over the installation's Kafka and Redis.

    Entering contacts neither of them: each is reached at its first use, so that `halt` acts while Kafka is down.

    Raises:
        UserInputError: the addresses are not set.

    """
    from alpha_panda.compose import transports  # noqa: PLC0415 - loads the clients: `--help` needs none

    if not transports.has_transports(settings):
        kafka, redis = env_name("kafka_bootstrap_servers"), env_name("redis_url")
        raise UserInputError(
            f"this command talks to a running installation; set {kafka} and {redis} to its addresses. "
            "(`alpha-panda run` without --kafka and --redis keeps everything in its own process, where nobody else can "
            "look: its live view tells how it stands, and `explain --events FILE` reads what it wrote)"
        )
    async with transports.connected(settings, RealClock()) as ports:
        yield ports


def over_ports(work: Callable[[Ports, Settings], Awaitable[T]]) -> T:
    """Run a command's work to its end. Ctrl-C is a failure here: what was asked for may be half done."""
    settings = load_settings()
    if log_in_as_person(settings, os.environ):
        settings = load_settings()
    _log_little(settings)

    async def main() -> T:
        async with connected(settings) as ports:
            return await work(ports, settings)

    try:
        return asyncio.run(main())
    except DependencyUnavailableError as error:
        if DENIED in str(error):
            typer.echo(f"note: {REMEDY}", err=True)
        raise
    except KeyboardInterrupt:
        typer.echo("failed: interrupted; what was done so far stands, look before you repeat it", err=True)
        raise typer.Exit(1) from None


def _log_little(settings: Settings) -> None:
    """Log errors only, and nothing of the Kafka client's, unless the user has chosen a level: the command tells."""
    if "log_level" in settings.model_fields_set:
        configure_logging(settings)
        return
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}), clients=False)


def person(by: str | None) -> str:
    """Return who gives the command: as said, else the operating system's user."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
