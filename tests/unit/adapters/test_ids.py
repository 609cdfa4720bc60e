import re

from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.ids import RandomIds, SeededIds
from alpha_panda.ports import IdSource


def draw(ids: IdSource, count: int) -> list[str]:
    return [ids.new_id() for _ in range(count)]


def test_ids_are_32_hex_digits_and_differ() -> None:
    for ids in (RandomIds(), SeededIds(7)):
        drawn = draw(ids, 1000)
        assert all(re.fullmatch(r"[0-9a-f]{32}", drawn_id) for drawn_id in drawn)
        assert len(set(drawn)) == 1000


def test_random_ids_differ_from_source_to_source_and_need_no_children() -> None:
    ids = RandomIds()
    assert ids.new_id() != RandomIds().new_id()
    assert ids.child("risk") is ids


@given(seed=st.integers())
def test_a_seed_gives_the_same_series_again(seed: int) -> None:
    assert draw(SeededIds(seed), 5) == draw(SeededIds(seed), 5)
    assert draw(SeededIds(seed), 5) != draw(SeededIds(seed + 1), 5)


def test_the_series_is_part_of_what_seed_promises_across_releases() -> None:
    assert SeededIds(7).new_id() == "7c16eeb376a7375f5d0f578f124d4942"
    assert SeededIds(7).child("risk").new_id() == "be4448233e3a42f5ea314089ab781fa9"


@given(order=st.lists(st.sampled_from(["feed", "risk", "engine"]), max_size=30))
def test_a_child_s_series_does_not_depend_on_what_others_draw(order: list[str]) -> None:
    root, drawn = SeededIds(7), dict[str, list[str]]()
    for name in order:
        drawn.setdefault(name, []).append(root.child(name).new_id())
        root.new_id()
    for name, ids in drawn.items():
        assert ids == draw(SeededIds(7).child(name), len(ids))


def test_children_have_series_of_their_own() -> None:
    root = SeededIds(7)
    series = [
        root,
        root.child("a"),
        root.child("b"),
        root.child("a").child("b"),
        root.child("b").child("a"),
        root.child("ab"),
        root.child("\x001"),
    ]
    drawn = [drawn_id for ids in series for drawn_id in draw(ids, 20)]
    assert len(set(drawn)) == len(drawn)


def test_a_restarted_service_goes_on_in_its_series() -> None:
    root = SeededIds(7)
    first_life = draw(root.child("engine"), 3)
    second_life = draw(root.child("engine"), 3)
    assert not set(first_life) & set(second_life)
