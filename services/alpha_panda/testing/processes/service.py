"""What one process of a test platform runs: `alpha-panda service` or `control`, with taps and a broker for tests."""

import argparse
import os
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli.loading import load
from alpha_panda.compose.process import run_control, run_service
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.errors import AlphaPandaError, UserInputError
from alpha_panda.ports import MarketSource, SourceBatch, Trader, TraderFactory
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.runtime.venues import rules_of
from alpha_panda.testing.broker.http_trader import HttpTrader
from alpha_panda.testing.broker.live import make_live

from .children import EXIT_USAGE
from .harming import Harming
from .points import PlanFile

CONTROL: Final = "control"
"""Stands for `alpha-panda control` among the services' names."""

EXIT_FAILED: Final = 1

ACCESS_TOKEN: Final = "BROKER_ACCESS_TOKEN"  # noqa: S105 - a variable's name
"""Variable with the token that the task's brokers ask for, if they do."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is to run. `brokers`: the accounts that are live, and where their brokers listen."""

    service: str
    manifests: tuple[Path, ...]
    resource: str = ""
    brokers: dict[str, str] = field(default_factory=dict)
    plan: Path | None = None


def parse(arguments: Sequence[str]) -> Task:
    """Read a command line."""
    parser = argparse.ArgumentParser(prog="alpha_panda.testing.processes", description=__doc__)
    parser.add_argument("service", help=f"name of a service, or {CONTROL}")
    parser.add_argument("--manifests", action="append", required=True, type=Path)
    parser.add_argument("--resource", default="", help="KIND/NAME")
    parser.add_argument("--broker", action="append", default=[], help="ACCOUNT=URL: that account is live")
    parser.add_argument("--plan", type=Path, help="file with the point to come to harm at, see `points`")
    given = parser.parse_args(arguments)
    brokers = dict(pair.split("=", 1) for pair in given.broker)
    return Task(given.service, tuple(given.manifests), given.resource, brokers, given.plan)


def main(arguments: Sequence[str]) -> int:
    """Run one process to its end and return its exit code, as the command line of the product does."""
    try:
        run(parse(arguments))
    except UserInputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - its log
        return EXIT_USAGE
    except AlphaPandaError as error:
        print(f"failed: {error}", file=sys.stderr)  # noqa: T201 - as above
        return EXIT_FAILED
    except Exception:  # noqa: BLE001 - a process' last words
        traceback.print_exc()
        return EXIT_FAILED
    return 0


def run(task: Task) -> None:
    """Run the task until SIGTERM or SIGINT."""
    resources, settings = load(task.manifests), load_settings()
    if task.brokers:
        make_live(resources, *task.brokers)
    if task.service == CONTROL:
        run_control(resources, settings)
        return

    def wire(ports: Ports) -> Ports:
        return wired(ports, task, resources, settings)

    run_service(task.service, resources, task.resource, settings, wire=wire)


def wired(ports: Ports, task: Task, resources: ResourceSet, settings: Settings) -> Ports:
    """Return the ports with the brokers of the live accounts, prices that count as live, and taps."""
    if task.brokers:
        traders = _Traders(task, resources, settings, ports.traders)
        ports = replace(ports, traders=traders, source=partial(_live_source, ports.source))
    return ports if task.plan is None else Harming(PlanFile(task.plan)).wrap(task.service, ports)


class LiveSource:
    """A source whose prices count as live: a live account refuses all others."""

    mode = FeedMode.LIVE

    def __init__(self, source: MarketSource) -> None:
        self._source = source

    @property
    def exhausted(self) -> bool:
        """See the port."""
        return self._source.exhausted

    def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        """See the port."""
        return self._source.batches(instruments)


def _live_source(source: Callable[[str], MarketSource], feed: str) -> MarketSource:
    return LiveSource(source(feed))


class _Traders:
    """Live accounts trade with the brokers of the task, all others as their manifests say."""

    def __init__(
        self, task: Task, resources: ResourceSet, settings: Settings, manifests: TraderFactory
    ) -> None:
        self._task = task
        self._resources = resources
        self._send_within = settings.send_within_seconds
        self._manifests = manifests
        self._live: dict[str, HttpTrader] = {}

    def trader(self, account: str) -> Trader:
        """See the port."""
        if account not in self._task.brokers:
            return self._manifests.trader(account)
        if account not in self._live:
            feed = self._resources.feeds[self._resources.accounts[account].spec.market_feed]
            self._live[account] = HttpTrader(
                self._task.brokers[account],
                RealClock(),
                send_within=self._send_within,
                timeout=self._send_within,
                trading_day=rules_of(feed).trading_day,
                access_token=partial(os.environ.__getitem__, ACCESS_TOKEN)
                if ACCESS_TOKEN in os.environ
                else None,
            )
        return self._live[account]
