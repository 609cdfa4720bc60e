"""Everything that shall exist for a resource: its closure of manifests, and each workload's objects. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from alpha_panda_operator.builders.broker import login_of, source_account
from alpha_panda_operator.builders.config_map import config_map
from alpha_panda_operator.builders.network_policy import network_policy
from alpha_panda_operator.builders.pdb import pdb
from alpha_panda_operator.builders.service_account import service_account
from alpha_panda_operator.builders.workload import Workload, workloads
from alpha_panda_operator.cache import Place
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import (
    BROKER_ACCOUNT,
    CONFIG_MAP,
    MARKET_FEED,
    NETWORK_POLICY,
    PDB,
    SERVICE_ACCOUNT,
    TEARDOWN,
    Kind,
)
from alpha_panda_operator.reconcile.acceptance import World, data_of, judge
from alpha_panda_operator.view import ResourceView


class Desired(NamedTuple):
    """One object that shall exist."""

    kind: Kind
    manifest: dict[str, Any]


def closure(view: ResourceView, world: World) -> list[ResourceView]:
    """Return the resources whose manifests a resource's pods need; all that they name is among them.

    A strategy's pods: its feed and accounts. An account's: its feed, every accepted strategy that names it, and the
    other accounts of those. A feed's: the account whose log-in it uses, and that one's feed.
    """
    if view.key.kind == MARKET_FEED:
        return _of_feed(view, world)
    feed = world.cache.get(MARKET_FEED, view.key.namespace, view.feed)
    strategies = [view]
    if view.key.kind == BROKER_ACCOUNT:
        named = world.cache.strategies_on(view.key.namespace, view.key.name)
        strategies = [item for item in named if judge(item, world).accepted]
    names = sorted(
        {view.key.name, *_accounts(strategies)} if view.key.kind == BROKER_ACCOUNT else {*view.accounts}
    )
    accounts = (world.cache.get(BROKER_ACCOUNT, view.key.namespace, name) for name in names)
    return [item for item in (feed, *accounts, *strategies) if item is not None]


def _of_feed(view: ResourceView, world: World) -> list[ResourceView]:
    account = _login_account(view, world)
    if account is None:
        return [view]
    its_feed = world.cache.get(MARKET_FEED, view.key.namespace, account.feed)
    return [view, *([its_feed] if its_feed is not None and its_feed.key != view.key else []), account]


def _login_account(view: ResourceView, world: World) -> ResourceView | None:
    """Return the account by whose log-in a resource's pods reach a broker; None if they reach none."""
    if view.key.kind == BROKER_ACCOUNT:
        return view
    name = source_account(view) if view.key.kind == MARKET_FEED else ""
    return world.cache.get(BROKER_ACCOUNT, view.key.namespace, name) if name else None


def _accounts(strategies: list[ResourceView]) -> Iterator[str]:
    for item in strategies:
        yield from item.accounts


def manifests(view: ResourceView, world: World) -> list[dict[str, Any]]:
    """Return the closure as manifests; a strategy that is being taken down says by which policy."""
    return [item.manifest(_teardown(item)) for item in closure(view, world)]


def _teardown(view: ResourceView) -> dict[str, str] | None:
    if not view.deleting:
        return None
    return {TEARDOWN: view.deletion_policy.value}


def workloads_of(view: ResourceView, world: World, config: OperatorConfig) -> tuple[Workload, ...]:
    """Return the workloads of an accepted resource."""
    content = world.cache.code.get(Place(view.key.namespace, data_of(view)))
    login = login_of(_login_account(view, world))
    return workloads(view, config, content.content if content else "", login)


def supporting(
    view: ResourceView, world: World, config: OperatorConfig, made: tuple[Workload, ...]
) -> Iterator[Desired]:
    """Yield all but the Deployments, in the order in which pods want them."""
    for workload in made:
        yield Desired(SERVICE_ACCOUNT, service_account(workload))
    yield Desired(CONFIG_MAP, config_map(view, manifests(view, world), config.installation))
    for workload in made:
        for kind, manifest in ((NETWORK_POLICY, network_policy(workload)), (PDB, pdb(workload))):
            if manifest is not None:
                yield Desired(kind, manifest)
