"""Files of a session: what is valid, what is said of what isn't, and that nobody sees a token."""

import os
import stat
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.zerodha.session import IST, Session, SessionFile, token_dies_at, write_session

from .rest_kit import SECOND, START, USER, StillClock, made_session, write_files

SECRETS = ("tokenone", "tokentwo", "thesecret")


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def file(tmp_path: Path, clock: StillClock) -> SessionFile:
    return SessionFile(tmp_path, clock, USER)


def test_a_session_that_was_written_is_current(tmp_path: Path, file: SessionFile) -> None:
    session = write_files(tmp_path)
    assert file.current() == session
    assert file.problem() == ""
    assert file.expires_at() == session.expires_at
    assert (file.api_key(), file.api_secret()) == ("key", "")


def test_the_secret_is_read_where_there_is_one(tmp_path: Path, file: SessionFile) -> None:
    write_files(tmp_path)
    (tmp_path / "keys" / "api_secret").write_text(" thesecret\n")
    assert file.api_secret() == "thesecret"


def test_without_a_keys_file_the_key_is_the_sessions(tmp_path: Path, file: SessionFile) -> None:
    write_session(tmp_path, made_session())
    assert file.api_key() == "key"
    assert file.current() is not None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"user_id":"AB1234"}', b"\xff\xfe", b"x" * 100_000, b'{"user_id": 5}'],
    ids=lambda content: str(content[:20]),
)
def test_a_file_that_holds_no_session_is_a_problem_and_no_error(
    tmp_path: Path, file: SessionFile, content: bytes
) -> None:
    write_files(tmp_path)
    (tmp_path / "session" / "session.json").write_bytes(content)
    assert file.current() is None
    assert file.problem()
    assert file.expires_at() is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"user_id": "XY9876"}, "XY9876"),
        ({"api_key": "other"}, "api_key"),
        ({"access_token": ""}, "no usable"),
        ({"access_token": "line\nend"}, "no usable"),
        ({"access_token": "two words"}, "no usable"),
        ({"access_token": "naïve"}, "no usable"),
        ({"expires_at": START}, "expired at 2026-01-02 14:15 IST"),
        ({"expires_at": START - SECOND}, "expired"),
    ],
)
def test_a_session_that_does_not_fit_is_told_without_its_token(
    tmp_path: Path, file: SessionFile, changes: dict[str, Any], word: str
) -> None:
    write_files(tmp_path, **changes)
    assert file.current() is None
    assert word in file.problem()
    assert not any(secret in file.problem() for secret in SECRETS)


def test_a_missing_directory_is_a_problem_and_no_error(file: SessionFile) -> None:
    assert file.current() is None
    assert "missing" in file.problem()
    assert (file.api_key(), file.api_secret()) == ("", "")


def test_a_session_expires_without_a_look_at_the_file(
    tmp_path: Path, file: SessionFile, clock: StillClock
) -> None:
    session = write_files(tmp_path)
    assert file.current() is not None
    clock.time = session.expires_at - 1
    assert file.current() is not None
    clock.time += 1
    assert file.current() is None


def test_a_new_session_is_seen_within_half_a_second_and_not_asked_for_more_often(
    tmp_path: Path, file: SessionFile, clock: StillClock
) -> None:
    write_files(tmp_path)
    first = file.current()
    write_files(tmp_path, access_token="tokentwo")  # noqa: S106 - of a test
    clock.time += SECOND // 2 - 1
    assert file.current() is first
    clock.time += 1
    second = file.current()
    assert second is not None
    assert second.access_token == "tokentwo"  # noqa: S105 - of a test


def test_a_file_that_comes_and_goes_is_followed(tmp_path: Path, file: SessionFile, clock: StillClock) -> None:
    for _ in range(2):
        assert file.current() is None
        clock.time += SECOND
        write_files(tmp_path)
        assert file.current() is not None
        (tmp_path / "session" / "session.json").unlink()
        clock.time += SECOND


def test_a_secrets_mount_that_swaps_its_link_is_followed(
    tmp_path: Path, file: SessionFile, clock: StillClock
) -> None:
    """As Kubernetes does: session.json -> ..data/session.json, ..data -> a new folder."""
    folder = tmp_path / "session"
    for name, token in (("one", "tokenone"), ("two", "tokentwo")):
        (folder / name).mkdir(parents=True)
        (folder / name / "session.json").write_bytes(msgspec.json.encode(made_session(access_token=token)))
    (folder / "..data").symlink_to("one")
    (folder / "session.json").symlink_to("..data/session.json")
    tokens = []
    for target in ("one", "two"):
        (folder / "new").symlink_to(target)
        (folder / "new").replace(folder / "..data")
        clock.time += SECOND
        session = file.current()
        tokens.append(session.access_token if session else "")
    assert tokens == ["tokenone", "tokentwo"]


