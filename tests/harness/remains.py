"""What there is on this machine of a run: for tests that kill one and look at what it left (Linux)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

HOLD: Final = """
import os, sys, time
from harness.kinds import KINDS
with KINDS[sys.argv[1]]() as cluster:
    print(cluster.folder, flush=True)
    time.sleep(600)
"""
"""A session that starts a cluster, says where, and waits to be killed."""


def start_session(kind: str) -> "tuple[subprocess.Popen[str], Path]":
    """Start a process that holds a cluster of a kind; return it and the cluster's folder when that is up."""
    session = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", HOLD, kind],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert session.stdout is not None
    return session, Path(session.stdout.readline().strip())


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command lines of processes that name a folder, or have a root, a mount or a name in it, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            line = _read(entry / "cmdline").replace("\0", " ")
            if str(folder) in line or str(folder) in _read(entry / "environ") or _mounts(entry, folder):
                found[int(entry.name)] = line
    return found


def _mounts(entry: Path, folder: Path) -> bool:
    """Whether a process lives among mounts of the folder: a container's does, whatever its command."""
    return str(folder) in _read(entry / "mountinfo")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
