"""Whether a change of a pod template may be rolled out now. Pure.

What the user changes (the start hash) rolls at once. What an upgrade of the operator or its configuration changes
waits until the venue is closed, or for the annotation `alphapanda.io/rollout: now`: nobody's orders are interrupted by
somebody else's upgrade. A workload that can't run as it is (it crashes, or its image is missing) interrupts nothing; one
that is merely not ready now does: it waits for Redis or Kafka, say, which an upgrade may well have restarted.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from alpha_panda_operator.facts import ChildFact, PodFact


class Roll(Enum):
    """What to do with a Deployment's template."""

    TAKE = "take the new one"
    KEEP = "nothing differs"
    HOLD = "stay at the old one for now"


def roll(
    live: ChildFact | None,
    start_hash: str,
    revision: str,
    *,
    at_once: bool,
    session_open: Callable[[], bool],
) -> Roll:
    """Return what to do, given what runs and what would be made: its start hash and its template's revision.

    `at_once`: a person wants it now, or nothing that runs is interrupted (`broken`).
    """
    if live is None or live.start_hash != start_hash:
        return Roll.TAKE
    if live.template_revision == revision:
        return Roll.KEEP
    if at_once or not session_open():
        return Roll.TAKE
    return Roll.HOLD


def broken(live: ChildFact | None, pods: Iterable[PodFact]) -> bool:
    """Return whether a workload can't run as it is: no pod is ready, and one is in trouble or can't be made at all."""
    if live is None or live.ready:
        return False
    return bool(live.failure) or any(pod.trouble for pod in pods)
