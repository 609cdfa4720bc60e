"""A real Redis for tests: started on a free port of the loopback, killed, paused, rolled back, ended by its pid.

with RedisServer() as server:
    client = redis.Redis.from_url(server.url)
    before = server.image()
    ...
    server.restart(before)          # comes back under another run id, without what was written since

It forces nothing on its user's loop: all methods are plain functions that return when the server answers.
"""

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from alpha_panda.errors import DependencyUnavailableError, MisuseError, SettingsError

from .ports import LOOPBACK, free_ports
from .redis_aof import EMPTY, RedisImage, cut_bytes, cut_since, read_image, write_image

URL_VARIABLE: Final = "ALPHAPANDA_TEST_REDIS_URL"
"""Names a Redis to test against instead of starting one."""

PATIENCE: Final = 20.0
"""Seconds within which a server must answer after its start, or be gone after its end: disks of CI are slow."""

POLL: Final = 0.01
"""Seconds between two looks at a server that starts."""

OLDEST: Final = 7
"""Major version from which on the append-only file is a folder and scripts may have flags."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; with them the server speaks TLS only, on its one port, and asks clients for no certificate."""

    certificate: Path
    key: Path
    authority: Path


class RedisServer:
    """One redis-server process with a folder of its own below the system's temporary one.

    Durable as a journal's Redis must be: append-only file, `appendfsync always`, no eviction, no snapshots.

    Args:
        appendfsync: `everysec` for a server that may lose its last second.
        config: further settings, as in redis.conf; they win.
        users: ACL rules by user, e.g. {"engine": "on >secret ~* +@all"}. The user `default` stays as it is.
        tls: speak TLS.

    Raises (on start):
        MisuseError: no redis-server is installed, or one older than 7.0.
        DependencyUnavailableError: it does not come up; the message ends with its log.

    """

    managed = True
    """Whether the process is ours to kill."""

    def __init__(
        self,
        *,
        appendfsync: str = "always",
        config: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self.port = 0
        self._appendfsync = appendfsync
        self._config = dict(config or {})
        self._users = dict(users or {})
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    # ------------------------------------------------------------------------------------------- where it is

    @property
    def url(self) -> str:
        """Where it listens; the same for its whole life, restarts included."""
        return f"{'rediss' if self._tls else 'redis'}://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process; another one after each start."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def run_id(self) -> str:
        """What Redis calls the identity of its present run."""
        with self.client() as client:
            return str(client.info("server")["run_id"])

    def client(self, **options: Any) -> "redis.Redis":  # noqa: ANN401 - redis-py's own options
        """Return a blocking client, for what a test arranges or looks at."""
        trust = {"ssl_ca_certs": str(self._tls.authority)} if self._tls else {}
        once: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": PATIENCE,
            **trust,
            **options,
        }
        return redis.Redis.from_url(self.url, **once)

    def clear(self) -> None:
        """Forget all keys and scripts, in the same run; what a test begins with."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    # ------------------------------------------------------------------------------------------- life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start it on what its folder holds; returns when it answers."""
        if self.running:
            raise MisuseError(f"the Redis on port {self.port} runs already")
        program = _program()
        folder = self._made_folder()
        self.port = self.port or free_ports(1)[0]
        (folder / "redis.conf").write_text(self._conf(folder), encoding="utf-8")
        with (folder / "log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the program found on the PATH, no shell
                [program, str(folder / "redis.conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C meant for the tests must not end it before they are done with it
                preexec_fn=functools.partial(_die_with, os.getpid()),  # noqa: PLW1509 - one call into a loaded library
            )
        self._await_answer()

    def stop(self) -> None:
        """End it by SIGTERM: it writes everything down first."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL, a paused one too."""
        self._end(signal.SIGKILL)

    def restart(self, image: RedisImage | None = None) -> None:
        """Kill it and start it on the same port under another run id: with its data, or with `image` instead."""
        if self.running:
            self.kill()
        if image is not None:
            write_image(self._made_folder(), image)
        self.start()

    def flush(self) -> None:
        """Come back empty, under another run id: as a Redis that has lost its disk."""
        self.restart(EMPTY)

    def pause(self) -> None:
        """Freeze it by SIGSTOP: connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on: it carries out what was sent to it meanwhile."""
        self._running().send_signal(signal.SIGCONT)

    def image(self) -> RedisImage:
        """Return what its disk holds now, for a later `restart`."""
        return read_image(self._made_folder())

    def truncate_last(self, *, size: int | None = None, seconds: float | None = None) -> int:
        """Cut the end off what is on disk: `size` bytes, or what was written in the last `seconds` (whole ones).

        As a power cut does to `appendfsync everysec`. The server must have been killed; start it afterwards.
        Returns how many bytes are gone.
        """
        if self.running:
            raise MisuseError("kill the server first: it would go on writing behind the cut")
        if (size is None) == (seconds is None):
            raise MisuseError("say either size or seconds")
        if size is not None:
            return cut_bytes(self._made_folder(), size)
        return cut_since(self._made_folder(), int(time.time() - (seconds or 0.0)) + 1)

    def close(self) -> None:
        """End it and delete its folder; the object may be started anew."""
        if self.running:
            self.kill()
        self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # ------------------------------------------------------------------------------------------- how

    def add_user(self, name: str, rules: str) -> None:
        """Make an ACL user, e.g. "on >secret ~demo:* +@read"; it outlives restarts."""
        self._users[name] = rules
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", name, "reset", *rules.split())

    def log(self) -> str:
        """Return what the server has said."""
        file = self._made_folder() / "log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _conf(self, folder: Path) -> str:
        ports = {"port": str(self.port)}
        if self._tls:
            ports = {
                "port": "0",
                "tls-port": str(self.port),
                "tls-cert-file": str(self._tls.certificate),
                "tls-key-file": str(self._tls.key),
                "tls-ca-cert-file": str(self._tls.authority),
                "tls-auth-clients": "no",
            }
        settings = {
            "bind": LOOPBACK,
            **ports,
            "dir": str(folder),
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "auto-aof-rewrite-percentage": "0",  # an image stays a prefix of what follows
            "aof-timestamp-enabled": "yes",  # `truncate_last(seconds=…)` finds its place by them
            "maxmemory-policy": "noeviction",
            **self._config,
        }
        lines = [f"{name} {value}" for name, value in settings.items()]
        return "\n".join(lines + [f"user {name} {rules}" for name, rules in self._users.items()]) + "\n"

    def _made_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="alpha-panda-redis-"))
        return self._folder

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            raise MisuseError("the Redis is not running; start it first")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        process.wait(PATIENCE)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                with contextlib.suppress(MisuseError):
                    self.kill()
                raise DependencyUnavailableError("redis", f"did not start; its log:\n{self.log()[-2000:]}")
            time.sleep(POLL)

    def _answers(self) -> bool:
        """Whether it has loaded its data. A user may have been denied PING: any answer but LOADING is one."""
        try:
            with self.client(socket_timeout=1.0) as client:
                client.ping()
        except (redis.exceptions.BusyLoadingError, redis.exceptions.TimeoutError):
            return False
        except redis.exceptions.AuthenticationError:
            return True
        except redis.exceptions.ConnectionError:
            return False
        return True


