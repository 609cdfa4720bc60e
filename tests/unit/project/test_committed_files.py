"""No file names a machine or a package registry."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from unit.project.repository import ROOT

SKIPPED = {"build", "dist", "__pycache__", "node_modules"}
KEPT_HIDDEN = {".ci", ".github"}


def files() -> Iterator[Path]:
    for folder, below, names in os.walk(ROOT):
        below[:] = sorted(
            name
            for name in below
            if name not in SKIPPED
            and (name in KEPT_HIDDEN or not name.startswith("."))
            and not name.endswith("egg-info")
        )
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith(".coverage"))


@cache
def texts() -> dict[str, str]:
    found = {}
    for file in files():
        try:
            found[str(file.relative_to(ROOT))] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


# Written so that this file does not find itself.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|home|Users|work)/\w|/\.pyenv/|[A-Z]:\\{1,2}Users")
REGISTRIES = re.compile(
    r"pypi\.(?:org|io)|python[h]osted|registry\.n[p]mjs|docker\.[i]o/|ghcr\.[i]o|--(?:extra-)?index-url"
)


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRIES], ids=["machine paths", "registry hosts"])
def test_no_file_holds(pattern: re.Pattern[str]) -> None:
    mine = str(Path(__file__).relative_to(ROOT))
    found = [
        (name, match[0]) for name, text in texts().items() if name != mine for match in pattern.finditer(text)
    ]
    assert found == []


def test_the_search_reads_the_whole_repository() -> None:
    names = set(texts())
    assert {
        ".ci/run",
        ".gitignore",
        "requirements-dev.lock",
        "operator/alpha_panda_operator/__init__.py",
    } <= names
    assert not any(name.startswith((".venv", ".git/")) for name in names)
    assert MACHINE_PATHS.search("see /" + "home/me")
    assert REGISTRIES.search("https://" + "pypi" + ".org/simple")
