"""`/metrics` over real HTTP, on its own port."""

import socket

import aiohttp
import pytest

from alpha_panda.compose.metrics_server import answering_scrapes
from alpha_panda.errors import SettingsError
from alpha_panda.runtime.metrics.catalogue import TICK_TO_CACHE
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.settings import Settings, load_settings
from unit.compose.test_health_server import free_port

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def settings(port: int) -> Settings:
    return load_settings(metrics_host="127.0.0.1", metrics_port=port)


async def ask(port: int, path: str = "/metrics", accept: str = "*/*") -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Accept": accept}) as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.text()


async def test_a_scraper_gets_the_figures_in_the_format_that_it_asks_for() -> None:
    metrics = Metrics()
    metrics.timer(TICK_TO_CACHE, feed="demo").observe(0.1, {"trace_id": "abc"})
    async with answering_scrapes(metrics, settings(free_port())) as port:
        assert port is not None
        status, kind, text = await ask(port)
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert 'alphapanda_tick_to_cache_seconds_count{feed="demo"} 1.0' in text
        status, kind, text = await ask(port, accept=OPEN_METRICS)
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        assert 'trace_id="abc"' in text


async def test_there_is_nothing_else_on_that_port() -> None:
    async with answering_scrapes(Metrics(), settings(free_port())) as port:
        assert port is not None
        assert (await ask(port, "/livez"))[0] == 404
        assert (await ask(port, "/"))[0] == 404


async def test_no_port_is_opened_unless_one_is_set() -> None:
    async with answering_scrapes(Metrics(), load_settings()) as port:
        assert port is None


async def test_a_port_that_is_taken_is_said_with_the_variable_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"ALPHAPANDA_METRICS_PORT is {port}: .*choose a free port"):
            async with answering_scrapes(Metrics(), settings(port)):
                pass


async def test_afterwards_the_port_is_free_again() -> None:
    port = free_port()
    for _ in range(2):
        async with answering_scrapes(Metrics(), settings(port)):
            assert (await ask(port))[0] == 200
