"""`alpha-panda run --kafka … --redis …`: the same manifests over real servers, watched and halted from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from alpha_panda.testing.servers.redis import RedisServer

DEMO = Path(__file__).parents[3] / "examples" / "01-paper-momentum"
SECONDS = 90
"""Longest wait for a command on a busy machine."""


def alpha(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPHAPANDA_")}
    return subprocess.run(  # noqa: S603 - the project's own command
        [sys.executable, "-m", "alpha_panda.cli", *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        env=clean | environment,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_trades_over_real_servers_and_a_second_run_goes_on_with_the_same_book(
    kafka_server: KafkaServer | ExternalKafka, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.clear()
    prefix = f"{tmp_path.name.replace('_', '-')}."
    addresses = ("--kafka", kafka_server.bootstrap_servers, "--redis", redis_server.url)
    environment = {
        "ALPHAPANDA_TOPIC_PREFIX": prefix,
        "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS": kafka_server.bootstrap_servers,
        "ALPHAPANDA_REDIS_URL": redis_server.url,
    }

    def run(events: str) -> dict[str, Any]:
        done = alpha(
            *("run", DEMO, "--duration", "8s", "--output", "json", "--events", tmp_path / events),
            *addresses,
            ALPHAPANDA_TOPIC_PREFIX=prefix,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    first = run("first.jsonl")
    assert first["ticks"] > 500
    assert first["orders"]["filled"] >= 1
    assert (first["dlq"], first["orders"]["failed"]) == (0, 0)
    events = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text().splitlines()]
    assert {event["topic"].removeprefix(prefix) for event in events} >= {
        "demo.market.ticks",
        "paper.signals.raw",
        "paper.signals.validated",
        "paper.orders.filled",
        "paper.portfolio",
    }

    halted = alpha("halt", "--all", "--reason", "a test", **environment)
    assert halted.returncode == 0, halted.stderr
    second = run("second.jsonl")
    assert second["orders"]["filled"] == 0
    assert second["accounts"]["paper"]["cash"] == first["accounts"]["paper"]["cash"]
    assert second["accounts"]["paper"]["positions"] == first["accounts"]["paper"]["positions"]


def test_an_address_without_the_other_is_refused_before_anything_starts() -> None:
    done = alpha("run", DEMO, "--kafka", "127.0.0.1:1")
    assert done.returncode == 2
    assert "ALPHAPANDA_REDIS_URL is not" in done.stderr


def test_servers_that_nobody_answers_at_end_the_run_with_what_to_do(redis_server: RedisServer) -> None:
    done = alpha(
        *("run", DEMO, "--kafka", "127.0.0.1:1", "--redis", redis_server.url),
        ALPHAPANDA_KAFKA_REQUEST_TIMEOUT_SECONDS="1",
    )
    assert done.returncode == 1
    assert "failed: kafka" in done.stderr
    assert "Traceback" not in done.stderr
