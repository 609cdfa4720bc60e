"""Let Hypothesis find what tells a guard apart: `PYTHONPATH=tests python -m contracts.side_by_side_search "rate"`.

For a new guard: it prints steps to be put into `guard_steps.py`, of which none can be left out. A search takes some
seconds or, where little tells a guard apart, a minute. The same search finds the same; `--examples` looks further.
"""

import argparse
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from contracts.lua_guards import LUA_GUARDS, without
from contracts.memory_guards import take_out
from contracts.side_by_side import Difference, PatchedDatabase, opened_world
from contracts.side_by_side_machine import COMMON, SideBySide, Step

SIDES: Final = ("lua", "memory")
EXAMPLES: Final = 400


def search(guard: str, side: str, examples: int = EXAMPLES) -> str | None:
    """Return the steps that tell the guard apart, and what differs then; None: not in so many examples."""
    searching = settings(
        COMMON, max_examples=examples, stateful_step_count=30, phases=[Phase.generate], derandomize=True
    )
    with opened_world(), pytest.MonkeyPatch.context() as patches:
        if side == "lua":
            patches.setattr(PatchedDatabase, "patch", staticmethod(without(guard)))
        else:
            take_out(guard, patches)
        try:
            run_state_machine_as_test(SideBySide, settings=searching)
        except Difference:
            told = needed(SideBySide.last.steps)
            return "\n".join([*map(_line, told.steps), str(told.difference)])
    return None


class Told(NamedTuple):
    """Steps whose last one, or the look at all that both sides hold after it, tells the sides apart."""

    steps: list[Step]
    difference: Difference


def played(steps: Sequence[Step]) -> Told | None:
    """Play the steps as `guard_steps.play` does, until the sides differ; None: they never do."""
    day = SideBySide()
    day.open()
    taken: list[Step] = []
    try:
        for name, arguments in steps:
            taken.append((name, arguments))
            getattr(day, name)(**arguments)
        day.look_at_all()
    except Difference as difference:
        return Told(taken, difference)
    return None


def needed(steps: Sequence[Step]) -> Told:
    """Leave out each step without which the sides differ too, until none is left that can be.

    More than once, from the last on: what one step needs may itself be left out for another's sake.
    """
    told = played(steps)
    assert told is not None, "what was found must come again"
    while (fewer := _without_a_step(told.steps)) is not None:
        told = fewer
    return told


def _without_a_step(steps: Sequence[Step]) -> Told | None:
    """Return what is told apart with one step less; None: each is needed."""
    for at in reversed(range(len(steps))):
        told = played([*steps[:at], *steps[at + 1 :]])
        if told is not None:
            return told
    return None


def _line(step: Step) -> str:
    name, arguments = step
    return f"day.{name}({', '.join(f'{word}={_text(value)}' for word, value in arguments.items())})"


def _text(value: object) -> str:
    """Return a value as it is written in a program."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    return repr(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, print what was found; 1 if nothing was."""
    parser = argparse.ArgumentParser(
        prog="side_by_side_search", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "guard", choices=LUA_GUARDS, metavar="GUARD", help="as in the script, after `-- guard:`"
    )
    parser.add_argument("--side", choices=SIDES, default=SIDES[0], help="where the guard is taken out")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="how many to try")
    asked = parser.parse_args(arguments)
    found = search(asked.guard, asked.side, asked.examples)
    sys.stdout.write(f"{found or 'nothing found'}\n")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
