"""The access token of one account, as files tell it: who logs in writes them, everybody else reads.

{directory}/keys/api_key            the app's key
{directory}/keys/api_secret         only where something is signed or checked with it: log-in, postbacks
{directory}/session/session.json    `Session`

A token dies each morning, and earlier if somebody logs in anew: then the file holds another one within the day.
"""

import os
import stat
import tempfile
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Final

import msgspec

from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.ports import Clock

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
"""India's time, in which Zerodha tells all times; without daylight saving."""

KEYS: Final = "keys"
SESSION: Final = "session"
API_KEY: Final = "api_key"
API_SECRET: Final = "api_secret"  # noqa: S105 - a file's name
SESSION_FILE: Final = "session.json"

_LOOK_AGAIN: Final = 500 * MS_NS
"""Files are looked at this often at most: every request asks for the token."""

_LONGEST_FILE: Final = 64 * 1024

_Stamp = tuple[int, int, int]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A log-in: who, by which app, with which token; `login_at` and `expires_at` in UTC ns. Its text shows no token."""

    user_id: str
    api_key: str
    access_token: str
    login_at: int
    expires_at: int

    def __repr__(self) -> str:
        return f"Session(user_id={self.user_id!r}, login_at={self.login_at}, expires_at={self.expires_at})"

    __str__ = __repr__


class SessionFile:
    """Reads an account's files, at most every half second; never raises for what they hold.

    Args:
        directory: the account's, see above.
        clock: tells whether a token has expired, and when to look again.
        user_id: whose session it must be ("": anybody's).

    """

    def __init__(self, directory: Path, clock: Clock, user_id: str = "") -> None:
        self._directory = directory
        self._clock = clock
        self._user_id = user_id
        self._session = _Watched(directory / SESSION / SESSION_FILE)
        self._key = _Watched(directory / KEYS / API_KEY)
        self._secret = _Watched(directory / KEYS / API_SECRET)
        self._looked_at: int | None = None
        self._read: Session | None = None
        self._problem = ""
        self._dead: tuple[str, int] | None = None
        self._why_dead = ""

    @property
    def directory(self) -> Path:
        """Where the account's files are."""
        return self._directory

    def current(self) -> Session | None:
        """Return the session if there is a valid one: of this user and key, not expired, not known to be dead."""
        self._look()
        return None if self.problem() else self._read

    def api_key(self) -> str:
        """Return the app's key, of its file or else of the session; "" if neither has one."""
        self._look()
        return self._key.text() or (self._read.api_key if self._read is not None else "")

    def api_secret(self) -> str:
        """Return the app's secret; "" where this process has none."""
        self._look()
        return self._secret.text()

    def expires_at(self) -> int | None:
        """Return when the session that the file holds ends or has ended (UTC ns); None if it holds none."""
        self._look()
        return self._read.expires_at if self._read is not None else None

    def problem(self) -> str:
        """Return why there is no valid session, in words without secrets; "" if there is one."""
        self._look()
        session = self._read
        if session is None:
            return self._problem
        if self._clock.now() >= session.expires_at:
            return f"the session of {session.user_id} has expired at {_ist(session.expires_at)}: log in again"
        if _login(session) == self._dead:
            return f"{self._why_dead or 'the broker refuses the access token, though it has not expired'}: log in again"
        return ""

    def mark_dead(self, access_token: str, why: str = "") -> None:
        """Note that the broker refused this token: it counts as expired until somebody has logged in anew.

        Nothing happens if the file holds another one already. `why`: what `problem` says, if not just that. A new log-in
        counts even if the broker grants the same token again.
        """
        if self._read is not None and self._read.access_token == access_token:
            self._dead, self._why_dead = _login(self._read), why

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._looked_at is not None and now - self._looked_at < _LOOK_AGAIN:
            return
        self._looked_at = now
        changed = [watched.look() for watched in (self._session, self._key, self._secret)]
        if any(changed) or self._read is None:
            self._read, self._problem = self._judged(self._session.content)
            if self._read is not None and _login(self._read) != self._dead:
                self._dead = None

    def _judged(self, content: bytes | None) -> tuple[Session | None, str]:
        if content is None:
            return None, f"no session: {self._session.path} is missing or can't be read; log in"
        try:
            session = msgspec.json.decode(content, type=Session)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, f"{self._session.path} holds no session; log in again"
        return (None, problem) if (problem := self._mismatch(session)) else (session, "")

    def _mismatch(self, session: Session) -> str:
        if not session.access_token or not session.api_key or not _fits_a_header(session):
            return f"{self._session.path} holds no usable access token; log in again"
        if self._user_id and session.user_id != self._user_id:
            return f"the session is of user {session.user_id}, but the account is of {self._user_id}: log in as that one"
        key = self._key.text()
        if key and key != session.api_key:
            return "the session was made with another api_key than the account has: log in again"
        return ""


class _Watched:
    """A small file that is read again when it has become another one. A Secret's mount swaps a link: stat follows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: bytes | None = None
        self._stamp: _Stamp | None = None

    def look(self) -> bool:
        """Read the file if it has changed, and say whether it had."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        before, self.content = self.content, self._contents() if stamp is not None else None
        self._stamp = stamp if self.content is not None else None
        return self.content != before

    def text(self) -> str:
        """Return what the file holds, without white space around it; "" if it is missing or no plain ASCII."""
        text = (self.content or b"").decode("ascii", errors="replace").strip()
        return text if text.isascii() and text.isprintable() else ""

    def _stamped(self) -> _Stamp | None:
        try:
            found = self.path.stat()
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _contents(self) -> bytes | None:
        try:
            with self.path.open("rb") as file:
                content = file.read(_LONGEST_FILE + 1)
        except (OSError, ValueError):
            return None
        return content if len(content) <= _LONGEST_FILE else None


def write_session(directory: Path, session: Session) -> Path:
    """Write the account's session file: whole or not at all, readable by its owner alone. Return its path.

    Raises:
        OSError: it can't be written.

    """
    folder = directory / SESSION
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / SESSION_FILE
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".session-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
            file.write(msgspec.json.encode(session))
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def token_dies_at(login_at: int, of_day: time) -> int:
    """Return when a token of a log-in at `login_at` (UTC ns) dies: the next `of_day` in India (UTC ns)."""
    seconds, rest = divmod(login_at, SECOND_NS)
    local = datetime.fromtimestamp(seconds, UTC).astimezone(IST)
    death = datetime.combine(local.date(), of_day, IST)
    if (death - local).total_seconds() * SECOND_NS <= rest:
        death += timedelta(days=1)
    return round(death.timestamp()) * SECOND_NS


def _login(session: Session) -> tuple[str, int]:
    return session.access_token, session.login_at


def _fits_a_header(session: Session) -> bool:
    text = session.api_key + session.access_token
    return text.isascii() and text.isprintable() and " " not in text


def _ist(ts: int) -> str:
    return datetime.fromtimestamp(ts / SECOND_NS, IST).strftime("%Y-%m-%d %H:%M IST")
