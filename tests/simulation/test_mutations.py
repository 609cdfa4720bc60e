"""Take each guard of the order protocol away: some seed notices. A guard whose absence nobody notices is untested."""

import pytest

from alpha_panda.testing.simulation.profiles import PROFILES
from alpha_panda.testing.simulation.run import simulate
from simulation.mutations import MUTATIONS, SECOND_LINES, Mutation
from totals import Tally

REACH = 150
"""Seeds that are tried when those known to notice don't any more: then write down those that do."""


def _noticed(mutation: Mutation) -> int | None:
    """Return the seed that notices."""
    profile = PROFILES[mutation.profile]
    for seed in dict.fromkeys((*mutation.seeds, *range(REACH))):
        with pytest.MonkeyPatch.context() as patch:
            mutation.apply(patch)
            if simulate(seed, profile).violations:
                return int(seed)
    return None


def _named(mutation: Mutation) -> str:
    return mutation.guard


@pytest.mark.parametrize("mutation", MUTATIONS, ids=_named)
def test_a_missing_guard_is_noticed(mutation: Mutation, tally: Tally) -> None:
    assert _noticed(mutation) is not None, f"nobody misses: {mutation.guard}; are its seeds out of date?"
    tally("simulation, guards whose absence was noticed")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=_named)
def test_what_notices_it_holds_with_the_guard_in_place(mutation: Mutation) -> None:
    for seed in mutation.seeds[:1]:
        assert simulate(seed, PROFILES[mutation.profile]).violations == []


@pytest.mark.parametrize("mutation", SECOND_LINES, ids=_named)
def test_a_second_line_says_why_it_can_not_be_seen(mutation: Mutation) -> None:
    assert mutation.note
