"""Trading stops when a person says so, by whatever way, within the time that is promised; and goes on when they say so."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from e2e.node.desk import BUSY, Desk
from e2e.node.installation import NAME
from e2e.node.tape import Tape
from e2e.node.values import SEND_WITHIN
from harness.build import find_program

Tell = Callable[[str], None]

SECONDS = 60.0

WITHIN = SEND_WITHIN + 1.0
"""Seconds from a halt that is in Redis to the last call: S, and what a busy machine needs to tell of it."""


def kubectl_alpha_panda(desk: Desk, *words: str) -> str:
    """Run the plugin as kubectl does: by its name, with the user's kubeconfig."""
    plugin = desk.installation.folder / "kubectl-alpha_panda"  # as an installation of the package makes it
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m alpha_panda.cli.plugin "$@"\n', encoding="utf-8")
    plugin.chmod(0o755)
    program = find_program("kubectl")
    path = os.pathsep.join([str(plugin.parent), str(program.parent), os.environ["PATH"]])
    done = subprocess.run(  # noqa: S603 - our own program
        [program, "alpha-panda", *words],
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KUBECONFIG": desk.installation.cluster.kubeconfig,
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stops(desk: Desk, tape: Tape, since: float, limit: float) -> float:
    """Wait until the last call is past; return how long after `since` it was told."""
    desk.wait_until(lambda: time.time() > since + limit + 3, "the time that is promised", limit + 10)
    return tape.last_call() - since


def test_a_halt_by_kubectl_is_the_last_call_within_seconds(busy: Desk, tell: Tell) -> None:
    tape = busy.tape()
    tape.trades_on()
    for kind, name in (("brokeraccounts", "paper"), ("strategies", "busy")):
        before = busy.uids()
        asked = time.time()
        busy.patch(kind, name, {"tradingState": "Halted"})
        last = stops(busy, tape, asked, 1 + WITHIN)
        tell(f"{kind} Halted by kubectl: last broker call {last:+.2f} s after the command was typed")
        assert last < 1 + WITHIN
        busy.expect(kind, name, "TradingAllowed", "False", "Halted")
        assert busy.uids() == before
        again = time.time()
        busy.patch(kind, name, {"tradingState": "Active"})
        first = tape.trades_on(1)
        tell(f"{kind} Active again: first order {first - again:.2f} s after the command was typed")
        busy.expect(kind, name, "TradingAllowed", "True", "Active")


def test_a_halt_by_the_plugin_holds_until_its_latch_is_named(busy: Desk, tell: Tell) -> None:
    tape = busy.tape()
    tape.trades_on()
    asked = time.time()
    kubectl_alpha_panda(busy, "halt", "paper", "--reason=a test", "--latch=by-hand", "-n", busy.namespace)
    typed = time.time() - asked
    last = stops(busy, tape, asked, typed + WITHIN)
    tell(f"kubectl alpha-panda halt: took {typed:.2f} s, last broker call {last:+.2f} s after it was typed")
    assert last < typed + WITHIN
    busy.expect("brokeraccounts", "paper", "TradingAllowed", "False", "Latched")
    (latch,) = busy.kubectl.get("brokeraccounts", "paper")["status"]["latches"]
    assert (latch["id"], latch["reason"], latch["state"]) == ("by-hand", "a test", "Halted")

    # What git has says Active, again and again: it releases nothing.
    calls = len(tape.called)
    busy.apply(BUSY)
    busy.patch("brokeraccounts", "paper", {"tradingState": "Halted"})
    busy.apply(BUSY)
    busy.patch("brokeraccounts", "paper", {"tradingState": "Active"})
    _stays(busy, tape, calls)

    again = time.time()
    busy.patch("brokeraccounts", "paper", {"clearLatch": ["by-hand"]})
    first = tape.trades_on(1)
    tell(f"spec.clearLatch: first order {first - again:.2f} s after the command was typed")
    busy.expect("brokeraccounts", "paper", "TradingAllowed", "True", "Active")
    assert not busy.kubectl.get("brokeraccounts", "paper")["status"].get("latches")


def test_the_platform_is_halted_by_its_config_map_and_by_the_plugin(busy: Desk, tell: Tell) -> None:
    tape = busy.tape()
    tape.trades_on()
    home = busy.installation.kubectl

    def platform(state: str) -> float:
        asked = time.time()
        patch = f'--patch={{"data":{{"tradingState":"{state}"}}}}'
        home("patch", "configmap", f"{NAME}-platform", "--type=merge", patch)
        return asked

    try:
        last = stops(busy, tape, platform("Halted"), 1 + WITHIN)
        tell(f"ConfigMap Halted: last broker call {last:+.2f} s after the command was typed")
        assert last < 1 + WITHIN
        busy.expect("strategies", "busy", "TradingAllowed", "False", "Halted")
    finally:
        platform("Active")
    tape.trades_on(1)

    asked = time.time()
    said: list[Any] = []
    try:
        said.append(kubectl_alpha_panda(busy, "halt", "--all", "--reason=a test", "--latch=everything"))
        typed = time.time() - asked
        last = stops(busy, tape, asked, typed + WITHIN)
        tell(f"halt --all: took {typed:.2f} s, last broker call {last:+.2f} s after it was typed")
        assert last < typed + WITHIN
        busy.expect("brokeraccounts", "paper", "TradingAllowed", "False", "Latched")
    finally:
        kubectl_alpha_panda(busy, "resume", "--all", "--latch=everything")
    tape.trades_on(1)


def _stays(desk: Desk, tape: Tape, calls: int, seconds: float = 4.0) -> None:
    """No order is sent for a while."""
    until = time.monotonic() + seconds
    desk.wait_until(lambda: time.monotonic() > until, "a while")
    assert len(tape.called) == calls, "an order was sent"
