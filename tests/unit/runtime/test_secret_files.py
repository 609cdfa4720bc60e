"""Secrets from files, as Kubernetes mounts them; and never shown."""

from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.secret_files import secret_reader
from alpha_panda.runtime.settings import load_settings

PASSWORD = "ALPHAPANDA_KAFKA_SASL_PASSWORD"  # noqa: S105 - a variable's name
URL = "ALPHAPANDA_REDIS_URL"


def test_a_secret_is_read_from_the_file_that_its_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(" s3cret \n")
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "password"))
    assert load_settings().kafka_sasl_password.get_secret_value() == " s3cret "


def test_both_a_value_and_a_file_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PASSWORD, "one")
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "two"))
    with pytest.raises(SettingsError, match=f"{PASSWORD} and {PASSWORD}_FILE are both set") as raised:
        load_settings()
    assert "one" not in str(raised.value).replace(str(tmp_path), "").split(":")[0]


def test_a_file_that_is_not_there_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match=rf"{PASSWORD}_FILE names .*missing.*No such file"):
        load_settings()


def test_binary_content_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "password"))
    with pytest.raises(SettingsError, match="it is no text"):
        load_settings()


def test_only_secrets_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALPHAPANDA_LOG_LEVEL_FILE", str(tmp_path / "level"))
    with pytest.raises(SettingsError, match="ALPHAPANDA_LOG_LEVEL_FILE is no setting"):
        load_settings()


def test_an_address_may_hold_a_password_so_it_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "http://user:hunter2@host:6379")
    with pytest.raises(SettingsError, match=f"{URL}: an address of Redis begins with redis://") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
    monkeypatch.setenv(URL, "rediss://user:hunter2@host:6379/1")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert settings.redis_url.get_secret_value().endswith("/1")


# ------------------------------------------------------------------------------------ while a file is exchanged


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "password"
    file.write_text("bamboo\n")
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(file))
    return file


def test_a_password_file_is_read_each_time(secret: Path) -> None:
    secret.write_text("one\n")
    provider = secret_reader(load_settings().kafka_sasl_password, PASSWORD)
    assert provider is not None
    assert provider() == "one"
    secret.write_text(" two \r\n")
    assert provider() == " two "


def test_a_file_that_is_gone_for_a_moment_gives_what_it_held(secret: Path) -> None:
    read = secret_reader(load_settings().kafka_sasl_password, PASSWORD)
    assert read is not None
    secret.unlink()
    with structlog.testing.capture_logs() as logs:
        assert [read(), read()] == ["bamboo", "bamboo"]  # also before it was read for a connection
        secret.write_text("")  # made, and not written yet
        assert read() == "bamboo"
    assert [line["log_level"] for line in logs] == ["warning"]
    assert "bamboo" not in str(logs)
    secret.write_text("rotated\n")
    assert read() == "rotated"
    secret.unlink()
    with structlog.testing.capture_logs() as logs:
        assert read() == "rotated"
    assert len(logs) == 1
    assert f"{PASSWORD}_FILE names {secret}" in logs[0]["reason"]


def test_at_the_start_an_unreadable_file_is_a_wrong_setting(secret: Path) -> None:
    secret.unlink()
    with pytest.raises(SettingsError, match=f"{PASSWORD}_FILE"):
        load_settings()
    read = secret_reader(SecretStr(""), PASSWORD)
    assert read is not None
    with pytest.raises(SettingsError, match="can't be read"):
        read()


def test_without_a_file_it_is_the_value() -> None:
    read = secret_reader(SecretStr("bamboo"), PASSWORD)
    assert read is not None
    assert read() == "bamboo"
    assert secret_reader(SecretStr(""), PASSWORD) is None
