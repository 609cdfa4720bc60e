"""Places of test nodes, and what a run that was killed has left in them: found by files that name it, never by program names.

Processes, mounts and networks of a node end with its process 1, which ends with whoever started it. Folders and empty
control groups can outlive a kill -9; whoever takes a place next removes them.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import IO, Any, Final, Self

from alpha_panda.errors import DependencyUnavailableError

from .cache import cache
from .command import POLL

PLACES: Final = 64
"""Test nodes at a time on one machine; each has networks of its own."""

GROUPS: Final = Path("/sys/fs/cgroup")
END_SECONDS: Final = 20.0


class Lease:
    """One place (`number`), held by a lock until `release`, or until this process ends."""

    def __init__(self, number: int, lock: IO[str]) -> None:
        self.number = number
        self._lock = lock

    @classmethod
    def take(cls) -> Self:
        """Take a free place and remove what is left in all free ones.

        Raises:
            DependencyUnavailableError: all are taken.

        """
        mine: Self | None = None
        for number in range(PLACES):
            lock = _try_lock(number)
            if lock is None:
                continue
            lease = cls(number, lock)
            lease.clear()
            if mine is None:
                mine = lease
            else:  # only looked at, and at once another's to take
                lease.release()
        if mine is None:
            raise DependencyUnavailableError("test node", f"all {PLACES} places are taken by other runs")
        return mine

    @property
    def group(self) -> str:
        """The name of its control group, in each hierarchy."""
        return f"alpha-panda-{self.number}"

    def note(self, **facts: Any) -> None:
        """Write down what would be left: `pid` and its `started`, `folder`."""
        self._record.write_text(json.dumps(facts), encoding="utf-8")

    def clear(self) -> None:
        """End and delete what was noted."""
        if not self._record.exists():
            return
        with contextlib.suppress(
            json.JSONDecodeError
        ):  # killed while it was written: nothing had been started
            left = json.loads(self._record.read_text(encoding="utf-8"))
            end_process(left.get("pid", 0), left.get("started", ""))
            remove_groups(self.group)
            shutil.rmtree(left["folder"], ignore_errors=True)
        self._record.unlink()

    def release(self) -> None:
        """Give the place back."""
        self._lock.close()

    @property
    def _record(self) -> Path:
        return _folder() / f"{self.number}.json"


def started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: with its pid it names one process for ever. "" if gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def end_process(pid: int, since: str) -> None:
    """Kill a process and wait until it is gone, unless its pid is another's by now."""
    deadline = time.monotonic() + END_SECONDS
    while pid and since and started(pid) == since and _state(pid) not in {"Z", ""}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise DependencyUnavailableError("test node", f"process {pid} of an earlier run does not end")
        time.sleep(POLL)


def group_folders(name: str) -> list[Path]:
    """Return the folders of a control group: one (version 2), or one in each hierarchy."""
    if (GROUPS / "cgroup.controllers").exists():
        return [GROUPS / name]
    return [folder / name for folder in GROUPS.iterdir() if folder.is_dir() and not folder.is_symlink()]


def remove_groups(name: str) -> None:
    """Remove a control group and all below it; kill what is still in it."""
    deadline = time.monotonic() + END_SECONDS
    while left := [folder for folder in group_folders(name) if folder.exists()]:
        for folder in left:
            _remove_group(folder)
        if time.monotonic() > deadline:
            raise DependencyUnavailableError("test node", f"control group {left[0]} can't be removed")
        time.sleep(POLL)


def _remove_group(folder: Path) -> None:
    for below in sorted((path for path in folder.rglob("*/") if path.is_dir()), reverse=True):
        _remove_one(below)
    _remove_one(folder)


def _remove_one(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    with contextlib.suppress(OSError):  # its processes take a moment to end
        folder.rmdir()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _folder() -> Path:
    folder = cache() / "places"
    folder.mkdir(exist_ok=True)
    return folder


def _try_lock(number: int) -> IO[str] | None:
    lock = (_folder() / f"{number}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
