"""`python -m alpha_panda.testing.servers`, as a developer starts it."""

import shlex
import signal
import socket
import subprocess
import sys

import pytest
import redis

from alpha_panda.testing.servers.kafka import answers_metadata
from integration.command import ROOT, environment


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_both_says_where_and_ends_them(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "alpha_panda.testing.servers"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        given = dict(shlex.split(line)[1].split("=", 1) for line in lines)
        kafka, url = given["ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS"], given["ALPHAPANDA_REDIS_URL"]
        host, port = kafka.split(":")
        assert answers_metadata(host, int(port))
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in told
        with pytest.raises(OSError), socket.create_connection((host, int(port)), 1):  # noqa: PT011 - any
            pass
    finally:
        process.kill()
        process.communicate()
