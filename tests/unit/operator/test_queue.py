"""The keyed queue: once in it, one at a time, back after failures."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from alpha_panda_operator.queue import FIRST_BACKOFF, LONGEST_BACKOFF, KeyedQueue
from unit.operator.kit import FakeClock, settle


async def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue: KeyedQueue[str] = KeyedQueue(FakeClock())
    for _ in range(3):
        queue.add("a")
    assert queue.depth == 1
    assert await queue.get() == "a"
    assert queue.depth == 0


async def test_a_key_that_changes_while_it_is_worked_on_is_worked_on_once_more_and_not_at_the_same_time() -> (
    None
):
    queue: KeyedQueue[str] = KeyedQueue(FakeClock())
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    other = asyncio.create_task(queue.get())
    await settle()
    assert not other.done()
    queue.done("a")
    assert await other == "a"


async def test_a_later_wish_does_not_put_off_an_earlier_one_and_an_earlier_one_wins() -> None:
    clock = FakeClock()
    queue: KeyedQueue[str] = KeyedQueue(clock)
    queue.add("a", 10)
    queue.add("a", 1)
    queue.add("a", 20)
    waiting = asyncio.create_task(queue.get())
    await clock.pass_(0.9)
    assert not waiting.done()
    await clock.pass_(0.2)
    assert waiting.done()
    queue.done("a")
    again = asyncio.create_task(queue.get())
    await clock.pass_(30)
    assert not again.done()
    again.cancel()


async def test_a_waiting_worker_is_woken_by_what_is_due_before_what_it_waits_for() -> None:
    clock = FakeClock()
    queue: KeyedQueue[str] = KeyedQueue(clock)
    queue.add("late", 100)
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await settle()
    queue.add("now")
    queue.add("now too")
    await settle()
    assert sorted(task.result() for task in workers) == ["now", "now too"]


async def test_failures_back_off_to_a_limit_and_success_forgets_them() -> None:
    queue: KeyedQueue[str] = KeyedQueue(FakeClock())
    delays = [queue.retry("a") for _ in range(12)]
    assert delays[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert delays[-1] == LONGEST_BACKOFF
    queue.forget("a")
    assert queue.retry("a") == FIRST_BACKOFF


async def test_what_fails_again_and_again_is_known() -> None:
    queue: KeyedQueue[str] = KeyedQueue(FakeClock())
    for key in ("a", "a", "a", "b", "b"):
        queue.retry(key)
    assert (queue.failing(2), queue.failing(3), queue.failing(4)) == (["a", "b"], ["a"], [])
    queue.forget("a")
    assert queue.failing(2) == ["b"]


async def test_depth_and_age_count_what_is_due_alone() -> None:
    clock = FakeClock()
    queue: KeyedQueue[str] = KeyedQueue(clock)
    assert queue.age == 0
    queue.add("a")
    queue.add("b", 60)
    await clock.pass_(5)
    assert (queue.depth, queue.age) == (1, 5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=20))
def test_every_key_that_was_added_is_handed_out_and_never_twice_at_once(
    wishes: list[tuple[str, int]],
) -> None:
    async def scene() -> None:
        clock = FakeClock()
        queue: KeyedQueue[str] = KeyedQueue(clock)
        at_work: set[str] = set()
        seen: set[str] = set()

        async def worker() -> None:
            while True:
                key = await queue.get()
                assert key not in at_work
                at_work.add(key)
                seen.add(key)
                await clock.sleep(1)
                at_work.discard(key)
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(2)]
        for key, after in wishes:
            queue.add(key, after)
            await clock.pass_(0.5)
        await clock.pass_(60)
        for task in workers:
            task.cancel()
        ended = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(item, asyncio.CancelledError) for item in ended)
        assert seen == {key for key, _ in wishes}
        assert queue.depth == 0

    asyncio.run(scene())
