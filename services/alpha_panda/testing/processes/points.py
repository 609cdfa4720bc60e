"""Where a process comes to harm: `journal.begin:after:2=kill`, kept in a file until it has struck.

`port.method`, for a producer with the topic's end in brackets (`producer.send(signals.validated)`); before the call,
or after its effect but before the caller has the reply; at which call, counted from when the plan was written.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from alpha_panda.errors import MisuseError


class Moment(StrEnum):
    """When, with regard to the call."""

    BEFORE = "before"
    AFTER = "after"


class Harm(StrEnum):
    """What happens to the process: SIGKILL, SIGSTOP until somebody continues it, or a call that never returns."""

    KILL = "kill"
    STOP = "stop"
    HANG = "hang"


_WORDS: Final = re.compile(
    r"(?P<operation>[a-z_]+\.[a-z_]+(\([\w.]+\))?):(?P<moment>before|after):(?P<nth>[1-9]\d*)=(?P<harm>kill|stop|hang)"
)


@dataclass(frozen=True, slots=True)
class Point:
    """One harm at one call."""

    operation: str
    moment: Moment
    harm: Harm = Harm.KILL
    nth: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `operation:moment:nth=harm`; MisuseError for anything else."""
        found = _WORDS.fullmatch(text.strip())
        if found is None:
            raise MisuseError(f"{text!r} is no point; write port.method:before|after:n=kill|stop|hang")
        return cls(found["operation"], Moment(found["moment"]), Harm(found["harm"]), int(found["nth"]))

    def __str__(self) -> str:
        return f"{self.operation}:{self.moment}:{self.nth}={self.harm}"


class PlanFile:
    """A point in a file: armed while the file is there, struck when it is gone.

    Several processes may watch one file; it strikes only one of them, the first that comes to the point.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._point: Point | None = None

    @property
    def armed(self) -> bool:
        """Whether it has not struck yet."""
        return self._path.exists()

    def write(self, point: Point) -> None:
        """Arm the point."""
        half = self._path.with_suffix(".half")
        half.write_text(f"{point}\n", encoding="utf-8")
        half.replace(self._path)

    def clear(self) -> bool:
        """Forget the point; say whether it was armed still."""
        return self._take()

    def read(self) -> tuple[Point | None, bool]:
        """Return the point, if one is armed, and whether it is another one than at the last call."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._seen:
                return self._point, False
            self._point = Point.parse(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._point, self._seen = None, 0
            return None, False
        self._seen = stamp
        return self._point, True

    def claim(self) -> bool:
        """Say whether it is us whom it strikes: only one caller ever gets True."""
        return self._take()

    def _take(self) -> bool:
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
