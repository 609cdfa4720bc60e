"""Which order a person means by an id, or by the beginning of one."""

import re
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from alpha_panda.domain.story.evidence import SHORTEST_PREFIX
from alpha_panda.errors import UserInputError

_SHOWN: Final = 10
_UUID: Final = re.compile(r"[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}", re.IGNORECASE)
"""A whole id of ours, as events write it or as traces and logs do: a trace's id is the signal's without dashes."""


def wanted_id(words: str) -> str:
    """Return the id as events write it; UserInputError for one that is too short to mean anything, or is no text."""
    wanted = words.strip()
    if not wanted.isprintable():  # what the shell gave is no UTF-8, or holds a control character
        raise UserInputError(f"{words!a} is no id: it has characters that no id has")
    if _UUID.fullmatch(wanted):
        return str(UUID(wanted))
    if len(wanted) < SHORTEST_PREFIX:
        raise UserInputError(
            f"{words!r} is too short; a signal's, order's or correlation id is wanted, or its first "
            f"{SHORTEST_PREFIX} characters at least"
        )
    return wanted


def chosen(wanted: str, named: Mapping[str, bool]) -> str:
    """Return the one order: the one named by a whole id, else the only one. `named` is not empty.

    Raises:
        UserInputError: there are several.

    """
    whole = [order for order, exactly in named.items() if exactly]
    found = whole or list(named)
    if len(found) > 1:
        shown = ", ".join(sorted(found)[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise UserInputError(f"{wanted!r} means {len(found)} orders; type more of it: {shown}")
    return found[0]


def unknown(wanted: str, searched: str) -> UserInputError:
    """Return the error for an id that nothing is known of; it says what was searched."""
    return UserInputError(
        f"nothing is known of {wanted!r}: a signal's, order's or correlation id is wanted; searched {searched}"
    )


def unusable(wanted: str, searched: str) -> UserInputError:
    """Return the error for an id that is named by records which do not say what the order is."""
    return UserInputError(f"{wanted!r} is named in {searched}, but no record there says what the order is")
