"""The first thing that a user does: install, apply the example, see it trade."""

import time
from collections.abc import Callable

from e2e.node.desk import EXAMPLE, READY, Desk
from harness.resources import KINDS

Tell = Callable[[str], None]


def test_the_first_example_trades_as_it_is(desk: Desk, tell: Tell) -> None:
    began = time.monotonic()
    desk.apply(EXAMPLE)
    desk.trades()
    ready = time.monotonic() - began
    tape = desk.tape()
    desk.wait_until(lambda: len(tape.filled()) >= 3, f"three filled orders; {tape.explain()}")
    tell(
        f"all conditions True after {ready:.1f} s, three orders filled after {time.monotonic() - began:.1f} s"
    )

    for kind, name in (("strategies", "momentum-reliance"), ("brokeraccounts", "paper")):
        desk.wait_until(lambda: _counted(desk, kind, name) >= 3, f"the orders of {kind}/{name} are counted")  # noqa: B023 - called at once
        status = desk.kubectl.get(kind, name)["status"]
        assert status["signalsToday"] >= status["ordersToday"] >= 3, status
        assert all(item["observedGeneration"] == 1 for item in status["conditions"])
    tell("\n" + desk.kubectl("get", ",".join(KINDS)))
    assert set(READY) == set(KINDS)


def _counted(desk: Desk, kind: str, name: str) -> int:
    return int(desk.kubectl.get(kind, name)["status"].get("ordersToday", 0))
