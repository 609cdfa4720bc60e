"""Redis and Kafka go: nothing is sent without them; they come back: the books are compared, and trading goes on."""

import time
from collections.abc import Callable

import pytest

from e2e.node.desk import Desk
from e2e.node.installation import NAME
from e2e.node.values import SEND_WITHIN
from harness.kubectl import Kubectl

Tell = Callable[[str], None]

AWAY = 5.0
"""Seconds that a store stays away, on top of S."""


@pytest.mark.parametrize("store", ["redis", "kafka"])
def test_a_store_that_goes_stops_trading_and_one_that_is_back_resumes_it(
    busy: Desk, store: str, tell: Tell
) -> None:
    home, pod = busy.installation.kubectl, f"{NAME}-{store}-0"
    tape = busy.tape()
    tape.trades_on()

    killed, uid = time.time(), home.get("pod", pod)["metadata"]["uid"]
    home("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
    busy.wait_until(lambda: _again(home, pod, uid), f"{pod} is there again")
    busy.trades()
    tape.trades_on(3)
    tell(f"{store} killed: longest pause between two orders {tape.longest_pause(killed):.1f} s")

    home("scale", f"statefulset/{NAME}-{store}", "--replicas=0")
    try:
        home("wait", f"pod/{pod}", "--for=delete", "--timeout=60s", seconds=70)
        gone = time.time()
        busy.wait_until(lambda: time.time() > gone + SEND_WITHIN + AWAY, "a while without it")
        type_, reason = {"redis": ("ControlPublished", "StoreUnavailable"), "kafka": ("Ready", "")}[store]
        busy.expect("brokeraccounts", "paper", type_, "False", reason)
    finally:
        home("scale", f"statefulset/{NAME}-{store}", "--replicas=1")
        back = time.time()
    home("rollout", "status", f"statefulset/{NAME}-{store}", "--timeout=90s", seconds=100)
    first = tape.trades_on(3)
    last = max((ts / 1e9 for ts in tape.called.values() if ts / 1e9 < back), default=0.0)
    tell(
        f"{store} away: last order {last - gone:+.1f} s after it had gone, "
        f"next one {first - back:.1f} s after it was asked back"
    )
    assert last < gone + SEND_WITHIN + 1
    busy.trades()
    busy.expect("brokeraccounts", "paper", "Reconciled", "True", "Reconciled")

    busy.kubectl("delete", "strategy", "busy", "--timeout=60s", seconds=70)
    tape.comes_to_rest()
    tell(tape.explain())


def _again(home: Kubectl, pod: str, uid: str) -> bool:
    """Whether there is another pod of this name, ready."""
    found = home.find("pod", pod)
    return (
        bool(found)
        and found["metadata"]["uid"] != uid
        and any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in found["status"].get("conditions", [])
        )
    )
