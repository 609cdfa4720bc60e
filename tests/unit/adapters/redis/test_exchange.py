"""Calls that are made at the same moment share a write, and each learns its own outcome."""

import asyncio

import pytest

from alpha_panda.adapters.redis.exchange import MOST_AT_ONCE
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
from unit.adapters.redis.canned import GREETING, TIMEOUT, Canned, answering


async def test_calls_of_one_moment_are_one_write_and_each_gets_its_own_reply() -> None:
    canned = Canned(b":1\r\n:2\r\n:3\r\n")
    async with answering(canned) as database:
        replies = await asyncio.gather(*(database.command("ECHO", number) for number in range(3)))
    assert replies == [1, 2, 3]
    assert len(canned.requests) == 1
    assert [canned.requests[0].index(b"$1\r\n%d\r\n" % number) for number in range(3)] == sorted(
        canned.requests[0].index(b"$1\r\n%d\r\n" % number) for number in range(3)
    )


async def test_calls_of_later_moments_wait_for_nobody() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned) as database:
        first = asyncio.create_task(database.command("ECHO", 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await database.command("ECHO", 2) == 1
        assert await first == 1
    assert len(canned.requests) == 2


async def test_an_error_reply_is_that_of_its_own_call_alone() -> None:
    async with answering(Canned(b":1\r\n-OOM full\r\n:3\r\n")) as database:
        one, two, three = await asyncio.gather(
            *(database.command("ECHO", number, writes=True) for number in range(3)), return_exceptions=True
        )
    assert (one, three) == (1, 3)
    assert isinstance(two, DependencyUnavailableError)


async def test_a_connection_that_ends_half_way_leaves_only_the_unanswered_unknown() -> None:
    class Half(Canned):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1 << 16)
            writer.write(b"*0\r\n")
            await reader.read(1 << 16)
            writer.write(b":1\r\n")
            await writer.drain()
            writer.close()

    async with answering(Half()) as database:
        answered, written, read = await asyncio.gather(
            database.command("ECHO", 1, writes=True),
            database.command("ECHO", 2, writes=True),
            database.command("ECHO", 3),
            return_exceptions=True,
        )
    assert answered == 1
    assert isinstance(written, UnknownOutcomeError)
    assert isinstance(read, DependencyUnavailableError)


async def test_without_a_connection_each_is_told_that_nothing_was_done() -> None:
    async with answering(Canned(b":1\r\n", greeting=b"-ERR max number of clients reached\r\n")) as database:
        errors = await asyncio.gather(
            *(database.command("ECHO", number, writes=True) for number in range(3)), return_exceptions=True
        )
    assert all(isinstance(error, DependencyUnavailableError) for error in errors)
    assert len(set(map(id, errors))) == 3
    assert str(errors[0]).count("redis:") == 1


async def test_a_call_that_is_cancelled_before_it_leaves_is_never_written() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned) as database:
        unwanted = asyncio.create_task(database.command("ECHO", "unwanted"))
        wanted = asyncio.create_task(database.command("ECHO", "wanted"))
        await asyncio.sleep(0)  # both are queued
        unwanted.cancel()
        assert await wanted == 1
        with pytest.raises(asyncio.CancelledError):
            await unwanted
    assert b"unwanted" not in b"".join(canned.requests)


async def test_the_cancellation_of_one_disturbs_no_other() -> None:
    class Slow(Canned):
        def __init__(self) -> None:
            super().__init__()
            self.arrived, self.answer = asyncio.Event(), asyncio.Event()

        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1 << 16)
            writer.write(b"*0\r\n")
            await reader.read(1 << 16)
            self.arrived.set()
            await self.answer.wait()
            writer.write(b":1\r\n:2\r\n")
            await reader.read()
            writer.close()

    slow = Slow()
    async with answering(slow) as database:
        first = asyncio.create_task(database.command("ECHO", 1))
        second = asyncio.create_task(database.command("ECHO", 2))
        await slow.arrived.wait()
        first.cancel()
        slow.answer.set()
        assert await second == 2


async def test_a_call_with_a_time_of_its_own_holds_up_nobody() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned) as database:
        await asyncio.gather(database.command("XREAD", "BLOCK", timeout=TIMEOUT), database.command("ECHO", 1))
    assert len(canned.requests) == 2


async def test_a_crowd_is_cut_into_several_exchanges() -> None:
    canned = Canned(b":1\r\n" * MOST_AT_ONCE)
    async with answering(canned) as database:
        replies = await asyncio.gather(*(database.command("ECHO", 1) for _ in range(2 * MOST_AT_ONCE)))
    assert replies == [1] * 2 * MOST_AT_ONCE
    assert len(canned.requests) == 2


@pytest.mark.parametrize("turns", range(8))
async def test_closing_tells_those_who_wait_wherever_they_are(turns: int) -> None:
    async with answering(Canned(b"")) as database, asyncio.timeout(TIMEOUT):
        waiting = asyncio.create_task(database.command("ECHO", 1, writes=True))
        for _ in range(turns):
            await asyncio.sleep(0)
        await database.close()
        with pytest.raises((UnknownOutcomeError, DependencyUnavailableError)):
            await waiting


async def test_what_can_not_be_sent_is_refused_and_nothing_is_written() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned) as database:
        with pytest.raises(TypeError):
            await database.command("ECHO", None)  # type: ignore[arg-type]  # what a mistake would pass
        assert await database.command("ECHO", 1) == 1
    assert len(canned.requests) == 1


class Silent(Canned):
    """Never answers; `asked` once there is a request, `left` when the client has gone."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if b"HELLO" in data:
                writer.write(GREETING)
            else:
                self.asked.set()
        self.left.set()
        writer.close()


async def test_a_reader_that_is_cancelled_while_it_waits_gives_its_connection_up_at_once() -> None:
    silent = Silent()
    async with answering(silent, max_connections=1) as database:
        waiting = asyncio.create_task(database.command("XREAD", timeout=60))
        await asyncio.wait_for(silent.asked.wait(), TIMEOUT)
        waiting.cancel()
        await asyncio.wait_for(silent.left.wait(), TIMEOUT)
        assert waiting.cancelled()


async def test_a_write_whose_caller_is_cancelled_goes_on() -> None:
    silent = Silent()
    async with answering(silent) as database:
        writing = asyncio.create_task(database.command("SET", "k", "v", writes=True, timeout=60))
        await asyncio.wait_for(silent.asked.wait(), TIMEOUT)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(silent.left.wait(), 0.1)
