"""Layers of images without Docker: a Debian base, and what a script in a chroot adds to layers below it (Linux, root).

Each is kept in the cache by a key of all that went into it: as a folder, on which others build, and as a tar.
"""

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .cache import cached
from .command import run
from .oci import Layer
from .versions import DEBIAN

MAKE_SECONDS: Final = 1200.0
UNWANTED: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")

INSIDE: Final = """set -e
mount -t overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" overlay "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -t tmpfs tmpfs "$ROOT/mnt"
for pair in $BINDS; do
  inner="$ROOT/mnt/${pair%%=*}"
  if [ -d "${pair#*=}" ]; then mkdir "$inner"; else : >"$inner"; fi
  mount --bind "${pair#*=}" "$inner"
done
exec chroot "$ROOT" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
  DEBIAN_FRONTEND=noninteractive sh -ec "$SCRIPT"
"""
"""Runs in a mount namespace of its own, so that all mounts end with it."""


@dataclass(frozen=True, slots=True)
class Built:
    """A layer in the cache."""

    folder: Path

    @property
    def root(self) -> Path:
        """Its files, as overlayfs keeps what is added."""
        return self.folder / "root"

    @property
    def layer(self) -> Layer:
        """Its tar."""
        tar = self.folder / "layer.tar"
        return Layer(tar, (self.folder / "digest").read_text(), tar.stat().st_size)


def base(packages: Sequence[str]) -> Built:
    """Return a minimal Debian with packages: the lowest layer (30 s to make)."""

    def make(fresh: Path) -> None:
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
        options += [f"--include={','.join(packages)}", "--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        tar = fresh / "layer.tar"
        run(["mmdebstrap", "--quiet", "--variant=minbase", *options, DEBIAN, tar], seconds=MAKE_SECONDS)
        (fresh / "root").mkdir()
        run(["tar", "--extract", "--file", tar, "--directory", fresh / "root"], seconds=MAKE_SECONDS)
        (fresh / "digest").write_text(Layer.of(tar).digest)

    return Built(cached(f"layers/base-{key_of(DEBIAN, *packages, *UNWANTED)}", make))


def added(name: str, below: Sequence[Built], script: str, binds: Mapping[str, Path], *content: str) -> Built:
    """Return the layer that a shell script, run as root in the layers below, adds to them.

    Args:
        name: for people; the key is of everything else.
        below: from the lowest.
        script: sees each of `binds` as /mnt/NAME; what it leaves outside /mnt and /tmp is the layer.
        binds: files and folders of the host; they don't enter the key.
        content: what identifies their content.

    """

    def make(fresh: Path) -> None:
        for place in ("root", "work", "merged"):
            (fresh / place).mkdir(mode=0o755)
        mounts = {
            "LOWER": ":".join(str(one.root) for one in reversed(below)),
            "UPPER": str(fresh / "root"),
            "WORK": str(fresh / "work"),
            "ROOT": str(fresh / "merged"),
            "BINDS": " ".join(f"{inner}={outer}" for inner, outer in binds.items()),
            "SCRIPT": script,
        }
        command = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", INSIDE]
        run(command, seconds=MAKE_SECONDS, env={**os.environ, **mounts})
        shutil.rmtree(fresh / "work")
        (fresh / "merged").rmdir()
        write_tar(fresh / "layer.tar", fresh / "root")
        (fresh / "digest").write_text(Layer.of(fresh / "layer.tar").digest)

    below_keys = [one.folder.name for one in below]
    key = key_of(script, INSIDE, *below_keys, *content)
    return Built(cached(f"layers/{name}-{key}", make, lock=f"layers-{name}"))


def write_tar(path: Path, root: Path) -> None:
    """Pack what overlayfs keeps of a layer; a file deleted from below, there a device 0:0, becomes `.wh.NAME`."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted([*folders, *files]):
                _add(tar, Path(folder) / name, root)


def _add(tar: tarfile.TarFile, path: Path, root: Path) -> None:
    inner = path.relative_to(root)
    status = path.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        tar.addfile(tarfile.TarInfo(str(inner.with_name(f".wh.{inner.name}"))))
        return
    tar.add(path, str(inner), recursive=False)
    if path.is_dir() and not path.is_symlink() and _hides_below(path):
        tar.addfile(tarfile.TarInfo(str(inner / ".wh..wh..opq")))


def _hides_below(folder: Path) -> bool:
    """Whether overlayfs shows nothing of the layers below in this folder."""
    return "trusted.overlay.opaque" in os.listxattr(folder)


def key_of(*parts: str) -> str:
    """Return a short name of contents."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:16]


def key_of_files(root: Path, *names: str) -> str:
    """Return a short name of the content of files and folders below `root`; compiled Python is left out."""
    digest = hashlib.sha256()
    for file in files_of(root, *names):
        digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def files_of(root: Path, *names: str) -> list[Path]:
    """Return all files that are, or are below, `names`, in a fixed order."""
    found = [
        path
        for name in names
        for path in ([root / name] if (root / name).is_file() else (root / name).rglob("*"))
    ]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
