"""What an account's topics and its journal tell, read from outside the cluster while it trades."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise
from types import TracebackType
from typing import Final, Self, TypeVar

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.transports import connected
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import Envelope
from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicMap
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import TransientError
from alpha_panda.ports import EventBus, Record
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.processes.recorder import Recorder, Story
from alpha_panda.testing.processes.verdict import book_faults, end_faults, journal_faults, letter_faults
from harness.command import wait_until

T = TypeVar("T")

SECONDS: Final = 60.0
CALL_SECONDS: Final = 30.0

CALLS: Final = frozenset({EventType.ORDER_PLACED, EventType.ORDER_FILLED})
"""The events of a broker call that was made."""


class TimedRecorder(Recorder):
    """Remembers, too, when an order was first known to have been sent: UTC ns by signal id."""

    def __init__(self, bus: EventBus, topics: TopicMap) -> None:
        super().__init__(bus, topics, [])
        self.called: dict[str, int] = {}
        self.topics = topics

    def _note(self, record: Record) -> None:
        super()._note(record)
        if record.topic in self.topics.orders and not record.topic.endswith(DLQ_SUFFIX):
            event = event_of(record)
            if event.type in CALLS:
                signal_id = _signal_id(event)
                self.called.setdefault(signal_id, event.ts)


def _signal_id(event: Envelope) -> str:
    return str(getattr(event.data, "signal_id", ""))


class Tape:
    """Reads in a thread of its own, from the oldest record on, over outages of the stores; tests ask at any time."""

    def __init__(self, kafka: int, redis: int, prefix: str, account: str) -> None:
        self._settings = load_settings(
            kafka_bootstrap_servers=f"localhost:{kafka}",
            redis_url=f"redis://localhost:{redis}/0",
            topic_prefix=prefix,
            kafka_reconnect_max_seconds=0.5,
            kafka_request_timeout_seconds=5,
        )
        self._account = account
        self._topics = TopicMap(account, prefix)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"tape {prefix}", daemon=True)
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._running: asyncio.Future[None]
        self._ports: Ports
        self.recorder: TimedRecorder

    def __enter__(self) -> Self:
        self._thread.start()
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop)  # type: ignore[assignment]
        assert self._ready.wait(CALL_SECONDS), "the tape has not started"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._running.result(CALL_SECONDS)  # type: ignore[call-arg] # a concurrent future
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    async def _run(self) -> None:
        async with connected(self._settings, RealClock()) as ports:
            self._ports = ports
            self.recorder = TimedRecorder(ports.bus, self._topics)
            self._ready.set()
            reading = asyncio.create_task(self.recorder.run())
            await self._over.wait()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def ask(self, question: Callable[[Ports], Awaitable[T]]) -> T:
        """Ask the stores something."""

        async def asked() -> T:
            return await question(self._ports)

        return asyncio.run_coroutine_threadsafe(asked(), self._loop).result(CALL_SECONDS)

    # ------------------------------------------------------------------------------------------ questions

    @property
    def called(self) -> dict[str, int]:
        """Orders that were sent: when it was told (UTC ns), by signal id."""
        return dict(self.recorder.called)

    def filled(self) -> list[str]:
        """Return the signals whose orders were filled."""
        return [name for name, story in list(self.recorder.stories.items()) if "FILLED" in story.ends]

    def trades_on(self, more: int = 3, seconds: float = SECONDS) -> float:
        """Wait until so many more orders have been sent; return when (UTC seconds) the first of them was told."""
        before = self.called

        def new() -> list[int]:
            return sorted(ts for name, ts in self.called.items() if name not in before)

        wait_until(lambda: len(new()) >= more, f"{more} more orders", seconds, self.explain)
        return new()[0] / SECOND_NS

    def last_call(self) -> float:
        """When the last order was told to have been sent, in UTC seconds."""
        return max(self.called.values(), default=0) / SECOND_NS

    def longest_pause(self, since: float) -> float:
        """Return the longest time (seconds) between two orders, from the last one before `since` (UTC seconds) on."""
        times = sorted(ts / SECOND_NS for ts in self.called.values())
        first = max((place for place, ts in enumerate(times) if ts <= since), default=0)
        return max((late - early for early, late in pairwise(times[first:])), default=0.0)

    def comes_to_rest(self, seconds: float = SECONDS) -> None:
        """Wait until nothing is on its way, and every promise holds; the strategies must have ended before."""
        found: list[str] = ["not asked yet"]

        def holds() -> bool:
            found[:] = self.faults()
            return not found

        wait_until(holds, "all promises hold", seconds, lambda: "\n".join([*found, self.explain()]))

    def faults(self) -> list[str]:
        """Return all that does not hold now."""
        recorder = self.recorder

        async def asked(ports: Ports) -> list[str]:
            try:
                lag = await recorder.lag()
                journal = await journal_faults(ports.journal(self._account))
            except TransientError as error:
                return [str(error)]
            stories = recorder.stories
            return [
                *([f"{lag} records not read yet"] if lag else []),
                *end_faults(stories, [name for name in stories if not name.startswith("external:")]),
                *(f"{name} has outcomes, and was no raw signal" for name in _unasked(recorder)),
                *recorder.contradictions,
                *book_faults(recorder),
                *journal,
                *letter_faults(recorder.dead_letters, None),
            ]

        return self.ask(asked)

    def explain(self) -> str:
        """Say what has been read."""
        recorder = self.recorder
        ends: dict[str, int] = {}
        for story in list(recorder.stories.values()):
            for end in [*story.ends, *story.codes] or ["open"]:
                ends[end] = ends.get(end, 0) + 1
        return f"records {recorder.counts}; outcomes {ends}; last call {self.last_call():.3f}"


def _unasked(recorder: Recorder) -> list[str]:
    """Signals that have an outcome and were never among the raw ones, though neither strategy nor risk made it so."""
    return [
        name
        for name, story in recorder.stories.items()
        if story.ends
        and not (story.raw or story.validated or suppressed(story))
        and not name.startswith("external:")
    ]


def suppressed(story: Story) -> bool:
    """Whether the strategy itself gave a signal up, for its tick was too old: it is told, and never was a raw one."""
    return Code.SIGNAL_SUPPRESSED.value in story.codes
