"""Real processes: they start, log, and end with 0 when they are told to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from alpha_panda.runtime.registry import find_services
from unit.cli.kit import Alpha, platform, strategy, wall_clock_feed

SECONDS = 60
"""Longest wait for a process on a busy machine; they take one or two."""

RESOURCES = {
    "MarketFeed": "MarketFeed/demo",
    "BrokerAccount": "BrokerAccount/paper",
    "Strategy": "Strategy/alpha",
}


@contextmanager
def started(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A Python process whose log is JSON, from INFO up; killed at the end if it still runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALPHAPANDA_")}
    process = subprocess.Popen(  # noqa: S603 - the project's own programs
        [sys.executable, *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"ALPHAPANDA_LOG_LEVEL": "INFO"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def log_until(process: "subprocess.Popen[str]", event: str) -> list[dict[str, Any]]:
    """The log up to the line of that event: reading waits for it, the end of the process ends it."""
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(json.loads(line))
        if told[-1]["event"] == event:
            return told
    raise AssertionError(f"it ended without {event!r}: {told}")


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err
    return process.returncode, out, err


def test_every_service_starts_by_its_module_logs_and_ends_with_0_on_sigterm(alpha: Alpha) -> None:
    path = alpha.write("all.yaml", platform(feed=wall_clock_feed()))
    with ExitStack() as stack:
        running = {}
        for definition in find_services().values():
            module = f"alpha_panda.{definition.name.replace('-', '_')}"
            arguments = ("-m", module, "--manifests", path, "--resource", RESOURCES[definition.kind])
            running[definition.name] = stack.enter_context(started(*arguments))
        for name, process in running.items():
            told = log_until(process, "service running")
            assert told[-1]["service_name"] == name
            assert told[-1]["instance"].endswith(f"-{process.pid}")
        for process in running.values():
            code, out, err = end(process, signal.SIGTERM)
            assert (code, out) == (0, "")
            assert json.loads(err.splitlines()[-1])["event"] == "service stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_control_writes_until_it_is_told_to_stop(alpha: Alpha, number: signal.Signals) -> None:
    path = alpha.write("all.yaml", platform())
    with started("-m", "alpha_panda.cli", "control", path) as process:
        log_until(process, "in-process transports: no other process sees what this one does")
        log_until(process, "control keys written")
        assert end(process, number)[:2] == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_drains_and_still_sums_up(alpha: Alpha, number: signal.Signals) -> None:
    path = alpha.write("all.yaml", platform(feed=wall_clock_feed()))
    with started("-m", "alpha_panda.cli", "run", path, "--output", "json") as process:
        told = log_until(process, "service running")
        while told[-1]["service_name"] != "market-feed":
            told = log_until(process, "service running")
        code, out, err = end(process, number)
        assert code == 0
        assert json.loads(out)["accounts"]["paper"]["cash"]
        assert [json.loads(line)["event"] for line in err.splitlines()].count("service stopped") == 7


def test_ctrl_c_while_the_first_service_starts(alpha: Alpha) -> None:
    path = alpha.write("all.yaml", platform(feed=wall_clock_feed()))
    with started("-m", "alpha_panda.cli", "run", path, "--output", "json") as process:
        log_until(process, "service running")
        code, out, _ = end(process, signal.SIGINT)
        assert code == 0
        assert json.loads(out)["ticks"] >= 0


ENDLESS = """\
from alpha_panda.sdk import Strategy, Tick


class Endless(Strategy):
    def on_tick(self, tick: Tick) -> None:
        print("in the loop", flush=True)
        while True:
            pass
"""


def test_a_second_interrupt_ends_a_run_whose_strategy_never_returns(alpha: Alpha) -> None:
    alpha.text("endless.py", ENDLESS)
    documents = platform(feed=wall_clock_feed(), strategy=strategy(code={"file": "endless.py"}))
    path = alpha.write("all.yaml", documents)
    with started("-m", "alpha_panda.cli", "run", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the loop\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        assert end(process, signal.SIGINT)[0] == 0
