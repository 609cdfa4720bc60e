"""Rows that wait for whoever publishes them: bounded, by keeping only the newest of each token when there are too many."""

from collections import deque
from typing import Final

from .frames import Columns

LEAST: Final = 2_000
"""Rows that may always wait: a few instruments have bursts too."""

PER_TOKEN: Final = 2
"""… and so many of each instrument on average: conflating costs as much as it frees."""


class Pending:
    """Columns with the times at which they were received, oldest first."""

    def __init__(self, tokens: int) -> None:
        """`tokens`: how many instruments there are."""
        self._most = max(LEAST, PER_TOKEN * tokens)
        self._chunks: deque[tuple[Columns, list[int]]] = deque()
        self._rows = 0
        self._dropped = 0
        self._bad = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, columns: Columns, received: int) -> None:
        """Append the rows of a frame that came at `received` (UTC ns)."""
        self._bad += columns.bad
        if columns.tokens:
            self._chunks.append((columns, [received] * len(columns)))
            self._rows += len(columns)
            if self._rows > self._most:
                self._conflate()

    def take(self, most: int) -> list[tuple[Columns, list[int]]]:
        """Take the oldest chunks out, until they hold `most` rows or nothing is left; a chunk is never cut."""
        taken: list[tuple[Columns, list[int]]] = []
        rows = 0
        while self._chunks and rows < most:
            chunk = self._chunks.popleft()
            rows += len(chunk[0])
            taken.append(chunk)
        self._rows -= rows
        return taken

    def take_counts(self) -> tuple[int, int]:
        """Return how many rows were dropped for newer ones, and how many packets could not be read, since the last call."""
        counts, self._dropped, self._bad = (self._dropped, self._bad), 0, 0
        return counts

    def _conflate(self) -> None:
        """Keep the newest row of each token, in order of arrival. What a day's volume tells is in the newest.

        From the newest chunk back, so that a row that goes costs no more than to look its token up: whoever is slow
        already must not be made slower.
        """
        seen: set[int] = set()
        kept: deque[tuple[Columns, list[int]]] = deque()
        for columns, received in reversed(self._chunks):
            fresh = _unseen(columns.tokens, seen)
            if len(fresh) == len(columns):
                kept.appendleft((columns, received))
            elif fresh:
                kept.appendleft((columns.picked(fresh), [received[index] for index in fresh]))
        self._dropped += self._rows - len(seen)
        self._chunks, self._rows = kept, len(seen)


def _unseen(tokens: list[int], seen: set[int]) -> list[int]:
    """Return the index of each token's last place, in order, but for those in `seen`; add them to it."""
    fresh = []
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if token not in seen:
            seen.add(token)
            fresh.append(index)
    fresh.reverse()
    return fresh
