import asyncio
import os
import signal
import socket
import threading

from alpha_panda.adapters.memory.loop import IdleAwareEventLoop


def running_loop() -> IdleAwareEventLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, IdleAwareEventLoop)
    return loop


async def test_the_hook_is_asked_only_when_nothing_can_run() -> None:
    loop, trace = running_loop(), list[str]()
    done = loop.create_future()

    def hook() -> bool:
        trace.append("idle")
        if not done.done():
            done.set_result(None)
        return True

    async def busy() -> None:
        for n in range(3):
            trace.append(f"step {n}")
            await asyncio.sleep(0)

    loop.idle_hook = hook
    task = asyncio.create_task(busy())
    await done
    loop.idle_hook = None
    assert trace == ["step 0", "step 1", "step 2", "idle"]
    assert task.done()


async def test_without_anything_from_the_hook_the_loop_waits_as_usual() -> None:
    loop, asked = running_loop(), list[float]()

    def hook() -> bool:
        asked.append(loop.time())
        return False

    loop.idle_hook = hook
    await asyncio.sleep(0.02)
    loop.idle_hook = None
    assert 1 <= len(asked) <= 3  # it blocked; it did not spin


async def test_timers_fire_while_the_hook_keeps_the_loop_busy() -> None:
    loop, turns = running_loop(), 0

    def hook() -> bool:
        nonlocal turns
        turns += 1
        loop.call_soon(lambda: None)
        return True

    loop.idle_hook = hook
    await asyncio.sleep(0.02)
    loop.idle_hook = None
    assert turns > 3


async def test_sockets_are_read_while_the_hook_keeps_the_loop_busy() -> None:
    loop = running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        sent = False

        def hook() -> bool:
            nonlocal sent
            if not sent:
                theirs.send(b"hello")
                sent = True
            loop.call_soon(lambda: None)
            return True

        loop.idle_hook = hook
        assert await loop.sock_recv(ours, 5) == b"hello"
        loop.idle_hook = None


async def test_signals_arrive_while_the_hook_keeps_the_loop_busy() -> None:
    loop, got = running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    sent = False

    def hook() -> bool:
        nonlocal sent
        if not sent:
            os.kill(os.getpid(), signal.SIGUSR1)
            sent = True
        loop.call_soon(lambda: None)
        return True

    loop.idle_hook = hook
    await got.wait()
    loop.idle_hook = None
    loop.remove_signal_handler(signal.SIGUSR1)


async def test_a_thread_wakes_the_blocked_loop() -> None:
    loop, blocked, woken = running_loop(), threading.Event(), asyncio.Event()

    def hook() -> bool:
        blocked.set()
        return False

    def thread() -> None:
        blocked.wait(10)
        loop.call_soon_threadsafe(woken.set)

    loop.idle_hook = hook
    helper = threading.Thread(target=thread)
    helper.start()
    await woken.wait()
    loop.idle_hook = None
    helper.join()


def test_it_is_an_ordinary_loop_for_a_runner() -> None:
    async def main() -> int:
        await asyncio.sleep(0.001)
        return await asyncio.to_thread(lambda: 42)

    with asyncio.Runner(loop_factory=IdleAwareEventLoop) as runner:
        assert runner.run(main()) == 42
