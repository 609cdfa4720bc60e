"""Commands that are run to their end, and things that are waited for: both bounded, both with errors that say what failed."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from alpha_panda.errors import DependencyUnavailableError

POLL: Final = 0.05
"""Seconds between two looks at what is waited for."""


def attempt(
    command: Sequence[str | Path],
    *,
    seconds: float,
    stdin: str = "",
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a command and return how it ended, well or not.

    Raises:
        DependencyUnavailableError: there is no such program, or it took more than `seconds`.

    """
    words = [str(word) for word in command]
    try:
        return subprocess.run(  # noqa: S603 - programs that the harness names, no shell
            words,
            capture_output=True,
            text=True,
            errors="replace",
            input=stdin,
            timeout=seconds,
            cwd=folder,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise DependencyUnavailableError(
            words[0], "is not installed: run tools/install-cluster-tools"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DependencyUnavailableError(
            words[0], f"took more than {seconds:.0f} s: {' '.join(words)}"
        ) from error


def run(
    command: Sequence[str | Path],
    *,
    seconds: float,
    stdin: str = "",
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return what it printed.

    Raises:
        DependencyUnavailableError: it failed; the message has the command and what it said.

    """
    done = attempt(command, seconds=seconds, stdin=stdin, folder=folder, env=env)
    if done.returncode:
        line = " ".join(str(word) for word in command)
        raise DependencyUnavailableError(
            Path(command[0]).name, f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def wait_until(
    holds: Callable[[], bool], what: str, seconds: float, explain: Callable[[], str] = lambda: ""
) -> None:
    """Return when `holds` does; `what` names it in the error, `explain` adds to it (the end of a log, say).

    Raises:
        DependencyUnavailableError: it does not, within `seconds`.

    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise DependencyUnavailableError(
                "test cluster", f"{what}: not within {seconds:.0f} s\n{explain()}"
            )
        time.sleep(POLL)
