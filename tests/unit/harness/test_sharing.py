"""Which worker runs what: see tests/sharing.py."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

import sharing

NODE = "tests/e2e/node/"


@pytest.fixture
def scheduling(monkeypatch: pytest.MonkeyPatch) -> sharing.TogetherScheduling:
    monkeypatch.setattr(sharing.TogetherScheduling, "__init__", lambda *_: None)
    return sharing.TogetherScheduling(cast("Any", None), None)


def test_what_needs_the_installation_is_one_piece_of_work(scheduling: sharing.TogetherScheduling) -> None:
    kept = {scheduling._split_scope(f"{NODE}test_{name}.py::test") for name in ("halt", "kills", "uninstall")}
    assert kept == {NODE}


@pytest.mark.parametrize("name", ["harness", "killed_session"])
def test_what_needs_the_node_alone_is_another(scheduling: sharing.TogetherScheduling, name: str) -> None:
    file = f"{NODE}test_{name}.py"
    assert scheduling._split_scope(f"{file}::test") == file


def test_any_other_test_is_by_itself(scheduling: sharing.TogetherScheduling) -> None:
    for name in ("tests/cluster/test_operator.py::test_a", "tests/unit/chart/test_notes.py::test_b[1]"):
        assert scheduling._split_scope(name) == name


def test_the_long_ones_begin_first_and_the_rest_keeps_its_order() -> None:
    names = ["tests/a.py::one", "tests/cluster/test_scale.py::many", "tests/a.py::two"]
    items = [cast("pytest.Item", SimpleNamespace(nodeid=name)) for name in names]
    sharing.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == [names[1], names[0], names[2]]


def test_every_path_that_is_named_is_there(pytestconfig: pytest.Config) -> None:
    for path in (*sharing.TOGETHER, *sharing.LONG):
        assert (pytestconfig.rootpath / path).exists(), path
