"""The Redis adapter under its port's contract suite, on a real server; and what is Redis' own."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from alpha_panda.contracts.stored import OrderFold
from alpha_panda.testing.servers.redis import RedisServer
from contracts.checkpoints_contract import WHO, CheckpointStoreContract, _checkpoint
from contracts.harness import Stores
from contracts.redis_stores import PREFIX, redis_stores


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[Stores]:
    async with redis_stores(redis_server) as stores:
        yield stores


class TestRedis(CheckpointStoreContract):
    pass


async def test_thousands_of_folds_are_saved_and_claimed_in_one_step(stores: Stores) -> None:
    folds = {f"s{number}": OrderFold(filled_quantity=Decimal(number), rank=2) for number in range(5_000)}
    incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
    await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), folds)
    assert (await stores.checkpoints.claim(*WHO)).folds == folds


async def test_a_fold_may_have_any_name(stores: Stores) -> None:
    """Nothing that a signal is called is taken for a part of the checkpoint."""
    names = ["checkpoint", "incarnation", "run_id", "fold:", "", "ä:1"]
    folds = {name: OrderFold(rank=rank) for rank, name in enumerate(names)}
    incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
    await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), folds)
    claim = await stores.checkpoints.claim(*WHO)
    assert (claim.checkpoint, claim.folds) == (_checkpoint(), folds)


async def test_all_of_a_strategy_on_an_account_is_one_key(stores: Stores, redis_server: RedisServer) -> None:
    incarnation = (await stores.checkpoints.claim(*WHO)).incarnation
    await stores.checkpoints.save(*WHO, incarnation, _checkpoint(), {"s1": OrderFold()})
    with redis_server.client(decode_responses=True) as client:
        assert client.keys() == [f"{PREFIX}momentum:paper:checkpoint"]
