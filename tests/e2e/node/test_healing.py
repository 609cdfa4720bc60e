"""What the operator makes stays as it makes it, whoever deletes or edits it; and what was missed is made up for."""

import json
import time
from collections.abc import Callable
from typing import Any

from e2e.node.desk import Desk
from e2e.node.values import CONTROL_TTL, SEND_WITHIN

Tell = Callable[[str], None]

CHILDREN = (
    "deployment/paper-engine",
    "deployment/busy-strategy",
    "configmap/paper-account",
    "configmap/busy-strategy",
    "serviceaccount/paper-risk",
    "networkpolicy/paper-engine",
    "poddisruptionbudget/paper-engine",
)

EDITS: tuple[tuple[str, dict[str, Any], Callable[[dict[str, Any]], Any]], ...] = (
    ("deployment/paper-risk", {"spec": {"replicas": 0}}, lambda made: made["spec"]["replicas"]),
    (
        "deployment/busy-market-feed",
        {"spec": {"template": {"spec": {"containers": [{"name": "market-feed", "image": "nowhere:1"}]}}}},
        lambda made: made["spec"]["template"]["spec"]["containers"][0]["image"],
    ),
    ("configmap/paper-account", {"data": {"manifests.yaml": "nothing"}}, lambda made: made["data"]),
    (
        "networkpolicy/busy-strategy",
        {"spec": {"egress": [{}]}},
        lambda made: made["spec"]["egress"],
    ),
)


def test_children_that_are_deleted_or_edited_are_healed(shared: Desk, tell: Tell) -> None:
    tape = shared.follow()
    for child in CHILDREN:
        kind, _, name = child.partition("/")
        uid = shared.kubectl.get(kind, name)["metadata"]["uid"]
        began = time.monotonic()
        shared.kubectl("delete", child, "--wait=false")
        shared.wait_until(lambda: _other(shared, kind, name, uid), f"{child} is made again", 30)  # noqa: B023 - asked at once
        tell(f"{child} deleted: made again after {time.monotonic() - began:.2f} s")
    shared.trades()

    for child, patch, looked_at in EDITS:
        kind, _, name = child.partition("/")
        before = looked_at(shared.kubectl.get(kind, name))
        began = time.monotonic()
        strategic = "--type=strategic" if kind == "deployment" else "--type=merge"
        shared.kubectl("patch", kind, name, strategic, f"--patch={json.dumps(patch)}")
        back = f"{child} is put back"
        shared.wait_until(lambda: looked_at(shared.kubectl.get(kind, name)) == before, back, 30)  # noqa: B023 - as above
        tell(f"{child} edited: put back after {time.monotonic() - began:.2f} s")
    told = shared.kubectl.list("events.events.k8s.io", "--field-selector=reason=Healed")
    assert len({event["note"] for event in told}) >= len(EDITS), told
    shared.trades()
    tape.trades_on()


def _other(desk: Desk, kind: str, name: str, uid: str) -> bool:
    """Whether there is an object of this name, and not the old one."""
    found = desk.kubectl.find(kind, name)
    return bool(found) and bool(found["metadata"]["uid"] != uid)


def test_without_an_operator_trading_goes_on_then_stops_and_all_is_made_up_for_on_its_return(
    shared: Desk, tell: Tell
) -> None:
    _copy(shared, "sooner")
    shared.trades()
    tape = shared.follow()
    before = shared.uids()
    with shared.installation.without_operator():
        gone = time.time()
        _edit(shared)
        tape.trades_on(2, seconds=CONTROL_TTL)
        time_is_up = gone + CONTROL_TTL + SEND_WITHIN + 3
        shared.wait_until(lambda: time.time() > time_is_up, "its control keys have run out", 60)
        last = tape.last_call() - gone
        tell(
            f"without an operator: last broker call {last:.1f} s after it had gone; controlTtl {CONTROL_TTL} s"
        )
        assert 1 < last < CONTROL_TTL + SEND_WITHIN + 1
        assert len(_orders_after(tape, time_is_up - 1)) == 0
        came = time.time()
    back = time.time()
    first = tape.trades_on(1)
    tell(f"the operator back: ready after {back - came:.1f} s, first order {first - back:+.1f} s later")

    shared.expect("strategies", "later", "Ready", "True")
    shared.wait_until(lambda: len(shared.pods("engine")) == 3, "three engines")
    shared.wait_until(lambda: not shared.kubectl.exists("strategies", "sooner"), "the deleted one has gone")
    shared.wait_until(
        lambda: shared.kubectl.exists("configmap", "paper-account"), "its configuration is back"
    )
    for kind in ("marketfeeds", "brokeraccounts", "strategies"):
        for item in shared.kubectl.list(kind):
            name, generation = item["metadata"]["name"], item["metadata"]["generation"]
            shared.wait_until(
                lambda: shared.kubectl.get(kind, name)["status"]["observedGeneration"] == generation,  # noqa: B023 - asked at once
                f"{kind}/{name} is at generation {generation}",
            )
    shared.trades()
    tell(f"all converged {time.time() - back:.1f} s after its return")
    kept = {name for name in before if not name.startswith("sooner")}
    assert {name: shared.uids().get(name) for name in kept} == {name: before[name] for name in kept}
    tape.trades_on(1)


def _edit(desk: Desk) -> None:
    """Change everything that one can while nobody looks."""
    _copy(desk, "later")
    for limit in ("900", "800", "700"):
        desk.patch("brokeraccounts", "paper", {"risk": {"maxOrderQuantity": limit}})
    desk.patch("brokeraccounts", "paper", {"engine": {"replicas": 3}})
    desk.patch("marketfeeds", "busy", {"feedCacher": {"replicas": 1}})
    desk.kubectl("delete", "strategy", "sooner", "--wait=false")
    desk.kubectl("delete", "configmap", "paper-account")


def _copy(desk: Desk, name: str) -> None:
    """Apply one more strategy of the same kind."""
    strategy = desk.kubectl.get("strategies", "busy")
    kept = {part: strategy[part] for part in ("apiVersion", "kind", "spec")}
    desk.kubectl.apply({**kept, "metadata": {"name": name}})


def _orders_after(tape: Any, since: float) -> list[str]:
    return [name for name, ts in tape.called.items() if ts / 1e9 > since]
