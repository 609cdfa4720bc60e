"""What the operator asks of an account's risk: to clear latches, and to close what deleted strategies hold."""

from collections.abc import Awaitable, Callable, Mapping

from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.status_details import FLAT
from alpha_panda.contracts.stored import Decision, TeardownRequest
from alpha_panda.ports import Producer
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.teardowns import flattens, torn_down

from .clearing import Clearing
from .flatten import Flattener, Offsets
from .ledger import Ledger

Teardowns = Mapping[str, tuple[TeardownRequest, str]]
"""By strategy: the request that stands, and how it stands (FLAT, or words)."""


class Requests:
    """One turn a second, under the desk's lock."""

    def __init__(self, context: ServiceContext, ledger: Ledger, flattener: Flattener) -> None:
        self._account = context.resource
        self._manifests = context.manifests
        self._control = context.ports.control
        self._ledger = ledger
        self._flattener = flattener
        self._clearing = Clearing(context)

    async def clear(self, producer: Producer) -> bool:
        """Clear the latches that are named; say whether any was cleared."""
        names = dict.fromkeys(
            (
                *(item.name for item in self._manifests.resources.strategies_of(self._account)),
                *self._ledger.book.strategies,
            )
        )
        scopes = (PLATFORM, account_scope(self._account), *map(strategy_scope, names))
        return await self._clearing.turn(scopes, producer)

    async def tear_down(
        self,
        read: Offsets,
        ends: Callable[[], Awaitable[Offsets]],
        tell: Callable[[Decision], Awaitable[None]],
    ) -> Teardowns:
        """Do the next step of each Flatten; see `Flattener.turn` for the arguments."""
        requests = torn_down(await self._control.teardowns(), self._manifests.resources)
        found: dict[str, tuple[TeardownRequest, str]] = {}
        for name, request in requests.items():
            words = await self._flattener.turn(request, name, read, ends, tell) if flattens(request) else ""
            found[name] = (request, words)
        self._flattener.forget_all_but(found)
        return found


def some_flat(teardowns: Teardowns) -> bool:
    """Whether a strategy is to be reported flat."""
    return any(words == FLAT for _, words in teardowns.values())
