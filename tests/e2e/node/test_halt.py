"""What a person changes acts within the time that is promised, by whatever way: trading stops, goes on, has a lower limit.

All on one desk: nothing here replaces a pod.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from alpha_panda.contracts.codes import Code
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


def test_a_halt_by_kubectl_is_the_last_call_within_seconds(shared: Desk, tell: Tell) -> None:
    tape = shared.follow()
    for kind, name in (("brokeraccounts", "paper"), ("strategies", "busy")):
        before = shared.uids()
        asked = time.time()
        shared.patch(kind, name, {"tradingState": "Halted"})
        last = stops(shared, tape, asked, 1 + WITHIN)
        tell(f"{kind} Halted by kubectl: last broker call {last:+.2f} s after the command was typed")
        assert last < 1 + WITHIN
        shared.expect(kind, name, "TradingAllowed", "False", "Halted")
        assert shared.uids() == before
        again = time.time()
        shared.patch(kind, name, {"tradingState": "Active"})
        first = tape.trades_on(1)
        tell(f"{kind} Active again: first order {first - again:.2f} s after the command was typed")
        shared.expect(kind, name, "TradingAllowed", "True", "Active")


def test_a_halt_by_the_plugin_holds_until_its_latch_is_named(shared: Desk, tell: Tell) -> None:
    tape = shared.follow()
    asked = time.time()
    kubectl_alpha_panda(shared, "halt", "paper", "--reason=a test", "--latch=by-hand", "-n", shared.namespace)
    typed = time.time() - asked
    last = stops(shared, tape, asked, typed + WITHIN)
    tell(f"kubectl alpha-panda halt: took {typed:.2f} s, last broker call {last:+.2f} s after it was typed")
    assert last < typed + WITHIN
    shared.expect("brokeraccounts", "paper", "TradingAllowed", "False", "Latched")
    (latch,) = shared.kubectl.get("brokeraccounts", "paper")["status"]["latches"]
    assert (latch["id"], latch["reason"], latch["state"]) == ("by-hand", "a test", "Halted")

    # What git has says Active, again and again: it releases nothing.
    calls = len(tape.called)
    shared.apply(BUSY)
    shared.patch("brokeraccounts", "paper", {"tradingState": "Halted"})
    shared.apply(BUSY)
    shared.patch("brokeraccounts", "paper", {"tradingState": "Active"})
    _stays(shared, tape, calls)

    again = time.time()
    shared.patch("brokeraccounts", "paper", {"clearLatch": ["by-hand"]})
    first = tape.trades_on(1)
    tell(f"spec.clearLatch: first order {first - again:.2f} s after the command was typed")
    shared.expect("brokeraccounts", "paper", "TradingAllowed", "True", "Active")
    assert not shared.kubectl.get("brokeraccounts", "paper")["status"].get("latches")


def test_the_platform_is_halted_by_its_config_map_and_by_the_plugin(shared: Desk, tell: Tell) -> None:
    tape = shared.follow()
    home = shared.installation.kubectl

    def platform(state: str) -> float:
        asked = time.time()
        patch = f'--patch={{"data":{{"tradingState":"{state}"}}}}'
        home("patch", "configmap", f"{NAME}-platform", "--type=merge", patch)
        return asked

    try:
        last = stops(shared, tape, platform("Halted"), 1 + WITHIN)
        tell(f"ConfigMap Halted: last broker call {last:+.2f} s after the command was typed")
        assert last < 1 + WITHIN
        shared.expect("strategies", "busy", "TradingAllowed", "False", "Halted")
    finally:
        platform("Active")
    tape.trades_on(1)

    asked = time.time()
    said: list[Any] = []
    try:
        said.append(kubectl_alpha_panda(shared, "halt", "--all", "--reason=a test", "--latch=everything"))
        typed = time.time() - asked
        last = stops(shared, tape, asked, typed + WITHIN)
        tell(f"halt --all: took {typed:.2f} s, last broker call {last:+.2f} s after it was typed")
        assert last < typed + WITHIN
        shared.expect("brokeraccounts", "paper", "TradingAllowed", "False", "Latched")
    finally:
        kubectl_alpha_panda(shared, "resume", "--all", "--latch=everything")
    tape.trades_on(1)


def test_a_limit_that_is_changed_acts_without_a_restart(shared: Desk, tell: Tell) -> None:
    tape = shared.follow()
    before = shared.uids()

    def refused() -> int:
        stories = list(tape.recorder.stories.values())
        return sum(Code.MAX_ORDER_QUANTITY.value in story.codes for story in stories)

    began = time.monotonic()
    shared.patch("brokeraccounts", "paper", {"risk": {"maxOrderQuantity": "0.5"}})
    shared.wait_until(lambda: refused() >= 2, f"orders are refused; {tape.explain()}")
    tell(f"a lower limit: orders refused {time.monotonic() - began:.1f} s after the command was typed")
    began = time.monotonic()
    shared.patch("brokeraccounts", "paper", {"risk": {"maxOrderQuantity": "1000"}})
    tape.trades_on()
    tell(f"the limit back: three orders sent {time.monotonic() - began:.1f} s after the command was typed")
    assert shared.uids() == before


def _stays(desk: Desk, tape: Tape, calls: int, seconds: float = 4.0) -> None:
    """No order is sent for a while."""
    until = time.monotonic() + seconds
    desk.wait_until(lambda: time.monotonic() > until, "a while")
    assert len(tape.called) == calls, "an order was sent"
