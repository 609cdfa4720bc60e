"""Kopf, embedded: its watches run in a thread with an event loop of their own and pass on what they see.

A thread, because Kopf wants the loop for itself: it sets signal handlers, and at its end cancels every task that it
did not find at its start.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import kopf

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda_operator.access import ApiAccess
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.handlers import children, resources
from alpha_panda_operator.intake import Intake
from alpha_panda_operator.names import children_selector

STOP_SECONDS: Final = 10.0
"""How long Kopf may take to end; the process ends then anyway."""

CHUNK: Final = 50
"""Objects that a watch's first listing asks for at a time: all kinds are listed at once, and a whole Deployment takes 40 kB."""

IDLE_SECONDS: Final = 0.05
"""How long Kopf keeps a task, and the last object, of each object after its event; by its default 5 s."""

_QUIET: Final = {
    "kopf": logging.WARNING,  # below that: a line an event
    "kopf._core.reactor.running": logging.ERROR,  # it warns that a thread gets no signals, which is as it should be
}


@asynccontextmanager
async def watching(
    access: ApiAccess, config: OperatorConfig, intake: Intake
) -> AsyncIterator["asyncio.Future[None]"]:
    """Watch while the context lasts. Gives a future that fails if the watches end by themselves."""
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    stop = threading.Event()
    registry = _registry(access, intake, loop)
    thread = threading.Thread(
        target=_run, args=(registry, config, stop, _ending(loop, ended)), name="watches", daemon=True
    )
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, STOP_SECONDS)
        ended.cancel()


def _registry(access: ApiAccess, intake: Intake, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
    """Return handlers that hand over to the operator's own loop, in order."""
    registry = kopf.OperatorRegistry()
    resources.register(registry, lambda *event: _hand_over(loop, intake.resource_event, *event))
    children.register(registry, lambda *event: _hand_over(loop, intake.child_event, *event))

    @kopf.on.login(registry=registry, id="login")
    def _login(**_: Any) -> kopf.ConnectionInfo:  # noqa: ANN401 - Kopf's own types
        return connection(access)

    return registry


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[..., None], *event: Any) -> None:  # noqa: ANN401 - as given
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, *event)


def connection(access: ApiAccess) -> kopf.ConnectionInfo:
    """Return our access as Kopf wants it; asked again after the API server has refused the last token."""
    return kopf.ConnectionInfo(
        server=access.server,
        ca_path=None if access.ca_file is None else str(access.ca_file),
        ca_data=access.ca_data,
        insecure=access.insecure or None,
        token=access.token(),
        certificate_path=None if access.certificate_file is None else str(access.certificate_file),
        private_key_path=None if access.key_file is None else str(access.key_file),
        default_namespace=access.namespace,
    )


def kopf_settings(config: OperatorConfig) -> kopf.OperatorSettings:
    """Return settings under which Kopf watches and does nothing else. Never set `queueing.worker_limit`."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # no rights on CRDs and namespaces are needed
    settings.process.ultimate_exiting_timeout = None
    settings.watching.connect_timeout = config.call_timeout_seconds
    settings.watching.chunk_size = CHUNK
    settings.queueing.idle_timeout = IDLE_SECONDS
    for kind in children.WATCHED:
        key = (kind.group, kind.version, kind.plural)
        settings.watching.label_selectors[key] = children_selector(config.installation)
    return settings


def _run(
    registry: kopf.OperatorRegistry,
    config: OperatorConfig,
    stop: threading.Event,
    ended: Callable[[BaseException | None], None],
) -> None:
    try:
        asyncio.run(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(config),
                standalone=True,
                clusterwide=not config.watch_namespaces,
                namespaces=config.watch_namespaces,
                stop_flag=stop,
            )
        )
    except BaseException as error:  # noqa: BLE001 - a thread's last words, whatever they are: told where they are heard
        ended(error)
    else:
        ended(None)


def _ending(
    loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[None]"
) -> Callable[[BaseException | None], None]:
    """Return what the thread calls at its end, on the operator's loop."""

    def heard(error: BaseException | None) -> None:
        if not ended.done():
            words = repr(error) if error is not None else "without an error"
            ended.set_exception(DependencyUnavailableError("kubernetes", f"the watches have ended: {words}"))

    def told(error: BaseException | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(heard, error)

    return told
