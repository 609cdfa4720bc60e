"""The day's list of instruments: fetched once a day, kept as a file.

files = DumpFiles(directory, dump_fetch(url, session, seconds=30), clock)
found = (await files.dump()).find(["NSE:RELIANCE"], files.today())

The list is made each morning; until `ready_at` (India's time) that of the day before is the newest there is. Tokens
are given anew to other instruments once a contract has expired, so a list counts for its day.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Clock

from .client import FORBIDDEN, TOKEN_EXCEPTION
from .dump import SERVICE, InstrumentDump
from .session import IST, SessionFile
from .wire import Envelope, parsed

READY_AT: Final = time(8, 30)
"""India's time at which the day's list can be had: Zerodha makes it once, early in the morning."""

LONGEST_LIST: Final = 128 * 1024 * 1024
"""Bytes of a list that are read; a real one is about ten million."""

LONGEST_REFUSAL: Final = 64 * 1024
"""Bytes of a refusal that are read."""

KEPT: Final = 3
"""Lists that stay in the directory."""

_CHUNK: Final = 256 * 1024
_PREFIX: Final = "instruments-"
_SUFFIX: Final = ".csv"

Fetch = Callable[[], Awaitable[bytes]]

log = structlog.get_logger()


def dump_fetch(api_url: str, session: SessionFile, *, seconds: float, path: str = "/instruments") -> Fetch:
    """Return what fetches the whole list with the account's session; `seconds`: how long that may take in all."""

    async def fetch() -> bytes:
        current = session.current()
        if current is None:
            raise DependencyUnavailableError(SERVICE, session.problem())
        headers = {
            "X-Kite-Version": "3",
            "Authorization": f"token {current.api_key}:{current.access_token}",
        }
        try:
            async with (
                asyncio.timeout(seconds),
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=None),
                    trust_env=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as client,
                client.get(api_url.rstrip("/") + path, headers=headers, allow_redirects=False) as answer,
            ):
                if await _refuses_token(answer):
                    session.mark_dead(current.access_token)  # else it would be asked with it every while
                    raise DependencyUnavailableError(SERVICE, session.problem())
                return await _body(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # the words of some hold the token
            raise DependencyUnavailableError(SERVICE, type(error).__name__) from None

    return fetch


async def _refuses_token(answer: aiohttp.ClientResponse) -> bool:
    if answer.status != FORBIDDEN:
        return False
    envelope = parsed(await answer.content.read(LONGEST_REFUSAL), Envelope)
    return envelope is not None and envelope.error_type == TOKEN_EXCEPTION


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
        raise DependencyUnavailableError(SERVICE, f"the broker answered {answer.status}")
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > LONGEST_LIST:
            raise DependencyUnavailableError(SERVICE, f"a list of more than {LONGEST_LIST} bytes")
    return bytes(body)


class DumpFiles:
    """Lists by day, in a directory that several processes may share.

    Args:
        directory: where the files are; made if it is missing.
        fetch: gets the newest list.
        clock: tells the day.
        ready_at: India's time from which on a day's own list is asked for.
        max_age_days: how many days old a list may be that is used when no newer one can be had (a weekend is two).

    """

    def __init__(
        self,
        directory: Path,
        fetch: Fetch,
        clock: Clock,
        *,
        ready_at: time = READY_AT,
        max_age_days: int = 3,
    ) -> None:
        self._directory = directory
        self._fetch = fetch
        self._clock = clock
        self._ready_at = ready_at
        self._max_age_days = max_age_days
        self._lock = asyncio.Lock()
        self._warned: tuple[date, date, str] | None = None

    def today(self) -> date:
        """Return India's date."""
        return self._local().date()

    def day(self) -> date:
        """Return the day whose list is the newest that there can be."""
        local = self._local()
        return local.date() if local.time() >= self._ready_at else local.date() - timedelta(days=1)

    async def dump(self) -> InstrumentDump:
        """Return the newest list: the one that is kept, or fetched now; an older one if that fails, with a warning.

        Raises:
            DependencyUnavailableError: none can be had, and none is kept that is young enough.

        """
        async with self._lock:
            day = self.day()
            kept = self._kept()
            if kept and kept[0].day >= day:
                return kept[0]
            try:
                return await self._fetched(day, kept)
            except DependencyUnavailableError as error:
                return self._older(day, kept, error)

    async def _fetched(self, day: date, kept: list[InstrumentDump]) -> InstrumentDump:
        body = await self._fetch()
        dump = await asyncio.to_thread(self._stored, body, day, kept)
        for old in kept[KEPT - 1 :]:
            with suppress(OSError):  # another's file in a directory that is shared
                old.path.unlink()
        return dump

    def _stored(self, body: bytes, day: date, kept: list[InstrumentDump]) -> InstrumentDump:
        """Write the list, whole and looked through, or not at all."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=".instruments-")
        except OSError as error:
            raise DependencyUnavailableError(SERVICE, f"can't write {self._directory}: {error}") from error
        written = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
            audit = InstrumentDump(written, day).audit(_rows_of(kept))
            target = self._directory / f"{_PREFIX}{day.isoformat()}{_SUFFIX}"
            written.replace(target)
        except OSError as error:
            raise DependencyUnavailableError(SERVICE, f"can't write {self._directory}: {error}") from error
        finally:
            written.unlink(missing_ok=True)
        log.info(
            "instruments_fetched",
            day=day.isoformat(),
            rows=audit.rows,
            bad_rows=audit.bad,
            exchanges=dict(audit.exchanges),
        )
        return InstrumentDump(target, day)

    def _older(
        self, day: date, kept: list[InstrumentDump], error: DependencyUnavailableError
    ) -> InstrumentDump:
        if not kept or (day - kept[0].day).days > self._max_age_days:
            oldest = f"the newest that is kept is of {kept[0].day}" if kept else "none is kept"
            raise DependencyUnavailableError(SERVICE, f"no list of {day}, and {oldest} ({error})") from error
        warning = (kept[0].day, day, str(error))
        if warning != self._warned:  # once: somebody asks again every while, all week-end
            self._warned = warning
            log.warning(
                "instruments_of_an_earlier_day_used",
                day=kept[0].day.isoformat(),
                wanted=day.isoformat(),
                error=str(error),
            )
        return kept[0]

    def _kept(self) -> list[InstrumentDump]:
        """Return the lists in the directory, newest first."""
        found = []
        for path in self._directory.glob(f"{_PREFIX}*{_SUFFIX}"):
            try:
                day = date.fromisoformat(path.name[len(_PREFIX) : -len(_SUFFIX)])
            except ValueError:
                continue
            found.append(InstrumentDump(path, day))
        return sorted(found, key=lambda dump: dump.day, reverse=True)

    def _local(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now() / SECOND_NS, UTC).astimezone(IST)


def _rows_of(kept: list[InstrumentDump]) -> int:
    """Return how many rows the newest list has; 0 if there is none that can be read."""
    try:
        return kept[0].audit().rows if kept else 0
    except DependencyUnavailableError:
        return 0
