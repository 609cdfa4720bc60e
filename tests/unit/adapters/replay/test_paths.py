from pathlib import Path

import pytest

from alpha_panda.adapters.replay.paths import find_files
from alpha_panda.errors import SourceError


def test_a_relative_path_starts_at_the_base(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert find_files("a.csv", tmp_path) == [tmp_path / "a.csv"]
    (tmp_path / "b").mkdir()
    assert find_files("../a.csv", tmp_path / "b") == [tmp_path / "b" / ".." / "a.csv"]


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert find_files(str(tmp_path / "a.csv"), Path("/nowhere")) == [tmp_path / "a.csv"]


def test_a_pattern_gives_its_files_sorted_by_name_without_folders(tmp_path: Path) -> None:
    for name in ("t-10.csv", "t-09.csv", "u.csv"):
        (tmp_path / name).touch()
    (tmp_path / "t-11.csv").mkdir()
    assert [file.name for file in find_files("t-*.csv", tmp_path)] == ["t-09.csv", "t-10.csv"]
    assert [file.name for file in find_files(f"{tmp_path}/t-*.csv", Path("/nowhere"))] == [
        "t-09.csv",
        "t-10.csv",
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "t[1].csv").touch()
    assert find_files("t[1].csv", tmp_path) == [tmp_path / "t[1].csv"]


def test_a_base_with_pattern_characters_is_no_pattern(tmp_path: Path) -> None:
    base = tmp_path / "run[1]"
    base.mkdir()
    (base / "a.csv").touch()
    assert find_files("*.csv", base) == [base / "a.csv"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "none.csv: no such file .a relative path starts at"),
        ("none*.csv", "no file matches the pattern"),
        (".", "is a folder; name a file, or several by a pattern such as ./\\*.csv"),
        (
            "package:alpha_panda_no_such_package/x.csv",
            "not installed; try `pip install alpha_panda_no_such_package`",
        ),
        ("package:csv/x.csv", "not installed"),  # a module, not a package
        ("package:__main__/x.csv", "not installed"),
        ("package:mlfinpy/none.csv", "mlfinpy holds no such file"),
        ("package:mlfinpy/../pytest/py.typed", "without `..`"),
        ("package:mlfinpy//etc/passwd", "without `..`"),
        ("package:mlfinpy", "must be package:NAME/FILE"),
        ("package:mlfinpy/", "must be package:NAME/FILE"),
        ("package:os.path/x", "must be package:NAME/FILE"),
        ("package:../x", "must be package:NAME/FILE"),
    ],
)
def test_what_is_not_there_is_refused_with_a_remedy(path: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        find_files(path, tmp_path)


def test_a_packages_file_is_found_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "alpha_panda_test_prices"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "a.csv").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_files("package:alpha_panda_test_prices/data/a.csv", Path("/nowhere"))
    assert found == [package / "data" / "a.csv"]


@pytest.mark.parametrize(
    "path", ["package:mlfinpy/dataset/data/tick_data.csv", "package:bokeh_sampledata/_data/stocks.csv.gz"]
)
def test_real_packages_are_found(path: str) -> None:
    (file,) = find_files(path, Path())
    assert file.is_file()
