"""Temporary folders that are deleted even if their owner is killed: by whoever makes the next one."""

import contextlib
import fcntl
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO, Final

PREFIX: Final = "alpha-panda-cluster-"
LOCK: Final = "owner.lock"
YOUNG_SECONDS: Final = 60.0
"""A folder younger than this is left alone: its owner may not have come to lock it."""


class OwnFolder:
    """A temporary folder, with a lock in it that lasts as long as this process."""

    def __init__(self) -> None:
        forget_ownerless(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = (self.path / LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def forget_ownerless(parent: Path, young: float = YOUNG_SECONDS) -> None:
    """Delete the folders of ours whose owners have ended without doing so."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / LOCK).open("r+") as lock:
            if time.time() - (folder / LOCK).stat().st_mtime > young and _is_free(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
