"""How to reach a Kafka cluster, and how patient to be with it."""

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from alpha_panda.errors import DependencyUnavailableError, SettingsError

KAFKA: Final = "kafka"
"""The dependency's name in errors."""

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Secret = str | Callable[[], str]
"""A value, or what reads it anew for each connection: so a rotated secret needs no restart."""

MILLISECONDS: Final = 1000
HOUR_MS: Final = 3_600_000
_MAX_DOUBLINGS: Final = 32  # beyond it every back-off is at its cap


@dataclass(slots=True)
class _LastTls:
    """The newest context that could be made, and whether a later attempt has failed."""

    context: ssl.SSLContext | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Everything that the adapter must be told. Times in seconds, sizes in bytes.

    Args:
        bootstrap_servers: `host:port` of some brokers; the others are found through them.
        client_id: goes before the names of clients in the brokers' logs and quotas.
        username: for SASL.
        password: for SASL; what reads it gives the last good one while it can't, and raises only if there is none.
        ca_file: certificates to trust (PEM); None: the system's.
        cert_file: the client's own certificate, for mutual TLS; re-read for each connection, as are the others.
        key_file: its key.
        on_stale_tls: told once when the files can't be used any more and what they last held is used on: half of a
            pair while a Secret is being exchanged, for instance. The next connection looks again.
        request_timeout: how long anything may take that the bus is asked: open, send, commit, look up. Whatever
            hangs longer is a DependencyUnavailableError.
        session_timeout: a member that is silent for so long is dead: its partitions go to the others.
        heartbeat_interval: how often a member says that it lives; a third of the session at most.
        max_poll_interval: a member that fetches nothing for so long leaves its group: it is stuck in a handler.
        rebalance_timeout: how long a group waits for its members to join a new generation.
        close_timeout: how long leaving may take; afterwards connections are cut.
        reconnect_initial: wait before the second attempt to connect to a broker; doubles, with jitter.
        reconnect_max: cap of that wait.
        metadata_max_age: how often topics and leaders are asked for without need; a group finds new topics so.
        fetch_max_wait: how long a broker holds a fetch that has nothing to give. Not a polling interval: records are
            answered as they come; but a seek takes effect only when the fetch under way returns.
        fetch_max_bytes: of one answer of a broker.
        partition_fetch_bytes: of one partition in it; what a slow reader of a partition holds in memory.
        batch_bytes: of one produced batch, at most; below the broker's `message.max.bytes`.
        replication_factor: of new topics, never fewer; None: 3, or 1 on a cluster that is meant to have one broker.
        min_insync_replicas: of new topics; None: 2 where the topic has 3 replicas, else 1.
        retention_hours: of new topics, at least: the journal is rebuilt from seven days of signals and orders.
        short_retention_hours: of new topics that are marked as short-lived (ticks).

    """

    bootstrap_servers: str
    client_id: str = "alpha-panda"
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: Secret | None = None
    password: Secret | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    on_stale_tls: Callable[[str], None] | None = None
    request_timeout: float = 10.0
    session_timeout: float = 10.0
    heartbeat_interval: float = 3.0
    max_poll_interval: float = 300.0
    rebalance_timeout: float = 10.0
    close_timeout: float = 2.0
    reconnect_initial: float = 0.1
    reconnect_max: float = 5.0
    metadata_max_age: float = 30.0
    fetch_max_wait: float = 0.1
    fetch_max_bytes: int = 16 * 1024 * 1024
    partition_fetch_bytes: int = 1024 * 1024
    batch_bytes: int = 512 * 1024
    replication_factor: int | None = None
    min_insync_replicas: int | None = None
    retention_hours: int = 8 * 24
    short_retention_hours: int = 24
    _tls: _LastTls = field(default_factory=_LastTls, init=False, repr=False, compare=False)

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether connections name a user."""
        return self.security_protocol.startswith("SASL")

    def client_options(self, client: str) -> dict[str, Any]:
        """Return what every aiokafka client is made with; secrets as they are now."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": f"{self.client_id}.{client}",
            "request_timeout_ms": round(self.request_timeout * MILLISECONDS),
            "metadata_max_age_ms": round(self.metadata_max_age * MILLISECONDS),
            "security_protocol": self.security_protocol,
            "ssl_context": self.ssl_context(),
            **self._sasl_options(),
        }

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return a context made of the files as they are now, of what they last held if they can't be used; None without TLS.

        Raises:
            SettingsError: a file is missing or is no certificate or key, and never was.

        """
        if not self.uses_tls:
            return None
        last = self._tls
        try:
            last.context, last.stale = self._read_tls(), False
        except SettingsError as error:
            if last.context is None:
                raise
            if not last.stale and self.on_stale_tls is not None:
                self.on_stale_tls(str(error))
            last.stale = True
        return last.context

    def _read_tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(file) for file in (self.ca_file, self.cert_file, self.key_file) if file)
            raise SettingsError(
                f"Kafka's TLS files can't be used ({files}): {error}; PEM is expected"
            ) from error
        return context

    def credentials(self) -> tuple[str | None, str | None]:
        """Return user and password as they are now."""
        return _reveal(self.username), _reveal(self.password)

    def _sasl_options(self) -> dict[str, Any]:
        if not self.uses_sasl:
            return {}
        username, password = self.credentials()
        if username is None or password is None:
            raise SettingsError(f"Kafka: {self.security_protocol} needs a username and a password")
        return {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": username,
            "sasl_plain_password": password,
        }

    def backoff(self, attempt: int, seed: str) -> float:
        """Return the wait after failed attempt number `attempt` (from 1): doubling, capped, half of it jitter.

        "Equal jitter" (Brooker, "Exponential Backoff And Jitter", 2015), as a function of `seed`: that of clients
        differs, so that they don't come back in step.
        """
        ceiling = min(self.reconnect_max, self.reconnect_initial * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
        digest = hashlib.blake2b(f"{seed}:{attempt}".encode(), digest_size=8).digest()
        return ceiling * (0.5 + 0.5 * int.from_bytes(digest, "big") / 2**64)


def unavailable(what: str, error: BaseException | None = None) -> DependencyUnavailableError:
    """Return the error to raise: what could not be done, and what the client said."""
    return DependencyUnavailableError(KAFKA, what if error is None else f"{what}: {describe(error)}")


def describe(error: BaseException) -> str:
    """Name an error in one line: aiokafka's often have no text of their own."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _reveal(secret: Secret | None) -> str | None:
    return secret() if callable(secret) else secret
