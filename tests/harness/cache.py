"""What is slow to make is made once, outside the repository, and shared by all runs and workers.

A thing is made beside its place and renamed: whoever sees it sees it whole. Others that want it wait for the lock.
"""

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from alpha_panda.testing.servers.kafka_install import cache_folder

FOLDER: Final = "cluster"


def cache() -> Path:
    """Return our part of the cache (ALPHAPANDA_TEST_CACHE, else ~/.cache/alpha-panda)."""
    folder = cache_folder() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(name: str, make: Callable[[Path], None], *, lock: str = "") -> Path:
    """Return the folder `name` of the cache; if it is missing, `make` fills an empty one, which then becomes it.

    `lock`: what to lock while making, by default the thing itself; give the same for things better made in turn.
    """
    target = cache() / name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = lock or name.replace("/", "-")
    with locked(cache() / f"{lock}.lock"):
        if not target.exists():
            _make(target, lock, make)
    return target


def forget_old(*patterns: str, seconds: float = 3 * 86_400.0) -> None:
    """Delete what of the cache matches and was made long ago: of each state of the sources there is one."""
    long_ago = time.time() - seconds
    for pattern in patterns:
        for folder in cache().glob(pattern):
            if folder.stat().st_mtime < long_ago:
                shutil.rmtree(folder, ignore_errors=True)


def _make(target: Path, lock: str, make: Callable[[Path], None]) -> None:
    prefix = f"making-{lock}-"
    for left in cache().glob(f"{prefix}*"):  # by one who held the lock before us and was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix=prefix, ignore_cleanup_errors=True) as work:
        fresh = Path(work) / "fresh"
        fresh.mkdir()
        make(fresh)
        fresh.rename(target)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it ends with the block, or with the process."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
