"""The wire to the API: pages, time-outs, what an answer means, and no write by who does not lead."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from alpha_panda.errors import ApiRefusedError, DependencyUnavailableError, FencedError
from alpha_panda_operator.access import ApiAccess
from alpha_panda_operator.cluster import Cluster, path_of
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import CONFIG_MAP, DEPLOYMENT, RESOURCES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def api(
    handler: Handler, *, limit: float = 5.0, login: str = "t"
) -> AsyncIterator[tuple[Cluster, Metrics]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    metrics = Metrics()
    try:
        async with Cluster(ApiAccess(f"http://127.0.0.1:{port}", lambda: login), metrics, limit) as cluster:
            yield cluster, metrics
    finally:
        await runner.cleanup()


def test_paths() -> None:
    assert path_of(CONFIG_MAP, "a", "b") == "/api/v1/namespaces/a/configmaps/b"
    assert path_of(DEPLOYMENT, None) == "/apis/apps/v1/deployments"
    status = path_of(RESOURCES["Strategy"], "a", "b", "status")
    assert status == "/apis/alphapanda.io/v1alpha1/namespaces/a/strategies/b/status"


async def test_a_listing_reads_all_pages_as_of_now() -> None:
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        following = {"": "2", "2": "3", "3": ""}[request.query.get("continue", "")]
        metadata = {"resourceVersion": "7", **({"continue": following} if following else {})}
        return web.json_response({"items": [{"n": len(asked)}], "metadata": metadata})

    async with api(handler) as (cluster, metrics):
        listing = await cluster.list(CONFIG_MAP, selector="a=b")
    assert [item["n"] for item in listing.items] == [1, 2, 3]
    assert listing.version == "7"
    assert all("resourceVersion" not in query and query["labelSelector"] == "a=b" for query in asked)
    assert b'api_requests_total{code="200",resource="configmaps",verb="list"} 3.0' in metrics.text()


async def test_a_listing_can_be_taken_page_by_page() -> None:
    async def handler(request: web.Request) -> web.Response:
        metadata = {} if "continue" in request.query else {"continue": "2"}
        return web.json_response(
            {"items": [{"n": len(metadata)}], "metadata": {"resourceVersion": "7", **metadata}}
        )

    pages: list[list[dict[str, Any]]] = []
    async with api(handler) as (cluster, _):
        listing = await cluster.list(CONFIG_MAP, take=lambda page: pages.append(list(page)))
    assert pages == [[{"n": 1}], [{"n": 0}]]
    assert (listing.items, listing.version) == ([], "7")


async def test_only_the_namespaces_that_are_named_are_listed() -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.json_response({"items": None, "metadata": {}})

    async with api(handler) as (cluster, _):
        await cluster.list(CONFIG_MAP, ["a", "b"], metadata_only=True)
        await cluster.list(CONFIG_MAP)
    assert paths == [
        "/api/v1/namespaces/a/configmaps",
        "/api/v1/namespaces/b/configmaps",
        "/api/v1/configmaps",
    ]


async def test_an_apply_is_forced_and_named_and_logs_in() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(
            method=request.method, query=dict(request.query), type=request.content_type,
            login=request.headers["Authorization"], body=json.loads(await request.read()),
        )  # fmt: skip
        return web.json_response({"ok": True})

    async with api(handler, login="secret") as (cluster, _):
        await cluster.apply(DEPLOYMENT, {"metadata": {"name": "x", "namespace": "a"}})
    assert (seen["method"], seen["type"], seen["login"]) == (
        "PATCH",
        "application/apply-patch+yaml",
        "Bearer secret",
    )
    assert seen["query"] == {"fieldManager": "alpha-panda-operator", "force": "true"}
    assert (seen["body"]["apiVersion"], seen["body"]["kind"]) == ("apps/v1", "Deployment")


def answering(status: int, body: Any = None) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"reason": "R", "message": "words"} if body is None else body, status=status)

    return handler


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_server_that_is_busy_may_be_asked_again(status: int) -> None:
    async with api(answering(status)) as (cluster, _):
        with pytest.raises(DependencyUnavailableError, match=f"{status} R words"):
            await cluster.get(CONFIG_MAP, "a", "b")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 302])
async def test_a_refusal_says_why(status: int) -> None:
    async with api(answering(status)) as (cluster, _):
        with pytest.raises(ApiRefusedError, match="words") as caught:
            await cluster.apply(DEPLOYMENT, {"metadata": {"name": "x", "namespace": "a"}})
    assert (caught.value.status, caught.value.reason) == (status, "R")


async def test_a_field_that_the_definition_lacks_is_a_refusal_although_it_comes_as_500() -> None:
    said = {"message": "failed to create typed patch object: .status.broker: field not declared in schema"}
    async with api(answering(500, said)) as (cluster, _):
        with pytest.raises(ApiRefusedError, match=r"[.]status[.]broker"):
            await cluster.apply(DEPLOYMENT, {"metadata": {"name": "x", "namespace": "a"}}, "status")


async def test_what_is_not_there_is_none_and_needs_no_deleting() -> None:
    async with api(answering(404)) as (cluster, _):
        assert await cluster.get(CONFIG_MAP, "a", "b") is None
        assert await cluster.merge(DEPLOYMENT, "a", "b", {}) is None
        await cluster.delete(CONFIG_MAP, "a", "b", "uid")


async def test_who_does_not_lead_writes_nothing_and_may_read() -> None:
    requests: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append(request.method)
        return web.json_response({"items": [], "metadata": {}})

    def no() -> None:
        raise FencedError("not any more")

    async with api(handler) as (cluster, _):
        cluster.may_write = no
        manifest = {"metadata": {"name": "x", "namespace": "a"}}
        for write in (
            cluster.apply(DEPLOYMENT, manifest),
            cluster.merge(DEPLOYMENT, "a", "x", {}),
            cluster.delete(DEPLOYMENT, "a", "x", "u"),
            cluster.create_event(manifest),
        ):
            with pytest.raises(FencedError):
                await write
        await cluster.list(CONFIG_MAP)
    assert requests == ["GET"]


async def test_an_answer_that_does_not_come_is_a_time_out() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.json_response({})

    async with api(handler, limit=0.05) as (cluster, metrics):
        with pytest.raises(DependencyUnavailableError, match="GET /api"):
            await cluster.get(CONFIG_MAP, "a", "b")
        assert b'code="none"' in metrics.text()


async def test_nobody_there_is_unavailable() -> None:
    async with Cluster(ApiAccess("http://127.0.0.1:1", lambda: None), Metrics(), 1) as cluster:
        with pytest.raises(DependencyUnavailableError):
            await cluster.list(CONFIG_MAP)
    with pytest.raises(DependencyUnavailableError, match="closed"):
        await cluster.list(CONFIG_MAP)


async def test_a_watch_of_one_object_yields_at_each_change_and_ends() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.query["fieldSelector"] == "metadata.name=b"
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await response.write(b'{"type":"MODIFIED"}\n')
        return response

    async with api(handler) as (cluster, _), cluster.watch_one(CONFIG_MAP, "a", "b", 5) as changes:
        assert len([None async for _ in changes]) == 3


async def test_of_several_namespaces_a_listing_is_as_old_as_its_first_part() -> None:
    """Else what comes into the first while the second is read is later than its part, and counts as gone."""

    async def handler(request: web.Request) -> web.Response:
        version = {"a": "100", "b": "105"}[request.path.split("/")[4]]
        return web.json_response({"items": [], "metadata": {"resourceVersion": version}})

    async with api(handler) as (cluster, _):
        assert (await cluster.list(CONFIG_MAP, ["a", "b"])).version == "100"


async def test_an_answer_that_is_not_the_apis_is_asked_for_again_later() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="<html>login</html>", content_type="application/json")

    async with api(handler) as (cluster, _):
        with pytest.raises(DependencyUnavailableError, match="not what the API says"):
            await cluster.list(CONFIG_MAP)
        with pytest.raises(DependencyUnavailableError, match="not what the API says"):
            await cluster.get(CONFIG_MAP, "a", "b")
