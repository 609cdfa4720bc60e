"""Opening and closing aiokafka's clients: paced, bounded, with errors that say what is wrong."""

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import AuthenticationFailedError, KafkaError, SaslAuthenticationFailed
from aiokafka.errors import UnsupportedSaslMechanismError as UnsupportedMechanismError
from aiokafka.util import create_future

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.connection import KafkaConnection, describe, unavailable
from alpha_panda.errors import DependencyUnavailableError

T = TypeVar("T")

REFUSED: Final = (AuthenticationFailedError, SaslAuthenticationFailed, UnsupportedMechanismError)
"""A broker said no to who we are: asking again at once changes nothing."""

_CUT: Final[weakref.WeakSet[AIOKafkaClient]] = weakref.WeakSet()
"""Clients that were closed."""


async def within(seconds: float, what: str, action: Awaitable[T]) -> T:
    """Await `action` for at most `seconds`.

    Raises:
        DependencyUnavailableError: it took longer, or the client failed.

    """
    try:
        async with asyncio.timeout(seconds):
            return await action
    except TimeoutError as error:
        raise unavailable(f"{what}: no answer within {seconds:g} s") from error
    except (KafkaError, OSError) as error:
        raise unavailable(what, error) from error


def pace(client: AIOKafkaClient, connection: KafkaConnection) -> None:
    """Make a client wait between failed attempts to connect to a broker, and read its secrets anew for each.

    aiokafka tries again at once whenever something needs the broker: ten times a second and more, for ever.
    """
    connect: Callable[..., Awaitable[Any]] = client._get_conn  # noqa: SLF001 - aiokafka has no hook
    failures: dict[Any, int] = {}
    seed = RandomIds().new_id()

    async def paced(node_id: Any, **options: Any) -> Any:  # noqa: ANN401 - aiokafka's
        if client in _CUT:
            return None
        failed = failures.get(node_id, 0)
        if failed:
            await asyncio.sleep(connection.backoff(failed, f"{seed}:{node_id}"))
        if not _connected(client, node_id, options):
            _refresh(client, connection)
        opened = await connect(node_id, **options)
        if client in _CUT and opened is not None:  # too late: nobody would close it
            opened.close()
            return None
        failures[node_id] = 0 if opened is not None else failed + 1
        return opened

    client._get_conn = paced  # noqa: SLF001 - see above


def _connected(client: AIOKafkaClient, node_id: Any, options: dict[str, Any]) -> bool:  # noqa: ANN401 - aiokafka's
    conn = client._conns.get((node_id, options.get("group", 0)))  # noqa: SLF001 - to spare the files
    return conn is not None and bool(conn.connected())


def _refresh(client: AIOKafkaClient, connection: KafkaConnection) -> None:
    if connection.uses_sasl:
        client._sasl_plain_username, client._sasl_plain_password = connection.credentials()  # noqa: SLF001 - rotation
    if connection.uses_tls:
        client._ssl_context = connection.ssl_context()  # noqa: SLF001 - rotation


async def opening(connection: KafkaConnection, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` until it succeeds, with back-off, for `request_timeout` in all.

    Raises:
        DependencyUnavailableError: it never did, and why; at once if the broker refuses who we are.

    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connection.request_timeout
    seed, tries, known = RandomIds().new_id(), 0, ""
    while True:
        tries += 1
        try:
            return await within(max(0.0, deadline - loop.time()), what, attempt())
        except DependencyUnavailableError as error:
            pause = connection.backoff(tries, seed)
            reason = await diagnose(connection, deadline)
            known = reason.text or known
            if reason.final or loop.time() + pause >= deadline:
                raise unavailable(f"{what}: {known or error}") from error
        await asyncio.sleep(pause)


async def _nothing() -> None:
    """Prepare nothing."""


async def persisting(  # noqa: PLR0913 - an action, its bounds, and two hooks by keyword
    connection: KafkaConnection,
    seed: str,
    what: str,
    action: Callable[[], Awaitable[T]],
    *,
    recover: Callable[[Exception], Awaitable[None]],
    prepare: Callable[[], Awaitable[object]] = _nothing,
) -> T:
    """Repeat `action` while its errors may pass, with back-off, for `request_timeout` in all.

    `prepare` runs before each attempt, outside the time for it; `recover` after each that failed.

    Raises:
        DependencyUnavailableError: it never succeeded, or failed in a way that no repetition changes.

    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connection.request_timeout
    attempt = 0
    while True:
        attempt += 1
        await prepare()
        try:
            async with asyncio.timeout(max(0.0, deadline - loop.time())):
                return await action()
        except TimeoutError as error:
            raise unavailable(f"{what}: no answer within {connection.request_timeout:g} s") from error
        except (KafkaError, OSError) as error:
            pause = connection.backoff(attempt, seed)
            if not getattr(error, "retriable", False) or loop.time() + pause >= deadline:
                raise unavailable(what, error) from error
            await recover(error)
            await asyncio.sleep(pause)


class Diagnosis:
    """Why a cluster can't be reached; empty if one of its brokers can."""

    def __init__(self, text: str = "", *, final: bool = False) -> None:
        self.text = text
        self.final = final


async def diagnose(connection: KafkaConnection, deadline: float) -> Diagnosis:
    """Connect to each bootstrap server once, for the reason that aiokafka only logs."""
    reasons: list[str] = []
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        return Diagnosis()
    for server in connection.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        options = connection.client_options("diagnosis")
        for unknown in ("bootstrap_servers", "metadata_max_age_ms"):
            del options[unknown]
        try:
            async with asyncio.timeout(left):
                conn = await create_conn(host, int(port), **options)
        except REFUSED as error:
            user = connection.credentials()[0]
            return Diagnosis(
                f"{server} refuses user {user!r} ({connection.sasl_mechanism}): {describe(error)}; "
                "check username, password and mechanism",
                final=True,
            )
        except TimeoutError:
            return Diagnosis(
                "; ".join(reasons)
            )  # no reason of its own: an earlier attempt may have known more
        except (KafkaError, OSError, ValueError) as error:
            reasons.append(f"{server}: {describe(error)}")
        else:
            await conn.close()
            return Diagnosis()
    return Diagnosis("; ".join(reasons))


async def cut(client: AIOKafkaClient, seconds: float) -> None:
    """Close a client's connections whatever its brokers do; nobody is left waiting for its metadata.

    What still runs in aiokafka's tasks gets no new connection.
    """
    _CUT.add(client)
    if client._sync_task is not None:  # noqa: SLF001 - `close` may wait for ever
        client._sync_task.cancel()  # noqa: SLF001 - see above
        await asyncio.wait([client._sync_task], timeout=seconds)  # noqa: SLF001 - see above
        client._sync_task = None  # noqa: SLF001 - see above
    pending, client._md_update_fut = client._md_update_fut, create_future()  # noqa: SLF001 - see above
    client._md_update_fut.set_result(False)  # noqa: SLF001 - see above
    if pending is not None and not pending.done():
        pending.set_result(False)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await client.close()
