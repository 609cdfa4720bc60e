"""The only caller of the Kubernetes API (Kopf's watches aside): raw aiohttp, a time-out for every call, no retries.

Server-side apply throughout: what we write is ours, what others write stays theirs. Every write asks `may_write`
first: a replica that no longer leads writes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec

from alpha_panda.errors import ApiRefusedError, DependencyUnavailableError
from alpha_panda_operator.access import ApiAccess
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import EVENT, FIELD_MANAGER, LEASE, Kind

T = TypeVar("T")

Object = dict[str, Any]
Objects = list[Object]

PAGE: Final = 250
"""Objects a page of a listing: a page of Deployments takes 10 MB while it is looked at."""

API: Final = "kubernetes"
"""Name of the dependency in errors."""

_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_MERGE: Final = "application/merge-patch+json"
_META_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_CONNECT_SECONDS: Final = 5.0
UNDECLARED: Final = "field not declared in schema"
"""What the API server says (as 500) of a field that a resource's definition does not have: waiting mends nothing."""

_BUSY: Final = (429, 500, 502, 503, 504)
"""Answers that say: later. All others say: not so."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing showed as of `version`."""

    items: Objects = field(repr=False)
    version: str = ""


class _ListMeta(msgspec.Struct):
    version: str = msgspec.field(name="resourceVersion", default="")
    following: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    """A page of a listing. Its items are read one at a time, as they are looked at: each takes ten times its text."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_page: Final = msgspec.json.Decoder(_Page)
_object: Final = msgspec.json.Decoder(Object)


def _objects(page: _Page) -> Iterator[Object]:
    """Yield a page's objects, each as it is asked for."""
    return map(_object.decode, page.items or ())


