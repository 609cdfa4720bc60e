"""What came of one request. Three cases and no more: not sent for sure, in doubt, answered in full.

Whoever sends orders decides on these alone (DESIGN section 4, "Outcome of the call"): `NotSent` is a definite
refusal, `Unanswered` is UNKNOWN, and an `Answer` is what the adapter's own list says, UNKNOWN if it says nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

from alpha_panda.contracts.codes import Code

_TIMEOUT: Final = re.compile(r"time[ds]?[\s_-]*out|deadline|took too long|no (response|reply)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NotSent:
    """Surely no byte of the request left: no connection, no TLS, or the deadline had passed."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Bytes may have left, and no full answer came back."""

    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A full answer, whatever it says."""

    status: int
    body: bytes


Exchange = NotSent | Unanswered | Answer


def speaks_of_timeout(text: str) -> bool:
    """Whether a message speaks of a time-out: then whoever wrote it doesn't know either what became of the order."""
    return _TIMEOUT.search(text) is not None
