"""A process that has imported everything and forks the services from itself: a start then takes 0.05 s, not 0.7.

It obeys lines of JSON on stdin and tells on stdout what began and ended; what it has forked dies with it.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

Main = Callable[[Sequence[str]], int]

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def serve(main: Main, calendars: Sequence[str] = ()) -> None:
    """Fork what stdin asks for until it closes; then kill what is left. `calendars` are loaded before: each takes seconds."""
    import aiokafka  # noqa: F401, PLC0415 - so that no child has to
    import redis.asyncio  # noqa: F401, PLC0415 - as above

    from alpha_panda.adapters.kafka import bus  # noqa: F401, PLC0415 - as above
    from alpha_panda.adapters.redis import journal  # noqa: F401, PLC0415 - as above
    from alpha_panda.domain.calendars import load_calendar  # noqa: PLC0415 - as above
    from alpha_panda.runtime.registry import find_services  # noqa: PLC0415 - as above

    find_services()
    for name in calendars:
        load_calendar(name)
    gc.freeze()
    children: set[int] = set()
    waker, woken = _wake_on_child()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        selector.register(waker, selectors.EVENT_READ)
        _tell(ready=os.getpid())
        buffer = b""
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if waker in ready:
                woken()
                _reap(children)
            if sys.stdin.fileno() in ready:
                chunk = os.read(sys.stdin.fileno(), 65536)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    _fork(json.loads(line), main, children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _wake_on_child() -> tuple[int, Callable[[], object]]:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader, lambda: os.read(reader, 65536)


def _reap(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        children.discard(pid)
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _fork(order: dict[str, Any], main: Main, children: set[int]) -> None:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(order, main, parent)
    children.add(pid)
    _tell(began=pid, order=order["order"])


def _become(order: dict[str, Any], main: Main, parent: int) -> NoReturn:
    """In the child: never returns into the nursery's loop."""
    code = 1
    try:
        _leave_nursery(order, parent)
        code = main(order["arguments"])
    except SystemExit as ended:  # argparse
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def _leave_nursery(order: dict[str, Any], parent: int) -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(order["env"])


def _tell(**facts: object) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")
