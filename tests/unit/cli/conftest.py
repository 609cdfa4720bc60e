import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from alpha_panda.runtime.settings import Settings, env_name
from unit.cli.kit import Alpha
from unit.cli.operating import Operator
from unit.cli.plugin_kit import FakeCluster, Plugin


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside; and none of a command's in the logging of the tests after it."""
    for field in Settings.model_fields:
        monkeypatch.delenv(env_name(field), raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def alpha(untouched: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Alpha:
    return Alpha(tmp_path, capsys)


@pytest.fixture
def operator(alpha: Alpha, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(alpha, monkeypatch)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    folder = tmp_path / "cluster"
    folder.mkdir()
    return FakeCluster(folder, monkeypatch)


@pytest.fixture
def paper(cluster: FakeCluster) -> FakeCluster:
    cluster.account("paper")
    return cluster


@pytest.fixture
def panda(untouched: None, cluster: FakeCluster, capfd: pytest.CaptureFixture[str]) -> Plugin:
    return Plugin(capfd)
