"""The append-only file of a Redis that is not running: as an image, put back, or with its end cut off.

Redis 7 keeps it in a folder: base files, one incremental file that grows, and a manifest. The servers of
`testing.servers.redis` never rewrite it, so that an earlier state is always a prefix of a later one.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alpha_panda.errors import MisuseError

FOLDER: Final = "appendonlydir"
STAMP: Final = b"#TS:"
"""Begins an annotation: the Unix second of the commands after it (`aof-timestamp-enabled`)."""


@dataclass(frozen=True, slots=True)
class RedisImage:
    """What a server's disk held at one moment: file name → content."""

    files: dict[str, bytes] = field(default_factory=dict, repr=False)


EMPTY: Final = RedisImage()
"""A disk with nothing on it."""


def read_image(data: Path) -> RedisImage:
    """Return what is on disk under `data` now; of a running server with `appendfsync always`: all it answered."""
    return RedisImage({file.name: file.read_bytes() for file in _files(data)})


def write_image(data: Path, image: RedisImage) -> None:
    """Replace what is on disk; the server must not run."""
    folder = data / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    if image.files:
        folder.mkdir()
    for name, content in image.files.items():
        (folder / name).write_bytes(content)


def cut_bytes(data: Path, count: int) -> int:
    """Cut `count` bytes off the end, in the middle of a command perhaps; return how many there were to cut."""
    file = _growing(data)
    size = file.stat().st_size
    left = max(0, size - count)
    _truncate(file, left)
    return size - left


def cut_since(data: Path, second: int) -> int:
    """Cut what was written in Unix second `second` and later; return the number of bytes."""
    file = _growing(data)
    content = file.read_bytes()
    left = next((at for at, stamp in _stamps(content) if stamp >= second), len(content))
    _truncate(file, left)
    return len(content) - left


def _stamps(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield (place, Unix second) of the annotations; a value that looks like one is skipped with its command."""
    at = 0
    while at < len(content):
        line_end = content.find(b"\n", at)
        if line_end < 0:
            return
        line = content[at:line_end].rstrip()
        if line.startswith(STAMP):
            yield at, int(line[len(STAMP) :])
        at = line_end + 1
        if line.startswith(b"*"):
            at = _after_arguments(content, at, int(line[1:]))


def _after_arguments(content: bytes, at: int, count: int) -> int:
    """Return the place after `count` bulk strings (`$length`, line end, bytes, line end)."""
    for _ in range(count):
        line_end = content.find(b"\n", at)
        if line_end < 0:
            return len(content)
        at = line_end + 1 + int(content[at + 1 : line_end]) + len(b"\r\n")
    return at


def _files(data: Path) -> list[Path]:
    folder = data / FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _growing(data: Path) -> Path:
    found = [file for file in _files(data) if file.name.endswith(".incr.aof")]
    if not found:
        raise MisuseError(f"there is no append-only file under {data}; was the server started with one?")
    return found[-1]


def _truncate(file: Path, size: int) -> None:
    with file.open("r+b") as stream:
        stream.truncate(size)
