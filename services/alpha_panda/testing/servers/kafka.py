"""A real single-node Kafka (KRaft) on free loopback ports, for tests.

Measured on two cores: ready 1.3 s after its start, 155 MB resident; each pytest worker has one of its own.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from alpha_panda.errors import DependencyUnavailableError, MisuseError
from alpha_panda.testing.servers.kafka_install import installed_kafka
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from alpha_panda.testing.servers.process import ServerProcess

ADDRESS_VARIABLE: Final = "ALPHAPANDA_TEST_KAFKA_BOOTSTRAP_SERVERS"
START_SECONDS: Final = 60.0  # 1.3 s when idle; a loaded machine may take many times that
STOP_SECONDS: Final = 20.0
PROBE_SECONDS: Final = 0.02
SOCKET_SECONDS: Final = 2.0

JVM_FLAGS: Final = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xms64m",
    "-Xmx256m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    # One node: nothing can be replicated, and small internal topics start fast.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # Tests wait for groups.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    # A killed broker is registered until its session ends; until then its successor may not serve.
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "200",
    # Small and quick.
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.segment.delete.delay.ms": "1000",
}


class KafkaServer:
    """A broker of one's own: start, stop, kill, pause and resume it as often as a test likes.

    All methods block and return when the state is reached; call them by `asyncio.to_thread` where clients of the
    broker run in the same loop.

    Args:
        users: passwords by name: adds a SASL_PLAINTEXT listener (mechanism PLAIN).
        tls: add a listener with a certificate for `localhost` and 127.0.0.1, signed by itself: `ca_file`.
        settings: further broker settings, by their Kafka names.

    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        tls: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="alpha-panda-kafka-"))
        self._ports = dict(
            zip(("PLAINTEXT", "CONTROLLER", "SASL_PLAINTEXT", "SSL"), free_ports(4), strict=True)
        )
        self._users = dict(users or {})
        self._tls = tls
        self._extra = dict(settings or {})
        self._process: ServerProcess | None = None
        self.starts: list[float] = []
        """Seconds that each start took."""

    @property
    def bootstrap_servers(self) -> str:
        """The address without authentication."""
        return self._address("PLAINTEXT")

    @property
    def sasl_bootstrap_servers(self) -> str:
        """The address that asks for a user of `users`."""
        return self._address("SASL_PLAINTEXT")

    @property
    def tls_bootstrap_servers(self) -> str:
        """The address behind TLS."""
        return self._address("SSL")

    @property
    def ca_file(self) -> Path:
        """The certificate that clients of the TLS listener must trust."""
        return self._folder / "cert.pem"

    @property
    def pid(self) -> int:
        """The broker's process."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the broker was started and not ended; one that is frozen counts as running."""
        return self._process is not None

    def start(self) -> Self:
        """Start the broker and wait until it answers; the data of an earlier run are there again."""
        if self._process is not None:
            raise MisuseError("the broker runs already")
        began = time.monotonic()
        kafka = installed_kafka()
        if not (self._folder / "data").exists():
            self._prepare(kafka)
        command = ["java", *JVM_FLAGS, "-cp", f"{kafka / 'lib'}/*", "kafka.Kafka"]
        self._process = ServerProcess(
            [*command, str(self._folder / "server.properties")], self._folder / "server.log"
        )
        self._wait_until_ready(began + START_SECONDS)
        self.starts.append(time.monotonic() - began)
        return self

    def stop(self) -> None:
        """End the broker in order (SIGTERM)."""
        self._running().terminate(STOP_SECONDS)
        self._process = None

    def kill(self) -> None:
        """End the broker at once (SIGKILL)."""
        self._running().kill()
        self._process = None

    def restart(self) -> None:
        """Stop the broker if it runs, and start it on the same ports with the same data."""
        if self._process is not None:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): connections stay open and nobody answers."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._running().signal(signal.SIGCONT)

    def close(self) -> None:
        """End the broker and delete its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise MisuseError("the broker was not started")
        return self._process

    def _address(self, listener: str) -> str:
        return f"{LOOPBACK}:{self._ports[listener]}"

    def _prepare(self, kafka: Path) -> None:
        if self._tls:
            _make_certificate(self._folder)
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        (self._folder / "server.properties").write_text("\n".join(lines) + "\n")
        shutil.copytree(kafka / "formatted", self._folder / "data")

    def _properties(self) -> dict[str, str]:
        names = ["PLAINTEXT", *(["SASL_PLAINTEXT"] if self._users else []), *(["SSL"] if self._tls else [])]
        addresses = [f"{name}://{self._address(name)}" for name in names]
        return {
            **SETTINGS,
            "controller.quorum.voters": f"1@{self._address('CONTROLLER')}",
            "listeners": ",".join([*addresses, f"CONTROLLER://{self._address('CONTROLLER')}"]),
            "advertised.listeners": ",".join(addresses),
            "listener.security.protocol.map": ",".join(
                [*(f"{name}:{name}" for name in names), "CONTROLLER:PLAINTEXT"]
            ),
            "log.dirs": str(self._folder / "data"),
            **(self._sasl_properties() if self._users else {}),
            **(self._tls_properties() if self._tls else {}),
            **self._extra,
        }

    def _sasl_properties(self) -> dict[str, str]:
        users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required {users};",
        }

    def _tls_properties(self) -> dict[str, str]:
        return {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(self._folder / "server.pem")}

    def _wait_until_ready(self, deadline: float) -> None:
        while not answers_metadata(LOOPBACK, self._ports["PLAINTEXT"]):
            process = self._running()
            if not process.running or time.monotonic() > deadline:
                self._process = None
                process.kill()
                raise DependencyUnavailableError("kafka for tests", f"did not start:\n{process.tail()}")
            time.sleep(PROBE_SECONDS)


class ExternalKafka:
    """A broker that somebody else runs, named by `ALPHAPANDA_TEST_KAFKA_BOOTSTRAP_SERVERS`."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    @classmethod
    def from_environment(cls) -> "ExternalKafka | None":
        """Return the broker that the environment names, if any."""
        given = os.environ.get(ADDRESS_VARIABLE)
        return cls(given) if given else None


def answers_metadata(host: str, port: int) -> bool:
    """Whether a broker at the address answers a metadata request and knows itself: then it takes all others too."""
    body = struct.pack(">hhihi", 3, 1, 1, -1, 0)  # Metadata v1, correlation 1, no client id, no topics
    try:
        with socket.create_connection((host, port), SOCKET_SECONDS) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            reply = _read_exactly(connection, struct.unpack(">i", _read_exactly(connection, 4))[0])
    except OSError:
        return False
    brokers: int = struct.unpack(">i", reply[4:8])[0]
    return brokers > 0


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError("the broker closed the connection")
        data += chunk
    return data


def _make_certificate(folder: Path) -> None:
    """Write `cert.pem` and `server.pem` (key and certificate), valid for a day."""
    if shutil.which("openssl") is None:
        raise DependencyUnavailableError("kafka for tests", "TLS needs `apt-get install openssl` (Debian)")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", f"subjectAltName=DNS:localhost,IP:{LOOPBACK}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=START_SECONDS)  # noqa: S603 - openssl with our own arguments
    (folder / "server.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
