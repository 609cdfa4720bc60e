"""Whether a resource can be served as it is written: its own faults, and what it says of others. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from alpha_panda.contracts.resources import BrokerAccount, MarketFeed, Strategy
from alpha_panda_operator.builders.broker import login_of, source_account
from alpha_panda_operator.cache import Cache, Place, user_of
from alpha_panda_operator.names import BROKER_ACCOUNT, MARKET_FEED, STRATEGY
from alpha_panda_operator.view import ResourceView

ACCEPTED: Final = "Accepted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether, and why: a reason of the condition Accepted, and a sentence with the remedy."""

    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        """Whether it is."""
        return self.reason == ACCEPTED


@dataclass(frozen=True, slots=True)
class World:
    """What a verdict depends on beside the resource: the others, whose prefix it is, which strategies there are.

    `owners`: installation that owns a namespace's topics and keys, where it is not this one.
    """

    cache: Cache
    owners: Mapping[str, str] = field(default_factory=dict)
    types: frozenset[str] = frozenset()


def judge(view: ResourceView, world: World) -> Verdict:
    """Return the verdict on a resource: the first thing that stands in its way."""
    return next(
        _faults(view, world), Verdict(ACCEPTED, "the manifest is right, and all that it names is there")
    )


def _faults(view: ResourceView, world: World) -> Iterator[Verdict]:
    other = world.owners.get(view.key.namespace)
    if other:
        yield Verdict(
            "NameConflict",
            f"topics and keys of namespace {view.key.namespace} belong to installation {other}: let it go there first, "
            "or use another namespace",
        )
    if view.fault:
        yield Verdict("Invalid", f"{view.fault}; change the manifest")
    model = view.model
    if isinstance(model, MarketFeed):
        yield from _config_map(view, world, data_of(view))
        yield from _login(view, world)
    elif isinstance(model, BrokerAccount):
        yield from _broker_user(view, model, world)
        yield from _feed(view, world)
        yield from _live_prices(view, model, world)
    elif isinstance(model, Strategy):
        yield from _feed(view, world)
        yield from _accounts(view, model, world)
        yield from _instruments(view, model, world)
        yield from _code(view, model, world)


def _login(view: ResourceView, world: World) -> Iterator[Verdict]:
    """Yield what is wrong with the account whose log-in a feed uses.

    Whether it is accepted is another matter: it may well trade on this feed, and wait for it.
    """
    name = source_account(view)
    if not name:
        return
    account = world.cache.get(BROKER_ACCOUNT, view.key.namespace, name)
    if account is None:
        yield Verdict(
            "MissingAccount",
            f"there is no BrokerAccount {name!r} in namespace {view.key.namespace}; apply it",
        )
    elif account.fault:
        yield Verdict("MissingAccount", f"BrokerAccount {name!r} is not valid: {account.fault}")
    elif login_of(account) is None:
        yield Verdict(
            "MissingAccount",
            f"BrokerAccount {name!r} has no log-in at Zerodha; name one that has, in spec.source",
        )
    elif (other := _elder(account, world)) is not None:
        yield Verdict("MissingAccount", f"BrokerAccount {name!r} is not accepted: {_taken(account, other)}")


def _broker_user(view: ResourceView, model: BrokerAccount, world: World) -> Iterator[Verdict]:
    """Yield a verdict against every account of one broker user but the eldest: two can't share a log-in."""
    if model.broker_user and (other := _elder(view, world)) is not None:
        yield Verdict("BrokerUserInUse", f"{_taken(view, other)}; change userId, or delete one of the two")


def _elder(view: ResourceView, world: World) -> ResourceView | None:
    """Return another account of the same broker user that was there first."""
    own = user_of(view)
    others = (
        item
        for item in world.cache.of_kind(BROKER_ACCOUNT, view.key.namespace)
        if item.key != view.key and user_of(item) == own
    )
    first = min([*others, view], key=lambda item: (item.created, item.uid))
    return first if first.key != view.key else None


def _taken(view: ResourceView, other: ResourceView) -> str:
    return f"user {user_of(view)} is already that of BrokerAccount {other.key.name!r}"


def _live_prices(view: ResourceView, model: BrokerAccount, world: World) -> Iterator[Verdict]:
    feed = world.cache.get(MARKET_FEED, view.key.namespace, view.feed)
    if model.spec.zerodha is not None and feed is not None and not source_account(feed):
        yield Verdict(
            "FeedMismatch",
            f"the account trades at Zerodha, and the prices of feed {view.feed!r} are none of a market's; name a feed with "
            "source.zerodha",
        )


def _feed(view: ResourceView, world: World) -> Iterator[Verdict]:
    feed = world.cache.get(MARKET_FEED, view.key.namespace, view.feed)
    if feed is None:
        yield Verdict(
            "MissingFeed", f"there is no MarketFeed {view.feed!r} in namespace {view.key.namespace}; apply it"
        )
    elif (verdict := judge(feed, world)).reason != ACCEPTED:
        yield Verdict(
            "MissingFeed", f"MarketFeed {view.feed!r} is not accepted ({verdict.reason}: {verdict.message})"
        )


def _accounts(view: ResourceView, model: Strategy, world: World) -> Iterator[Verdict]:
    for name in model.spec.accounts:
        account = world.cache.get(BROKER_ACCOUNT, view.key.namespace, name)
        if account is None:
            yield Verdict(
                "MissingAccount",
                f"there is no BrokerAccount {name!r} in namespace {view.key.namespace}; apply it",
            )
            continue
        if account.feed != view.feed:
            yield Verdict(
                "FeedMismatch",
                f"account {name!r} trades on feed {account.feed!r}, the strategy sees {view.feed!r}; name the same feed",
            )
        verdict = judge(account, world)
        if not verdict.accepted:
            yield Verdict(
                "MissingAccount",
                f"BrokerAccount {name!r} is not accepted ({verdict.reason}: {verdict.message})",
            )
        if isinstance(account.model, BrokerAccount) and not account.model.accepts(view.key.name):
            yield Verdict(
                "NotAcceptedByAccount",
                f"account {name!r} does not list this strategy in spec.acceptStrategies; add it there",
            )


def _instruments(view: ResourceView, model: Strategy, world: World) -> Iterator[Verdict]:
    feed = world.cache.get(MARKET_FEED, view.key.namespace, view.feed)
    if feed is None or not isinstance(feed.model, MarketFeed):
        return
    known = frozenset(feed.model.symbols)
    unknown = [symbol for symbol in model.spec.instruments if symbol not in known]
    if unknown:
        named = ", ".join(unknown[:10])
        yield Verdict("UnknownInstrument", f"feed {view.feed!r} does not carry {named}; add it to the feed")


def _code(view: ResourceView, model: Strategy, world: World) -> Iterator[Verdict]:
    spec = model.spec
    if spec.code is not None:
        if not spec.code.config_map:
            yield Verdict(
                "MissingConfigMap",
                "spec.code names no configMap: a cluster has no file beside the manifest; "
                f"kubectl create configmap NAME --from-file={spec.code.file}, and name it in spec.code.configMap",
            )
        yield from _config_map(view, world, spec.code.config_map, spec.code.file)
    if spec.type and not spec.image and world.types and spec.type not in world.types:
        names = ", ".join(sorted(world.types))
        yield Verdict(
            "UnknownType", f"the platform's image has no strategy type {spec.type!r}; it has {names}"
        )


def _config_map(view: ResourceView, world: World, name: str | None, key: str = "") -> Iterator[Verdict]:
    if not name:
        return
    found = world.cache.code.get(Place(view.key.namespace, name))
    if found is not None and not found.content:
        yield Verdict(
            "MissingConfigMap", f"there is no ConfigMap {name!r} in namespace {view.key.namespace}; create it"
        )
    elif found is not None and key and key not in found.keys:
        yield Verdict("MissingConfigMap", f"ConfigMap {name!r} has no key {key!r}; create it from that file")


def data_of(view: ResourceView) -> str:
    """Return the ConfigMap that a resource's pods mount beside ours: a strategy's code, a replay's files."""
    if view.key.kind == STRATEGY:
        return _named(view.spec.get("code"))
    source = view.spec.get("source")
    return _named(source.get("replay")) if isinstance(source, Mapping) else ""


def _named(block: Any) -> str:  # noqa: ANN401 - raw input has any shape
    name = block.get("configMap") if isinstance(block, Mapping) else None
    return name if isinstance(name, str) else ""
