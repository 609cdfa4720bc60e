"""What the admin makes of answers that a broker without access rules never gives."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError, TopicAuthorizationFailedError, UnknownError

from alpha_panda.adapters.kafka.admin import BROKER, TOPIC, KafkaAdmin
from alpha_panda.adapters.kafka.connection import KafkaConnection


def admin_told(*resources: tuple[Any, ...]) -> KafkaAdmin:
    """Return an admin whose brokers answer each request with this."""

    async def send(_node: int, _request: object) -> SimpleNamespace:
        return SimpleNamespace(resources=resources)

    async def opened() -> SimpleNamespace:
        return SimpleNamespace(send=send)

    admin = KafkaAdmin(KafkaConnection(bootstrap_servers="a:1"))
    admin._open = opened  # type: ignore[method-assign]
    return admin


def setting(name: str, value: str | None) -> tuple[Any, ...]:
    return (name, value, False, 5, False, [])


async def test_settings_that_may_not_be_read_are_unknown_and_hide_no_other() -> None:
    admin = admin_told(
        (TopicAuthorizationFailedError.errno, "no", TOPIC, "hidden", []),
        (0, None, TOPIC, "shown", [setting("cleanup.policy", "delete"), setting("secret", None)]),
    )
    found = await admin._settings(TOPIC, ["hidden", "shown"], ["cleanup.policy"], 1)
    assert found == {"hidden": None, "shown": {"cleanup.policy": "delete"}}


async def test_another_error_is_no_answer() -> None:
    admin = admin_told((UnknownError.errno, "odd", TOPIC, "t", []))
    with pytest.raises(UnknownError):
        await admin._settings(TOPIC, ["t"], ["cleanup.policy"], 1)


@pytest.mark.parametrize(
    ("code", "entries", "alone"),
    [
        (0, [setting("offsets.topic.replication.factor", "1")], True),
        (0, [setting("offsets.topic.replication.factor", "3")], False),
        (0, [], True),  # not Apache's: it has no such setting
        (ClusterAuthorizationFailedError.errno, [], False),
    ],
)
async def test_a_broker_is_alone_only_if_it_says_so(code: int, entries: list[Any], alone: bool) -> None:
    admin = admin_told((code, None, BROKER, "1", entries))
    assert await admin._meant_to_be_alone((1,)) is alone
    assert not await admin._meant_to_be_alone((1, 2))
