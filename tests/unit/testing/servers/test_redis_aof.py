"""Images and cuts of an append-only file, on files made by hand."""

from pathlib import Path

import pytest

from alpha_panda.errors import MisuseError
from alpha_panda.testing.servers.redis_aof import (
    EMPTY,
    FOLDER,
    RedisImage,
    cut_bytes,
    cut_since,
    read_image,
    write_image,
)


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


FIRST, TRICKY, LAST = (
    command(b"SET", b"a", b"1"),
    command(b"SET", b"b", b"x\r\n#TS:200\r\ny"),
    command(b"DEL", b"a"),
)
CONTENT = b"#TS:100\r\n" + FIRST + b"#TS:101\r\n" + TRICKY + b"#TS:103\r\n" + LAST


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_image(tmp_path, RedisImage({"x.manifest": b"m", "x.1.base.rdb": b"base", "x.1.incr.aof": CONTENT}))
    return tmp_path


def growing(data: Path) -> bytes:
    return (data / FOLDER / "x.1.incr.aof").read_bytes()


def test_an_image_is_all_files_and_comes_back_whole(data: Path) -> None:
    before = read_image(data)
    assert set(before.files) == {"x.manifest", "x.1.base.rdb", "x.1.incr.aof"}
    (data / FOLDER / "x.1.incr.aof").write_bytes(b"other")
    (data / FOLDER / "x.2.incr.aof").write_bytes(b"later")
    write_image(data, before)
    assert read_image(data) == before


def test_an_empty_image_leaves_nothing(data: Path) -> None:
    write_image(data, EMPTY)
    assert read_image(data) == EMPTY
    assert not (data / FOLDER).exists()


@pytest.mark.parametrize(("count", "gone"), [(0, 0), (5, 5), (10_000, len(CONTENT))])
def test_bytes_are_cut_off_the_end(data: Path, count: int, gone: int) -> None:
    assert cut_bytes(data, count) == gone
    assert growing(data) == CONTENT[: len(CONTENT) - gone]
    assert read_image(data).files["x.1.base.rdb"] == b"base"


@pytest.mark.parametrize(
    ("second", "left"),
    [
        (104, CONTENT),
        (103, CONTENT[: CONTENT.index(b"#TS:103")]),
        (102, CONTENT[: CONTENT.index(b"#TS:103")]),
        (101, CONTENT[: CONTENT.index(b"#TS:101")]),
        (1, b""),
    ],
)
def test_what_was_written_since_a_second_is_cut_and_values_that_look_like_a_stamp_are_not(
    data: Path, second: int, left: bytes
) -> None:
    assert cut_since(data, second) == len(CONTENT) - len(left)
    assert growing(data) == left


def test_a_file_that_ends_in_the_middle_of_a_command_can_be_cut(data: Path) -> None:
    cut_bytes(data, 7)
    assert cut_since(data, 103) == len(b"#TS:103\r\n" + LAST) - 7


def test_without_a_file_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no append-only file"):
        cut_bytes(tmp_path, 1)
