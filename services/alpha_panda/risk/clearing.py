"""Clears the latches that manifests name: the operator asks, risk does it, since it alone can tell Kafka, which comes first.

Each request is looked at once. A latch that does not stand, or that was set after it was asked for, is left alone for
good: the same manifest again releases nothing. Of several accounts' risks that see one request any may do it, or all:
each clears the latch that it has looked at, never one that was set since under the same id.
"""

from collections.abc import Sequence

import structlog

from alpha_panda.contracts.stored import CLEARED, IGNORED, ClearRequest, Latch
from alpha_panda.ports import Producer
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.control_topics import Keepers

log = structlog.get_logger()

BY = "manifest"
REASON = "named in spec.clearLatch"


class Clearing:
    """The account's hand on the requests of its scopes."""

    def __init__(self, context: ServiceContext) -> None:
        self._account = context.resource
        self._control = context.ports.control
        self._clock = context.ports.clock
        settings = context.settings
        self._keepers = Keepers(context.ports.bus, settings.topic_prefix, settings.installation)

    async def turn(self, scopes: Sequence[str], producer: Producer) -> bool:
        """Do what is asked; say whether a latch was cleared."""
        pending = [item for item in await self._control.clear_requests(scopes) if not item.outcome]
        if not pending:
            return False
        readings = await self._control.read(tuple(dict.fromkeys(item.scope for item in pending)))
        standing = {(latch.scope, latch.latch_id): latch for reading in readings for latch in reading.latches}
        cleared = False
        for request in pending:
            latch = standing.get((request.scope, request.latch_id))
            if latch is not None and request.clears(latch):
                await self._clear(latch, producer)
                cleared = True
                await self._end(request, CLEARED)
            else:
                await self._end(request, IGNORED)
        return cleared

    async def _clear(self, latch: Latch, producer: Producer) -> None:
        keepers = self._keepers.of(latch.scope, await self._keepers.accounts(latch.scope))
        now = self._clock.now()
        await producer.send([keeper.cleared(latch, reason=REASON, by=BY, now=now) for keeper in keepers])
        if await self._control.clear_latch(latch.scope, latch.latch_id, set_at=latch.set_at):
            return
        # Another account's risk was quicker, and the cause may have set the latch again since: then Kafka, which
        # keeps the last word alone, has to hear once more that it stands.
        (reading,) = await self._control.read([latch.scope])
        again = [item for item in reading.latches if item.latch_id == latch.latch_id]
        await producer.send([keeper.told(item) for item in again for keeper in keepers])

    async def _end(self, request: ClearRequest, outcome: str) -> None:
        await self._control.end_clear(request, outcome)
        log.warning(
            "clear_request",
            account=self._account,
            scope=request.scope,
            latch_id=request.latch_id,
            outcome=outcome,
        )
