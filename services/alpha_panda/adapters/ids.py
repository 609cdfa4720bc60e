"""Sources of ids: random ones, or a reproducible series under `--seed`."""

import secrets
from functools import reduce
from hashlib import blake2b

ID_BYTES = 16
"""An id is 128 bits, written as 32 hex digits."""


class RandomIds:
    """Ids from the system's entropy."""

    def new_id(self) -> str:
        """Return 32 hex digits that were never returned before."""
        return secrets.token_hex(ID_BYTES)

    def child(self, name: str) -> "RandomIds":  # noqa: ARG002 - wired like SeededIds
        """Return the source itself: random series need no parting. Exists so that wiring need not ask."""
        return self


class SeededIds:
    """The same ids from run to run: keyed BLAKE2b of a counter.

    Each child has a key of its own, derived from its parent's key and its name, so that services which draw ids
    in another order from run to run don't disturb one another.
    """

    def __init__(self, seed: int, *path: str) -> None:
        self._seed = seed
        self._path = path
        self._key = reduce(_digest, path, _digest(b"alpha-panda", str(seed)))
        self._drawn = 0
        self._children: dict[str, SeededIds] = {}

    def new_id(self) -> str:
        """Return the next 32 hex digits of this series."""
        self._drawn += 1
        return _digest(self._key, f"\0{self._drawn}").hex()  # NUL: no child has such a name

    def child(self, name: str) -> "SeededIds":
        """Return the series called `name`: the same object each time, so that a restarted service goes on in it."""
        if name not in self._children:
            self._children[name] = SeededIds(self._seed, *self._path, name)
        return self._children[name]


def _digest(key: bytes, text: str) -> bytes:
    return blake2b(text.encode(), key=key, digest_size=ID_BYTES).digest()
