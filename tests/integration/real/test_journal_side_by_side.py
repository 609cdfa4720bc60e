"""The memory stores and the Lua scripts side by side: equal replies, and each guard's absence is noticed in both.

`guard_steps.py` holds what tells each guard apart, so that this is quick and the same in each run; beside it one
machine drives both sides freely, otherwise in each run.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from alpha_panda.contracts.stored import RiskClaim
from alpha_panda.errors import FencedError, UnknownOutcomeError
from contracts.guard_steps import TOLD, WITHIN_A_CALL, play
from contracts.lua_guards import INSTEAD, LUA_GUARDS, without
from contracts.memory_guards import GUARDS, take_out
from contracts.side_by_side import Difference, PatchedDatabase, World, opened_world
from contracts.side_by_side_machine import COMMON, SideBySide, Step
from contracts.side_by_side_search import SIDES, needed, search

AGREEING: Final = settings(COMMON, max_examples=50, stateful_step_count=40, phases=[Phase.generate])


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with opened_world():
        yield


@pytest.mark.slow
def test_memory_and_scripts_agree() -> None:
    """The seed that draws the same examples again stands in the header of the run."""
    run_state_machine_as_test(SideBySide, settings=AGREEING)


# ---------------------------------------------------------------------------------------------------- tables


def test_each_guard_of_the_scripts_has_steps_and_a_counterpart_in_memory() -> None:
    told_apart = [guard for guard in LUA_GUARDS if guard not in WITHIN_A_CALL]
    assert sorted(TOLD) == told_apart
    assert sorted(GUARDS) == told_apart


def test_every_entry_is_of_a_guard_that_is_there() -> None:
    assert set(INSTEAD) | set(WITHIN_A_CALL) <= set(LUA_GUARDS)


@pytest.mark.parametrize("guard", TOLD)
def test_with_all_guards_the_steps_end_alike(guard: str) -> None:
    play(guard)


# --------------------------------------------------------------------------------------------------- mutants


@pytest.mark.parametrize("guard", TOLD)
def test_script_without_a_guard_differs(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatchedDatabase, "patch", staticmethod(without(guard)))
    with pytest.raises(Difference, match=f"^{re.escape(TOLD[guard].at)}\\("):
        play(guard)


@pytest.mark.parametrize("guard", TOLD)
def test_memory_without_a_guard_differs(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_out(guard, monkeypatch)
    with pytest.raises(Difference, match=f"^{re.escape(TOLD[guard].at)}\\("):
        play(guard)


def test_script_that_fails_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a mutant with a mistake in it would count as told apart."""
    monkeypatch.setattr(
        PatchedDatabase, "patch", staticmethod(lambda text: text.replace("\n", "\nbroken()\n", 1))
    )
    with pytest.raises(UnknownOutcomeError, match="half-way"):
        play("tag")


# --------------------------------------------------------------------------- guards within a call: each by itself


def overtaken_claim(monkeypatch: pytest.MonkeyPatch) -> RiskClaim:
    """Claim; another claims while this one reads what is stored."""
    decisions, database = SideBySide().sides.redis.decisions, World.database
    command = database.command

    async def overtaken(*args: Any, **options: Any) -> Any:
        if args[0] == "HSCAN":
            monkeypatch.setattr(database, "command", command)
            await decisions.claim("risk-1")
        return await command(*args, **options)

    monkeypatch.setattr(database, "command", overtaken)
    return World.runner.run(decisions.claim("risk-0"))


def test_claim_that_was_overtaken_holds_only_without_its_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(WITHIN_A_CALL) == ["claim holds"]
    with pytest.raises(FencedError):
        overtaken_claim(monkeypatch)
    monkeypatch.setattr(PatchedDatabase, "patch", staticmethod(without("claim holds")))
    assert overtaken_claim(monkeypatch).decisions == {}


# -------------------------------------------------------------------------------------------------- the search


@pytest.mark.parametrize("side", SIDES)
def test_search_finds_the_steps_that_tell_a_guard_apart(side: str) -> None:
    found = search("held lease", side)
    assert found is not None
    assert re.match(r"day\.acquire\(owner='y', ttl=\S+\)\nlease\.acquire\(", found)


NEEDED: Final[Step] = ("acquire", {"owner": "y"})
LONGER: Final[dict[str, list[Step]]] = {
    "a step that only another useless one made needed": [("release", {}), ("open", {}), NEEDED],
    "steps after the difference": [NEEDED, ("acquire", {}), ("open", {})],
    "a way round to another difference": [("release", {}), NEEDED, ("advance", {"seconds": 1}), ("open", {})],
}


@pytest.mark.parametrize("steps", LONGER.values(), ids=LONGER)
def test_of_what_was_found_only_the_needed_is_left(
    steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out("held lease", monkeypatch)
    assert needed(steps).steps == [NEEDED]


def test_search_of_what_no_rule_touches_finds_nothing() -> None:
    assert search("cursor of this store", "lua", examples=2) is None
