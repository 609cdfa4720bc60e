"""The two programs that the chart runs by itself: before it is uninstalled, and for `helm test`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from alpha_panda.errors import ApiRefusedError, DependencyUnavailableError
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from alpha_panda_operator import install_check, uninstall_check
from alpha_panda_operator.access import ApiAccess

Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """An HTTP server that answers everything by `handler`; gives its address."""

    async def answer(request: web.Request) -> web.StreamResponse:
        found = handler(request)
        assert isinstance(found, web.StreamResponse)
        return found

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await runner.cleanup()


def access(address: str) -> ApiAccess:
    return ApiAccess(server=address, token=lambda: "token")


def listing(*names: str, namespace: str = "trading") -> web.Response:
    items = [{"metadata": {"name": name, "namespace": namespace}} for name in names]
    return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


def refused(status: int) -> web.Response:
    return web.json_response({"reason": "No", "message": "no"}, status=status)


# ---------------------------------------------------------------------------------------------- what lives


async def test_it_names_what_lives_of_every_kind() -> None:
    def api(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token"
        return listing("momentum") if request.path.endswith("/strategies") else listing()

    async with server(api) as address:
        assert await uninstall_check.living(access(address), []) == ["Strategy trading/momentum"]


async def test_it_asks_in_the_watched_namespaces_alone() -> None:
    asked = []

    def api(request: web.Request) -> web.Response:
        asked.append(request.path)
        return listing()

    async with server(api) as address:
        assert await uninstall_check.living(access(address), ["blue", "green"]) == []
    assert len(asked) == 6
    assert all("/namespaces/blue/" in path or "/namespaces/green/" in path for path in asked)


async def test_kinds_that_are_not_installed_have_nothing_that_lives() -> None:
    async with server(lambda _: refused(404)) as address:
        assert await uninstall_check.living(access(address), []) == []


@pytest.mark.parametrize("status", [401, 403])
async def test_not_being_allowed_to_look_is_not_nothing(status: int) -> None:
    async with server(lambda _: refused(status)) as address:
        with pytest.raises(ApiRefusedError):
            await uninstall_check.living(access(address), [])


async def test_no_answer_is_not_nothing() -> None:
    async with server(lambda _: refused(503)) as address:
        with pytest.raises(DependencyUnavailableError):
            await uninstall_check.living(access(address), [])


def test_a_refusal_lists_the_first_and_says_what_to_do() -> None:
    said = uninstall_check.refusal([f"Strategy t/s{i}" for i in range(25)], "mine", "ns", "7")
    assert "25 resources live" in said
    assert "  Strategy t/s19\n  … and 5 more\n" in said
    assert "s20" not in said
    assert "kubectl delete strategies,brokeraccounts,marketfeeds" in said
    assert "  helm uninstall mine --namespace ns --no-hooks\n" in said
    assert said.endswith("  helm rollback mine 7 --namespace ns")
    assert "… and" not in uninstall_check.refusal(["Strategy t/s"], "mine", "ns", "7")


@pytest.mark.parametrize("program", [uninstall_check.main, install_check.main])
def test_without_a_way_to_the_api_the_answer_is_no(
    program: Callable[[list[str]], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert program(["a", "b", "1"]) == 1
    assert "no way to the Kubernetes API" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------- is it ready


async def test_an_installation_that_is_well_has_no_faults() -> None:
    async with server(lambda _: listing()) as address:
        assert await install_check.not_served(access(address), []) == []
        assert await install_check.not_ready(f"{address}/readyz") == ""


async def test_every_kind_that_is_not_served_is_told() -> None:
    async with server(lambda request: refused(404) if "strategies" in request.path else listing()) as address:
        (fault,) = await install_check.not_served(access(address), [])
    assert fault.startswith("strategies.alphapanda.io: ")


async def test_an_operator_that_is_starting_is_waited_for() -> None:
    answers = iter([503, 503, 200])
    async with server(lambda _: web.Response(status=next(answers))) as address:
        assert await install_check.not_ready(f"{address}/readyz", seconds=30, pause=0) == ""


async def test_an_operator_that_stays_unready_is_told_with_its_reasons() -> None:
    async with server(lambda _: web.Response(status=503, text="redis does not answer\n")) as address:
        said = await asyncio.wait_for(
            install_check.not_ready(f"{address}/readyz", seconds=0.02, pause=0.005), 30
        )
    assert said == f"{address}/readyz: 503\nredis does not answer"


async def test_an_operator_that_does_not_answer_is_told() -> None:
    async with server(lambda _: listing()) as address:
        pass
    said = await install_check.not_ready(f"{address}/readyz", seconds=0, pause=0.005)
    assert said.startswith(f"{address}/readyz: ")
    assert len(said) > len(f"{address}/readyz: ")
