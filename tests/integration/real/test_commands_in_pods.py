"""Persons' commands as the kubectl plugin runs them: in a service's pod, with the pod's settings and a person's login."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.redis.acl import RoleRights, operator_rights, person_rights
from alpha_panda.cli.app import main
from alpha_panda.cli.person_login import REMEDY
from alpha_panda.compose.transports import connected
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import ACCOUNT
from contracts.samples import UNKNOWN
from integration.real.redis_roles import KEYS, PASSWORD, ROLES, Servers, opened

PERSON = "person"
INSTALLATION = "pods"
PLATFORM_KEYS = KeyMap("", INSTALLATION)
RESOLVE = (
    "orders",
    "resolve",
    ACCOUNT,
    "p1",
    "--as",
    "filled",
    "--price",
    "2500",
    "--reason",
    "seen",
    "--yes",
)


class Pod:
    """A pod's environment, and `alpha-panda` in it."""

    def __init__(
        self, servers: Servers, folder: Path, given: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.servers = servers
        self._folder = folder
        self._given = given
        self._capture = capture

    def log_in(self, user: str, rights: RoleRights) -> None:
        """Let its service log in as this user."""
        self.servers.allow(user, rights)
        password = self._folder / "redis-password"
        password.write_text(f"{PASSWORD}\n", encoding="utf-8")
        self._given.setenv("ALPHAPANDA_REDIS_USERNAME", user)
        self._given.setenv("ALPHAPANDA_REDIS_PASSWORD_FILE", str(password))

    def mount_person(self, rights: RoleRights) -> None:
        """Mount the second Secret, for the first time or another one."""
        self.servers.allow(PERSON, rights)
        folder = self._folder / "person"
        folder.mkdir(exist_ok=True)
        (folder / "redis-username").write_text(PERSON, encoding="utf-8")
        (folder / "redis-password").write_text(PASSWORD, encoding="utf-8")
        self._given.setenv("ALPHAPANDA_PERSON_CREDENTIALS", str(folder))

    def __call__(self, *words: str) -> tuple[int, Any, str]:
        """Return exit code, the object on stdout and what was said."""
        self._capture.readouterr()
        with patch.dict(os.environ):  # a command changes its own environment, as a process of its own would
            code = main([*words, "-o", "json"])
        out, err = self._capture.readouterr()
        return code, json.loads(out) if out else None, err


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with RedisServer(appendfsync="no") as server:
        yield Servers(server, server)


@pytest.fixture
def pod(
    servers: Servers,
    kafka_server: KafkaServer | ExternalKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Pod:
    """Of an account that is open, with one order in doubt; still without a login."""
    named = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.bootstrap_servers,
        "KAFKA_REPLICATION_FACTOR": "1",
        "REDIS_URL": servers.journal.url,
        "TOPIC_PREFIX": KEYS.prefix,
        "COMMAND_TIMEOUT_SECONDS": "3",
    }
    for name, value in named.items():
        monkeypatch.setenv(f"ALPHAPANDA_{name}", value)

    async def prepare() -> None:
        await opened(servers)
        async with connected(load_settings(), RealClock()) as ports:
            journal = ports.journal(ACCOUNT)
            (sent,) = await journal.in_doubt()  # whoever sent it got no answer: it is a person's to settle
            await journal.settle(sent.signal_id, sent.attempt, UNKNOWN, sent)
            await ports.bus.ensure_topics(TopicMap(ACCOUNT, KEYS.prefix).specs(1))

    asyncio.run(prepare())
    servers.forget_denials()
    return Pod(servers, tmp_path, monkeypatch, capsys)


def halt_and_resume(pod: Pod, *scope: str) -> None:
    code, found, said = pod("halt", *scope, "--reason", "x")
    assert code == 0, said
    latch_id = found["halts"][0]["latch"]["id"]
    code, found, said = pod("resume", *scope, "--latch", latch_id)
    assert (code, found["latches"]) == (0, []), said


def every_command(pod: Pod) -> None:
    """What the plugin sends to an account's risk pod, and reaches Redis."""
    for scope in (ACCOUNT, "Strategy/momentum"):
        halt_and_resume(pod, scope)
    code, found, said = pod("orders", "list", ACCOUNT, "--in-doubt")
    assert code == 0, said
    assert [order["signal_id"] for order in found["orders"]] == ["p1"]
    code, found, said = pod("orders", "show", "p1")
    assert (code, found["decision"]["verdict"]) == (0, "VALIDATED"), said
    code, found, said = pod(*RESOLVE)
    assert code == 0, said
    assert found["applied"]


def test_with_a_persons_login_every_command_does_its_work_in_a_risk_pod(pod: Pod) -> None:
    pod.log_in("risk", ROLES["risk"])
    pod.mount_person(ROLES["person"])
    every_command(pod)
    assert pod.servers.denials() == []


def test_one_login_serves_all_accounts_of_a_namespace(pod: Pod) -> None:
    """As the page's line has it."""
    pod.log_in("risk", ROLES["risk"])
    pod.mount_person(person_rights(KEYS, ["*"]))
    every_command(pod)
    assert pod.servers.denials() == []


def test_risks_own_login_halts_and_resumes_but_settles_no_order(pod: Pod) -> None:
    """Halting must not wait for a second Secret; writing the journal is not risk's."""
    pod.log_in("risk", ROLES["risk"])
    halt_and_resume(pod, ACCOUNT)
    code, _, said = pod(*RESOLVE)
    assert code == 1
    assert REMEDY in said
    code, found, _ = pod("orders", "show", "p1")
    assert (code, found["entry"]["state"]) == (0, "UNKNOWN")


@pytest.fixture
def operators(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """Without a prefix, as one with the operator's rights."""
    monkeypatch.delenv("ALPHAPANDA_TOPIC_PREFIX")
    monkeypatch.setenv("ALPHAPANDA_INSTALLATION", INSTALLATION)
    with pod.servers.journal.client() as client:
        spec = {"state": "Active", "expires_us": str(2**52)}
        client.hset(PLATFORM_KEYS.control_spec("platform"), mapping=spec)
    pod.log_in("operator", operator_rights(PLATFORM_KEYS))
    return pod


def test_the_platform_is_halted_and_resumed_in_the_operators_pod_by_a_person(operators: Pod) -> None:
    operators.mount_person(person_rights(PLATFORM_KEYS, ()))
    halt_and_resume(operators, "--all")
    assert operators.servers.denials() == []


def test_the_operators_own_login_can_not_halt_the_platform_and_the_command_says_what_is_missing(
    operators: Pod,
) -> None:
    code, found, said = operators("halt", "--all", "--reason", "x")
    assert code == 1
    assert not found["halts"][0]["in_force"]
    assert REMEDY in said
