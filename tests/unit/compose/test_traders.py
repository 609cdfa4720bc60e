"""Traders follow the manifests: what the feed lists now can be traded now."""

from decimal import Decimal
from typing import Any

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.traders import ManifestTraders, has_live_accounts
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, FeedMode, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import JournalEntry, PriceReading, Quote
from unit.compose.test_live_manifests import ACCOUNT, FEED, changed


class Changing:
    problem = None

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.apply(*documents)

    def apply(self, *documents: dict[str, Any]) -> None:
        self.resources = ResourceSet.from_documents(documents)


def entry(token: int) -> JournalEntry:
    signal = Signal(
        signal_id="s",
        strategy_id="alpha",
        strategy_uid="alpha",
        instrument_token=token,
        symbol="NSE:B",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(1),
        validity=Validity.DAY,
        expires_at=2**60,
    )
    return JournalEntry(
        signal=signal,
        state=EntryState.SENDING,
        signal_class=SignalClass.INCREASING,
        tag="aptag",
        revision=0,
        send_by=2**60,
        updated_at=0,
        correlation_id="",
        causation_id="",
    )


async def test_an_instrument_that_was_added_is_known_at_once() -> None:
    manifests, clock = Changing(FEED, ACCOUNT), RealClock()
    trader = ManifestTraders(manifests, clock).trader("paper")
    price = PriceReading(Quote(100.0, clock.now(), "demo", FeedMode.SIMULATED, 1, 1), clock.now())
    deadline = clock.monotonic() + 60 * 10**9
    assert (await trader.place(entry(2), price, deadline)).code is Code.INSTRUMENT_UNKNOWN
    added = {"token": 2, "symbol": "NSE:B", "tickSize": 0.05, "referencePrice": 100}
    manifests.apply(changed(FEED, instruments=[*FEED["spec"]["instruments"], added]), ACCOUNT)
    assert (await trader.place(entry(2), price, deadline)).state is EntryState.FILLED
    assert (await trader.cancel(entry(2))).state is EntryState.SENDING
    assert (await trader.order_book()).complete


def test_paper_is_not_live() -> None:
    assert not has_live_accounts(Changing(FEED, ACCOUNT).resources)
