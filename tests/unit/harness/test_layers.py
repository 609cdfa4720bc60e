"""Layers: deletions in the tar, keys of contents."""

import os
import tarfile
from pathlib import Path

import pytest

from harness.layers import files_of, key_of, key_of_files, write_tar

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a device node")


def test_a_tar_has_files_links_and_modes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a" / "run").write_text("x")
    (root / "a" / "run").chmod(0o750)
    (root / "a" / "link").symlink_to("run")
    (root / "b").symlink_to("a")
    write_tar(tmp_path / "layer.tar", root)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        assert tar.getnames() == ["a", "b", "a/link", "a/run"]
        assert tar.getmember("a/run").mode == 0o750
        assert tar.getmember("a/link").linkname == "run"
        assert tar.getmember("b").issym()


@needs_root
def test_a_file_deleted_from_a_layer_below_is_marked_by_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    try:
        os.mknod(root / "gone", 0o020000, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("may not make devices")
    write_tar(tmp_path / "layer.tar", root)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        assert tar.getnames() == [".wh.gone"]
        assert tar.getmember(".wh.gone").isfile()


def test_keys_tell_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab", "c") == key_of("ab", "c")


def test_the_key_of_files_changes_with_names_and_contents_and_not_with_compiled_python(
    tmp_path: Path,
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "file").write_text("1")
    module = tmp_path / "package" / "module.py"
    module.write_text("x = 1")
    (tmp_path / "elsewhere").write_text("not asked for")
    seen = {key_of_files(tmp_path, "file", "package")}

    (tmp_path / "package" / "__pycache__").mkdir()
    (tmp_path / "package" / "__pycache__" / "module.pyc").write_text("compiled")
    (tmp_path / "elsewhere").write_text("changed")
    assert key_of_files(tmp_path, "file", "package") in seen
    assert files_of(tmp_path, "file", "package") == [tmp_path / "file", module]

    module.write_text("x = 2")
    seen.add(key_of_files(tmp_path, "file", "package"))
    module.rename(module.with_name("other.py"))
    seen.add(key_of_files(tmp_path, "file", "package"))
    assert len(seen) == 3
