"""Health probes over real HTTP, of a service whose state the test decides."""

import socket
from typing import Any

import aiohttp
import pytest

from alpha_panda.compose.health_server import answering_probes
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import load_settings


class Stub:
    """As much of a service as probes ask."""

    def __init__(self) -> None:
        self.lacking: list[str] = []
        self.hanging: list[str] = []

    def not_ready_because(self) -> list[str]:
        return self.lacking

    def stuck(self) -> list[str]:
        return self.hanging

    def get_status(self) -> ServiceStatus:
        return ServiceStatus(
            service="engine",
            resource="paper",
            instance="pod-1",
            state="running",
            processed=3,
            errors=0,
            dead_lettered=0,
            last_event_ts=None,
            started_at=1,
            details={"equity": "1234567.89", "orders": 3},
        )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serving(*stubs: Stub, port: int | None = None) -> Any:
    settings = load_settings(health_host="127.0.0.1", health_port=free_port() if port is None else port)
    return answering_probes(lambda: stubs, settings)  # type: ignore[arg-type, return-value]  # all that probes ask


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_what_is_well_is_alive_and_ready() -> None:
    async with serving(Stub(), Stub()) as port:
        assert await ask(port, "/livez") == (200, "ok\n")
        assert await ask(port, "/readyz") == (200, "ok\n")


async def test_one_service_that_lacks_something_makes_the_process_unready_and_says_what() -> None:
    lacking = Stub()
    lacking.lacking = ["journal: no answer in 5 s", "the clock here is +350 ms off"]
    async with serving(Stub(), lacking) as port:
        assert await ask(port, "/readyz") == (
            503,
            "journal: no answer in 5 s\nthe clock here is +350 ms off\n",
        )
        assert await ask(port, "/livez") == (200, "ok\n")
        lacking.lacking = []
        assert (await ask(port, "/readyz"))[0] == 200


async def test_a_task_that_hangs_fails_liveness_alone() -> None:
    hanging = Stub()
    hanging.hanging = ["engine: 'consume' busy for 61 s"]
    async with serving(hanging) as port:
        assert await ask(port, "/livez") == (503, "engine: 'consume' busy for 61 s\n")
        assert (await ask(port, "/readyz"))[0] == 200


async def test_a_process_without_a_service_yet_is_alive_and_not_ready() -> None:
    async with serving() as port:
        assert await ask(port, "/readyz") == (503, "starting\n")
        assert (await ask(port, "/livez"))[0] == 200


async def test_the_status_is_one_object_a_service() -> None:
    async with serving(Stub()) as port:
        status, text = await ask(port, "/statusz")
    assert status == 200
    assert '"service":"engine"' in text
    assert '"processed":3' in text


async def test_whoever_reaches_the_port_learns_nothing_of_the_account() -> None:
    stub = Stub()
    async with serving(stub) as port:
        _, text = await ask(port, "/statusz")
    assert "equity" not in text
    assert "1234567" not in text
    assert stub.get_status().details  # where the rights are checked it stays


async def test_without_a_port_nothing_listens() -> None:
    async with serving(Stub(), port=0) as port:
        assert port is None


async def test_a_taken_port_is_a_settings_error_that_names_the_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(SettingsError, match=f"ALPHAPANDA_HEALTH_PORT is {port}"):
            async with serving(Stub(), port=port):
                pytest.fail("it must not start")
    async with serving(Stub(), port=port):  # and what had begun was cleaned up
        assert await ask(port, "/livez") == (200, "ok\n")
