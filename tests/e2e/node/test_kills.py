"""Each pod is killed while orders flow, with its pod and without: every signal has one outcome, none comes twice."""

import time
from collections.abc import Callable

from alpha_panda.domain.ids import signal_id
from alpha_panda.runtime.context import Ports
from e2e.node.containers import kill_container
from e2e.node.desk import ROLES, Desk
from e2e.node.tape import Tape, suppressed

Tell = Callable[[str], None]

STRATEGY = "busy"


def test_no_signal_is_lost_or_doubled_whichever_pod_is_killed(busy: Desk, tell: Tell) -> None:
    tape = busy.tape()
    tape.trades_on(5)
    for role in ROLES:
        for how, kill in (("pod deleted by force", _delete), ("container killed", _kill)):
            before = busy.uids(role)
            killed = time.time()
            kill(busy, role)
            busy.wait_until(lambda: _replaced(busy, role, before), f"{role} is ready again")  # noqa: B023 - asked at once
            tape.trades_on(3)
            tell(f"{role}, {how}: longest pause between two orders {tape.longest_pause(killed):.1f} s")
    busy.trades()

    busy.kubectl("delete", "strategy", STRATEGY, "--timeout=60s", seconds=70)
    tape.comes_to_rest()
    sent, told = _sent(tape), _raw(tape)
    assert told == sent, f"not told: {sorted(sent - told)[:5]}, of nobody: {sorted(told - sent)[:5]}"
    assert len(tape.filled()) > 40, tape.explain()
    tell(f"{len(told)} signals, each told once and with one outcome: {tape.explain()}")


def _delete(desk: Desk, role: str) -> None:
    for pod in desk.pods(role):
        desk.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")


def _kill(desk: Desk, role: str) -> None:
    for pod in desk.pods(role):
        kill_container(desk.installation.cluster, pod)


def _replaced(desk: Desk, role: str, before: dict[str, str]) -> bool:
    """Whether all pods of a role are ready, and each is another or has another container than before."""
    pods = desk.pods(role)
    ready = [status["ready"] for pod in pods for status in pod["status"].get("containerStatuses", [])]
    return ready == [True] * len(before) and not desk.uids(role).items() & before.items()


def _raw(tape: Tape) -> set[str]:
    """Return the signals in `signals.raw`, and those that the strategy itself gave up."""
    return {name for name, story in tape.recorder.stories.items() if story.raw or suppressed(story)}


def _sent(tape: Tape) -> set[str]:
    """Return the ids of all signals that the strategy has ever made, by its own count of them."""

    async def counted(ports: Ports) -> set[str]:
        checkpoint = (await ports.checkpoints.claim(STRATEGY, "paper")).checkpoint
        assert checkpoint is not None
        return {signal_id(checkpoint.lineage, "paper", number) for number in range(1, checkpoint.counter + 1)}

    return tape.ask(counted)
