"""One service as a process of its own: what a pod runs, and `python -m alpha_panda.<service>`."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.control_writer import ControlWriter
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.registry import ServiceDefinition, find_services
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings, env_name

from .health_server import answering_probes
from .ports import memory_ports, with_manifests
from .traders import has_live_accounts
from .transports import connected, has_transports, process_name

log = structlog.get_logger()


def _as_they_are(ports: Ports) -> Ports:
    return ports


def run_service(
    name: str,
    resources: ResourceSet,
    resource: str,
    settings: Settings,
    *,
    wire: Callable[[Ports], Ports] = _as_they_are,
) -> None:
    """Run one service until SIGTERM or SIGINT; UserInputError for a name or resource that doesn't exist.

    `wire` may replace ports before the service gets them.
    """
    definition = _definition(name)
    served = _served(definition, resources, resource)
    configure_logging(settings)

    async def main() -> None:
        async with service_ports(resources, settings) as ports:
            context = ServiceContext(settings, wire(ports), resources, served, process_name())
            await _serve(definition.build(context), settings)

    asyncio.run(main())


@asynccontextmanager
async def service_ports(resources: ResourceSet, settings: Settings) -> AsyncIterator[Ports]:
    """Give the ports of one process: over Kafka and Redis if the settings name them, else of this process alone."""
    clock = RealClock()
    if not has_transports(settings):
        log.warning(
            "in-process transports: no other process sees what this one does",
            set=[env_name("kafka_bootstrap_servers"), env_name("redis_url")],
        )
        yield memory_ports(resources, settings, clock)[1]
        return
    async with connected(settings, clock, live=has_live_accounts(resources)) as transports:
        yield with_manifests(transports, resources, settings)


async def _serve(service: StreamService, settings: Settings) -> None:
    stopping = asyncio.create_task(_on_signal(service.stop))
    try:
        async with answering_probes(lambda: (service,), settings):
            await service.run()
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


def run_control(resources: ResourceSet, settings: Settings) -> None:
    """Write and renew the control keys of the manifests until SIGTERM or SIGINT."""
    configure_logging(settings)

    async def main() -> None:
        async with service_ports(resources, settings) as ports:
            await _control(ports, resources, settings)

    asyncio.run(main())


async def _control(ports: Ports, resources: ResourceSet, settings: Settings) -> None:
    writer = ControlWriter(
        ports.control,
        ports.clock,
        resources,
        settings.control_ttl_seconds,
        settings.control_renew_seconds,
    )
    writing = asyncio.create_task(_write(writer, resources))

    async def stop() -> None:
        writing.cancel()

    stopping = asyncio.create_task(_on_signal(stop))
    done, _ = await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.gather(writing, stopping, return_exceptions=True)
    if writing in done and not writing.cancelled():
        writing.result()


async def _write(writer: ControlWriter, resources: ResourceSet) -> None:
    await asyncio.sleep(0)  # the signal handlers come first: a signal during the first write must not kill
    await writer.write()
    log.info("control keys written", service_name="control", resources=len(resources))
    await writer.run()


def _definition(name: str) -> ServiceDefinition:
    services = find_services()
    if name not in services:
        raise UserInputError(f"there is no service {name!r}; allowed: {', '.join(services)}")
    return services[name]


def _served(definition: ServiceDefinition, resources: ResourceSet, resource: str) -> str:
    """Return the name in `KIND/NAME` after checking both."""
    kind, _, name = resource.partition("/")
    known = [item.name for item in resources if item.kind == definition.kind]
    if kind != definition.kind or name not in known:
        allowed = (
            ", ".join(f"{definition.kind}/{item}" for item in known)
            or f"no {definition.kind} in the manifests"
        )
        raise UserInputError(
            f"--resource {resource!r} is nothing that {definition.name} serves; allowed: {allowed}"
        )
    return name


async def _on_signal(action: Callable[[], Awaitable[None]]) -> None:
    """Run the action at the first SIGTERM or SIGINT."""
    received = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.set)
    try:
        await received.wait()
        await action()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
