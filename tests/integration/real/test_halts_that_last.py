"""`halt --all` from the operator's pod, which has no prefix: Redis loses everything, and every account is halted again."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.cli.app import main
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.scopes import PLATFORM
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import platform_control
from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from integration.real.pods import Site


@pytest.fixture
def site(
    kafka_server: KafkaServer | ExternalKafka,
    own_redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """In the environment of the operator's pod."""
    made = Site(kafka_server, own_redis_server, tmp_path.name.replace("_", "-")[-30:].strip("-"))
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


async def alpha(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run a command as a process of its own would: it has its own loop."""
    capsys.readouterr()
    code = await asyncio.to_thread(main, [*words, "-o", "json"])
    out, err = capsys.readouterr()
    answer = out[found.start() :] if (found := re.search(r"^[{[]$", out, re.MULTILINE)) else ""
    return code, json.loads(
        answer or "null"
    ) or err  # a service of this process may have logged meanwhile, too


async def activate(site: Site) -> None:
    """Write the platform's state, as the operator does."""
    async with site.ports() as ports:
        await ports.control.put_spec(PLATFORM, TradingState.ACTIVE, 600)


async def latches(site: Site) -> tuple[Latch, ...]:
    async with site.ports() as ports:
        (reading,) = await ports.control.read([PLATFORM])
        return reading.latches


@pytest.mark.timeout(240)
async def test_every_account_of_every_prefix_is_halted_again_and_a_cleared_halt_stays_away(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = site.prefixes
    await activate(site)
    async with site.tracking(one), site.tracking(two):
        code, found = await alpha(capsys, "halt", "--all", "--reason", "odd fills", "--by", "ann")
    assert code == 0, found
    (halt,) = found["halts"]
    assert (halt["in_force"], halt["complete"]) == (True, True)
    assert halt["kept_in"] == [platform_control(site.name).name]
    (latch,) = await latches(site)

    for prefix in (one, two):  # each by itself: none may rest on what another puts back
        site.redis.flush()
        assert await latches(site) == ()
        async with site.tracking(prefix):  # the account may trade from here on
            assert await latches(site) == (latch,)

    await activate(site)
    code, found = await alpha(capsys, "resume", "--all", "--latch", latch.latch_id, "--reason", "looked")
    assert (code, found["state"], found["latches"]) == (0, "Active", [])
    site.redis.flush()
    async with site.tracking(one), site.tracking(two):
        assert await latches(site) == ()


@pytest.mark.timeout(120)
async def test_a_halt_from_before_there_was_an_account_binds_the_first_one_too(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    await activate(site)
    code, _ = await alpha(capsys, "halt", "--all", "--reason", "not yet", "--latch", "mine")
    assert code == 0
    site.redis.flush()
    async with site.tracking(site.prefixes[0]):
        assert [latch.latch_id for latch in await latches(site)] == ["mine"]


@pytest.mark.timeout(120)
async def test_another_installations_halt_is_none_of_ours(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAPANDA_INSTALLATION", f"{site.name}-other")
    code, found = await alpha(capsys, "halt", "--all", "--reason", "theirs", "-o", "json")
    assert code == 1  # nobody has ever written that platform's state: is the name right?
    assert found["halts"][0]["kept_in"] == [platform_control(f"{site.name}-other").name]
    monkeypatch.setenv("ALPHAPANDA_INSTALLATION", site.name)
    site.redis.flush()
    async with site.tracking(site.prefixes[0]):
        assert await latches(site) == ()
