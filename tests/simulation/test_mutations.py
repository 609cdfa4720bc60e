"""Take each guard of the order protocol away: some seed notices. A guard whose absence nobody notices is untested."""

from collections.abc import Callable

import pytest
from simulation.mutations import MUTATIONS, SECOND_LINES, Mutation

from alpha_panda.testing.simulation.profiles import PROFILES
from alpha_panda.testing.simulation.pytest_plugin import tell
from alpha_panda.testing.simulation.run import simulate

REACH = 40
"""Seeds that are tried when those known to notice don't any more."""


def _noticed(mutation: Mutation) -> int | None:
    """Return the seed that notices."""
    profile = PROFILES[mutation.profile]
    for seed in dict.fromkeys((*mutation.seeds, *range(REACH))):
        with pytest.MonkeyPatch.context() as patch:
            mutation.apply(patch)
            if simulate(seed, profile).violations:
                return seed
    return None


def _named(mutation: Mutation) -> str:
    return mutation.guard


@pytest.mark.parametrize("mutation", MUTATIONS, ids=_named)
def test_a_missing_guard_is_noticed(
    mutation: Mutation, record_property: Callable[[str, object], None]
) -> None:
    assert _noticed(mutation) is not None, f"nobody misses: {mutation.guard}"
    tell(record_property, {"mutations of the protocol noticed": 1})


@pytest.mark.parametrize("mutation", MUTATIONS, ids=_named)
def test_what_notices_it_holds_with_the_guard_in_place(mutation: Mutation) -> None:
    for seed in mutation.seeds[:1]:
        assert simulate(seed, PROFILES[mutation.profile]).violations == []


@pytest.mark.parametrize("mutation", SECOND_LINES, ids=_named)
def test_a_second_line_says_why_it_can_not_be_seen(mutation: Mutation) -> None:
    assert mutation.note
