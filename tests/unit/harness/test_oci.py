"""Archives of images: what a reader of the OCI layout finds in them."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from harness.oci import Image, Layer, write_archive


def layer(folder: Path, content: bytes) -> Layer:
    folder.mkdir()
    tar = folder / "layer.tar"
    tar.write_bytes(content)
    return Layer.of(tar)


def read(*images: Image, present: tuple[str, ...] = ()) -> dict[str, bytes]:
    stream = io.BytesIO()
    write_archive(stream, images, present)
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as archive:
        names = archive.getnames()
        assert len(names) == len(set(names)), "nothing is in it twice"
        return {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]


def blob(files: dict[str, bytes], described: dict[str, Any]) -> bytes:
    algorithm, _, digest = described["digest"].partition(":")
    content = files[f"blobs/{algorithm}/{digest}"]
    assert hashlib.sha256(content).hexdigest() == digest
    assert len(content) == described["size"]
    return content


def test_an_image_is_found_by_following_digests_from_the_index(tmp_path: Path) -> None:
    lower, upper = layer(tmp_path / "a", b"lower"), layer(tmp_path / "b", b"upper")
    files = read(Image("localhost/x:dev", [lower, upper], {"User": "1:1", "Cmd": ["y"]}, "arm64"))

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/x:dev"
    assert entry["platform"] == {"architecture": "arm64", "os": "linux"}
    manifest = json.loads(blob(files, entry))
    assert [blob(files, one) for one in manifest["layers"]] == [b"lower", b"upper"]
    config = json.loads(blob(files, manifest["config"]))
    assert config["config"] == {"User": "1:1", "Cmd": ["y"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{one.digest}" for one in (lower, upper)]


def test_a_layer_of_two_images_is_written_once(tmp_path: Path) -> None:
    shared = layer(tmp_path / "a", b"shared")
    own = layer(tmp_path / "b", b"own")
    files = read(Image("x:1", [shared]), Image("y:1", [shared, own]))
    assert len(json.loads(files["index.json"])["manifests"]) == 2
    assert list(files.values()).count(b"shared") == 1


def test_images_that_differ_only_in_name_share_everything(tmp_path: Path) -> None:
    one = layer(tmp_path / "a", b"content")
    entries = json.loads(read(Image("x:1", [one]), Image("y:1", [one]))["index.json"])["manifests"]
    assert entries[0]["digest"] == entries[1]["digest"]


def test_a_layer_that_the_reader_has_is_left_out_and_still_named(tmp_path: Path) -> None:
    there, missing = layer(tmp_path / "a", b"there"), layer(tmp_path / "b", b"missing")
    files = read(Image("x:1", [there, missing]), present=(there.digest,))
    assert b"there" not in files.values()
    (entry,) = json.loads(files["index.json"])["manifests"]
    described = json.loads(blob(files, entry))["layers"]
    assert [one["digest"] for one in described] == [f"sha256:{one.digest}" for one in (there, missing)]
