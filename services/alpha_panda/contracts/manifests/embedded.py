"""What a run in one process needs beyond sound manifests: all resources are at hand there, and time is one."""

from collections.abc import Iterator

from alpha_panda.contracts.manifests.faults import listed, shown
from alpha_panda.contracts.manifests.resource_set import ResourceSet
from alpha_panda.errors import ManifestError, ManifestFault


def check_embedded(resources: ResourceSet) -> None:
    """Check what a run in one process needs.

    Raises:
        ManifestError: feeds on virtual time beside feeds on the wall clock, or strategies on accounts that don't
            accept them (in a cluster these are a condition and a rejected signal: either may change later).

    """
    faults = [*_mixed_time(resources), *_not_accepted(resources)]
    if faults:
        raise ManifestError(faults)


def _mixed_time(resources: ResourceSet) -> Iterator[ManifestFault]:
    feeds = list(resources.feeds.values())
    virtual = [feed.name for feed in feeds if feed.virtual_time]
    if not virtual or len(virtual) == len(feeds):
        return
    paced = [feed.name for feed in feeds if not feed.virtual_time]
    for feed in feeds:
        source = "replay" if feed.spec.source.replay else "simulated"
        other = (
            f"on the wall clock: {listed(paced)}" if feed.virtual_time else f"on speed 0: {listed(virtual)}"
        )
        yield resources.fault(
            feed,
            ("spec", "source", source, "speed"),
            f"is {feed.spec.source.speed:g}, but other feeds of this run are {other}",
            "in one run all feeds have speed 0, or none",
        )


def _not_accepted(resources: ResourceSet) -> Iterator[ManifestFault]:
    for strategy in resources.strategies.values():
        for position, name in enumerate(strategy.spec.accounts):
            account = resources.accounts[name]
            if not account.accepts(strategy.name):
                accepted = listed(account.spec.accept_strategies or ())
                problem = f"account {shown(name)} does not accept this strategy"
                yield resources.fault(
                    strategy, ("spec", "accounts", position), problem, f"it accepts {accepted}"
                )
