"""The memory stores and the Lua scripts side by side: equal replies, and each guard's absence is noticed in both.

`guard_steps.py` holds what tells each guard apart, so that this is quick and the same in each run; beside it one
machine drives both sides freely, each run anew.
"""

from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from alpha_panda.errors import FencedError
from contracts.guard_steps import STEPS
from contracts.lua_guards import INSTEAD, LUA_GUARDS, without
from contracts.memory_guards import GUARDS, take_out
from contracts.side_by_side import Difference, PatchedDatabase
from contracts.side_by_side_machine import COMMON, SideBySide, World, opened_world

AGREEING: Final = settings(COMMON, max_examples=60, stateful_step_count=40, phases=[Phase.generate])

WITHIN_A_CALL: Final = {
    "claim holds": "a claim of memory is one step, which nobody can overtake: below it is mutated by itself",
}
"""Guards that can't be told apart side by side, and why."""


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with opened_world():
        yield


def play(guard: str) -> None:
    day = SideBySide()
    day.open()
    STEPS[guard](day)
    day.look_at_all()


def test_memory_and_scripts_agree() -> None:
    """The seed stands in the header of the run."""
    run_state_machine_as_test(SideBySide, settings=AGREEING)


# ---------------------------------------------------------------------------------------------------- tables


def test_each_guard_of_the_scripts_has_steps_and_a_counterpart_in_memory() -> None:
    told_apart = [name for name in LUA_GUARDS if name not in WITHIN_A_CALL]
    assert sorted(STEPS) == told_apart
    assert sorted(GUARDS) == told_apart


def test_what_stands_instead_of_guards_is_of_guards_that_are_there() -> None:
    assert set(INSTEAD) | set(WITHIN_A_CALL) <= set(LUA_GUARDS)


# --------------------------------------------------------------------------------------------------- mutants


@pytest.mark.parametrize("guard", STEPS)
def test_with_all_guards_the_steps_end_alike(guard: str) -> None:
    play(guard)


@pytest.mark.parametrize("guard", STEPS)
def test_script_without_a_guard_differs(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatchedDatabase, "patch", staticmethod(without(guard)))
    with pytest.raises(Difference):
        play(guard)


@pytest.mark.parametrize("guard", STEPS)
def test_memory_without_a_guard_differs(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(guard, monkeypatch)
    with pytest.raises(Difference):
        play(guard)
