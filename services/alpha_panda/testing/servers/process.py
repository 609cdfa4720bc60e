"""A server process that never outlives whoever started it.

The server is the child of a small watchdog, which kills it as soon as our end of a pipe closes: also when this
process is killed with SIGKILL. It is in a session of its own, so that Ctrl-C in a terminal reaches only the tests.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from alpha_panda.errors import DependencyUnavailableError

WATCHDOG: Final = """
import os, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
print(child.pid, flush=True)
def guard():
    os.read(0, 1)
    child.kill()
threading.Thread(target=guard, daemon=True).start()
os._exit(child.wait() != 0)
"""

TAIL_LINES: Final = 30


class ServerProcess:
    """One run of a server's program; `log` takes what it prints.

    Raises:
        DependencyUnavailableError: the program can't be started.

    """

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._name = Path(command[0]).name
        self._log = log
        with log.open("ab") as output:
            self._watchdog = subprocess.Popen(  # noqa: S603 - our own interpreter and the server's program
                [sys.executable, "-I", "-S", "-c", WATCHDOG, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
                env=None if env is None else {**os.environ, **env},
            )
        first = _pipe(self._watchdog.stdout).readline()
        if not first.strip().isdigit():
            self._finish()
            raise DependencyUnavailableError(self._name, f"could not be started:\n{self.tail()}")
        self.pid = int(first)

    @property
    def running(self) -> bool:
        """Whether the server has not ended."""
        return self._watchdog.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it runs."""
        if self.running:
            with suppress(ProcessLookupError):  # it has ended, and its watchdog has not said so yet
                os.kill(self.pid, number)

    def terminate(self, timeout: float) -> None:
        """Ask the server to end and wait; kill it after `timeout` seconds."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # one that is stopped could not act on it
        try:
            self._watchdog.wait(timeout)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self._finish()

    def kill(self) -> None:
        """End the server at once."""
        self.signal(signal.SIGKILL)
        self._finish()

    def tail(self) -> str:
        """Return the last lines of what the server printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def _finish(self) -> None:
        _pipe(self._watchdog.stdin).close()  # the watchdog kills what still runs
        self._watchdog.wait()
        _pipe(self._watchdog.stdout).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - asked for by PIPE
    return stream
