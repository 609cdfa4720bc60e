"""The bus and the stores that the settings name: Kafka and Redis instead of this process's memory."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import MisuseError, SettingsError
from alpha_panda.ports import Clock, MarketSource, Trader
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.secret_files import secret_reader
from alpha_panda.runtime.settings import Settings, env_name

from .safety import refuse_losses

if TYPE_CHECKING:
    from alpha_panda.adapters.kafka.bus import KafkaBus
    from alpha_panda.adapters.kafka.connection import KafkaConnection
    from alpha_panda.adapters.redis.database import RedisDatabase

log = structlog.get_logger()


def has_transports(settings: Settings) -> bool:
    """Whether the settings name Kafka and Redis; neither: everything is in this process.

    Raises:
        SettingsError: one of the two without the other.

    """
    kafka, redis = bool(settings.kafka_bootstrap_servers), bool(settings.redis_url.get_secret_value())
    if kafka is not redis:
        given, lacking = "kafka_bootstrap_servers", "redis_url"
        if redis:
            given, lacking = lacking, given
        raise SettingsError(f"{env_name(given)} is set, but {env_name(lacking)} is not: set both, or none")
    return kafka


def process_name() -> str:
    """Return `host-pid`: one name for each process that may hold leases."""
    return f"{socket.gethostname()}-{os.getpid()}"


@asynccontextmanager
async def connected(settings: Settings, clock: Clock, *, live: bool | None = None) -> AsyncIterator[Ports]:
    """Give the ports over the settings' Kafka and Redis, without traders and sources, and close them at the end.

    Nothing is connected before it is needed: an address that nobody answers at shows in readiness and in errors.
    Random ids in any case: repeated ones would be known to a store that outlives the process. `live`: whether real
    money depends on the journal, so that its Redis must be one that keeps what it answers; None: not asked.

    Raises:
        DependencyUnavailableError: the journal's Redis does not answer.
        SettingsError: it may lose orders, and `live`; `ensure_topics` of the bus raises it of topics that may.

    """
    # Here, not above: a run in one process needs neither client, and they take a third of a second to import.
    from alpha_panda.adapters.redis.checkpoints import RedisCheckpointStore  # noqa: PLC0415
    from alpha_panda.adapters.redis.control import RedisControlStore  # noqa: PLC0415
    from alpha_panda.adapters.redis.decisions import RedisDecisionStore  # noqa: PLC0415
    from alpha_panda.adapters.redis.instruments import RedisInstrumentStore  # noqa: PLC0415
    from alpha_panda.adapters.redis.journal import RedisOrderJournal  # noqa: PLC0415
    from alpha_panda.adapters.redis.leases import RedisLease  # noqa: PLC0415
    from alpha_panda.adapters.redis.pace import RedisOrderPace  # noqa: PLC0415
    from alpha_panda.adapters.redis.prices import RedisPriceCache  # noqa: PLC0415
    from alpha_panda.adapters.redis.statuses import RedisStatusStore  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(_bus(settings, live))
        prices = _database(settings, stack, "redis")
        waiting = _database(settings, stack, "redis")
        journal = _database(settings, stack, journal_field(settings))
        if live is not None:
            await _check_durable(journal, settings, live=live)
        yield Ports(
            clock=clock,
            ids=RandomIds(),
            bus=bus,
            prices=RedisPriceCache(prices, waiting=waiting),
            journal=cache(lambda account: RedisOrderJournal(journal, account)),
            decisions=cache(lambda account: RedisDecisionStore(journal, account)),
            checkpoints=RedisCheckpointStore(journal),
            control=RedisControlStore(journal),
            lease=RedisLease(journal),
            statuses=RedisStatusStore(prices),
            instruments=RedisInstrumentStore(prices),
            pace=RedisOrderPace(journal),
            traders=_NoTraders(),
            source=_no_source,
            probes={"kafka": bus.alive, "prices": prices.time, "journal": journal.time},
            durable=partial(_is_durable, journal),
        )


def journal_field(settings: Settings) -> str:
    """Return which fields of the settings name the journal's Redis: its own, or those of the prices."""
    return "journal_redis" if settings.journal_redis_url.get_secret_value() else "redis"


