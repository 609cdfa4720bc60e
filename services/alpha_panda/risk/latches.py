"""Sets latches where they act and where they last: in the control store, and on `{account}.control`.

A latch counts as set when both have it. Who dies between the two finds its cause again after the restart (nothing
that the cause is derived from was saved yet) and then tells the topic what the store holds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.control_events import latch_event, latch_key
from alpha_panda.domain.risk.losses import LatchRequest
from alpha_panda.ports import Outgoing, Producer
from alpha_panda.runtime.context import ServiceContext

log = structlog.get_logger()

SOURCE = "risk"


class Latches:
    """Risk's latches of one account and its strategies. The same id again changes nothing."""

    def __init__(self, context: ServiceContext) -> None:
        self._account = context.resource
        self._topic = TopicMap(context.resource, context.settings.topic_prefix).control
        self._control = context.ports.control
        self._clock = context.ports.clock
        self._told: dict[tuple[str, str], Latch] = {}

    async def set_all(self, requests: Sequence[LatchRequest], day: str, producer: Producer) -> None:
        """Set what losses and loops ask for: at most one standing latch a scope, code and trading day.

        An id is used once. One that came again would be cleared by a manifest that still names the last one.
        """
        for request in requests:
            cause = f"{request.code.value.lower().replace('_', '-')}-{day}-"
            standing = await self._standing(request.scope, cause)
            latch_id = standing or f"{cause}{_time_of_day(self._clock.now())}"
            await self.set(latch_id, request.scope, request.message, producer, request.state)

    async def _standing(self, scope: str, cause: str) -> str | None:
        (reading,) = await self._control.read((scope,))
        return next((item.latch_id for item in reading.latches if item.latch_id.startswith(cause)), None)

    async def set(
        self,
        latch_id: str,
        scope: str,
        reason: str,
        producer: Producer,
        state: TradingState = TradingState.HALTED,
    ) -> None:
        """Set the latch unless it is set, and tell `control` unless this process has."""
        (reading,) = await self._control.read((scope,))
        latch = next((item for item in reading.latches if item.latch_id == latch_id), None)
        if latch is None:
            latch = Latch(
                latch_id=latch_id,
                scope=scope,
                state=state,
                reason=reason,
                set_by=SOURCE,
                set_at=self._clock.now(),
            )
            await self._control.set_latch(latch)
            self._log(latch)
        if self._told.get((scope, latch_id)) != latch:
            event = encode_event(latch_event(latch, self._account))
            await producer.send([Outgoing(self._topic, event, key=latch_key(latch))])
            self._told[scope, latch_id] = latch

    def _log(self, latch: Latch) -> None:
        log.warning(
            "latch_set",
            account=self._account,
            scope=latch.scope,
            latch_id=latch.latch_id,
            state=latch.state.value,
            reason=latch.reason,
        )


def _time_of_day(ts: int) -> str:
    """Return a UTC time in ns as HHMMSS and milliseconds."""
    return datetime.fromtimestamp(ts // 1_000_000 / 1000, UTC).strftime("%H%M%S%f")[:-3]
