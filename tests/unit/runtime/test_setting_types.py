"""Types of settings that several share: what fits and what is told of what does not."""

import pytest

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import load_settings


@pytest.mark.parametrize(
    "servers", ["", "kafka:9092", "127.0.0.1:1", "a:1,b:22,c.d-e:333", "[::1]:9092,[fe80::1]:1"]
)
def test_addresses_of_brokers_that_fit(servers: str) -> None:
    assert load_settings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers


@pytest.mark.parametrize(
    "servers",
    ["nonsense", "kafka:", ":9092", "kafka:port", "a:1,", "a:1 ,b:2", "a:1;b:2", "::1:9092", "http://a:1"],
)
def test_an_address_without_a_port_is_refused_at_once_and_names_the_setting(servers: str) -> None:
    with pytest.raises(SettingsError, match="ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS is"):
        load_settings(kafka_bootstrap_servers=servers)
