"""The test server does to its data what its methods say: else no test that rests on it shows anything."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from alpha_panda.errors import DependencyUnavailableError, MisuseError, SettingsError
from alpha_panda.testing.servers.redis import ForeignRedis, RedisServer, TlsFiles, _major
from alpha_panda.testing.servers.redis_aof import EMPTY


def put(server: RedisServer, key: str) -> None:
    with server.client() as client:
        client.set(key, "1")


def keys(server: RedisServer) -> set[str]:
    with server.client(decode_responses=True) as client:
        return set(client.keys())


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter: it ended between open and read
        return False
    return state != "Z"


def test_it_answers_on_a_port_of_its_own_and_is_as_durable_as_a_journal_needs(
    redis_server: RedisServer,
) -> None:
    with redis_server.client(decode_responses=True) as client:
        found = client.config_get("append*", "save", "maxmemory-policy")
    assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")
    assert (found["save"], found["maxmemory-policy"]) == ("", "noeviction")


def test_clear_forgets_keys_and_scripts_in_the_same_run(redis_server: RedisServer) -> None:
    run_id = redis_server.run_id
    with redis_server.client() as client:
        sha = client.script_load("return 1")
        put(redis_server, "a")
        redis_server.clear()
        assert client.script_exists(sha) == [False]
    assert keys(redis_server) == set()
    assert redis_server.run_id == run_id


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_it_answered_is_there_after_an_end_and_a_start_under_another_run_id(
    own_redis_server: RedisServer, how: str
) -> None:
    server = own_redis_server
    before, url = (server.run_id, server.pid), server.url
    put(server, "a")
    getattr(server, how)()
    assert not server.running
    assert not alive(before[1])
    server.start()
    assert keys(server) == {"a"}
    assert server.url == url
    assert server.run_id != before[0]


def test_it_comes_back_as_an_older_image_or_empty(own_redis_server: RedisServer) -> None:
    server = own_redis_server
    put(server, "a")
    image, run_id = server.image(), server.run_id
    put(server, "b")
    server.restart(image)
    assert keys(server) == {"a"}
    put(server, "c")
    server.restart()
    assert keys(server) == {"a", "c"}
    server.flush()
    assert keys(server) == set()
    put(server, "d")
    server.restart(EMPTY)
    assert keys(server) == set()
    assert server.run_id != run_id


def test_a_paused_one_keeps_its_connections_and_answers_later(own_redis_server: RedisServer) -> None:
    server = own_redis_server
    with server.client(socket_timeout=0.2) as client:
        client.ping()
        server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.set("late", "1")
        server.resume()
    assert keys(server) == {"late"}  # carried out though nobody waited any more


def test_a_paused_one_can_be_killed(own_redis_server: RedisServer) -> None:
    own_redis_server.pause()
    own_redis_server.restart()
    assert keys(own_redis_server) == set()


def test_bytes_off_the_end_lose_the_last_command_alone(own_redis_server: RedisServer) -> None:
    server = own_redis_server
    put(server, "a")
    put(server, "b")
    server.kill()
    assert server.truncate_last(size=3) == 3
    server.start()
    assert keys(server) == {"a"}


def test_the_last_seconds_can_be_lost() -> None:
    with RedisServer(appendfsync="everysec") as server:
        put(server, "a")
        deadline, second = time.monotonic() + 5, int(time.time())
        while int(time.time()) == second and time.monotonic() < deadline:
            time.sleep(0.02)  # the file's stamps are whole seconds: wait for the next one
        put(server, "b")
        server.stop()
        assert server.truncate_last(seconds=0.5) > 0
        server.start()
        assert keys(server) == {"a"}


def test_cutting_needs_a_killed_server_and_one_measure(own_redis_server: RedisServer) -> None:
    with pytest.raises(MisuseError, match="kill the server first"):
        own_redis_server.truncate_last(size=1)
    own_redis_server.kill()
    with pytest.raises(MisuseError, match="either"):
        own_redis_server.truncate_last()
    with pytest.raises(MisuseError, match="either"):
        own_redis_server.truncate_last(size=1, seconds=1.0)


def test_users_outlive_a_restart() -> None:
    with RedisServer(users={"ann": "on >one ~* +@all"}) as server:
        server.add_user("bob", "on >two ~demo:* +get")
        server.restart()
        for user, password in (("ann", "one"), ("bob", "two")):
            with server.client(username=user, password=password) as client:
                client.get("demo:x")
        bob = {"username": "bob", "password": "two"}
        with server.client(**bob) as client, pytest.raises(redis.exceptions.NoPermissionError):
            client.set("demo:x", "1")


def test_its_folder_goes_with_it() -> None:
    with RedisServer() as server:
        folder = server._made_folder()
        assert folder.is_dir()
        pid = server.pid
    assert not folder.exists()
    assert not alive(pid)
    assert not server.running


def test_one_that_runs_is_not_started_twice_and_one_that_does_not_run_is_not_ended(
    own_redis_server: RedisServer,
) -> None:
    with pytest.raises(MisuseError, match="runs already"):
        own_redis_server.start()
    own_redis_server.kill()
    for action in (own_redis_server.kill, own_redis_server.pause, own_redis_server.resume):
        with pytest.raises(MisuseError, match="not running"):
            action()


def test_one_that_cannot_start_says_why_and_is_gone() -> None:
    server = RedisServer(config={"no-such-setting": "1"})
    try:
        with pytest.raises(DependencyUnavailableError, match="no-such-setting"):
            server.start()
        assert not server.running
    finally:
        server.close()


def test_a_missing_program_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MisuseError, match="package redis-server"):
        RedisServer().start()


def test_versions_are_read() -> None:
    assert _major("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64") == 7
    assert _major("Redis server v=10.2.0 sha=0") == 10
    assert _major("something else") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process that its parent has died")
def test_it_dies_with_whoever_started_it() -> None:
    program = (
        "import os, signal\n"
        "from alpha_panda.testing.servers.redis import RedisServer\n"
        "server = RedisServer()\n"
        "server.start()\n"
        "print(server.pid, server._made_folder(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, folder = done.stdout.split()
    shutil.rmtree(folder)
    deadline = time.monotonic() + 10
    while alive(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(int(pid))
    assert int(pid) != os.getpid()


class TestForeign:
    """A server that the environment names: used, emptied, never ended."""

    def test_it_is_used_and_left_empty_and_alive(self, own_redis_server: RedisServer) -> None:
        with ForeignRedis(own_redis_server.url + "/3") as foreign:
            assert foreign.port == own_redis_server.port
            put(foreign, "a")
            put(own_redis_server, "other database")
            foreign.clear()
            assert keys(foreign) == set()
            put(foreign, "b")
        assert own_redis_server.running
        assert keys(own_redis_server) == {"other database"}
        assert keys(ForeignRedis(own_redis_server.url + "/3")) == set()

    def test_one_with_keys_in_it_is_not_touched(self, own_redis_server: RedisServer) -> None:
        put(own_redis_server, "precious")
        with pytest.raises(SettingsError, match="not empty"):
            ForeignRedis(own_redis_server.url)
        assert keys(own_redis_server) == {"precious"}

    def test_nothing_ends_pauses_or_changes_it(self, own_redis_server: RedisServer) -> None:
        foreign = ForeignRedis(own_redis_server.url)
        for action in (
            foreign.kill,
            foreign.stop,
            foreign.restart,
            foreign.flush,
            foreign.pause,
            foreign.resume,
            foreign.image,
            lambda: foreign.truncate_last(size=1),
            lambda: foreign.add_user("ann", "on"),
        ):
            with pytest.raises(MisuseError, match="not ours"):
                action()
        assert own_redis_server.running


def test_it_speaks_tls(tls_files: TlsFiles) -> None:
    with RedisServer(tls=tls_files) as server:
        assert server.url.startswith("rediss://")
        put(server, "a")
        server.restart()
        assert keys(server) == {"a"}
