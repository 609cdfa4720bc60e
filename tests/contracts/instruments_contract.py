"""What every InstrumentStore promises."""

from datetime import date
from decimal import Decimal

import pytest

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import InstrumentList
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
from contracts.harness import Lose, Stores

INFY = Instrument(token=408065, symbol="NSE:INFY", tick_size=Decimal("0.05"))
FUTURE = Instrument(
    token=2**53 - 1,
    symbol="NFO:NIFTY26DECFUT",
    tick_size=Decimal("0.10"),
    lot_size=Decimal(75),
    kind="FUT",
    expiry=date(2026, 12, 29),
)


def listed(feed: str = "nse", version: str = "v1", *instruments: Instrument) -> InstrumentList:
    return InstrumentList(
        feed=feed, day="2026-11-23", version=version, instruments=instruments or (INFY, FUTURE)
    )


class InstrumentStoreContract:
    """Subclass it with a fixture `stores`."""

    async def test_nothing_at_first(self, stores: Stores) -> None:
        assert await stores.instruments.version("nse") is None
        assert await stores.instruments.read("nse") is None

    async def test_a_list_is_kept_whole(self, stores: Stores) -> None:
        await stores.instruments.put(listed())
        assert await stores.instruments.version("nse") == "v1"
        found = await stores.instruments.read("nse")
        assert found == listed()
        assert found is not None
        assert [(item.tick_size, item.expiry) for item in found.instruments] == [
            (Decimal("0.05"), None),
            (Decimal("0.10"), date(2026, 12, 29)),
        ]

    async def test_a_list_stays_until_another_comes(self, stores: Stores) -> None:
        await stores.instruments.put(listed())
        await stores.harness.advance(10 * 86_400)
        assert await stores.instruments.read("nse") == listed()

    async def test_a_later_list_replaces(self, stores: Stores) -> None:
        await stores.instruments.put(listed())
        await stores.instruments.put(listed("nse", "v2", FUTURE))
        assert await stores.instruments.version("nse") == "v2"
        assert await stores.instruments.read("nse") == listed("nse", "v2", FUTURE)

    async def test_feeds_have_lists_of_their_own(self, stores: Stores) -> None:
        await stores.instruments.put(listed())
        await stores.instruments.put(listed("mcx", "v7", FUTURE))
        assert await stores.instruments.read("nse") == listed()
        assert await stores.instruments.version("mcx") == "v7"

    async def test_the_same_again_changes_nothing(self, stores: Stores) -> None:
        for _ in range(2):
            await stores.instruments.put(listed())
        assert await stores.instruments.read("nse") == listed()

    async def test_thousands_of_instruments_fit(self, stores: Stores) -> None:
        many = tuple(
            Instrument(token=n, symbol=f"NSE:S{n}", tick_size=Decimal("0.05")) for n in range(1, 9_001)
        )
        await stores.instruments.put(listed("nse", "v1", *many))
        found = await stores.instruments.read("nse")
        assert found is not None
        assert found.instruments == many

    async def test_a_refused_put_changes_nothing(self, stores: Stores) -> None:
        stores.harness.refuse_next()
        with pytest.raises(DependencyUnavailableError):
            await stores.instruments.put(listed())
        assert await stores.instruments.version("nse") is None

    async def test_a_put_whose_reply_was_lost_may_be_repeated(self, stores: Stores) -> None:
        stores.harness.lose_next_reply()
        with pytest.raises(UnknownOutcomeError):
            await stores.instruments.put(listed())
        await stores.instruments.put(listed())
        assert await stores.instruments.read("nse") == listed()

    async def test_a_lost_store_has_none(self, stores: Stores) -> None:
        await stores.instruments.put(listed())
        await stores.harness.restart(Lose.EVERYTHING)
        assert await stores.instruments.version("nse") is None
