"""The scripts as files: declared, packed, and each guard on one line with a name of its own."""

import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import Final

import pytest

from alpha_panda.adapters.redis import control, decisions, journal, leases
from alpha_panda.adapters.redis.scripts import Script

FOLDER: Final = Path(str(resources.files("alpha_panda.adapters.redis"))) / "lua"
OWN: Final = ("common", "latches", "fencing", "journal", "decisions", "control", "lease")
"""Files and folders of the journal, decisions, control and leases."""

FILES: Final = sorted(
    file for file in FOLDER.rglob("*.lua") if file.relative_to(FOLDER).parts[0].removesuffix(".lua") in OWN
)
SCRIPTS: Final = [
    value
    for module in (journal, decisions, control, leases)
    for value in vars(module).values()
    if isinstance(value, Script)
]
GUARD: Final = re.compile(r"-- guard: (.+)$", re.MULTILINE)
WRITES: Final = re.compile(r"redis\.call\('(?:[HL]?SET|HSETNX|DEL|HDEL|INCR|Z(?:ADD|REM)|LPOP|RPUSH)'")


def test_every_file_is_used() -> None:
    texts = "\n".join(script.text for script in SCRIPTS)
    assert [file.name for file in FILES if file.read_text(encoding="utf-8") not in texts] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_each_script_says_whether_it_writes(script: Script) -> None:
    assert script.text.startswith("#!lua\n" if script.writes else "#!lua flags=no-writes\n")
    assert bool(WRITES.search(script.text)) == script.writes
    assert script.sha == hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()


def test_guards_have_names_of_their_own() -> None:
    names = [name for file in FILES for name in GUARD.findall(file.read_text(encoding="utf-8"))]
    assert len(names) > 40
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_script_works_on_json_or_on_floats(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for word in ("cjson", "tostring", "loadstring", "redis.pcall", "math.random"):
        assert word not in text
