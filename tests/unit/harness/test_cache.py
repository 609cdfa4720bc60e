"""The cache: made once, seen whole, safe to want from several processes at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cache import cache, cached, forget_old

WANT = """
import sys, time
from harness.cache import cached
def make(folder):
    open(sys.argv[1], "a").write("made\\n")
    (folder / "first").write_text("1")
    time.sleep(0.2)
    (folder / "second").write_text("2")
found = cached("thing", make)
print(sorted(path.name for path in found.iterdir()))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(tmp_path / "cache"))


def test_a_thing_is_made_once() -> None:
    made: list[Path] = []
    first = cached("kind/thing", made.append)
    assert cached("kind/thing", made.append) == first == cache() / "kind" / "thing"
    assert len(made) == 1


def test_of_a_thing_that_could_not_be_made_nothing_is_seen() -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        cached("thing", fail)
    assert not (cache() / "thing").exists()
    assert not list(cache().glob("making-*"))
    assert cached("thing", lambda folder: (folder / "whole").touch()).joinpath("whole").exists()


def test_what_a_killed_maker_left_is_removed_by_the_next() -> None:
    left, anothers = cache() / "making-thing-abc", cache() / "making-other-abc"
    left.mkdir()
    anothers.mkdir()
    cached("thing", lambda _: None)
    assert not left.exists()
    assert anothers.exists()


def test_processes_that_want_it_at_once_wait_and_see_it_whole(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", WANT, str(tmp_path / "log")]
    wanting = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]  # noqa: S603 - our own code
    assert {one.communicate(timeout=60)[0] for one in wanting} == {"['first', 'second']\n"}
    assert (tmp_path / "log").read_text() == "made\n"


def test_only_what_matches_and_is_old_is_forgotten() -> None:
    for name in ("project-old", "project-new", "base-old"):
        cached(f"layers/{name}", lambda _: None)
    for name in ("project-old", "base-old"):
        os.utime(cache() / "layers" / name, (1, 1))
    forget_old("layers/project-*")
    assert sorted(path.name for path in (cache() / "layers").iterdir()) == ["base-old", "project-new"]
