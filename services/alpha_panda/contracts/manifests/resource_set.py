"""What manifests come to: the resources by name, and how they belong together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from alpha_panda.contracts.manifests.checking import ParametersModel, check
from alpha_panda.contracts.manifests.documents import Document, Reading, read_again
from alpha_panda.contracts.resources import BrokerAccount, MarketFeed, Resource, Strategy
from alpha_panda.contracts.resources.rules import Location
from alpha_panda.errors import ManifestFault

IN_MEMORY: Final = "(documents)"
"""Stands for the file of documents that come from none."""


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """Resources whose references hold, in the order of their manifests. Make one with `load_manifests`."""

    feeds: dict[str, MarketFeed] = field(default_factory=dict)
    accounts: dict[str, BrokerAccount] = field(default_factory=dict)
    strategies: dict[str, Strategy] = field(default_factory=dict)
    origins: dict[str, Document] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, pairs: Iterable[tuple[Resource, Document]]) -> Self:
        """Sort checked resources by kind and name."""
        made = cls()
        for resource, document in pairs:
            made._put(resource)
            # Without its nodes: those of a feed with 10,000 instruments take tens of megabytes.
            made.origins[resource.ref] = replace(document, node=None)
        return made

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Mapping[str, Any]],
        *,
        directory: Path | None = None,
        parameters_model: ParametersModel | None = None,
    ) -> Self:
        """Check documents that are already parsed; `directory` is where their relative paths begin.

        Raises:
            ManifestError: with all faults.

        """
        folder = directory or Path()
        read = [Document(IN_MEMORY, number, data, folder) for number, data in enumerate(documents, 1)]
        return cls.of(check(Reading(read, files=[IN_MEMORY]), parameters_model))

    def _put(self, resource: Resource) -> None:
        if isinstance(resource, MarketFeed):
            self.feeds[resource.name] = resource
        elif isinstance(resource, BrokerAccount):
            self.accounts[resource.name] = resource
        elif isinstance(resource, Strategy):
            self.strategies[resource.name] = resource

    def __iter__(self) -> Iterator[Resource]:
        """Yield every resource: feeds, accounts, strategies."""
        yield from self.feeds.values()
        yield from self.accounts.values()
        yield from self.strategies.values()

    def __len__(self) -> int:
        return len(self.feeds) + len(self.accounts) + len(self.strategies)

    @property
    def resources(self) -> Self:
        """Itself: a set is manifests that don't change (`runtime.manifests.Manifests`)."""
        return self

    @property
    def problem(self) -> None:
        """None: it was made of sound manifests."""
        return

    def strategies_of(self, account: str) -> tuple[Strategy, ...]:
        """Return the strategies that trade on the account of this name."""
        return tuple(item for item in self.strategies.values() if account in item.spec.accounts)

    def accounts_of(self, feed: str) -> tuple[BrokerAccount, ...]:
        """Return the accounts on the feed of this name."""
        return tuple(item for item in self.accounts.values() if item.spec.market_feed == feed)

    def strategies_of_feed(self, feed: str) -> tuple[Strategy, ...]:
        """Return the strategies on the feed of this name."""
        return tuple(item for item in self.strategies.values() if item.spec.market_feed == feed)

    def feed_of(self, resource: BrokerAccount | Strategy) -> MarketFeed:
        """Return the feed of an account or strategy."""
        return self.feeds[resource.spec.market_feed]

    def directory_of(self, resource: Resource) -> Path:
        """Return the folder of the resource's manifest: relative paths in it begin there."""
        return self.origins[resource.ref].directory

    def fault(self, resource: Resource, location: Location, problem: str, allowed: str = "") -> ManifestFault:
        """Return a fault at a place of a resource's manifest, for checks that need more than manifests."""
        return self.document(resource).fault(location, problem, allowed)

    def document(self, resource: Resource) -> Document:
        """Return the resource's manifest as its file has it now, for faults in it; it is read for that."""
        return read_again(self.origins[resource.ref])