def test_a_refused_token_is_dead_until_there_is_another(
    tmp_path: Path, file: SessionFile, clock: StillClock
) -> None:
    write_files(tmp_path)
    file.current()
    file.mark_dead("tokenone")
    assert file.current() is None
    assert "refuses the access token" in file.problem()
    clock.time += SECOND
    os.utime(tmp_path / "session" / "session.json", ns=(1, 1))  # touched, the same token
    assert file.current() is None
    write_files(tmp_path, access_token="tokentwo")  # noqa: S106 - of a test
    clock.time += SECOND
    assert file.current() is not None


def test_a_new_log_in_revives_an_account_even_if_the_same_token_is_granted_again(
    tmp_path: Path, file: SessionFile, clock: StillClock
) -> None:
    write_files(tmp_path)
    file.current()
    file.mark_dead("tokenone")
    write_session(tmp_path, made_session(login_at=START + SECOND))
    clock.time += SECOND
    assert file.current() is not None


def test_a_late_refusal_of_an_older_token_harms_nothing(tmp_path: Path, file: SessionFile) -> None:
    write_files(tmp_path, access_token="tokentwo")  # noqa: S106 - of a test
    assert file.current() is not None
    file.mark_dead("tokenone")
    assert file.current() is not None


def test_a_late_refusal_of_an_older_token_revives_no_dead_one(tmp_path: Path, file: SessionFile) -> None:
    write_files(tmp_path, access_token="tokentwo")  # noqa: S106 - of a test
    file.current()
    file.mark_dead("tokentwo")
    file.mark_dead("tokenone")
    assert file.current() is None


def test_a_token_may_be_dead_for_a_reason_of_its_own(tmp_path: Path, file: SessionFile) -> None:
    write_files(tmp_path)
    file.current()
    file.mark_dead("tokenone", "it is of user XY")
    assert "of user XY" in file.problem()


def test_any_user_will_do_where_none_is_named(tmp_path: Path, clock: StillClock) -> None:
    write_files(tmp_path, user_id="XY9876")
    assert SessionFile(tmp_path, clock).current() is not None


def test_a_session_is_readable_by_its_owner_alone_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = write_session(tmp_path, made_session())
    write_session(tmp_path, made_session(access_token="tokentwo"))  # noqa: S106 - of a test
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [item.name for item in path.parent.iterdir()] == ["session.json"]
    assert msgspec.json.decode(path.read_bytes(), type=Session).access_token == "tokentwo"  # noqa: S105 - of a test


def test_a_session_that_can_not_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_session(tmp_path, made_session())

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_session(tmp_path, made_session(access_token="tokentwo"))  # noqa: S106 - of a test
    assert [item.name for item in path.parent.iterdir()] == ["session.json"]
    assert b"tokenone" in path.read_bytes()


def test_no_text_of_a_session_has_its_token() -> None:
    session = made_session()
    for text in (repr(session), str(session), f"{session}", repr([session])):
        assert "tokenone" not in text
        assert USER in text


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1))  # noqa: DTZ001 - made aware below


@given(MOMENTS, st.times())
def test_a_token_dies_at_the_next_such_time_in_india(moment: datetime, of_day: time) -> None:
    of_day = of_day.replace(microsecond=0)
    login_at = int(moment.replace(tzinfo=UTC, microsecond=0).timestamp()) * SECOND + moment.microsecond * 1000
    dies_at = token_dies_at(login_at, of_day)
    assert login_at < dies_at <= login_at + 86_400 * SECOND
    assert datetime.fromtimestamp(dies_at // SECOND, IST).time() == of_day


def test_a_login_before_six_lives_until_six_of_the_same_day() -> None:
    def at(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp()) * SECOND

    six = time(6)
    assert token_dies_at(at("2026-01-02 05:59:59"), six) == at("2026-01-02 06:00:00")
    assert token_dies_at(at("2026-01-02 06:00:00"), six) == at("2026-01-03 06:00:00")
    assert token_dies_at(at("2026-01-02 08:30:00"), six) == at("2026-01-03 06:00:00")
