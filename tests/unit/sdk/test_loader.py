"""Finding strategy classes: types, class paths, files; each fault says what is allowed."""

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from alpha_panda.errors import StrategyLoadError
from alpha_panda.sdk import Strategy, known_types, load_strategy_class, loader

GOOD = """
from alpha_panda.sdk import Strategy, StrategyParameters, Tick

class Mine(Strategy):
    class Parameters(StrategyParameters):
        depth: "int" = 4
    def on_tick(self, tick: Tick) -> None:
        self.buy(tick.token, self.parameters.depth)
"""


def written(folder: Path, source: str, name: str = "mine.py") -> Path:
    file = folder / name
    file.write_text(source)
    return file


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points as if the test were alone on the machine; a test adds its own."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(loader, "entry_points", lambda *, group: points if group == loader.GROUP else [])
    return points


@pytest.mark.parametrize("name", ["momentum", "mean_reversion", "rsi", "ma_crossover"])
def test_every_shipped_type_loads_even_when_the_project_is_not_installed(
    name: str, registered: list[EntryPoint]
) -> None:
    assert name in known_types()
    assert issubclass(load_strategy_class(type=name), Strategy)


def test_the_shipped_types_are_those_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][loader.GROUP] == loader._SHIPPED


def test_an_entry_point_adds_a_type(registered: list[EntryPoint]) -> None:
    registered.append(EntryPoint("trend", "alpha_panda.strategies.momentum:Momentum", loader.GROUP))
    assert known_types() == ("ma_crossover", "mean_reversion", "momentum", "rsi", "trend")
    assert load_strategy_class(type="trend").__name__ == "Momentum"


def test_the_installed_entry_points_of_the_shipped_types_are_no_conflict(
    registered: list[EntryPoint],
) -> None:
    registered += [EntryPoint(name, path, loader.GROUP) for name, path in loader._SHIPPED.items()]
    assert load_strategy_class(type="rsi").__name__ == "Rsi"


def test_a_type_registered_twice_differently_is_refused(registered: list[EntryPoint]) -> None:
    registered.append(EntryPoint("rsi", "acme.better:Rsi", loader.GROUP))
    with pytest.raises(StrategyLoadError, match=r"registered as acme\.better:Rsi and as alpha_panda"):
        load_strategy_class(type="rsi")


def test_an_unknown_type_is_answered_with_the_known_ones(registered: list[EntryPoint]) -> None:
    with pytest.raises(
        StrategyLoadError,
        match="unknown strategy type 'momentun'; allowed: ma_crossover, mean_reversion, momentum",
    ):
        load_strategy_class(type="momentun")


@pytest.mark.parametrize(("count", "ways"), [(0, {}), (2, {"type": "rsi", "class_path": "a:B"})])
def test_exactly_one_way_must_be_given(count: int, ways: dict[str, str]) -> None:
    with pytest.raises(
        StrategyLoadError, match=f"{count} of type, class and code are given: give exactly one"
    ):
        load_strategy_class(**ways)  # type: ignore[arg-type]


def test_a_class_path_loads() -> None:
    assert load_strategy_class(class_path="alpha_panda.strategies.rsi:Rsi").__name__ == "Rsi"


@pytest.mark.parametrize("path", ["module", "module:", ":Class"])
def test_a_class_path_of_another_form_is_refused(path: str) -> None:
    with pytest.raises(StrategyLoadError, match=r"not of the form package\.module:Class"):
        load_strategy_class(class_path=path)


def test_a_missing_module_is_named() -> None:
    with pytest.raises(
        StrategyLoadError, match="importing acme_nowhere failed: ModuleNotFoundError: No module"
    ):
        load_strategy_class(class_path="acme_nowhere:Mine")


def test_a_missing_class_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(StrategyLoadError, match="there is no class Rsy; strategies there: Rsi"):
        load_strategy_class(class_path="alpha_panda.strategies.rsi:Rsy")


@pytest.mark.parametrize("name", ["RsiParameters", "Field", "Decimal"])
def test_something_else_than_a_strategy_is_refused(name: str) -> None:
    with pytest.raises(StrategyLoadError, match=f"not a subclass of alpha_panda.sdk.Strategy: {name}"):
        load_strategy_class(class_path=f"alpha_panda.strategies.rsi:{name}")


def test_the_base_class_itself_is_refused() -> None:
    with pytest.raises(StrategyLoadError, match="not a subclass"):
        load_strategy_class(class_path="alpha_panda.sdk:Strategy")


def test_a_file_loads_and_its_only_strategy_needs_no_name(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    found = load_strategy_class(code_file=file)
    assert found.__name__ == "Mine"
    assert found.Parameters.model_validate({}).model_dump() == {"depth": 4}
    assert load_strategy_class(code_file=file, code_class="Mine") is found


def test_a_file_leaves_no_trace_on_the_path_or_beside_it(tmp_path: Path) -> None:
    path = list(sys.path)
    file = written(tmp_path, GOOD)
    load_strategy_class(code_file=file)
    assert sys.path == path
    assert list(tmp_path.iterdir()) == [file]
    assert "mine" not in sys.modules


def test_files_of_one_name_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = load_strategy_class(code_file=written(tmp_path / "a", GOOD))
    second = load_strategy_class(code_file=written(tmp_path / "b", GOOD))
    assert first is not second
    assert first.__module__ != second.__module__


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    first = load_strategy_class(code_file=written(tmp_path, GOOD))
    second = load_strategy_class(code_file=written(tmp_path, GOOD.replace("= 4", "= 5")))
    assert (first.Parameters().model_dump(), second.Parameters().model_dump()) == ({"depth": 4}, {"depth": 5})


def test_an_imported_strategy_does_not_count_as_the_files_own(tmp_path: Path) -> None:
    source = "from alpha_panda.strategies.rsi import Rsi\n" + GOOD
    assert load_strategy_class(code_file=written(tmp_path, source)).__name__ == "Mine"


def test_of_several_strategies_one_must_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD + "class Yours(Mine):\n    pass\n")
    with pytest.raises(StrategyLoadError, match=r"several strategies \(Mine, Yours\): name one"):
        load_strategy_class(code_file=file)
    assert load_strategy_class(code_file=file, code_class="Yours").__name__ == "Yours"


def test_a_file_without_a_strategy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyLoadError, match="it defines no Strategy class"):
        load_strategy_class(code_file=written(tmp_path, "x = 1\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StrategyLoadError, match=r"absent\.py: can't be read: No such file"):
        load_strategy_class(code_file=tmp_path / "absent.py")


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(StrategyLoadError, match=r"mine\.py: line 2: "):
        load_strategy_class(code_file=written(tmp_path, "x = 1\nclass :\n"))


def test_an_error_while_the_file_runs_names_the_line_and_can_be_repaired(tmp_path: Path) -> None:
    modules = set(sys.modules)
    file = written(tmp_path, "import math\n\nmath.sqrt(-1)\n")
    for _ in range(2):
        with pytest.raises(StrategyLoadError, match=r"ValueError: .*\(mine\.py:3\)"):
            load_strategy_class(code_file=file)
    assert {name for name in sys.modules if name.startswith("alpha_panda_code_")} <= modules


def test_a_file_can_not_import_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, "x = 1\n", "neighbour_of_mine.py")
    with pytest.raises(StrategyLoadError, match="No module named 'neighbour_of_mine'"):
        load_strategy_class(code_file=written(tmp_path, "import neighbour_of_mine\n"))
