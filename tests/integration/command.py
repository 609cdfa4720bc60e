"""The command line in a child process, as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child: the sources on its path, none of our own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALPHAPANDA_")}
    path = os.pathsep.join([str(ROOT / "services"), str(ROOT / "operator"), str(ROOT / "tests")])
    return {**kept, "PYTHONPATH": path, **changes}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "alpha_panda.cli", *map(str, arguments)]


def alpha_panda(
    *arguments: str | Path, timeout: float = 60, **env: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own command
        command(*arguments),
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
