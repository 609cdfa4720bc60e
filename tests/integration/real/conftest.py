"""Real servers on real time: no virtual clock here."""

import shutil
import subprocess

import pytest

from alpha_panda.testing.servers.pytest_servers import (
    kafka_server,
    own_kafka_server,
    own_redis_server,
    redis_server,
)
from alpha_panda.testing.servers.redis import TlsFiles

__all__ = ["kafka_server", "own_kafka_server", "own_redis_server", "redis_server"]


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for the loopback that signs itself; made by openssl."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "server.pem", folder / "server.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-out", str(certificate), "-keyout", str(key), "-days", "2"]
    command = [program, "req", "-x509", *curve, *names, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - openssl as found
    return TlsFiles(certificate, key, certificate)
