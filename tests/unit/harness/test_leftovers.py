"""What a killed run has left is ended and deleted by what it wrote down, and nothing else is touched."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpha_panda.errors import DependencyUnavailableError
from harness import leftovers
from harness.leftovers import Lease, end_process, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(leftovers, "GROUPS", tmp_path / "groups")
    (tmp_path / "groups").mkdir()


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        yield waiting
        waiting.kill()


def test_each_run_has_a_place_of_its_own_and_gives_it_back() -> None:
    first, second = Lease.take(), Lease.take()
    assert [first.number, second.number] == [0, 1]
    first.release()
    third = Lease.take()
    assert third.number == 0
    second.release()
    third.release()


def test_when_all_places_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PLACES", 1)
    only = Lease.take()
    with pytest.raises(DependencyUnavailableError, match="1 places are taken"):
        Lease.take()
    only.release()


def test_the_next_run_ends_what_was_left_in_any_free_place(
    tmp_path: Path, process: "subprocess.Popen[bytes]"
) -> None:
    folder = tmp_path / "left"
    group = tmp_path / "groups" / "memory" / "alpha-panda-1" / "kubepods"
    group.mkdir(parents=True)
    folder.mkdir()
    first, killed = Lease.take(), Lease.take()
    killed.note(folder=str(folder), pid=process.pid, started=started(process.pid))
    killed.release()  # as the kernel does when the process is killed

    following = Lease.take()
    assert process.wait(10) == -9
    assert not folder.exists()
    assert not group.parent.exists()
    first.release()
    following.release()


def test_what_another_run_holds_is_left_alone(tmp_path: Path, process: "subprocess.Popen[bytes]") -> None:
    folder = tmp_path / "used"
    folder.mkdir()
    running = Lease.take()
    running.note(folder=str(folder), pid=process.pid, started=started(process.pid))
    other = Lease.take()
    assert folder.exists()
    assert process.poll() is None
    other.release()
    running.release()


def test_a_process_that_only_has_the_pid_is_left_alone(process: "subprocess.Popen[bytes]") -> None:
    end_process(process.pid, "1")
    end_process(process.pid, "")
    assert process.poll() is None


def test_a_record_that_was_cut_off_hinders_nobody() -> None:
    lease = Lease.take()
    lease.note(folder="/x")
    lease._record.write_text('{"folder": "/')
    lease.release()
    again = Lease.take()
    assert again.number == 0
    assert not again._record.exists()
    again.release()
