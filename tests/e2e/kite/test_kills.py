"""kill -9 at each crash point of the order protocol while orders fly to the local Kite: never two orders, never none told.

The broker counts: of each tag one call and one order at most; an order is told LOST only if the broker has none.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from alpha_panda.contracts.codes import Code
from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.commands import Behave, Configure, Plan
from alpha_panda.testing.kite.faults import PlaceFault
from alpha_panda.testing.processes.service import CONTROL
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

from .kite_manifests import listing
from .kite_platform import KitePlatform, accepted, india, placed
from .kite_process import KiteProcess

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

INSTRUMENTS: Final = 1200
FLYING: Final = 4
"""Signals that are under way when a service dies."""

FILLED: Final = "FILLED"
LOST: Final = f"LOST {Code.ORDER_LOST}"


REFUSED: Final = f"REJECTED {Code.NOT_RECONCILED}"
ALLOWED: Final = {"engine": {LOST}, "order-tracker": {REFUSED}}
"""How else an order may end: it was about to be sent when the engine died; an order-tracker that starts compares first."""


@dataclass(frozen=True)
class Kill:
    """Where a service dies, and what goes wrong at the broker meanwhile, with all orders."""

    service: str
    point: str
    fault: PlaceFault | None = None
    said: str = ""

    def __str__(self) -> str:
        return f"{self.service} {self.point} {self.said}".strip()


RISK: Final = (
    "decisions.record:before", "decisions.record:after", "producer.send(signals.validated):before",
    "producer.send(signals.validated):after", "decisions.save:before", "decisions.save:after", "consumer.commit:before",
)  # fmt: skip
ENGINE: Final = (
    "journal.begin:before", "journal.begin:after", "trader.place:before", "trader.place:after", "journal.settle:after",
    "producer.send(orders.submitted):before", "producer.send(orders.submitted):after", "journal.acknowledge:after",
    "consumer.commit:before", "consumer.commit:after",
)  # fmt: skip
TRACKER: Final = (
    "journal.fill:before", "journal.fill:after", "producer.send(orders.filled):before",
    "producer.send(orders.filled):after", "journal.acknowledge_all:after", "trader.order_book:after",
    "trader.portfolio:after", "journal.put_facts:before", "journal.put_facts:after",
)  # fmt: skip
RESOLVING: Final = ("journal.resolve:before", "journal.resolve:after")

DOUBTS: Final = {
    "no reply": faults.drop_reply(),
    "timed out, yet placed": faults.timed_out_yet_placed(1),
    "502, yet placed": faults.bad_gateway(accepts=True),
    "502, not placed": faults.bad_gateway(accepts=False),
    "slow book": faults.slow_book(1),
}

KILLS: Final = [
    *(Kill("risk", point) for point in RISK),
    *(Kill("engine", point) for point in ENGINE),
    *(Kill("order-tracker", point) for point in TRACKER),
    *(Kill("order-tracker", point, DOUBTS["no reply"], "no reply") for point in RESOLVING),
    *(
        Kill("engine", point, fault, said)
        for said, fault in DOUBTS.items()
        for point in ("trader.place:after", "journal.settle:after")
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    kafka: KafkaServer, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KitePlatform]:
    """All services but the strategy's; at the end book, events and broker agree."""
    async with KiteProcess(f"--instruments={INSTRUMENTS + 21}", "--ticks-per-second=400", "--delays") as kite:
        made = KitePlatform(
            tmp_path_factory.mktemp("kite"),
            kafka.bootstrap_servers,
            redis.url,
            kite=kite,
            listed=listing(india(time.time_ns()).date(), INSTRUMENTS),
            settings={"lease_ttl_seconds": 2, "lease_renew_seconds": 0.4, "lost_after_seconds": 3},
        )
        async with made:
            await kite.do(Configure(changes={"liquidity": 5}))
            await made.log_in_at_once()
            await made.start(CONTROL, "market-feed", "feed-cacher", "order-tracker", "risk", "engine")
            await made.priced()
            await made.until(made.reconciled, "the account is compared with its broker")
            yield made
            await made.comes_to_rest(letters=0)


@pytest.mark.parametrize("kill", KILLS, ids=str)
async def test_no_death_makes_a_second_order_or_hides_one(
    platform: KitePlatform, kill: Kill, tally: Tally
) -> None:
    kite = platform.kite
    await platform.until(platform.may_trade, "the account is compared with its broker")
    if kill.fault is not None:
        await kite.do(Plan(fault=kill.fault, times=FLYING))
    if kill.service == "engine":
        await platform.engine_idle()
    sent = await platform.harm(kill.service, kill.point, send=FLYING)
    await platform.ended(*sent)
    await kite.do(Behave())
    truth = await platform.check_broker()
    orders, calls = accepted(truth), placed(truth)
    outcomes = Counter(platform.told(signal) for signal in sent)
    for signal in sent:
        tag, told = broker_tag(signal), platform.told(signal)
        assert orders[tag] == (1 if told == FILLED else 0), f"{told}, but the broker has {orders[tag]}"
        assert calls[tag] <= (0 if told == REFUSED else 1)
    assert outcomes.keys() <= {FILLED, *ALLOWED.get(kill.service, ())}
    tally("kite orders told LOST, of which the broker has none", outcomes[LOST])
    tally("kite crash points")
    tally("kite orders in flight at a crash", FLYING)
