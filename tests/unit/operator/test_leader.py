"""One leads: by the API's word and one's own monotonic clock, never by another's clock."""

import asyncio
import copy
from typing import Any

import pytest

from alpha_panda.errors import ApiRefusedError, DependencyUnavailableError, FencedError
from alpha_panda_operator.config import LeaderConfig
from alpha_panda_operator.leader import Leadership
from alpha_panda_operator.names import Kind
from unit.operator.kit import FakeClock

CONFIG = LeaderConfig(lease_seconds=15, renew_seconds=3, give_up_seconds=9, call_timeout_seconds=2)


class FakeLeases:
    """One Lease with resourceVersions; can be unreachable."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.hang = False
        self.writes = 0
        self.reads = 0

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        await self._answer()
        self.reads += 1
        return copy.deepcopy(self.lease)

    async def create_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        await self._answer()
        if self.lease is not None:
            raise ApiRefusedError(409, "AlreadyExists", "there is one")
        return self._store(lease)

    async def replace_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        await self._answer()
        assert self.lease is not None
        if lease["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiRefusedError(409, "Conflict", "it has changed")
        return self._store(lease)

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])

    async def _answer(self) -> None:
        if self.hang:
            await asyncio.Event().wait()
        if self.down:
            raise DependencyUnavailableError("kubernetes", "no answer")

    def _store(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.writes += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)


def replica(leases: FakeLeases, clock: FakeClock, name: str) -> Leadership:
    return Leadership(leases, clock, CONFIG, "home", name)


async def test_the_first_leads_and_the_second_waits_until_the_first_gives_it_up() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one, two = replica(leases, clock, "one"), replica(leases, clock, "two")
    async with one.lead():
        assert one.leads
        assert not await two.attempt()
        await clock.pass_(60)  # renewed meanwhile
        assert one.leads
        assert not await two.attempt()
        with pytest.raises(FencedError):
            two.check()
    assert leases.holder == ""
    assert await two.attempt()
    assert not one.leads


async def test_a_dead_leaders_lease_is_taken_only_after_its_whole_time_on_the_takers_clock() -> None:
    leases, clock = FakeLeases(), FakeClock()
    await replica(leases, clock, "dead").attempt()
    two = replica(leases, clock, "two")
    assert not await two.attempt()
    await clock.pass_(14.9)
    assert not await two.attempt()
    await clock.pass_(0.2)
    assert await two.attempt()
    assert leases.holder == "two"
    assert leases.lease is not None
    assert leases.lease["spec"]["leaseTransitions"] == 1


async def test_a_renewal_starts_the_wait_anew() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one, two = replica(leases, clock, "one"), replica(leases, clock, "two")
    await one.attempt()
    for _ in range(5):
        await clock.pass_(10)
        await one.attempt()
        assert not await two.attempt()


async def test_a_renewal_is_one_request_and_a_changed_record_is_read_again() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one = replica(leases, clock, "one")
    await one.attempt()
    reads = leases.reads
    assert await one.attempt()
    assert (leases.reads, leases.writes) == (reads, 2)
    assert leases.lease is not None
    leases._store({**leases.lease, "metadata": {**leases.lease["metadata"], "labels": {"by": "a person"}}})
    assert await one.attempt()
    assert leases.reads == reads + 1
    leases._store({**leases.lease, "spec": {**leases.lease["spec"], "holderIdentity": "two"}})
    assert not await one.attempt()
    assert leases.holder == "two"


async def test_who_can_not_renew_stops_leading_before_anybody_else_may() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one, two = replica(leases, clock, "one"), replica(leases, clock, "two")

    async def lead() -> None:
        async with one.lead():
            await asyncio.Event().wait()

    leading = asyncio.create_task(lead())
    await clock.pass_(1)
    assert one.leads
    await two.attempt()
    leases.down = True
    led_until = taken_at = 0.0
    for _ in range(200):
        await clock.pass_(0.1)
        if one.leads:
            led_until = clock.time
        leases.down = False
        if not taken_at and await two.attempt():
            taken_at = clock.time
        leases.down = True
    assert leading.done()
    with pytest.raises(FencedError, match="could not be renewed"):
        leading.result()
    assert 8 < led_until <= 10
    assert taken_at - led_until > 4


async def test_an_answer_that_never_comes_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    leases, clock = FakeLeases(), FakeClock()
    quick = LeaderConfig(lease_seconds=15, renew_seconds=3, give_up_seconds=9, call_timeout_seconds=0.01)
    one = Leadership(leases, clock, quick, "home", "one")
    assert await one.attempt()
    leases.hang = True
    assert await one.attempt()  # still ours by our clock
    await clock.pass_(9)
    assert not await one.attempt()
    assert one.silence == 9


async def test_a_late_answer_counts_from_when_the_question_was_asked() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one = replica(leases, clock, "one")
    asked = leases.create_lease

    async def slow(lease: dict[str, Any]) -> dict[str, Any]:
        clock.time += 8
        return await asked(lease)

    leases.create_lease = slow  # type: ignore[method-assign]
    assert await one.attempt()
    await clock.pass_(1.1)
    assert not one.leads


async def test_of_two_who_see_it_free_one_wins() -> None:
    leases, clock = FakeLeases(), FakeClock()
    replicas = [replica(leases, clock, name) for name in "ab"]
    won = await asyncio.gather(*(item.attempt() for item in replicas))
    assert sorted(won) == [False, True]


async def test_giving_it_up_twice_changes_nothing() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one = replica(leases, clock, "one")
    async with one.lead():
        pass
    await one._release()
    assert (leases.holder, leases.writes) == ("", 2)


@pytest.mark.parametrize("pair", [(5, 4, 15), (3, 15, 15)])
def test_a_configuration_under_which_two_could_lead_is_refused(pair: tuple[int, int, int]) -> None:
    renew, give_up, lease = pair
    with pytest.raises(ValueError, match="two could lead"):
        LeaderConfig(renew_seconds=renew, give_up_seconds=give_up, lease_seconds=lease)


async def test_who_stumbles_over_an_answer_ends_too_when_the_lease_has_run_out() -> None:
    leases, clock = FakeLeases(), FakeClock()
    one = replica(leases, clock, "one")

    async def stumble(_: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("metadata")

    async def lead() -> None:
        async with one.lead():
            leases.replace_lease = stumble  # type: ignore[method-assign,assignment]
            await asyncio.Event().wait()

    leading = asyncio.create_task(lead())
    await clock.pass_(20)
    assert leading.done()
    with pytest.raises(FencedError):
        await leading
