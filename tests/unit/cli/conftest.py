import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from alpha_panda.runtime.settings import Settings, env_name
from unit.cli.kit import Alpha
from unit.cli.operating import Operator


@pytest.fixture
def alpha(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Alpha]:
    for field in Settings.model_fields:
        monkeypatch.delenv(env_name(field), raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Alpha(tmp_path, capsys)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def operator(alpha: Alpha, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(alpha, monkeypatch)
