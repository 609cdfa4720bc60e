"""A password is changed while pods trade: they take the new one from their mounted Secret, without a restart."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.node.desk import BUSY, ROLES, Desk
from e2e.node.installation import NAME, Installation

Tell = Callable[[str], None]

USER, SECRET = "desk", "redis-login"
FILE = "/var/run/alpha-panda/credentials/redis-password"


def redis_cli(installation: Installation, *words: str) -> str:
    return installation.kubectl("exec", f"{NAME}-redis-0", "--", "redis-cli", *words).strip()


@pytest.fixture
def with_login(installation: Installation) -> Iterator[Installation]:
    """The installation, whose pods log in at Redis as a user of their own by a Secret of their namespace."""
    redis_cli(installation, "ACL", "SETUSER", USER, "on", ">old", "~*", "&*", "+@all")
    changes = {
        "roles": {"defaults": {"credentialsSecret": SECRET}},
        "operator": {"config": {"credentialKeys": ["redis-username", "redis-password"]}},
    }
    installation.upgrade(installation.package(), **changes)
    yield installation
    installation.upgrade(installation.package())
    redis_cli(installation, "ACL", "DELUSER", USER)


def test_a_rotated_secret_is_taken_without_a_restart(
    with_login: Installation, desk: Desk, tell: Tell
) -> None:
    words = [f"--from-literal=redis-username={USER}", "--from-literal=redis-password=old"]
    desk.kubectl("create", "secret", "generic", SECRET, *words)
    desk.apply(BUSY)
    desk.trades()
    assert f"user={USER}" in redis_cli(with_login, "CLIENT", "LIST")
    tape = desk.tape()
    tape.trades_on()
    before = desk.uids()

    redis_cli(with_login, "ACL", "SETUSER", USER, ">new")
    began = time.monotonic()
    desk.kubectl("patch", "secret", SECRET, "--patch", json.dumps({"stringData": {"redis-password": "new"}}))
    for role in ROLES:
        for pod in desk.pods(role):
            name = pod["metadata"]["name"]
            desk.wait_until(
                lambda: desk.kubectl("exec", name, "--", "cat", FILE) == "new",  # noqa: B023 - asked at once
                f"{name} has the new password",
                120,
            )
    tell(f"the new password is in every pod after {time.monotonic() - began:.1f} s")

    cut = time.time()
    redis_cli(with_login, "ACL", "SETUSER", USER, "<old")
    ended = redis_cli(with_login, "CLIENT", "KILL", "USER", USER)
    assert int(ended) >= len(before)
    first = tape.trades_on(5)
    tell(f"{ended} connections cut, the old password void: next order {first - cut:.2f} s later")
    desk.trades()
    assert desk.uids() == before
