"""Temporary folders of clusters: deleted by their owner, or by the next one."""

import os
from pathlib import Path

import pytest

from harness.folders import LOCK, PREFIX, OwnFolder, forget_ownerless


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def left(tmp_path: Path, name: str, *, age: float) -> Path:
    folder = tmp_path / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / LOCK).touch()
    os.utime(folder / LOCK, (folder.stat().st_mtime - age,) * 2)
    return folder


def test_a_folder_goes_with_its_owner() -> None:
    own = OwnFolder()
    assert own.path.is_dir()
    own.close()
    assert not own.path.exists()


def test_one_whose_owner_was_killed_goes_with_the_next_start(tmp_path: Path) -> None:
    ownerless = left(tmp_path, "old", age=3600)
    young = left(tmp_path, "young", age=0)
    somebodys = tmp_path / f"{PREFIX}without-lock"
    somebodys.mkdir()
    OwnFolder().close()
    assert not ownerless.exists()
    assert young.exists(), "its owner may be about to lock it"
    assert somebodys.exists()


def test_one_that_is_owned_stays_however_old(tmp_path: Path) -> None:
    own = OwnFolder()
    forget_ownerless(tmp_path, young=-1.0)
    assert own.path.exists()
    own.close()
    ownerless = left(tmp_path, "free", age=0)
    forget_ownerless(tmp_path, young=-1.0)
    assert not ownerless.exists()
