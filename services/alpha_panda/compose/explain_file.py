"""Finds an order in a file of events (`alpha-panda run --events`), line by line: the file may be larger than memory.

Three passes: which order is meant; its events; then, now that it is known which, its tick and the books around its
fills. A line is decoded only if what is looked for is in its bytes.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import Envelope, OrderUpdate, Tick
from alpha_panda.domain.story.evidence import Evidence, TickSeen, is_book, orders_named, signal_of
from alpha_panda.domain.story.model import Story
from alpha_panda.domain.story.telling import causation_of, tell
from alpha_panda.errors import RecordError, UserInputError

from .finding import chosen, unknown, unusable, wanted_id

DEAD_LETTER: Final = "DEAD_LETTER"
_TICKS: Final = b'"type":"MARKET_TICKS"'
_BOOK: Final = b'"type":"PORTFOLIO_SNAPSHOT"'
_MOST_EVENTS: Final = 10_000
"""Events of one order that are held; an order has a handful."""
_BOOKS_AFTER: Final = 200
"""Snapshots after the last fill that are held: the one that shows it is among the first few."""


def explain_file(path: Path, words: str) -> Story:
    """Return the story of the order that an id, or the beginning of one, means.

    Raises:
        UserInputError: the file can't be read, or the id means no order in it, or several.

    """
    wanted = wanted_id(words)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserInputError(
            f"--events {path}: is no file but a pipe or a device, and it is read several times; write it to a file"
        )
    try:
        return _explained(_EventsFile(path), wanted)
    except OSError as error:
        raise UserInputError(f"--events {path}: can't be read: {error.strerror}") from error


def _explained(file: "_EventsFile", wanted: str) -> Story:
    named: dict[str, bool] = {}
    for event in file.events(lambda line: wanted.encode() in line):
        for order, whole in orders_named(event, wanted).items():
            named[order] = whole or named.get(order, False)
    if not named:
        raise unknown(wanted, f"{file.path} ({file.lines} records)")
    evidence = file.evidence(chosen(wanted, named))
    story = tell(evidence)
    if story is None:
        raise unusable(wanted, str(file.path))
    return story


class _EventsFile:
    """The lines of the file, as often as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0

    def evidence(self, order: str) -> Evidence:
        """Return all that the file has of an order."""
        own = self._own(order)
        events = [event for event, _ in own]
        found = Evidence(signal_id=order, events=events)
        fills = [
            (event.ts, line)
            for event, line in own
            if isinstance(event.data, OrderUpdate) and event.data.filled_quantity
        ]
        account = events[0].account if events else ""
        before, after = self._books(account, min(fills), max(fills)) if fills else (None, [])
        return Evidence(
            signal_id=order,
            events=events,
            tick=self._tick(causation_of(found)),
            before=before,
            after=after,
            notes=self._notes(order),
        )

    def events(self, wants: Callable[[bytes], bool]) -> Iterator[Envelope]:
        """Yield the events, ticks and dead letters apart, whose lines are wanted."""
        for line in self._raw():
            if wants(line) and _TICKS not in line:
                with suppress(RecordError):  # told by `_notes`
                    yield decode_event(line)

    def _raw(self) -> Iterator[bytes]:
        self.lines = 0
        with self.path.open("rb") as file:
            for line in file:
                self.lines += 1
                yield line

    def _own(self, order: str) -> list[tuple[Envelope, int]]:
        """Return the events of the order, and those of requests to cancel it, each with its first line."""
        own: dict[str, tuple[Envelope, int]] = {}
        ids = {order}
        for event in self.events(lambda line: any(name.encode() in line for name in ids)):
            original = signal_of(event)
            about = getattr(original, "order_signal_id", "")
            if original is not None and about == order:
                ids.add(original.signal_id)
            data = event.data
            theirs = data.signal_id if isinstance(data, OrderUpdate) else getattr(original, "signal_id", "")
            if theirs in ids and len(own) < _MOST_EVENTS:
                own.setdefault(event.id, (event, self.lines))
        return list(own.values())

    def _tick(self, causation: str) -> TickSeen | None:
        record, _, which = causation.partition("#")
        if not which:
            return None
        mark = f'"id":"{record}"'.encode()
        for line in self._raw():
            if _TICKS in line and mark in line:
                return _tick_in(line, record, which)
        return None

    def _books(
        self, account: str, first: tuple[int, int], last: tuple[int, int]
    ) -> tuple[Envelope | None, list[Envelope]]:
        """Return the last snapshot before the first fill, and some after the last; places are (ts, line).

        In a replay all that follows from a tick has the tick's time: then the file's order tells.
        """
        before: tuple[tuple[int, int], Envelope] | None = None
        after: list[Envelope] = []
        for event in self.events(lambda line: _BOOK in line):
            if not is_book(event, account):
                continue
            place = (event.ts, self.lines)
            if place < first and (before is None or place > before[0]):
                before = (place, event)
            elif place > last:
                after.append(event)
                if len(after) >= _BOOKS_AFTER:
                    break
        return None if before is None else before[1], after

    def _notes(self, order: str) -> list[str]:
        """Return what was set aside of the order, and how many lines can't be read."""
        notes = []
        unreadable = 0
        for line in self._raw():
            if DEAD_LETTER.encode() in line and order.encode() in line:
                notes += _dead(line)
            else:
                unreadable += not _readable(line, order)
        if unreadable:
            notes.append(f"{unreadable} of the file's lines can't be read; it may have been cut off")
        return notes


def _readable(line: bytes, order: str) -> bool:
    """Whether a line is what was written: an event where it names the order, else JSON; of ticks the end must do."""
    if line.isspace():
        return True
    if _TICKS in line:
        return line.rstrip().endswith(b"}")
    try:
        if order.encode() in line:
            decode_event(line)
        else:
            msgspec.json.decode(line, type=msgspec.Raw)
    except (RecordError, msgspec.DecodeError):
        return False
    return True


def _tick_in(line: bytes, record: str, which: str) -> TickSeen | None:
    """Return the tick `token:seq` of a line that holds a batch."""
    try:
        batch: dict[str, Any] = msgspec.json.decode(line)["data"]
        found = [tick for tick in batch["ticks"] if f"{tick['token']}:{tick['seq']}" == which]
        tick = Tick(**{name: found[0][name] for name in Tick.__struct_fields__ if name in found[0]})
        return TickSeen(record=record, feed=batch["feed"], mode=FeedMode(batch["mode"]), tick=tick)
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError):
        return None


def _dead(line: bytes) -> list[str]:
    """Return in words that a record of the order was set aside."""
    try:
        letter: dict[str, Any] = msgspec.json.decode(line)
        headers = letter["data"]["headers"]
        code, message = headers.get("dlq.code", "?"), headers.get("dlq.message", "")
        return [f"set aside in {letter['topic']} at offset {letter['offset']}: {code} {message}".rstrip()]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return []
