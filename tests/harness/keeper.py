"""One cluster for all workers of a test session: kept by a process of its own, which ends with the session.

Not kept by a worker: xdist replaces workers that hang or die, and with one of them the others' cluster would go.
Not one each: on two cores a second API server costs every test more than sharing does.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError

from .cache import locked
from .cluster import Cluster
from .command import wait_until
from .kinds import KINDS

START_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.2

_KEEPERS: Final["list[subprocess.Popen[bytes]]"] = []
"""Never waited for: they outlive their starters."""


def shared_cluster(kind: str, folder: Path, session: int) -> Cluster:
    """Return the session's cluster of a kind; whoever comes first starts it.

    Args:
        kind: of `kinds.KINDS`.
        folder: the session's; all its workers give the same.
        session: the process with which it ends.

    Raises:
        DependencyUnavailableError: it does not start.

    """
    facts, log = folder / f"{kind}.json", folder / f"{kind}.log"
    with locked(folder / f"{kind}.lock"):
        if not facts.exists():
            keeper = _start_keeper(kind, facts, log, session)
            wait_until(
                lambda: facts.exists() or keeper.poll() is not None,
                f"{kind} cluster",
                START_SECONDS,
                log.read_text,
            )
    if not facts.exists():
        raise DependencyUnavailableError("test cluster", f"did not start:\n{log.read_text()}")
    return Cluster.read(facts)


def _start_keeper(kind: str, facts: Path, log: Path, session: int) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        keeper = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "harness.keeper", kind, str(facts), str(session)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    _KEEPERS.append(keeper)
    return keeper


def main(arguments: Sequence[str]) -> int:
    """Start a cluster, write its facts, and end it when the session has ended."""
    kind, facts, session = arguments[0], Path(arguments[1]), int(arguments[2])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with KINDS[kind]() as cluster:
            cluster.write(facts)
            while _lives(session) and not ended.wait(LOOK_SECONDS):
                pass
    except AlphaPandaError as error:
        print(error, file=sys.stderr)  # noqa: T201 - goes to the log that the workers show
        return 1
    finally:
        facts.unlink(missing_ok=True)
    return 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
