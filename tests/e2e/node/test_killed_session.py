"""What a session leaves that had a node and was killed: nothing that runs, and the rest goes with the next one."""

import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.command import run, wait_until
from harness.leftovers import group_folders
from harness.remains import processes_of, start_session

SECONDS = 60.0


@pytest.mark.usefixtures("node_possible")
def test_a_session_that_is_killed_leaves_no_pod_no_process_and_no_interface() -> None:
    session, folder = start_session("real")
    lines = processes_of(folder).values()
    assert any("coredns" in line for line in lines)
    number = _number(lines)
    assert f"ap-node{number}@" in run(["ip", "-brief", "link"], seconds=SECONDS)

    session.send_signal(signal.SIGKILL)
    session.communicate()
    wait_until(
        lambda: not processes_of(folder),
        "all processes have ended",
        SECONDS,
        lambda: str(processes_of(folder)),
    )
    wait_until(
        lambda: f"ap-node{number}@" not in run(["ip", "-brief", "link"], seconds=SECONDS),
        "its interface",
        SECONDS,
    )
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()

    # What a kill leaves is removed by the next run.
    following, _ = start_session("real")
    try:
        assert not folder.exists()
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=SECONDS)
    assert not [group for group in group_folders(f"alpha-panda-{number}") if group.exists()]


def _number(lines: Iterable[str]) -> str:
    """The kubelet's address has the number of its place."""
    line = next(line for line in lines if "--node-ip=198.18." in line)
    return line.partition("--node-ip=198.18.")[2].partition(".")[0]
