"""Zerodha's trader under the conformance suites: in this process on virtual time, and over real sockets."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.zerodha.client import KiteClient
from alpha_panda.adapters.zerodha.session import SessionFile
from alpha_panda.adapters.zerodha.trader import ZerodhaTrader
from alpha_panda.contracts.stored import PriceReading
from alpha_panda.ports import Clock
from alpha_panda.testing.conformance.trader import TraderBench, Trouble
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.core import KiteCore
from alpha_panda.testing.kite.faults import KiteFault
from alpha_panda.testing.kite.instruments import RELIANCE
from alpha_panda.testing.kite.traders import CoreKiteClient, log_in, master_of, terms_of, write_keys

from .rest_kit import NO_PRICE

TIMEOUT = 0.5

FAULTS: dict[Trouble, Callable[[], KiteFault]] = {
    Trouble.REPLY_LOST: faults.hang,
    Trouble.NOT_TAKEN: lambda: faults.drop_reply(accepts=False),
    Trouble.REFUSED: faults.reject,
    Trouble.SERVER_ERROR: lambda: faults.bad_gateway(accepts=True),
    Trouble.GARBAGE: lambda: faults.garbage(accepts=True),
    Trouble.TIMEOUT_IN_WORDS: lambda: faults.timeout_400(accepts=True),
    Trouble.BOOK_ERROR: faults.book_error,
    Trouble.BOOK_GARBAGE: faults.book_garbage,
    Trouble.BOOK_OF_ANOTHER: lambda: faults.book_of_user("XY9876"),
}


class KiteBench(TraderBench):
    """A trader to a local Kite. `client`: None: one within this process."""

    def __init__(
        self,
        folder: Path,
        core: KiteCore,
        clock: Clock,
        *,
        url: str = "",
        refuse: Callable[[], object] | None = None,
    ) -> None:
        self.core, self.clock, self.folder = core, clock, folder
        self.user = core.user
        self._refuse = refuse
        master = master_of(core.dump)
        self.instrument = master.token(RELIANCE)
        self.price = Decimal(1400)
        write_keys(folder, core.config)
        log_in(folder, core, clock.now())
        self.session = SessionFile(folder, clock, core.user)
        self.client = (
            KiteClient(clock, url, self.session, send_within=TIMEOUT, request_seconds=TIMEOUT)
            if url
            else CoreKiteClient(core, clock, self.session, timeout=TIMEOUT)
        )
        self.pace = MemoryOrderPace(MemoryDatabase(clock, SeededIds(1)))
        self.trader: ZerodhaTrader = self.with_terms()

    def with_terms(self, **changes: object) -> ZerodhaTrader:
        """Return a trader with other terms, over the same client."""
        terms = terms_of(self.core)
        for name, value in changes.items():
            object.__setattr__(terms, name, value)
        master = master_of(self.core.dump)
        return ZerodhaTrader(self.client, terms, self.session, self.clock, self.pace, lambda: master, "paper")

    def reading(self) -> PriceReading:
        return NO_PRICE

    def sent(self) -> Counter[str]:
        return self.core.placed()

    async def trouble(self, trouble: Trouble) -> bool:
        if trouble is Trouble.NO_CONNECTION:
            if self._refuse is None:
                self.core.plan(faults.refuse_connection())
            else:
                await self._refuse()  # type: ignore[misc]
        else:
            self.core.plan(FAULTS[trouble]())
        return True

    async def end_token(self) -> bool:
        self.core.expire_token()
        return True

    async def new_token(self) -> None:
        log_in(self.folder, self.core, max(self.clock.now(), self.core.agenda.now))
