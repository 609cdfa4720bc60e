"""How to reach a Redis: what can't work is refused at once, and no message shows a password."""

import socket
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.redis.connection import RedisAddress, make_pool
from alpha_panda.errors import SettingsError


def options(address: RedisAddress) -> dict[str, Any]:
    return make_pool(address)._options


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    file = tmp_path / "some.pem"
    file.write_text("x")
    return file


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://:hidden@h", "redis+cluster://:hidden@h"])
def test_a_url_that_is_none_of_redis_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="allowed: redis://, rediss://, unix://") as caught:
        RedisAddress(url)
    assert "hidden" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    assert "hidden" not in repr(RedisAddress("redis://:hidden@h", password=lambda: "hidden"))


def test_certificates_without_tls_are_refused(pem: Path) -> None:
    with pytest.raises(SettingsError, match="write rediss://"):
        RedisAddress("redis://h", ca_file=pem)


def test_a_certificate_needs_its_key(pem: Path) -> None:
    with pytest.raises(SettingsError, match="give both"):
        RedisAddress("rediss://h", cert_file=pem)
    with pytest.raises(SettingsError, match="give both"):
        RedisAddress("rediss://h", key_file=pem)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no file .*absent\.pem"):
        RedisAddress("rediss://h", ca_file=tmp_path / "absent.pem")


def test_nothing_is_ever_sent_twice() -> None:
    found = options(RedisAddress("redis://h"))
    assert found["retry"]._retries == 0
    assert found["socket_timeout"] is None  # each call is bounded by itself


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_sockets_notice_a_dead_peer() -> None:
    found = options(RedisAddress("redis://h", user_timeout=1.5))
    assert found["socket_keepalive"]
    assert found["socket_keepalive_options"][socket.TCP_USER_TIMEOUT] == 1500
    assert socket.TCP_KEEPIDLE in found["socket_keepalive_options"]


def test_a_unix_socket_has_no_tcp_options() -> None:
    assert "socket_keepalive_options" not in options(RedisAddress("unix:///run/redis.sock"))


def test_tls_files_reach_the_client(pem: Path) -> None:
    found = options(RedisAddress("rediss://h", ca_file=pem, cert_file=pem, key_file=pem))
    assert [found[f"ssl_{name}"] for name in ("ca_certs", "certfile", "keyfile")] == [str(pem)] * 3


def test_the_urls_login_counts_unless_another_is_given() -> None:
    found = options(RedisAddress("redis://ann:one@h"))
    assert (found["username"], found["password"]) == ("ann", "one")
    assert options(RedisAddress("redis://ann:one@h", username="bob"))["username"] == "bob"


@pytest.mark.parametrize(
    ("url", "username", "expected"),
    [
        ("redis://h", "", "default"),
        ("redis://a%40b:one@h:1/2", "", "a@b"),
        ("redis://ann:one@h", "bob", "bob"),
    ],
)
def test_a_provider_gives_the_password_for_the_user_who_was_named(
    url: str, username: str, expected: str
) -> None:
    found = options(RedisAddress(url, username=username, password=lambda: "two"))
    assert found["credential_provider"].get_credentials() == (expected, "two")
    assert not {"username", "password"}.intersection(found)
    assert found["host"] == "h"


def test_the_name_is_one_that_redis_takes() -> None:
    assert options(RedisAddress("redis://h", client_name="engine of ä"))["client_name"] == "engine-of--"
