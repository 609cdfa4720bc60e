from typing import Any

import pytest

from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import PriceReading
from alpha_panda.engine.router import ExecutionRouter, is_cancel, validated
from alpha_panda.errors import UndecodableRecordError
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.records import event_of
from unit.engine.desk import ACCOUNT, Desk


class Traders:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.made: list[str] = []

    def trader(self, account: str) -> Any:
        self.made.append(account)
        return self.desk.broker


async def test_a_trader_is_made_on_first_use_and_kept(desk: Desk) -> None:
    traders = Traders(desk)
    router = ExecutionRouter(traders)
    assert traders.made == []
    entry = await desk.place(desk.limit())
    reading = PriceReading(None, None)
    await router.place(ACCOUNT, entry, reading, deadline=0)
    assert (await router.cancel(ACCOUNT, entry)).state is EntryState.CANCELLED
    assert traders.made == [ACCOUNT]
    assert desk.broker.cancelled == [entry]


async def test_the_deadline_reaches_the_trader(desk: Desk) -> None:
    entry = await desk.place(desk.limit())
    outcome = await ExecutionRouter(Traders(desk)).place(ACCOUNT, entry, PriceReading(None, None), 0)
    assert outcome.state is EntryState.FAILED


async def test_only_a_validated_signal_is_one(desk: Desk) -> None:
    event = event_of(await desk.validated(desk.signal()))
    assert validated(event) is event.data
    await desk.place(desk.signal(2))
    with pytest.raises(UndecodableRecordError):
        validated(desk.events()[0])


async def test_a_cancel_is_told_from_all_else(desk: Desk) -> None:
    order = desk.limit()
    records = [await desk.validated(order), await desk.validated(desk.cancel_request(order))]
    await desk.engine().handle(records[:1])
    records.append(next(record for record in desk.records if record.topic == desk.topics.orders_submitted))
    await desk.producer.send([Outgoing(desk.topics.signals_validated, b"no event", key="k")])
    records.append(desk.records[-1])
    assert [is_cancel(record) for record in records] == [False, True, False, False]
