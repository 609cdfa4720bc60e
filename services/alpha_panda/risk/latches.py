"""Sets latches where they act and where they last: in the control store, and on `{account}.control`.

A latch counts as set when both have it. Who dies between the two finds its cause again after the restart (nothing
that the cause is derived from was saved yet) and then tells the topic what the store holds.
"""

from collections.abc import Sequence

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
        """Set what losses and loops ask for: one latch a scope, code and trading day."""
        for request in requests:
            latch_id = f"{request.code.value.lower().replace('_', '-')}-{day}"
            await self.set(latch_id, request.scope, request.message, producer, request.state)

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
