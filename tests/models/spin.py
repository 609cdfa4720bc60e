"""Runs `journal.pml`: spin makes a verifier, gcc compiles it, it runs within bounded time and memory."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.explore import Limits, Result, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE: Final = Path(__file__).parent
SOURCES: Final = ("journal.pml", "journal_bounds.h", "journal_guards.h")
PACKAGES: Final = {"spin": "spin", "gcc": "gcc", "cpp": "cpp"}
"""Program → the Debian package that has it. `cpp` is what spin reads its input with."""
DEPTH: Final = 2_000_000
COMPILE_SECONDS: Final = 60.0
INTERRUPTED_SECONDS: Final = 20.0
STACK_MB: Final = 400
"""Address space beside the states: the search stack at DEPTH, the program, its libraries."""
_STATES: Final = re.compile(r"([0-9.e+]+) states, stored")
_PROPERTY: Final = re.compile(r"violated \( *!\(\((\d+)&(\d+)\)\)")
_INCOMPLETE: Final = (
    "max search depth too small",
    "out of memory",
    "memory limit",
    "MEMLIM",
    "Search not completed",
)


class ToolsMissingError(RuntimeError):
    """Spin or gcc is not installed; the message names the packages."""


def require_tools() -> None:
    """Raise ToolsMissingError unless everything that a run needs is on the path."""
    missing = [program for program in PACKAGES if shutil.which(program) is None]
    if missing:
        packages = " ".join(PACKAGES[program] for program in missing)
        raise ToolsMissingError(
            f"{', '.join(missing)} not found: the journal's model needs Debian's packages; apt-get install {packages}"
        )


def properties() -> dict[int, str]:
    """Return the properties of journal.pml by their bit, as it tells them."""
    lines = re.findall(r"#define (P_\w+) (\d+) +/\* (.+?) \*/", (HERE / "journal.pml").read_text())
    return {int(bit): f"{name}: {meaning}" for name, bit, meaning in lines}


def check(
    bounds: Mapping[str, int],
    removed: Sequence[str] = (),
    limits: Limits | None = None,
) -> Result:
    """Check journal.pml with these bounds, without the guards `removed`."""
    require_tools()
    flags = [f"-D{name}={value}" for name, value in bounds.items()]
    flags += [f"-DNO_{guard}" for guard in removed]
    with tempfile.TemporaryDirectory(prefix="journal-model-") as directory:
        return _Verifier(Path(directory), flags, limits or Limits()).run("-O0" if removed else "-O2")


class _Verifier:
    """One build and run in a directory of its own."""

    def __init__(self, directory: Path, flags: list[str], limits: Limits) -> None:
        self._directory = directory
        self._flags = flags
        self._limits = limits
        for name in SOURCES:
            shutil.copy(HERE / name, directory)

    def run(self, optimise: str) -> Result:
        """Build and search. A counterexample is found early: for that, optimising takes longer than it saves."""
        self._tool("spin", "-a", *self._flags, "journal.pml")
        memory = f"-DMEMLIM={self._limits.memory_mb}"
        self._tool("gcc", optimise, "-DSAFETY", "-DCOLLAPSE", memory, "-o", "pan", "pan.c")
        began = time.monotonic()
        with subprocess.Popen(  # noqa: S603 - the program that was just built
            ["./pan", f"-m{DEPTH}", "-E", "-n"],
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=self._bound_memory,  # noqa: PLW1509 - it takes no lock
        ) as verifier:
            output, in_time = self._output(verifier)
        return self._verdict(output, time.monotonic() - began, complete=in_time and verifier.returncode == 0)

    def _output(self, verifier: subprocess.Popen[str]) -> tuple[str, bool]:
        """Return what it prints and whether it ended by itself; interrupted, it tells how far it came."""
        try:
            return verifier.communicate(timeout=self._limits.seconds)[0], True
        except subprocess.TimeoutExpired:
            verifier.send_signal(signal.SIGINT)
        try:
            return verifier.communicate(timeout=INTERRUPTED_SECONDS)[0], False
        except subprocess.TimeoutExpired:
            verifier.kill()
            return verifier.communicate()[0], False

    def _bound_memory(self) -> None:
        most = (self._limits.memory_mb + STACK_MB) * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    def _verdict(self, output: str, seconds: float, *, complete: bool) -> Result:
        found = _STATES.search(output)
        states = int(float(found.group(1))) if found else 0
        if "assertion violated" in output:
            return Result(
                Status.VIOLATED, states, seconds, property=self._property(output), trace=self._trace()
            )
        exhausted = (
            complete
            and states > 0
            and "errors: 0" in output
            and not any(sign in output for sign in _INCOMPLETE)
        )
        return Result(Status.HOLDS if exhausted else Status.NOT_EXHAUSTED, states, seconds)

    def _property(self, output: str) -> str:
        found = _PROPERTY.search(output)
        return (
            properties().get(int(found.group(2)), "unknown") if found else "an assertion of the model itself"
        )

    def _trace(self) -> tuple[str, ...]:
        """Replay the counterexample; what the model prints are the names of its steps."""
        replayed = self._tool("spin", "-t", "-B", *self._flags, "journal.pml")
        lines = (line.strip() for line in replayed.splitlines())
        return tuple(
            line for line in lines if line and not line.startswith(("spin:", "#", "processes created"))
        )

    def _tool(self, *command: str) -> str:
        done = subprocess.run(  # noqa: S603 - fixed programs, flags of our own
            command,
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
        if done.returncode and "-t" not in command:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout
