"""What resources say of one another: names that must exist, feeds that must agree.

Works on the documents as written, so that a reference from or to a resource with other faults is judged too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alpha_panda.contracts.manifests.documents import Document
from alpha_panda.contracts.manifests.faults import listed, shown, suggestion
from alpha_panda.contracts.resources.market_feed import ALWAYS_OPEN
from alpha_panda.contracts.resources.rules import Location, items, peek
from alpha_panda.errors import ManifestFault

MARKET_FEED: Final = "MarketFeed"
BROKER_ACCOUNT: Final = "BrokerAccount"
STRATEGY: Final = "Strategy"


@dataclass(frozen=True, slots=True)
class _Index:
    """The documents of each kind by name, and each feed's symbols."""

    by_kind: Mapping[str, dict[str, Document]]
    symbols: dict[str, dict[str, None]] = field(default_factory=dict)
    complete: bool = True

    def names(self, kind: str) -> list[str]:
        return list(self.by_kind[kind])

    def symbols_of(self, feed: str) -> dict[str, None]:
        """Return the feed's symbols as an ordered set; empty when it says none."""
        if feed not in self.symbols:
            instruments = items(_spec(self.by_kind[MARKET_FEED][feed], "instruments"))
            texts = [peek(item, "symbol") for item in instruments]
            self.symbols[feed] = {text: None for text in texts if isinstance(text, str)}
        return self.symbols[feed]


def check_references(documents: Sequence[Document], *, complete: bool = True) -> Iterator[ManifestFault]:
    """Yield all faults between the documents, and of calendars and time zones.

    Not `complete`: a strategy may name accounts that are not among them.
    """
    yield from _duplicates(documents)
    yield from _namespaces(documents)
    index = _Index(_by_kind(documents), complete=complete)
    checks: dict[object, Callable[[Document, _Index], Iterator[ManifestFault]]] = {
        MARKET_FEED: _check_feed,
        BROKER_ACCOUNT: _check_account,
        STRATEGY: _check_strategy,
    }
    yield from _broker_users(documents)
    for document in documents:
        check = checks.get(_kind(document))
        if check:
            yield from check(document, index)


def _spec(document: Document, name: str) -> Any:  # noqa: ANN401 - as written
    return peek(document.data.get("spec"), name)


def _kind(document: Document) -> str | None:
    kind = document.data.get("kind")
    return kind if isinstance(kind, str) else None


def _name(document: Document) -> str | None:
    name = peek(document.data.get("metadata"), "name")
    return name if isinstance(name, str) else None


def _by_kind(documents: Sequence[Document]) -> dict[str, dict[str, Document]]:
    found: dict[str, dict[str, Document]] = {MARKET_FEED: {}, BROKER_ACCOUNT: {}, STRATEGY: {}}
    for document in documents:
        kind, name = _kind(document), _name(document)
        if kind in found and name is not None:
            found[kind].setdefault(name, document)
    return found


def _duplicates(documents: Sequence[Document]) -> Iterator[ManifestFault]:
    first: dict[str, Document] = {}
    for document in documents:
        if _kind(document) is None or _name(document) is None:
            continue
        other = first.setdefault(document.resource, document)
        if other is not document:
            problem = f"{shown(_name(document))} is already that of {other.file}, document {other.number}"
            yield document.fault(
                ("metadata", "name"), problem, f"each name once among the {_kind(document)} resources"
            )


def _namespaces(documents: Sequence[Document]) -> Iterator[ManifestFault]:
    first: str | None = None
    for document in documents:
        namespace = peek(document.data.get("metadata"), "namespace")
        if not isinstance(namespace, str):
            continue
        first = first or namespace
        if namespace != first:
            problem = f"{shown(namespace)} is another namespace than {shown(first)} before it"
            yield document.fault(("metadata", "namespace"), problem, "one namespace at a time")


def _unknown(
    document: Document, place: Location, value: object, what: str, names: Sequence[str]
) -> Iterator[ManifestFault]:
    """Yield a fault when a text is not among the names; other values are the model's to refuse."""
    if isinstance(value, str) and value not in names:
        allowed = listed(names) if names else f"none: the manifests hold no {what}"
        yield document.fault(place, f"there is no {what} {shown(value)}{suggestion(value, names)}", allowed)


# ------------------------------------------------------------------------------------------------- by kind


def _broker_users(documents: Sequence[Document]) -> Iterator[ManifestFault]:
    """Yield a fault for each account whose user at the broker another account has: one login can't be shared."""
    first: dict[str, Document] = {}
    for document in documents:
        user = peek(_spec(document, "zerodha"), "userId")
        if _kind(document) != BROKER_ACCOUNT or not isinstance(user, str):
            continue
        other = first.setdefault(user, document)
        if other is not document and _name(other) != _name(document):
            problem = f"{shown(user)} is already the user of account {shown(_name(other))}"
            yield document.fault(("spec", "zerodha", "userId"), problem, "each broker user in one account")


def _check_login(document: Document, index: _Index) -> Iterator[ManifestFault]:
    """Yield a fault unless the account whose login a feed uses is there and has one."""
    account = peek(peek(_spec(document, "source"), "zerodha"), "account")
    if not isinstance(account, str):
        return
    place = ("spec", "source", "zerodha", "account")
    accounts = index.by_kind[BROKER_ACCOUNT]
    if account in accounts:
        if _spec(accounts[account], "zerodha") is None:
            logins = [name for name, item in accounts.items() if _spec(item, "zerodha") is not None]
            yield document.fault(
                place,
                f"account {shown(account)} is not one of Zerodha",
                listed(logins) if logins else "a Zerodha account",
            )
    elif index.complete:
        yield from _unknown(document, place, account, BROKER_ACCOUNT, index.names(BROKER_ACCOUNT))


def _live_prices(document: Document, index: _Index) -> Iterator[ManifestFault]:
    """Yield a fault if a broker's account is on prices that are none of a market's: all its orders would be refused."""
    feed = index.by_kind[MARKET_FEED].get(str(_spec(document, "marketFeed")))
    if feed is None or _spec(document, "zerodha") is None:
        return
    source = _spec(feed, "source")
    made = next((name for name in ("simulated", "replay") if peek(source, name) is not None), None)
    if made is not None:
        problem = f"feed {shown(_name(feed))} is {made}, and the account trades at Zerodha"
        yield document.fault(("spec", "marketFeed"), problem, "a feed with live prices: source.zerodha")


def _check_feed(document: Document, index: _Index) -> Iterator[ManifestFault]:
    yield from _check_login(document, index)
    calendar = _spec(document, "calendar")
    if isinstance(calendar, str) and calendar != ALWAYS_OPEN and calendar not in _calendars():
        names = _calendars()
        problem = f"{shown(calendar)} is not a calendar{suggestion(calendar, names)}"
        yield document.fault(
            ("spec", "calendar"), problem, f"{ALWAYS_OPEN}; NSE and BSE: XBOM; {', '.join(names)}"
        )
    zone = peek(peek(_spec(document, "source"), "replay"), "timezone")
    if isinstance(zone, str) and not _is_zone(zone):
        place = ("spec", "source", "replay", "timezone")
        yield document.fault(
            place, f"{shown(zone)} is not a time zone", "an IANA name such as Asia/Kolkata, or UTC"
        )


@cache
def _calendars() -> tuple[str, ...]:
    import exchange_calendars  # noqa: PLC0415 - pulls pandas: not before a manifest asks for it

    return tuple(sorted(exchange_calendars.get_calendar_names()))


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_account(document: Document, index: _Index) -> Iterator[ManifestFault]:
    feed = _spec(document, "marketFeed")
    yield from _unknown(document, ("spec", "marketFeed"), feed, MARKET_FEED, index.names(MARKET_FEED))
    yield from _live_prices(document, index)


def _check_strategy(document: Document, index: _Index) -> Iterator[ManifestFault]:
    feed = _spec(document, "marketFeed")
    yield from _unknown(document, ("spec", "marketFeed"), feed, MARKET_FEED, index.names(MARKET_FEED))
    for position, account in enumerate(items(_spec(document, "accounts"))):
        place = ("spec", "accounts", position)
        if index.complete:
            yield from _unknown(document, place, account, BROKER_ACCOUNT, index.names(BROKER_ACCOUNT))
        yield from _same_feed(document, place, account, index)
    if isinstance(feed, str) and feed in index.by_kind[MARKET_FEED]:
        symbols = index.symbols_of(feed)
        for position, symbol in enumerate(items(_spec(document, "instruments"))):
            if isinstance(symbol, str) and symbols and symbol not in symbols:
                place = ("spec", "instruments", position)
                yield from _unknown(
                    document, place, symbol, f"instrument on feed {shown(feed)}:", list(symbols)
                )


def _same_feed(
    document: Document, place: Location, account: object, index: _Index
) -> Iterator[ManifestFault]:
    other = index.by_kind[BROKER_ACCOUNT].get(account) if isinstance(account, str) else None
    own, its = _spec(document, "marketFeed"), _spec(other, "marketFeed") if other else None
    feeds = index.names(MARKET_FEED)  # one that does not exist is a fault of its own
    if own in feeds and its in feeds and own != its:
        problem = f"account {shown(account)} is on feed {shown(its)}, the strategy on {shown(own)}"
        yield document.fault(place, problem, "accounts on the strategy's feed")
