"""Named server processes with a log each, ended together in the reverse order; none outlives whoever started it."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.process import ServerProcess

from .command import wait_until


class Processes:
    """Servers of one place. `prefix`: words before each command, which bring it to its place.

    Logs are `NAME.log` in `folder`.
    """

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self._folder = folder
        self._prefix = tuple(prefix)
        self._commands: dict[str, list[str]] = {}
        self._running: dict[str, ServerProcess] = {}

    def start(self, name: str, command: Sequence[str | Path], *, prefixed: bool = True) -> ServerProcess:
        """Start a server under a name; a later `restart` uses the same command. Unless `prefixed`, it is complete."""
        prefix = self._prefix if prefixed else ()
        self._commands[name] = [*prefix, *(str(word) for word in command)]
        return self._begin(name)

    def restart(self, name: str) -> ServerProcess:
        """Kill a server if it runs, and start it again."""
        self.kill(name)
        return self._begin(name)

    def kill(self, name: str) -> None:
        """End a server at once; nothing if it has ended."""
        process = self._running.pop(name, None)
        if process is not None:
            process.kill()

    def __getitem__(self, name: str) -> ServerProcess:
        return self._running[name]

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float, *names: str) -> None:
        """Wait for something that the servers `names` must bring about; fail at once if one of them has ended."""

        def looked() -> bool:
            ended = [name for name in names if not self._running[name].running]
            if ended:
                raise DependencyUnavailableError(ended[0], f"has ended before {what}:\n{self.tail(*ended)}")
            return holds()

        wait_until(looked, what, seconds, lambda: self.tail(*names))

    def tail(self, *names: str) -> str:
        """Return the last lines of logs; of all servers without names."""
        chosen = names or tuple(self._running)
        return "\n".join(f"--- {name}\n{self._running[name].tail()}" for name in chosen)

    def close(self) -> None:
        """Kill all, the last one first."""
        for name in reversed(list(self._running)):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)

    def _begin(self, name: str) -> ServerProcess:
        self._running[name] = ServerProcess(self._commands[name], self._folder / f"{name}.log")
        return self._running[name]
