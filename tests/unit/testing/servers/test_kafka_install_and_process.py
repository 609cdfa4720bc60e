"""Server processes and Kafka's installation, without a broker."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.kafka import ADDRESS_VARIABLE, ExternalKafka, answers_metadata
from alpha_panda.testing.servers.kafka_install import cache_folder, find_tools, installed_kafka
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from alpha_panda.testing.servers.process import ServerProcess

SLEEPER = ["sleep", "60"]


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, port))


def gone(pid: int) -> bool:
    """Whether a process has ended: it may be a zombie until its new parent looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter: it ended between open and read
        return True


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_process_ends_when_told_to(tmp_path: Path, end: str) -> None:
    process = ServerProcess(SLEEPER, tmp_path / "log")
    assert process.running
    if end == "terminate":
        process.terminate(10)
    else:
        process.kill()
    assert not process.running
    assert gone(process.pid)


def test_a_frozen_process_ends_too(tmp_path: Path) -> None:
    process = ServerProcess(SLEEPER, tmp_path / "log")
    process.signal(signal.SIGSTOP)
    process.terminate(10)
    assert gone(process.pid)


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    process = ServerProcess(stubborn, tmp_path / "log")
    while "ready" not in process.tail():
        os.sched_yield()
    process.terminate(0.2)
    assert gone(process.pid)


ORPHAN = """
import os, sys
from pathlib import Path
from alpha_panda.testing.servers.process import ServerProcess
process = ServerProcess(["sleep", "60"], Path(sys.argv[1]))
print(process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_no_server_outlives_a_test_run_that_was_killed(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", ORPHAN, str(tmp_path / "log")],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    for _ in range(1_000_000):
        if gone(pid):
            return
        os.sched_yield()
    pytest.fail("the server outlived its tests")


def test_what_a_server_prints_can_be_read(tmp_path: Path) -> None:
    process = ServerProcess(["sh", "-c", "echo out; echo err >&2"], tmp_path / "log")
    process._watchdog.wait(10)
    assert set(process.tail().split()) == {"out", "err"}
    assert not process.running
    process.kill()


def test_a_program_that_does_not_exist_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(DependencyUnavailableError, match="no-such-program"):
        ServerProcess(["no-such-program"], tmp_path / "log")


def test_a_port_where_nobody_answers_is_no_broker() -> None:
    assert not answers_metadata(LOOPBACK, free_ports(1)[0])


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyUnavailableError, match="apt-get install default-jre-headless maven"):
        find_tools("java", "mvn")
    with pytest.raises(DependencyUnavailableError, match="apt-get install default-jre-headless` "):
        installed_kafka()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(tmp_path / "given"))
    assert cache_folder() == tmp_path / "given"
    monkeypatch.delenv("ALPHAPANDA_TEST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "alpha-panda"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "alpha-panda"


def test_an_installation_that_is_there_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kafka-4.1.1").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(tmp_path))
    assert installed_kafka() == tmp_path / "kafka-4.1.1"


def test_a_failed_download_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("java", "mvn"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho no network\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DependencyUnavailableError, match="no network"):
        installed_kafka()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["kafka-4.1.1.lock"]


def test_a_broker_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    assert ExternalKafka.from_environment() is None
    monkeypatch.setenv(ADDRESS_VARIABLE, "broker:9092")
    external = ExternalKafka.from_environment()
    assert external is not None
    assert external.bootstrap_servers == "broker:9092"
