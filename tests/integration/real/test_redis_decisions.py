"""The Redis adapter under its port's contract suite, on a real server."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from alpha_panda.adapters.redis.decisions import PAGE
from alpha_panda.errors import FencedError
from alpha_panda.testing.servers.redis import RedisServer
from contracts.decisions_contract import FOLD, SNAPSHOT, DecisionStoreContract
from contracts.harness import Lose, Stores
from contracts.redis_stores import RedisHarness, redis_stores
from contracts.samples import decision, signal


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[Stores]:
    async with redis_stores(server) as stores:
        yield stores


class TestRedis(DecisionStoreContract):
    pass


async def test_claim_of_much_is_read_in_pages_and_whole(stores: Stores) -> None:
    claim = await stores.decisions.claim("risk-0")
    folds = {f"s{number}": FOLD for number in range(3 * PAGE)}
    await stores.decisions.save(claim.epoch, SNAPSHOT, folds)
    for number in range(PAGE + 1):
        await stores.decisions.record(claim.epoch, decision(signal(f"s{number}")))
    again = await stores.decisions.claim("risk-1")
    assert again.folds == folds
    assert len(again.decisions) == PAGE + 1
    assert len(await stores.decisions.folds()) == PAGE + 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_claim_that_is_overtaken_while_it_reads_is_fenced(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    """What it has read may be of several moments: of another owner's, or of a store that came back older."""
    assert isinstance(stores.harness, RedisHarness)
    database = stores.harness.database
    command = database.command

    async def overtaken(*args: Any, **options: Any) -> Any:
        if args[0] != "HSCAN":
            return await command(*args, **options)
        monkeypatch.setattr(database, "command", command)
        if restarted:
            await stores.harness.restart(Lose.NOTHING)
        else:
            await stores.decisions.claim("risk-1")
        return await command(*args, **options)

    monkeypatch.setattr(database, "command", overtaken)
    with pytest.raises(FencedError):
        await stores.decisions.claim("risk-0")
