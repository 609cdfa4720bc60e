"""What the settings make of Kafka and Redis; that it works is shown on real servers in tests/integration/real."""

from pathlib import Path

import pytest
import structlog

from alpha_panda.compose.checked_bus import CheckedBus
from alpha_panda.compose.transports import _bus, has_transports, journal_field, kafka_connection
from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import load_settings

REDIS = "redis://127.0.0.1:6379/0"


def test_without_addresses_everything_is_in_the_process() -> None:
    assert not has_transports(load_settings())


def test_both_addresses_are_transports() -> None:
    assert has_transports(load_settings(kafka_bootstrap_servers="127.0.0.1:9092", redis_url=REDIS))


@pytest.mark.parametrize(("given", "expected"), [(0, None), (1, 1), (3, 3)])
def test_without_a_count_of_copies_the_cluster_decides(given: int, expected: int | None) -> None:
    connection = kafka_connection(load_settings(kafka_replication_factor=given))
    assert connection.replication_factor == expected
    assert kafka_connection(load_settings()).replication_factor is None


def test_tls_files_that_can_t_be_used_any_more_are_logged() -> None:
    tell = kafka_connection(load_settings()).on_stale_tls
    assert tell is not None
    with structlog.testing.capture_logs() as logs:
        tell("half a pair")
    assert [(line["log_level"], line["reason"]) for line in logs] == [("warning", "half a pair")]


@pytest.mark.parametrize(("live", "checks"), [(None, False), (False, True), (True, True)])
async def test_topics_are_checked_where_services_run(live: bool | None, checks: bool) -> None:
    async with _bus(load_settings(kafka_bootstrap_servers="127.0.0.1:1"), live) as bus:
        assert isinstance(bus, CheckedBus) is checks


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ("ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS", "ALPHAPANDA_REDIS_URL"),
        ("ALPHAPANDA_REDIS_URL", "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_one_without_the_other_is_refused_and_names_the_one_that_is_lacking(
    monkeypatch: pytest.MonkeyPatch, given: str, lacking: str
) -> None:
    monkeypatch.setenv(given, REDIS if "REDIS" in given else "127.0.0.1:9092")
    with pytest.raises(SettingsError, match=f"{given} is set, but {lacking} is not"):
        has_transports(load_settings())


def test_the_journal_is_where_the_prices_are_unless_it_has_an_address_of_its_own() -> None:
    assert journal_field(load_settings(redis_url=REDIS)) == "redis"
    assert journal_field(load_settings(redis_url=REDIS, journal_redis_url=REDIS)) == "journal_redis"


def test_kafka_is_reached_as_the_settings_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    monkeypatch.setenv("ALPHAPANDA_KAFKA_SASL_PASSWORD_FILE", str(secret))
    connection = kafka_connection(
        load_settings(
            kafka_bootstrap_servers="a:1,b:2",
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_username="panda",
            kafka_tls_ca_file=str(tmp_path / "ca.pem"),
            kafka_request_timeout_seconds=7,
            kafka_retention_days=20,
        )
    )
    assert connection.bootstrap_servers == "a:1,b:2"
    assert (connection.security_protocol, connection.ca_file) == ("SASL_SSL", tmp_path / "ca.pem")
    assert (connection.request_timeout, connection.retention_hours) == (7, 480)
    assert connection.credentials() == ("panda", "first")
    secret.write_text("rotated\n")
    assert connection.credentials() == ("panda", "rotated")
