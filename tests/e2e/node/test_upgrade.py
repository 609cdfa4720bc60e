"""A new release of the chart takes over while strategies trade, and replaces none of their pods."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from e2e.node.desk import BUSY, Desk
from e2e.node.installation import ROOT, Installation
from harness.command import attempt, run

Tell = Callable[[str], None]

CHART = Path("charts/alpha-panda")
PAIR = Path("templates/development")
SECONDS = 60.0


@pytest.fixture
def old_and_new(installation: Installation, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The chart of the commit before these sources, packed, and the present one under a later version."""
    old, new = tmp_path / "old", tmp_path / "new"
    _previous(old)
    shutil.copytree(ROOT / CHART, new)
    # The development pair is not what is upgraded here: a change of it would restart Kafka and Redis.
    shutil.copytree(new / PAIR, old / PAIR, dirs_exist_ok=True)
    _set_version(old, "0.0.1")
    _set_version(new, "0.0.2")
    yield installation.package(old), installation.package(new)
    installation.upgrade(installation.package())


def _previous(target: Path) -> None:
    """Write the chart as it was before: at HEAD if the sources differ from that, else one commit before."""
    git = ["git", "-C", str(ROOT)]
    differs = attempt([*git, "diff", "--quiet", "HEAD", "--", str(CHART)], seconds=SECONDS).returncode != 0
    commit = "HEAD" if differs else "HEAD~1"
    archive = target.with_suffix(".tar")
    done = attempt([*git, "archive", f"--output={archive}", commit, str(CHART)], seconds=SECONDS)
    if done.returncode:  # the commit has no chart, or the sources are no checkout
        shutil.copytree(ROOT / CHART, target)
        return
    target.mkdir()
    run(
        ["tar", "--extract", f"--file={archive}", f"--directory={target}", "--strip-components=2"],
        seconds=SECONDS,
    )


def _set_version(chart: Path, version: str) -> None:
    path = chart / "Chart.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**found, "version": version}), encoding="utf-8")


def test_an_upgrade_replaces_no_pod_of_a_running_strategy(
    installation: Installation, old_and_new: tuple[Path, Path], desk: Desk, tell: Tell
) -> None:
    old, new = old_and_new
    installation.upgrade(old)
    desk.apply(BUSY)
    desk.trades()
    tape = desk.tape()
    tape.trades_on()
    before, upgraded = _pods(desk), time.time()

    began = time.monotonic()
    # Another template, as a new operator would make it: this one must wait for the end of the session, which is 24/7.
    installation.upgrade(new, roles={"defaults": {"podAnnotations": {"release": "new"}}})
    tell(f"helm upgrade {old.name} -> {new.name} in {time.monotonic() - began:.1f} s")
    for kind, name in (("marketfeeds", "busy"), ("brokeraccounts", "paper"), ("strategies", "busy")):
        desk.expect(kind, name, "UpdatePending", "True", "SessionOpen")
    assert _pods(desk) == before
    tape.trades_on(5)
    pause = tape.longest_pause(upgraded)
    tell(f"no pod replaced; longest pause between two orders {pause:.1f} s")

    # Even a child that somebody edits now is put back as it was, not as the new operator would make it.
    desk.kubectl("scale", "deployment/busy-strategy", "--replicas=0")
    desk.wait_until(lambda: len(desk.pods("strategy")) == 1, "its pod is back")
    desk.expect("strategies", "busy", "UpdatePending", "True", "SessionOpen")

    desk.kubectl("annotate", "brokeraccount", "paper", "alphapanda.io/rollout=now")
    desk.expect("brokeraccounts", "paper", "UpdatePending", "False", "UpToDate")
    roles = ("risk", "engine", "order-tracker")
    desk.wait_until(
        lambda: all(
            pod["metadata"]["annotations"].get("release") == "new"
            for role in roles
            for pod in desk.pods(role)
        ),
        "the account's pods are new",
    )
    feed = {name: uid for name, uid in before.items() if name.startswith("busy-market-feed")}
    assert feed.items() <= _pods(desk).items()
    desk.trades()
    tape.trades_on()


def _pods(desk: Desk) -> dict[str, str]:
    """Return the pods' uids by name, whatever became of their containers: a chart may change the development pair."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in desk.pods()}
