from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.kafka.connection import KafkaConnection, describe, unavailable
from alpha_panda.errors import SettingsError

PLAIN = KafkaConnection(bootstrap_servers="localhost:9092")


@given(attempt=st.integers(1, 10_000), seed=st.text(max_size=5))
def test_the_wait_between_connects_doubles_up_to_a_cap_and_half_of_it_is_jitter(
    attempt: int, seed: str
) -> None:
    ceiling = min(PLAIN.reconnect_max, PLAIN.reconnect_initial * 2.0 ** min(attempt - 1, 20))
    assert ceiling / 2 <= PLAIN.backoff(attempt, seed) < ceiling
    assert PLAIN.backoff(attempt, seed) == PLAIN.backoff(attempt, seed)


def test_clients_come_back_at_different_times() -> None:
    assert len({PLAIN.backoff(9, f"client-{n}") for n in range(100)}) == 100


def test_times_are_told_to_the_client_in_milliseconds() -> None:
    options = KafkaConnection(
        bootstrap_servers="a:1,b:2", client_id="panda", request_timeout=1.5, metadata_max_age=2.0
    ).client_options("risk")
    assert options == {
        "bootstrap_servers": "a:1,b:2",
        "client_id": "panda.risk",
        "request_timeout_ms": 1500,
        "metadata_max_age_ms": 2000,
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


def test_secrets_are_read_each_time_they_are_needed() -> None:
    secrets = iter(["one", "two"])
    connection = KafkaConnection(
        bootstrap_servers="a:1",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        username="panda",
        password=lambda: next(secrets),
    )
    for expected in ("one", "two"):
        options = connection.client_options("x")
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("panda", expected)


@pytest.mark.parametrize("lacks", ["username", "password"])
def test_sasl_needs_both_user_and_password(lacks: str) -> None:
    known = {"username": "panda", "password": "bamboo"}
    del known[lacks]
    connection = KafkaConnection(bootstrap_servers="a:1", security_protocol="SASL_SSL", **known)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="SASL_SSL needs a username and a password"):
        connection.client_options("x")


@pytest.mark.parametrize(
    ("protocol", "tls", "sasl"),
    [
        ("PLAINTEXT", False, False),
        ("SSL", True, False),
        ("SASL_PLAINTEXT", False, True),
        ("SASL_SSL", True, True),
    ],
)
def test_the_protocol_says_what_is_used(protocol: str, tls: bool, sasl: bool) -> None:
    connection = KafkaConnection(bootstrap_servers="a:1", security_protocol=protocol)  # type: ignore[arg-type]
    assert (connection.uses_tls, connection.uses_sasl) == (tls, sasl)


def test_a_server_s_certificate_and_name_are_checked() -> None:
    context = KafkaConnection(bootstrap_servers="a:1", security_protocol="SSL").ssl_context()
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_a_missing_key_file_is_a_wrong_setting(tmp_path: Path) -> None:
    connection = KafkaConnection(
        bootstrap_servers="a:1",
        security_protocol="SSL",
        cert_file=tmp_path / "c.pem",
        key_file=tmp_path / "k.pem",
    )
    with pytest.raises(SettingsError, match=r"c\.pem.*k\.pem"):
        connection.ssl_context()


def test_errors_without_a_text_are_named() -> None:
    assert describe(TimeoutError()) == "TimeoutError"
    assert describe(OSError("no route")) == "OSError: no route"
    assert str(unavailable("send", TimeoutError())) == "kafka: send: TimeoutError"
    assert unavailable("send").dependency == "kafka"


def test_tls_files_that_are_being_exchanged_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    connection = KafkaConnection(bootstrap_servers="a:1", security_protocol="SSL", on_stale_tls=told.append)
    good = connection.ssl_context()
    read = KafkaConnection._read_tls

    def half_a_pair(_: KafkaConnection) -> None:
        raise SettingsError("KEY_VALUES_MISMATCH")

    monkeypatch.setattr(KafkaConnection, "_read_tls", half_a_pair)
    assert connection.ssl_context() is good
    assert connection.client_options("x")["ssl_context"] is good
    assert told == ["KEY_VALUES_MISMATCH"]  # once
    monkeypatch.setattr(KafkaConnection, "_read_tls", read)
    assert connection.ssl_context() is not good
    monkeypatch.setattr(KafkaConnection, "_read_tls", half_a_pair)
    assert connection.ssl_context() is not good
    assert len(told) == 2


def test_one_connection_s_files_are_no_other_s(tmp_path: Path) -> None:
    assert KafkaConnection(bootstrap_servers="a:1", security_protocol="SSL").ssl_context() is not None
    other = KafkaConnection(bootstrap_servers="a:1", security_protocol="SSL", ca_file=tmp_path / "none.pem")
    with pytest.raises(SettingsError, match=r"none\.pem"):
        other.ssl_context()
