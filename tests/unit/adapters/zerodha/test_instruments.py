import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from alpha_panda.adapters.zerodha.instruments import DumpFiles, dump_fetch
from alpha_panda.adapters.zerodha.session import Session, SessionFile, write_session
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import DependencyUnavailableError
from unit.adapters.source_kit import FakeClock
from unit.adapters.zerodha.dump_kit import ALL, NIFTY, RELIANCE, text

HIDDEN = "hush"


def at(day: int, hour: int, minute: int = 0) -> int:
    """UTC ns of a time in November 2026 in India."""
    local = datetime(2026, 11, day, hour, minute, tzinfo=UTC)
    return round(local.timestamp() - 5.5 * 3600) * SECOND_NS


class Broker:
    """What a fetch meets."""

    def __init__(self) -> None:
        self.body = text()
        self.down = False
        self.fetched = 0

    async def fetch(self) -> bytes:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.down:
            raise DependencyUnavailableError("zerodha instruments", "down")
        return self.body


class Files:
    def __init__(self, folder: Path) -> None:
        self.broker = Broker()
        self.clock = FakeClock(virtual=False, start=at(20, 9))
        self.folder = folder / "lists"
        self.files = DumpFiles(self.folder, self.broker.fetch, self.clock, max_age_days=3)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


class TestDay:
    @pytest.mark.parametrize(
        ("moment", "day"),
        [((20, 8, 29), 19), ((20, 8, 30), 20), ((20, 23, 59), 20), ((21, 0), 20), ((21, 5, 30), 20)],
    )
    def test_a_days_list_is_the_newest_from_the_morning_in_india_on(
        self, files: Files, moment: tuple[int, ...], day: int
    ) -> None:
        files.clock.time = at(*moment)
        assert files.files.day() == date(2026, 11, day)

    def test_today_is_indias_date(self, files: Files) -> None:
        files.clock.time = at(21, 0)
        assert files.files.today() == date(2026, 11, 21)


