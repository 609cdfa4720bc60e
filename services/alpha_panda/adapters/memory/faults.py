"""Faults to order of a memory bus, for tests."""

from dataclasses import dataclass, field

from alpha_panda.adapters.memory.log import BUS
from alpha_panda.errors import DependencyUnavailableError


@dataclass(slots=True)
class Faults:
    """What goes wrong next, each so many times; a topic narrows a fault to calls that touch it.

    `send_before`: a send fails and nothing is written. `send_after`: it fails after everything was written (the
    acknowledgement is lost). `redeliver`: what a fetch returned is returned once more by that consumer's next one.
    """

    _due: dict[tuple[str, str | None], int] = field(default_factory=dict)

    def fail_sends(self, times: int = 1, *, written: bool = False, topic: str | None = None) -> None:
        """Let the next sends raise DependencyUnavailableError, before or after their records are `written`."""
        self._order("send_after" if written else "send_before", topic, times)

    def redeliver(self, times: int = 1, *, topic: str | None = None) -> None:
        """Let the records of the next fetches be delivered twice."""
        self._order("redeliver", topic, times)

    @property
    def pending(self) -> bool:
        """Whether any fault is still to happen."""
        return bool(self._due)

    def check_send(self, topics: tuple[str, ...], *, written: bool) -> None:
        """Raise if a failure is due for a send to these topics."""
        if self._happens("send_after" if written else "send_before", topics):
            raise DependencyUnavailableError(
                BUS, f"ordered failure, records {'' if written else 'not '}written"
            )

    def redelivers(self, topics: tuple[str, ...]) -> bool:
        """Whether a redelivery is due for a fetch from these topics."""
        return self._happens("redeliver", topics)

    def _order(self, kind: str, topic: str | None, times: int) -> None:
        self._due[kind, topic] = self._due.get((kind, topic), 0) + times

    def _happens(self, kind: str, topics: tuple[str, ...]) -> bool:
        for key in ((kind, None), *((kind, topic) for topic in topics)):
            if key in self._due:
                self._due[key] -= 1
                if not self._due[key]:
                    del self._due[key]
                return True
        return False
