"""Writes and renews the `spec` control keys where no operator runs: in `run` and by `alpha-panda control`.

Only tightens or restores what the manifests say; latches are none of its business.
"""

import structlog

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.errors import TransientError, UnknownOutcomeError
from alpha_panda.ports import Clock, ControlStore
from alpha_panda.runtime.manifests import Manifests

log = structlog.get_logger()


def states_of(resources: ResourceSet) -> dict[str, TradingState]:
    """Return the trading state that the manifests ask for, by scope; the platform itself is Active."""
    return {
        PLATFORM: TradingState.ACTIVE,
        **{account_scope(name): item.spec.trading_state for name, item in resources.accounts.items()},
        **{strategy_scope(name): item.spec.trading_state for name, item in resources.strategies.items()},
    }


class ControlWriter:
    """Keeps the keys alive; when it ends they expire by themselves and trading halts."""

    def __init__(
        self, control: ControlStore, clock: Clock, manifests: Manifests, ttl: float, renew: float
    ) -> None:
        self._control = control
        self._clock = clock
        self._manifests = manifests
        self._written: frozenset[str] = frozenset()
        self._ttl = ttl
        self._renew = renew

    async def write(self) -> None:
        """Write every key once; whose resource is no longer in the manifests loses its key, and is Halted."""
        states = states_of(self._manifests.resources)
        for scope in sorted(self._written - states.keys()):
            await self._control.drop_spec(scope)
        self._written |= states.keys()
        for scope, state in states.items():
            await self._control.put_spec(scope, state, self._ttl)
        self._written = frozenset(states)

    async def run(self) -> None:
        """Renew until cancelled; a store that does not answer is asked again at the next turn.

        That is safe after a lost reply too: writing the same key again changes nothing but its expiry.
        """
        async for _ in self._clock.every(self._renew):
            await self.write_if_answered()

    async def write_if_answered(self) -> None:
        """Write every key once; a store that does not answer is asked again by `run`."""
        try:
            await self.write()
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("control_keys_not_renewed", error=str(error))
