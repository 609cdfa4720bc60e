"""GTTs are kept, shown, changed and deleted. They never fire here."""

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import msgspec

from alpha_panda.contracts.units import SECOND_NS

from .core import KiteCore
from .wire import Refusal, Reply, bad_input, refused, stamp, success

_YEAR_NS: Final = 365 * 24 * 3600 * SECOND_NS
_NONE: Final = Refusal(404, "GeneralException", "Couldn't find that trigger.")


class Gtts:
    """Answers `/gtt/triggers…`."""

    def __init__(self, core: KiteCore) -> None:
        self._core = core
        self._kept: dict[int, dict[str, Any]] = {}
        self._ids = count(1)

    def answer(self, method: str, rest: list[str], form: Mapping[str, str], now: int) -> Reply:
        """Do what the method says, with one trigger or with the list."""
        if not rest:
            return self._place(form, now) if method == "POST" else success(list(self._kept.values()))
        trigger = int(rest[0]) if rest[0].isdigit() else 0
        if trigger not in self._kept:
            return refused(_NONE)
        if method == "GET":
            return success(self._kept[trigger])
        if method == "DELETE":
            del self._kept[trigger]
            return success({"trigger_id": trigger})
        return self._keep(trigger, form, now)

    def _place(self, form: Mapping[str, str], now: int) -> Reply:
        return self._keep(next(self._ids), form, now)

    def _keep(self, trigger: int, form: Mapping[str, str], now: int) -> Reply:
        try:
            condition = msgspec.json.decode(form["condition"], type=dict[str, Any])
            orders = msgspec.json.decode(form["orders"], type=list[dict[str, Any]])
        except (KeyError, msgspec.DecodeError):
            return refused(bad_input("Invalid `condition` or `orders`."))
        item = self._core.dump.by_key.get(f"{condition.get('exchange')}:{condition.get('tradingsymbol')}")
        if item is None:
            return refused(bad_input("Unknown instrument."))
        before = self._kept.get(trigger)
        self._kept[trigger] = {
            "id": trigger,
            "user_id": self._core.user,
            "parent_trigger": None,
            "type": form.get("type", "single"),
            "created_at": stamp(now) if before is None else before["created_at"],
            "updated_at": stamp(now),
            "expires_at": stamp(now + _YEAR_NS),
            "status": "active",
            "condition": {**condition, "instrument_token": item.token},
            "orders": [{**order, "result": None} for order in orders],
        }
        return success({"trigger_id": trigger})
