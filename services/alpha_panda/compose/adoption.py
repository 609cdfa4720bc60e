"""A person's word that a difference between an account's book and its broker is to be booked as it stands.

The word is kept in the journal under the difference's own id; the order-tracker looks at the broker once more and books
what still differs just so, once. Nothing is booked here: what is asked of a difference that is gone does nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alpha_panda.contracts.stored import AdoptionRequest, BrokerFacts, InstrumentDifference
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .installation import BUS, STORE, account_names, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What is to be booked; `asked`: ids of those that were asked for now, the others had been before."""

    differences: Sequence[InstrumentDifference]
    asked: frozenset[str] = frozenset()


class AdoptionDesk:
    """Reads what differs, and takes a person's word on it."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._prefix = settings.topic_prefix
        self._seconds = settings.command_timeout_seconds

    async def facts(self, account: str) -> BrokerFacts:
        """Return what the order-tracker knows of the account at its broker; UserInputError if it knows nothing."""
        facts = await bounded(STORE, self._seconds, self._ports.journal(account).facts())
        if facts is not None:
            return facts
        known = account_names(await bounded(BUS, self._seconds, self._ports.bus.topics()), self._prefix)
        if account not in known:
            raise UserInputError(f"there is no account {account!r}; there are: {', '.join(known) or 'none'}")
        raise UserInputError(
            f"{account} has not been compared with a broker: its broker keeps no positions, or its order-tracker never ran"
        )

    async def adopt(
        self, account: str, instrument: str, *, by: str, reason: str, dry_run: bool = False
    ) -> Adoption:
        """Ask that the account's differences be booked; `instrument`: only this symbol's ("": all).

        Raises:
            UserInputError: nothing differs, or not there.
            DependencyUnavailableError: Redis does not answer; the same command again does no harm.

        """
        facts = await self.facts(account)
        found = [item for item in facts.differences if instrument in ("", item.symbol)]
        if not found:
            raise UserInputError(_nothing(account, instrument, facts))
        if dry_run:
            return Adoption(differences=found)
        journal, now = self._ports.journal(account), self._ports.clock.now()
        asked = []
        for item in found:
            request = AdoptionRequest(difference_id=item.difference_id, by=by, reason=reason, asked_at=now)
            if await bounded(STORE, self._seconds, journal.ask_adoption(request)):
                asked.append(item.difference_id)
        return Adoption(differences=found, asked=frozenset(asked))


def _nothing(account: str, instrument: str, facts: BrokerFacts) -> str:
    differing = ", ".join(item.symbol for item in facts.differences)
    if instrument and differing:
        return f"{account} and its broker agree on {instrument}; they differ on {differing}"
    if facts.reconciled:
        return f"{account} and its broker agree: there is nothing to adopt"
    return f"{account} has not been compared with its broker yet: {facts.problem}"
