"""What happens to a row that can't be used: told, counted and left out, or the end of a strict replay."""

import structlog

from alpha_panda.errors import BadRowError

SHOWN = 20

_log = structlog.get_logger(__name__)


class BadRows:
    """The bad rows of one replay. The first 20 are logged one by one, all together at the end."""

    def __init__(self, *, strict: bool, quiet: bool = False) -> None:
        self._shown = 0 if quiet else SHOWN
        self._strict = strict
        self._told = 0
        self.total = 0
        self.first = ""

    def add(self, place: str, column: str, value: object, problem: str) -> None:
        """Note a bad row, in `place` (file and line).

        Raises:
            BadRowError: the replay is strict.

        """
        message = f"{place}, column {column!r}: {value!r} {problem}"
        if self._strict:
            raise BadRowError(f"{message}; correct the row, or leave bad rows out with strict: false")
        self.total += 1
        self.first = self.first or message
        if self.total <= self._shown:
            _log.warning("row left out", reason=message)

    def take(self) -> int:
        """Return how many were added since the last call."""
        added, self._told = self.total - self._told, self.total
        return added

    def summarise(self, rows: int, skipped: int) -> None:
        """Log the totals, if anything was left out."""
        if self.total and self._shown:
            _log.warning("rows left out", bad=self.total, used=rows, shown=min(self.total, self._shown))
        if skipped and self._shown:
            _log.info("rows of other instruments skipped", skipped=skipped, used=rows)
