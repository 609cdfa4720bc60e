"""Secrets from files, as Kubernetes mounts them; and never shown."""

from pathlib import Path

import pytest

from alpha_panda.errors import SettingsError
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
