"""Whether a change of a pod template may be rolled out now. Pure.

What the user changes (the start hash) rolls at once. What an upgrade of the operator or its configuration changes
waits until the venue is closed, or for the annotation `alphapanda.io/rollout: now`: nobody's orders are interrupted by
somebody else's upgrade. A workload that has no ready pod interrupts nothing.
"""

from collections.abc import Callable
from enum import Enum

from alpha_panda_operator.facts import ChildFact


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
    now_wanted: bool,
    session_open: Callable[[], bool],
) -> Roll:
    """Return what to do, given what runs and what would be made: its start hash and its template's revision."""
    if live is None or live.start_hash != start_hash:
        return Roll.TAKE
    if live.template_revision == revision:
        return Roll.KEEP
    if now_wanted or not live.ready or not session_open():
        return Roll.TAKE
    return Roll.HOLD
