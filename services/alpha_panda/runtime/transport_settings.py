"""Settings of Kafka and Redis; part of `runtime.settings.Settings`. Empty addresses: transports of this process."""

from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from alpha_panda.runtime.setting_types import Count, RedisUrl, Seconds, Servers


class KafkaSettings(BaseSettings):
    """How the bus is reached and what its clients are told."""

    kafka_bootstrap_servers: Servers = Field(
        default="",
        description="Brokers to begin with, `host:port` separated by commas; empty: a bus inside the process. "
        "Why: a first run needs nothing but Python.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="How the brokers are spoken to. Why: a broker of one's own machine; set it for any other.",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512",
        description="How user and password are proved, where the protocol is SASL. "
        "Why: the strongest that every Kafka has; the password never crosses the wire.",
    )
    kafka_sasl_username: str = Field(
        default="", description="User, where the protocol is SASL. Why: no account is presumed."
    )
    kafka_sasl_password: SecretStr = Field(
        default=SecretStr(""),
        description="Password, where the protocol is SASL. Why: none is presumed.",
    )
    kafka_tls_ca_file: str = Field(
        default="",
        description="PEM file of the authorities that sign the brokers' certificates; empty: the system's. "
        "Why: managed brokers have public certificates.",
    )
    kafka_tls_cert_file: str = Field(
        default="",
        description="PEM file of the client's own certificate. Why: few brokers ask for one.",
    )
    kafka_tls_key_file: str = Field(default="", description="PEM file of its key. Why: as the certificate.")
    kafka_request_timeout_seconds: Seconds = Field(
        default=10,
        description="Longest wait for the brokers' answer to one request. "
        "Why: an order is worth nothing after that; a broker that is well answers in milliseconds.",
    )
    kafka_session_timeout_seconds: Seconds = Field(
        default=10,
        description="When a silent member of a group loses its partitions to the others. "
        "Why: a dead engine's signals expire after as long; shorter would trip over ordinary pauses.",
    )
    kafka_group_heartbeat_seconds: Seconds = Field(
        default=3,
        description="How often a member of a group shows that it lives. Why: a third of the session's time-out.",
    )
    kafka_max_poll_seconds: Seconds = Field(
        default=300,
        description="How long a member may work on what it has fetched before it loses its partitions. "
        "Why: Kafka's own default; liveness notices a stuck member much sooner.",
    )
    kafka_replication_factor: Annotated[int, Ge(0)] = Field(
        default=0,
        description="Copies of each topic that the services create; with fewer brokers they wait. 0: three, or one "
        "(with a warning) on a single broker whose own topics have one. "
        "Why: a topic keeps its copies for ever; with three, one broker may be lost while another is being replaced.",
    )
    kafka_retention_days: Count = Field(
        default=14,
        description="How long the services' topics keep records. "
        "Why: what is rebuilt after a loss of Redis comes from here; twice the week that this needs.",
    )
    kafka_tick_retention_hours: Count = Field(
        default=24,
        description="How long topics of ticks keep records. "
        "Why: a strategy that was away for longer needs no old prices, and ticks fill disks.",
    )
    kafka_reconnect_initial_seconds: Seconds = Field(
        default=0.1,
        description="First wait before a broken connection is made anew; then doubled, with jitter. "
        "Why: a broker that restarts is missed for a second or two.",
    )
    kafka_reconnect_max_seconds: Seconds = Field(
        default=5,
        description="Longest such wait. Why: a broker that is back should be noticed within seconds.",
    )


class RedisSettings(BaseSettings):
    """How the two stores are reached: prices, and what must never be lost."""

    redis_url: RedisUrl = Field(
        default=SecretStr(""),
        description="Redis of the price cache and of the statuses, `redis://host:6379/0`; empty: stores inside the "
        "process. Why: a first run needs nothing but Python.",
    )
    redis_username: str = Field(
        default="", description="User of it, if the address names none. Why: Redis' own default user."
    )
    redis_password: SecretStr = Field(
        default=SecretStr(""), description="Password of it, if the address has none. Why: none is presumed."
    )
    journal_redis_url: RedisUrl = Field(
        default=SecretStr(""),
        description="Redis of journal, decisions, checkpoints, control and leases (`appendfsync always`, "
        "`noeviction`); empty: that of the prices. Why: one Redis will do where it is set up for the journal.",
    )
    journal_redis_username: str = Field(
        default="",
        description="User of the journal's, if its address names none. Why: Redis' own default user.",
    )
    journal_redis_password: SecretStr = Field(
        default=SecretStr(""),
        description="Password of the journal's, if its address has none. Why: none is presumed.",
    )
    redis_tls_ca_file: str = Field(
        default="",
        description="PEM file of the authorities that sign Redis' certificates (`rediss://`); empty: the system's. "
        "Why: managed stores have public certificates.",
    )
    redis_tls_cert_file: str = Field(
        default="", description="PEM file of the client's own certificate. Why: few stores ask for one."
    )
    redis_tls_key_file: str = Field(default="", description="PEM file of its key. Why: as the certificate.")
    redis_timeout_seconds: Seconds = Field(
        default=2,
        description="Longest wait for Redis' answer, and for a connection to it. "
        "Why: it answers in a millisecond; an engine that waits longer than this for a price is too late.",
    )
    redis_max_connections: Count = Field(
        default=32,
        description="Most connections of one process to one Redis. "
        "Why: a service has a handful of tasks; more is a leak.",
    )
    journal_require_durable: bool = Field(
        default=True,
        description="Whether a live account refuses to trade over a Redis or topics of Kafka that may lose what "
        "was acknowledged. Why: a lost journal entry could become a second order, a lost latch one that nobody wants.",
    )