class ForeignRedis(RedisServer):
    """A Redis that somebody else runs, at a URL: nothing here starts, ends or pauses it.

    Raises:
        SettingsError: the database holds keys. Tests empty it, so it must be one that nobody needs.

    """

    managed = False

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.port = urlsplit(url).port or 6379
        with self.client() as client:
            if client.dbsize():
                raise SettingsError(
                    f"{URL_VARIABLE}: its database is not empty, and tests delete everything in it; name an empty "
                    "one (redis://host:port/15, say)"
                )

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def clear(self) -> None:
        """Forget all keys of its one database."""
        with self.client() as client:
            client.flushdb()

    def start(self) -> None:
        """Nothing to do: it runs."""

    def close(self) -> None:
        """Leave it empty, as it was found."""
        self.clear()

    def refuse(self, what: str) -> NoReturn:
        """Say that it can't be done; the pytest fixture skips the test instead."""
        raise MisuseError(
            f"{what}: the Redis of {URL_VARIABLE} is not ours; leave the variable out to start one"
        )

    def _running(self) -> NoReturn:
        self.refuse("end or pause the process")

    def _made_folder(self) -> NoReturn:
        self.refuse("touch the files")

    def restart(self, image: RedisImage | None = None) -> None:  # noqa: ARG002 - the base's
        """Refused."""
        self.refuse("restart")

    def truncate_last(self, *, size: int | None = None, seconds: float | None = None) -> int:  # noqa: ARG002 - as above
        """Refused."""
        self.refuse("cut its file")

    def add_user(self, name: str, rules: str) -> None:  # noqa: ARG002 - as above
        """Refused: its users are nobody's to change."""
        self.refuse("make a user")


def _program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise MisuseError(
            "redis-server is not installed: install it (Debian and Ubuntu: package redis-server; macOS: brew install "
            f"redis), or name a running one in {URL_VARIABLE}"
        )
    command = [found, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout  # noqa: S603 - as found
    if (major := _major(said)) < OLDEST:
        raise MisuseError(f"{found} is version {major}, {OLDEST}.0 or newer is needed (Debian: redis-server)")
    return found


def _major(said: str) -> int:
    """Return the major version in "Redis server v=7.0.15 sha=…"."""
    return int(said.partition("v=")[2].partition(".")[0] or 0)


def _die_with(parent: int) -> None:
    """In the child, before it becomes the server: die when the thread that started us does (Linux)."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os._exit(1)