def path_of(kind: Kind, namespace: str | None, name: str = "", subresource: str = "") -> str:
    """Return the path of an object, or of a collection; of all namespaces without one."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    parts = [root, *(["namespaces", namespace] if namespace else []), kind.plural, name, subresource]
    return "/".join(part for part in parts if part)


def _always() -> None:
    """Anybody may write who was told nothing else."""


class Cluster:
    """One API server. Use as an async context; `timeout` in seconds for each call."""

    def __init__(self, access: ApiAccess, metrics: Metrics, timeout: float) -> None:
        self.may_write: Callable[[], None] = _always
        self._access = access
        self._metrics = metrics
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.ssl_context() or True, limit=32)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ------------------------------------------------------------------------------------------ reading

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object; None if there is none."""
        try:
            return await self._ask("GET", kind, path_of(kind, namespace, name), _object)
        except ApiRefusedError as error:
            if error.status == 404:  # noqa: PLR2004 - HTTP's Not Found
                return None
            raise

    async def list(
        self,
        kind: Kind,
        namespaces: Iterable[str] = (),
        *,
        selector: str = "",
        metadata_only: bool = False,
        take: Callable[[Iterable[Object]], None] | None = None,
    ) -> Listing:
        """Return all objects, by pages, as of now and not as of some cache; of all namespaces if none is named.

        `metadata_only`: names, labels and versions alone. `take`: is given each page as it comes, and none is kept.
        """
        items: Objects = []
        versions = [
            await self._list_into(
                take or items.extend, kind, path_of(kind, namespace), selector, metadata_only
            )
            for namespace in tuple(namespaces) or (None,)
        ]
        # The first one's: what came into a namespace while the next was read is later than that.
        return Listing(items, versions[0])

    async def _list_into(
        self,
        take: Callable[[Iterable[Object]], None],
        kind: Kind,
        path: str,
        selector: str,
        metadata_only: bool,
    ) -> str:
        query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        accept = _META_ONLY if metadata_only else "application/json"
        while True:
            page = await self._ask("GET", kind, path, _page, query=query, accept=accept, verb="list")
            take(_objects(page))
            if not page.metadata.following:
                return page.metadata.version
            query["continue"] = page.metadata.following

    @asynccontextmanager
    async def watch_one(
        self, kind: Kind, namespace: str, name: str, seconds: int
    ) -> AsyncIterator[AsyncIterator[None]]:
        """Give a stream that yields each time that one object changes, and ends after `seconds` at the latest."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "timeoutSeconds": str(seconds),
        }
        limit = aiohttp.ClientTimeout(total=seconds + self._timeout, connect=_CONNECT_SECONDS)
        async with self._raw(
            "GET", kind, path_of(kind, namespace), query, {}, None, limit, "watch"
        ) as answer:
            await _refuse(answer)
            yield _lines(answer)

    # ------------------------------------------------------------------------------------------ writing

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], subresource: str = "") -> Object:
        """Apply what we say of an object, against whoever says otherwise; return the object as it is now.

        Raises:
            ApiRefusedError: the API refuses it: 409 where `uid` or `resourceVersion` in it is not the object's.

        """
        metadata = manifest["metadata"]
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
        if not subresource:
            self._metrics.applies.labels(kind.kind).inc()
        return await self._write(
            "PATCH",
            kind,
            path_of(kind, metadata.get("namespace"), metadata["name"], subresource),
            body,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            content=_APPLY,
            verb="apply",
        )

    async def merge(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]) -> Object | None:
        """Change fields of an object that exists; None if there is none. Creates nothing."""
        try:
            return await self._write(
                "PATCH",
                kind,
                path_of(kind, namespace, name),
                patch,
                query={"fieldManager": FIELD_MANAGER},
                content=_MERGE,
            )
        except ApiRefusedError as error:
            if error.status == 404:  # noqa: PLR2004 - HTTP's Not Found
                return None
            raise

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete an object if it is still that one; it may be gone already."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._write("DELETE", kind, path_of(kind, namespace, name), body)
        except ApiRefusedError as error:
            if error.status not in (404, 409):
                raise

    async def create_event(self, event: Mapping[str, Any]) -> None:
        """Write an Event."""
        await self._write("POST", EVENT, path_of(EVENT, event["metadata"]["namespace"]), event)

    async def create_lease(self, lease: Mapping[str, Any]) -> Object:
        """Create a Lease; 409 if somebody was faster. Not asked whether we lead: this is how we come to."""
        return await self._ask(
            "POST", LEASE, path_of(LEASE, lease["metadata"]["namespace"]), _object, body=lease
        )

    async def replace_lease(self, lease: Mapping[str, Any]) -> Object:
        """Replace a Lease as we have read it; 409 if it has changed since."""
        metadata = lease["metadata"]
        return await self._ask(
            "PUT", LEASE, path_of(LEASE, metadata["namespace"], metadata["name"]), _object, body=lease
        )

    # ------------------------------------------------------------------------------------------ the wire

    async def _write(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        kind: Kind,
        path: str,
        body: Mapping[str, Any],
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        verb: str = "",
    ) -> Object:
        self.may_write()
        return await self._ask(
            method, kind, path, _object, query=query, body=body, content=content, verb=verb
        )

    async def _ask(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        kind: Kind,
        path: str,
        answers: msgspec.json.Decoder[T],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        verb: str = "",
    ) -> T:
        headers = {"Accept": accept, **({"Content-Type": content} if body is not None else {})}
        limit = aiohttp.ClientTimeout(total=self._timeout, connect=_CONNECT_SECONDS)
        data = None if body is None else msgspec.json.encode(body)
        async with self._raw(method, kind, path, query or {}, headers, data, limit, verb) as answer:
            await _refuse(answer)
            text = await answer.read()
        try:
            return answers.decode(text)
        except msgspec.DecodeError as error:  # a proxy's own page, say
            raise DependencyUnavailableError(
                API, f"{method} {path}: not what the API says: {error}"
            ) from error

    @asynccontextmanager
    async def _raw(  # noqa: PLR0913, PLR0917 - as above
        self,
        method: str,
        kind: Kind,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        data: bytes | None,
        limit: aiohttp.ClientTimeout,
        verb: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise DependencyUnavailableError(API, "the connection is closed")
        code = "none"
        try:
            token = self._access.token()
            login = {"Authorization": f"Bearer {token}"} if token else {}
            async with self._session.request(
                method,
                self._access.server + path,
                params=query,
                data=data,
                headers={**headers, **login, "User-Agent": FIELD_MANAGER},
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                code = str(answer.status)
                yield answer
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            words = str(error) or type(error).__name__
            raise DependencyUnavailableError(API, f"{method} {path}: {words}") from error
        finally:
            self._metrics.requests.labels(verb or method.lower(), kind.plural, code).inc()


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    """Raise for anything but success."""
    if answer.status < 300:  # noqa: PLR2004 - HTTP's successes
        return
    body = await answer.read()
    try:
        told = msgspec.json.decode(body)
        reason, message = str(told.get("reason", "")), str(told.get("message", ""))
    except (msgspec.DecodeError, AttributeError):
        reason, message = "", body[:300].decode("utf-8", "replace")
    where = f"{answer.method} {answer.url.path}"
    if answer.status in _BUSY and UNDECLARED not in message:
        raise DependencyUnavailableError(API, f"{where}: {answer.status} {reason} {message}")
    raise ApiRefusedError(answer.status, reason, f"{where}: {message or reason or answer.reason}")


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
    async for line in answer.content:
        if line.strip():
            yield None
