"""The nursery and its children, with real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from alpha_panda.testing.processes.children import EXIT_USAGE, Child, Nursery, child_environment
from alpha_panda.testing.processes.manifests import write

SECONDS = 30


@pytest.fixture
async def nursery() -> AsyncIterator[Nursery]:
    async with Nursery() as made:
        yield made


def control(nursery: Nursery, folder: Path, manifests: Path | None = None) -> Child:
    """The writer of control keys, over memory: a process that lives until it is ended."""
    arguments = ["control", "--manifests", str(manifests or write(folder))]
    return Child(nursery, "control", arguments, child_environment(), folder / "control.log")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - another process' doing
            await asyncio.sleep(0.01)


async def written(child: Child) -> None:
    await until(lambda: child.log.exists() and "control keys written" in child.log.read_text())


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_child_starts_again_and_an_ended_one_does_not(
    nursery: Nursery, tmp_path: Path
) -> None:
    child = control(nursery, tmp_path)
    await child.start()
    await written(child)
    first = child.pid
    child.send_signal(signal.SIGKILL)
    assert await child.wait_exit(0, SECONDS) == -signal.SIGKILL
    child.log.unlink()
    await written(child)
    assert child.pid != first
    assert await child.end() == 0
    assert child.exits == [-signal.SIGKILL, 0]
    assert not child.running


async def test_a_frozen_child_is_seen_and_can_still_be_killed(nursery: Nursery, tmp_path: Path) -> None:
    child = control(nursery, tmp_path)
    await child.start()
    await written(child)
    assert not child.frozen
    child.send_signal(signal.SIGSTOP)
    await until(lambda: child.frozen)
    assert await child.end(seconds=0.2) == -signal.SIGKILL  # a frozen process can't act on SIGTERM


async def test_one_that_refuses_what_it_was_given_is_not_tried_again(
    nursery: Nursery, tmp_path: Path
) -> None:
    child = control(nursery, tmp_path, tmp_path / "missing.yaml")
    await child.start()
    assert await child.wait_exit(0, SECONDS) == EXIT_USAGE
    await until(lambda: child.refused)
    assert "error:" in child.log.read_text()


async def test_nothing_outlives_the_nursery(tmp_path: Path) -> None:
    async with Nursery() as nursery:
        child = control(nursery, tmp_path)
        await child.start()
        await written(child)
        child.kept = False
        pid = child.pid
        assert exists(pid)
    await until(lambda: not exists(pid))


def test_children_get_none_of_our_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_LOG_LEVEL", "DEBUG")
    environment = child_environment(ALPHAPANDA_HEALTH_PORT="1")
    assert "ALPHAPANDA_LOG_LEVEL" not in environment
    assert environment["ALPHAPANDA_HEALTH_PORT"] == "1"