class TestDump:
    async def test_it_is_fetched_once_a_day(self, files: Files) -> None:
        first = await files.files.dump()
        files.clock.time = at(21, 8, 29)
        assert (await files.files.dump()).path == first.path
        assert files.broker.fetched == 1
        files.clock.time = at(21, 8, 30)
        assert (await files.files.dump()).day == date(2026, 11, 21)
        assert files.broker.fetched == 2

    async def test_another_process_uses_the_file(self, files: Files) -> None:
        await files.files.dump()
        other = DumpFiles(files.folder, files.broker.fetch, files.clock)
        assert "NSE:RELIANCE" in (await other.dump()).find(["NSE:RELIANCE"], files.files.today()).instruments
        assert files.broker.fetched == 1

    async def test_who_asks_at_the_same_time_gets_the_same_fetch(self, files: Files) -> None:
        one, two = await asyncio.gather(files.files.dump(), files.files.dump())
        assert one.path == two.path
        assert files.broker.fetched == 1

    async def test_the_file_is_what_was_fetched_and_nothing_else_is_left(self, files: Files) -> None:
        dump = await files.files.dump()
        assert dump.path.read_bytes() == files.broker.body
        assert files.names() == ["instruments-2026-11-20.csv"]

    async def test_some_days_are_kept(self, files: Files) -> None:
        for day in (20, 21, 22, 23, 24):
            files.clock.time = at(day, 9)
            await files.files.dump()
        assert files.names() == [f"instruments-2026-11-{day}.csv" for day in (22, 23, 24)]

    async def test_files_of_others_in_the_directory_are_left_alone(self, files: Files) -> None:
        files.folder.mkdir()
        for name in ("instruments-draft.csv", "notes.txt"):
            (files.folder / name).write_text("mine")
        await files.files.dump()
        assert files.names() == ["instruments-2026-11-20.csv", "instruments-draft.csv", "notes.txt"]

    async def test_looking_through_the_list_does_not_stop_the_loop(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: list[str] = []
        original = files.files._stored

        def noting(*told: Any) -> Any:
            threads.append(threading.current_thread().name)
            return original(*told)

        monkeypatch.setattr(files.files, "_stored", noting)
        await files.files.dump()
        assert threads != [threading.main_thread().name]


class TestFailures:
    async def test_that_an_older_list_serves_is_said_once_a_day(self, files: Files) -> None:
        await files.files.dump()
        files.broker.down = True
        with capture_logs() as logs:
            for moment in ((21, 9), (21, 10), (22, 7), (22, 9)):
                files.clock.time = at(*moment)
                await files.files.dump()
        told = [one["wanted"] for one in logs if one["event"] == "instruments_of_an_earlier_day_used"]
        assert told == ["2026-11-21", "2026-11-22"]

    async def test_a_list_that_another_user_keeps_does_no_harm(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object, **__: object) -> None:
            raise PermissionError

        monkeypatch.setattr("alpha_panda.adapters.zerodha.instruments.KEPT", 1)
        await files.files.dump()
        files.clock.time = at(21, 9)
        original = Path.unlink
        monkeypatch.setattr(
            Path,
            "unlink",
            lambda path, **told: refused() if path.suffix == ".csv" else original(path, **told),
        )
        assert (await files.files.dump()).day == date(2026, 11, 21)

    async def test_an_older_list_serves_while_a_new_one_cannot_be_had(self, files: Files) -> None:
        await files.files.dump()
        files.broker.down = True
        files.clock.time = at(23, 9)
        assert (await files.files.dump()).day == date(2026, 11, 20)

    async def test_it_is_asked_for_again_by_the_next_call(self, files: Files) -> None:
        await files.files.dump()
        files.broker.down = True
        files.clock.time = at(21, 9)
        await files.files.dump()
        files.broker.down = False
        assert (await files.files.dump()).day == date(2026, 11, 21)

    async def test_beyond_its_age_it_serves_no_more(self, files: Files) -> None:
        await files.files.dump()
        files.broker.down = True
        files.clock.time = at(24, 9)
        with pytest.raises(DependencyUnavailableError, match="the newest that is kept is of 2026-11-20"):
            await files.files.dump()

    async def test_without_any_list_there_is_none(self, files: Files) -> None:
        files.broker.down = True
        with pytest.raises(DependencyUnavailableError, match="none is kept"):
            await files.files.dump()

    @pytest.mark.parametrize("body", [b"", b"<html>busy</html>", text()[:400], text(RELIANCE, NIFTY)])
    async def test_what_is_no_whole_list_is_never_kept(self, files: Files, body: bytes) -> None:
        await files.files.dump()
        files.broker.body = body
        files.clock.time = at(21, 9)
        assert (await files.files.dump()).day == date(2026, 11, 20)
        assert files.names() == ["instruments-2026-11-20.csv"]

    async def test_a_kept_file_that_is_broken_does_not_refuse_a_sound_one(self, files: Files) -> None:
        files.folder.mkdir()
        (files.folder / "instruments-2026-11-19.csv").write_text("garbage")
        assert (await files.files.dump()).audit().rows == len(ALL)

    async def test_a_directory_that_cannot_be_written_is_a_failure_in_words(self, files: Files) -> None:
        files.folder.write_text("a file")
        with pytest.raises(DependencyUnavailableError, match="can't write"):
            await files.files.dump()


Answer = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    app = web.Application()
    app.router.add_get("/instruments", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class TestFetch:
    @pytest.fixture
    def session(self, tmp_path: Path) -> SessionFile:
        clock = FakeClock(virtual=False, start=at(20, 9))
        held = Session(user_id="AB1234", api_key="key", access_token=HIDDEN, login_at=0, expires_at=at(21, 6))
        write_session(tmp_path, held)
        return SessionFile(tmp_path, clock)

    async def test_it_asks_with_the_session(self, session: SessionFile) -> None:
        seen: list[web.Request] = []

        def answer(request: web.Request) -> web.Response:
            seen.append(request)
            return web.Response(body=text(), content_type="text/csv")

        async with serving(answer) as url:
            assert await dump_fetch(url + "/", session, seconds=5)() == text()
        (request,) = seen
        assert request.headers["Authorization"] == "token key:hush"
        assert request.headers["X-Kite-Version"] == "3"

    async def test_a_packed_list_is_unpacked(self, session: SessionFile) -> None:
        def answer(_: web.Request) -> web.Response:
            packed = web.Response(body=text(*ALL * 50), content_type="text/csv")
            packed.enable_compression(web.ContentCoding.gzip)
            return packed

        async with serving(answer) as url:
            assert await dump_fetch(url, session, seconds=5)() == text(*ALL * 50)

    @pytest.mark.parametrize("status", [302, 403, 500, 502])
    async def test_any_other_answer_is_a_failure(self, session: SessionFile, status: int) -> None:
        async with serving(lambda _: web.Response(status=status, headers={"Location": "/x"})) as url:
            with pytest.raises(DependencyUnavailableError, match=str(status)):
                await dump_fetch(url, session, seconds=5)()

    async def test_a_token_that_is_refused_is_not_asked_with_again(self, session: SessionFile) -> None:
        asked: list[web.Request] = []

        def refused(request: web.Request) -> web.Response:
            asked.append(request)
            error = {
                "status": "error",
                "message": "Incorrect token",
                "error_type": "TokenException",
                "data": None,
            }
            return web.json_response(error, status=403)

        async with serving(refused) as url:
            for _ in range(3):
                with pytest.raises(DependencyUnavailableError, match="refuses the access token"):
                    await dump_fetch(url, session, seconds=5)()
        assert len(asked) == 1

    async def test_a_403_for_another_reason_leaves_the_session_be(self, session: SessionFile) -> None:
        error = {"status": "error", "message": "no plan", "error_type": "PermissionException", "data": None}
        async with serving(lambda _: web.json_response(error, status=403)) as url:
            with pytest.raises(DependencyUnavailableError, match="403"):
                await dump_fetch(url, session, seconds=5)()
        assert session.current() is not None

    async def test_nobody_there_is_a_failure_that_tells_no_secret(self, session: SessionFile) -> None:
        with pytest.raises(DependencyUnavailableError) as raised:
            await dump_fetch("http://127.0.0.1:9", session, seconds=5)()
        assert HIDDEN not in str(raised.value)

    async def test_no_session_is_a_failure_that_says_so(self, tmp_path: Path) -> None:
        session = SessionFile(tmp_path / "none", FakeClock(virtual=False))
        with pytest.raises(DependencyUnavailableError, match="log in"):
            await dump_fetch("http://127.0.0.1:9", session, seconds=5)()
