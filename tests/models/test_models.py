"""Each configuration holds; each guard is needed; each guard stands in the code. `README.md` tells what is modelled.

Larger bounds: `PYTHONPATH=tests python -m models --full`.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models import spin
from models.configurations import CONFIGURATIONS, Configuration, companions, configuration_of
from models.explore import Broken, Limits, Result, Status, explore
from models.guards import GUARDS, JOURNAL, SECOND_LINES, Guard, SecondLine

SERVICES = Path(__file__).parents[2] / "services" / "alpha_panda"
RULES: tuple[Guard | SecondLine, ...] = (*GUARDS, *SECOND_LINES)
LIMITS = Limits(seconds=200, states=400_000, memory_mb=1_500)
WITHOUT_SPIN = "ALPHAPANDA_TESTS_WITHOUT_SPIN"
"""Set to 1: what needs Spin or gcc is skipped where they are missing. Otherwise it fails, naming the packages."""
Tally = Callable[..., None]

needs_spin = pytest.mark.skipif(
    os.environ.get(WITHOUT_SPIN) == "1" and not all(shutil.which(tool) for tool in spin.PACKAGES),
    reason=f"{WITHOUT_SPIN}=1, and Spin or gcc is missing",
)


def _marked(item: Configuration | Guard, name: str) -> object:
    slow = pytest.mark.timeout(240)  # where the cores are shared
    return pytest.param(item, id=name, marks=[slow, needs_spin] if item.model == JOURNAL else [slow])


def _record(result: Result, tally: Tally) -> None:
    tally("model states explored", result.states)
    print(f"{result.states} states, {result.seconds:.1f} s: {result.status.value}")  # noqa: T201 - pytest's report


@pytest.mark.parametrize("configuration", [_marked(c, c.id) for c in CONFIGURATIONS if not c.full])
def test_with_all_guards_no_property_breaks(configuration: Configuration, tally: Tally) -> None:
    result = configuration.check(limits=LIMITS)
    _record(result, tally)
    assert result.status is Status.HOLDS, f"{result.status.value}: {result.property}\n{result.story()}"


@pytest.mark.parametrize("guard", [_marked(g, g.id) for g in GUARDS if not g.full])
def test_without_the_guard_there_is_a_counterexample(guard: Guard, tally: Tally) -> None:
    configuration = configuration_of(guard).only(guard.bits)
    result = configuration.check((guard.name, *guard.also_removed), limits=LIMITS)
    _record(result, tally)
    tally("model guards removed")
    assert result.status is Status.VIOLATED, f"{guard.name} is not missed in {configuration.id}"
    assert result.property
    assert result.trace


@pytest.mark.parametrize("guard", [_marked(g, g.id) for g in companions()])
def test_what_is_removed_beside_a_second_line_does_no_harm_alone(guard: Guard, tally: Tally) -> None:
    result = configuration_of(guard).only(guard.bits).check(guard.also_removed, limits=LIMITS)
    _record(result, tally)
    assert result.status is Status.HOLDS, result.story()


# ------------------------------------------------------------------------------------------ table and code


def _exists(where: str) -> bool:
    """Whether the file has the function or class, in the class that is named."""
    path, _, name = where.partition(":")
    source = (SERVICES / path).read_text()
    owner, _, function = name.rpartition(".")
    if owner:
        start = re.search(rf"^class {owner}\b.*?(?=^\S(?<![#)]))", source + "\nend", re.MULTILINE | re.DOTALL)
        source = start.group() if start else ""
    return re.search(rf"^ *(async def|def|class) {function}\b", source, re.MULTILINE) is not None


@pytest.mark.parametrize("item", [pytest.param(i, id=f"{i.name}-{i.where}") for i in RULES])
def test_the_place_that_the_table_names_is_in_the_code(item: Guard | SecondLine) -> None:
    assert _exists(item.where)


def test_a_place_that_is_not_in_the_code_is_noticed() -> None:
    assert not _exists("adapters/memory/journal.py:MemoryOrderJournal.finish")
    assert not _exists("adapters/memory/journal.py:Nothing.begin")
    assert not _exists("adapters/memory/journal.py:_require.begin")


def test_the_table_names_every_switch_of_the_models_once() -> None:
    here = Path(__file__).parent
    switches = re.findall(r"#ifdef NO_(\w+)", (here / "journal_guards.h").read_text())
    for model in ("strategy", "risk", "control"):
        source = (here / f"{model}_model.py").read_text()
        switches += [f"{model}.{name}" for name in dict.fromkeys(re.findall(r'has\("(\w+)"\)', source))]
    told = [g.name if g.model == JOURNAL else f"{g.model}.{g.name}" for g in RULES]
    assert sorted(told) == sorted(switches)


def test_every_configuration_has_a_name_of_its_own() -> None:
    ids = [configuration.id for configuration in CONFIGURATIONS]
    assert len(ids) == len(set(ids))


def test_nothing_leans_on_a_configuration_that_is_not_exhausted() -> None:
    assert not [item.name for item in RULES if configuration_of(item).partial]
    assert all(configuration.full for configuration in CONFIGURATIONS if configuration.partial)


# ---------------------------------------------------------------------------------------------- the explorer


class Counter:
    """Counts to a limit by one or two; a property forbids one number, a step another."""

    def __init__(self, limit: int, forbidden: int = -1, broken_from: int = -1) -> None:
        self.limit, self.forbidden, self.broken_from = limit, forbidden, broken_from

    def initial(self) -> int:
        return 0

    def steps(self, state: int) -> list[tuple[str, int | Broken]]:
        if state == self.broken_from:
            return [("breaks", Broken("never broken"))]
        return [(f"+{more}", state + more) for more in (1, 2) if state + more <= self.limit]

    def violated(self, state: int) -> str | None:
        return "never forbidden" if state == self.forbidden else None

    def settled(self, state: int) -> bool:
        return state == self.limit


def test_all_states_are_explored_once() -> None:
    result = explore(Counter(10))
    assert (result.status, result.states, result.settled) == (Status.HOLDS, 11, 1)


def test_a_counterexample_is_a_shortest_one_and_can_be_read() -> None:
    result = explore(Counter(10, forbidden=5))
    assert (result.status, result.property, len(result.trace)) == (Status.VIOLATED, "never forbidden", 3)
    assert result.story().splitlines()[-1] == "   => never forbidden"


def test_a_broken_step_is_the_last_of_its_counterexample() -> None:
    result = explore(Counter(10, broken_from=2))
    assert (result.status, result.trace) == (Status.VIOLATED, ("+2", "breaks"))


@pytest.mark.parametrize("limits", [Limits(states=100), Limits(seconds=0)])
def test_a_search_that_reaches_a_limit_has_not_passed(limits: Limits) -> None:
    assert explore(Counter(100_000), limits).status is Status.NOT_EXHAUSTED


# ------------------------------------------------------------------------------------------------------ Spin


def test_missing_tools_are_told_by_the_names_of_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(spin.ToolsMissingError, match="apt-get install spin gcc"):
        spin.require_tools()


@needs_spin
@pytest.mark.parametrize("limits", [Limits(seconds=0.01), Limits(memory_mb=1)], ids=["time", "memory"])
def test_a_verifier_that_reaches_a_limit_has_not_passed(limits: Limits) -> None:
    result = spin.check({"RESTARTS": 1, "EXPIRES": 3, "END_OF_TIME": 5, "CHECKED": 1}, limits=limits)
    assert result.status is Status.NOT_EXHAUSTED


@needs_spin
def test_a_counterexample_of_the_journal_names_property_and_steps() -> None:
    result = spin.check({"CHECKED": 1, "REDELIVERIES": 1}, removed=("BEGIN_ONCE",))
    assert result.property == "P_ONCE: the broker is called at most once for a signal"
    calls = [step for step in result.trace if "CALLS the broker" in step]
    assert len(calls) == 2


@needs_spin
def test_a_model_that_spin_refuses_is_an_error_and_no_verdict() -> None:
    with pytest.raises(RuntimeError, match=r"journal\.pml"):
        spin.check({"SIGNALS": -1})