async def _check_durable(journal: "RedisDatabase", settings: Settings, *, live: bool) -> None:
    """Refuse, or warn of, a Redis that may forget orders."""
    from alpha_panda.adapters.redis.durability import durability_problems  # noqa: PLC0415 - as above

    problems = await durability_problems(journal)
    for problem in problems:
        log.warning("the journal's Redis may lose orders", problem=problem.problem, remedy=problem.remedy)
    if live and settings.journal_require_durable:
        certain = [str(problem) for problem in problems if not problem.unchecked]
        refuse_losses("the journal's Redis may lose orders", certain)


async def _is_durable(journal: "RedisDatabase") -> bool | None:
    """Return whether the journal's Redis keeps what it answers; None where its settings can't be asked for."""
    from alpha_panda.adapters.redis.durability import durability_problems  # noqa: PLC0415 - as above

    problems = await durability_problems(journal)
    if any(not problem.unchecked for problem in problems):
        return False
    return None if problems else True


class _NoTraders:
    """Traders come from manifests, which no transport has."""

    def trader(self, account: str) -> Trader:
        raise MisuseError(f"no trader for {account}: whoever runs services wires the manifests' traders")


def _no_source(feed: str) -> MarketSource:
    raise MisuseError(f"no source for {feed}: whoever runs services wires the manifests' sources")


def _database(settings: Settings, stack: AsyncExitStack, name: str) -> "RedisDatabase":
    """Return one Redis; `name` is what its fields begin with."""
    from alpha_panda.adapters.redis.connection import RedisAddress, make_database  # noqa: PLC0415 - as above

    address = RedisAddress(
        url=getattr(settings, f"{name}_url").get_secret_value(),
        username=getattr(settings, f"{name}_username"),
        password=secret_reader(getattr(settings, f"{name}_password"), env_name(f"{name}_password")),
        ca_file=_file(settings.redis_tls_ca_file),
        cert_file=_file(settings.redis_tls_cert_file),
        key_file=_file(settings.redis_tls_key_file),
        connect_timeout=settings.redis_timeout_seconds,
        call_timeout=settings.redis_timeout_seconds,
        user_timeout=settings.redis_timeout_seconds,
        max_connections=settings.redis_max_connections,
        client_name=f"alpha-panda-{process_name()}",
    )
    database = make_database(address, RandomIds(), KeyMap(settings.topic_prefix, settings.installation))
    stack.push_async_callback(database.close)
    return database


def kafka_connection(settings: Settings) -> "KafkaConnection":
    """Return how the settings say that Kafka is reached."""
    from alpha_panda.adapters.kafka.connection import KafkaConnection  # noqa: PLC0415 - as above

    return KafkaConnection(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_sasl_username or None,
        password=secret_reader(settings.kafka_sasl_password, env_name("kafka_sasl_password")),
        ca_file=_file(settings.kafka_tls_ca_file),
        cert_file=_file(settings.kafka_tls_cert_file),
        key_file=_file(settings.kafka_tls_key_file),
        on_stale_tls=_tell_stale_tls,
        request_timeout=settings.kafka_request_timeout_seconds,
        session_timeout=settings.kafka_session_timeout_seconds,
        heartbeat_interval=settings.kafka_group_heartbeat_seconds,
        max_poll_interval=settings.kafka_max_poll_seconds,
        reconnect_initial=settings.kafka_reconnect_initial_seconds,
        reconnect_max=settings.kafka_reconnect_max_seconds,
        short_retention_hours=settings.kafka_tick_retention_hours,
        replication_factor=settings.kafka_replication_factor or None,
        retention_hours=settings.kafka_retention_days * 24,
    )


def _tell_stale_tls(reason: str) -> None:
    log.warning("TLS files can't be used; what they last held is used on", reason=reason)


@asynccontextmanager
async def _bus(settings: Settings, live: bool | None) -> AsyncIterator["KafkaBus"]:
    """Give the bus; one that checks topics where a service runs, not for an operator's command."""
    from alpha_panda.adapters.kafka.bus import KafkaBus  # noqa: PLC0415 - as above

    from .checked_bus import CheckedBus  # noqa: PLC0415 - as above

    connection = kafka_connection(settings)
    refuse = bool(live) and settings.journal_require_durable
    async with KafkaBus(connection) if live is None else CheckedBus(connection, refuse=refuse) as bus:
        yield bus


def _file(name: str) -> Path | None:
    return Path(name) if name else None
