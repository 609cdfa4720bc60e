import asyncio
import getpass
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from alpha_panda.cli import connecting
from alpha_panda.compose import transports
from alpha_panda.errors import UserInputError
from alpha_panda.ports import Clock
from alpha_panda.runtime.settings import Settings, load_settings
from unit.cli.operating import Operator


async def opened(settings: Settings) -> Any:
    async with connecting.connected(settings) as ports:
        return ports


@pytest.mark.usefixtures("alpha")
@pytest.mark.parametrize("given", [{}, {"redis_url": "redis://h:1"}, {"kafka_bootstrap_servers": "h:1"}])
def test_both_addresses_are_wanted(given: dict[str, Any]) -> None:
    with pytest.raises(UserInputError) as refused:
        asyncio.run(opened(load_settings(**given)))
    missing = {"redis_url", "kafka_bootstrap_servers"} - given.keys()
    assert all(f"ALPHAPANDA_{name.upper()}" in str(refused.value) for name in missing)


@pytest.mark.usefixtures("alpha")
def test_the_transports_are_those_of_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    @asynccontextmanager
    async def connected(settings: Settings, clock: Clock) -> AsyncIterator[str]:
        seen.append((settings.redis_url.get_secret_value(), clock.virtual))
        yield "ports"

    monkeypatch.setattr(transports, "connected", connected)
    settings = load_settings(kafka_bootstrap_servers="h:1", redis_url="redis://h:1")
    assert asyncio.run(opened(settings)) == "ports"
    assert seen == [("redis://h:1", False)]


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid 1000")

    assert connecting.person("ann") == "ann"
    assert connecting.person(None) == getpass.getuser()
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert connecting.person(None) == "unknown"
    assert connecting.person("ann") == "ann"


@pytest.mark.parametrize(("level", "seen"), [(None, False), ("WARNING", True)])
def test_what_the_command_tells_is_not_logged_too(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, level: str | None, seen: bool
) -> None:
    client = logging.getLogger("aiokafka")
    monkeypatch.setattr(client, "level", logging.NOTSET)
    if level:
        monkeypatch.setenv("ALPHAPANDA_LOG_LEVEL", level)

    async def topics() -> frozenset[str]:
        client.error("no broker answers")
        return frozenset()

    monkeypatch.setattr(operator.site.bus, "topics", topics)
    client.manager._clear_cache()  # type: ignore[attr-defined]
    assert ("no broker answers" in operator("dlq", "list").err) is seen
