"""`PYTHONPATH=tests python -m models [--full]`: checks the models, prints a table; exit code 1 unless all is as told.

Every configuration must hold; without a guard a counterexample must be found. A configuration that reaches a limit is
"not exhausted": no failure of the protocol, but not passed either, unless the table declares it as partial.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from models import spin
from models.configurations import CONFIGURATIONS, Configuration, companions, configuration_of
from models.explore import Limits, Result, Status
from models.guards import GUARDS, SECOND_LINES

if TYPE_CHECKING:
    from collections.abc import Iterator

Write = Callable[[str], object]
DEFAULTS: Final = Limits(seconds=1_200, states=8_000_000, memory_mb=6_000)


@dataclass(frozen=True, slots=True)
class Task:
    """One line of the table. `expected`: how it may end."""

    name: str
    configuration: Configuration
    expected: tuple[Status, ...]
    removed: tuple[str, ...] = ()


def tasks(*, full: bool) -> Iterator[Task]:
    """Yield everything that is checked; without `full` only what CI does."""
    for configuration in CONFIGURATIONS:
        if full or not configuration.full:
            also = (Status.NOT_EXHAUSTED,) if configuration.partial else ()
            yield Task(configuration.id, configuration, (Status.HOLDS, *also))
    for guard in GUARDS:
        if full or not guard.full:
            configuration = configuration_of(guard).only(guard.bits)
            removed = (guard.name, *guard.also_removed)
            yield Task(f"{guard.id} removed", configuration, (Status.VIOLATED,), removed)
    for guard in companions():
        configuration = configuration_of(guard).only(guard.bits)
        name = f"{configuration.id} without {', '.join(guard.also_removed)}"
        yield Task(name, configuration, (Status.HOLDS,), guard.also_removed)
    if full:
        for line in SECOND_LINES:
            name = f"{line.model}-{line.name}-{line.configuration} removed (second line)"
            yield Task(name, configuration_of(line), (Status.HOLDS,), (line.name,))


def _check(task: Task, limits: Limits) -> Result:
    return task.configuration.check(task.removed, limits)


def _verdict(task: Task, status: Status) -> str:
    if status not in task.expected:
        return f"{status.value}  <-- must be: {task.expected[0].value}"
    return f"{status.value} (partial)" if status is Status.NOT_EXHAUSTED else status.value


def run(chosen: list[Task], limits: Limits, workers: int, write: Write) -> bool:
    """Check all tasks, print a line each; return whether all ended as they must."""
    width = max((len(task.name) for task in chosen), default=0)
    passed = True
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(_check, chosen, [limits] * len(chosen))
        for task, result in zip(chosen, results, strict=True):
            good = result.status in task.expected
            passed &= good
            verdict = _verdict(task, result.status)
            write(f"{task.name:{width}}  {result.states:>10} states  {result.seconds:>6.1f} s  {verdict}\n")
            if result.status is Status.VIOLATED and not good:
                write(result.story() + "\n")
    return passed


def main(arguments: list[str] | None = None, write: Write = sys.stdout.write) -> int:
    """Return the exit code: 0 all is as told, 1 not, 2 Spin or gcc is missing."""
    parser = argparse.ArgumentParser(prog="models", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all bounds, also those too large for CI")
    parser.add_argument("--only", default="", metavar="TEXT", help="only lines whose name contains TEXT")
    parser.add_argument("--seconds", type=float, default=DEFAULTS.seconds, help="limit of each line")
    parser.add_argument("--states", type=int, default=DEFAULTS.states, help="limit of each Python model")
    parser.add_argument("--memory-mb", type=int, default=DEFAULTS.memory_mb, help="limit of each Spin model")
    parser.add_argument("--workers", type=int, default=2, help="how many at once; each may use its memory")
    given = parser.parse_args(arguments)
    try:
        spin.require_tools()
    except spin.ToolsMissingError as error:
        write(f"{error}\n")
        return 2
    chosen = [task for task in tasks(full=given.full) if given.only in task.name]
    passed = bool(chosen) and run(
        chosen, Limits(given.seconds, given.states, given.memory_mb), given.workers, write
    )
    write(f"{len(chosen)} checked: {'all as told' if passed else 'NOT as told'}\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
