"""Image archives in the OCI layout: what `ctr images import`, `kind load image-archive` and `docker load` take.

Pure description plus one writer; layers are uncompressed tars, so that they are neither packed nor unpacked here.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}
CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A tar of files; `digest` is SHA-256 in hexadecimal."""

    tar: Path
    digest: str
    size: int

    @classmethod
    def of(cls, tar: Path) -> "Layer":
        """Describe a tar."""
        digest = hashlib.sha256()
        with tar.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        return cls(tar, digest.hexdigest(), tar.stat().st_size)


@dataclass(frozen=True, slots=True)
class Image:
    """An image: a name with a tag, layers from the lowest, and what a container of it is told.

    `config` has the keys of the OCI image configuration: User, Env, Entrypoint, Cmd, WorkingDir, Labels.
    """

    name: str
    layers: Sequence[Layer]
    config: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"


def write_archive(stream: IO[bytes], images: Sequence[Image], present: Container[str] = ()) -> None:
    """Write images into one archive; a layer that several have is in it once.

    `present`: digests of layers that the reader has already; they are left out.
    """
    with tarfile.open(fileobj=stream, mode="w|", bufsize=CHUNK) as archive:
        _add(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        for layer in {layer.digest: layer for image in images for layer in image.layers}.values():
            if layer.digest not in present:
                archive.add(layer.tar, _blob(layer.digest), recursive=False)
        entries = [_add_image(archive, image) for image in images]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        _add(archive, "index.json", json.dumps(index).encode())


def _add_image(archive: tarfile.TarFile, image: Image) -> Mapping[str, Any]:
    config = json.dumps(configuration(image), sort_keys=True).encode()
    layers = [_descriptor(LAYER, layer.digest, layer.size) for layer in image.layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _add_blob(archive, CONFIG, config),
        "layers": layers,
    }
    described = _add_blob(archive, MANIFEST, json.dumps(manifest, sort_keys=True).encode())
    names = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    return {
        **described,
        "annotations": names,
        "platform": {"architecture": image.architecture, "os": "linux"},
    }


def configuration(image: Image) -> Mapping[str, Any]:
    """Return the image's configuration document."""
    return {
        "architecture": image.architecture,
        "os": "linux",
        "config": dict(image.config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in image.layers]},
        "history": [{"created_by": layer.tar.parent.name} for layer in image.layers],
    }


def _add_blob(archive: tarfile.TarFile, kind: str, content: bytes) -> Mapping[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    if _blob(digest) not in archive.getnames():
        _add(archive, _blob(digest), content)
    return _descriptor(kind, digest, len(content))


def _descriptor(kind: str, digest: str, size: int) -> Mapping[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
