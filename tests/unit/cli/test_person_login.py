"""A pod's second login: the commands take it whole, leave the rest of the pod alone, and do without."""

from pathlib import Path

import pytest

from alpha_panda.cli.person_login import log_in_as_person
from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import Settings

POD = {
    "ALPHAPANDA_REDIS_USERNAME": "risk",
    "ALPHAPANDA_REDIS_PASSWORD": "",
    "ALPHAPANDA_REDIS_PASSWORD_FILE": "/credentials/redis-password",
    "ALPHAPANDA_KAFKA_SASL_USERNAME": "risk",
    "ALPHAPANDA_KAFKA_SASL_PASSWORD_FILE": "/credentials/kafka-sasl-password",
    "PATH": "/bin",
}
KAFKA = {name: value for name, value in POD.items() if "KAFKA" in name}


def mounted(folder: Path, **keys: str) -> Settings:
    for name, value in keys.items():
        (folder / name).write_text(value, encoding="utf-8")
    return Settings(person_credentials=str(folder))


@pytest.mark.parametrize("folder", ["", "missing", "here"])
def test_without_a_second_secret_nothing_changes(tmp_path: Path, folder: str) -> None:
    place = {"": "", "missing": str(tmp_path / "missing"), "here": str(tmp_path)}[folder]
    environment = dict(POD)
    assert not log_in_as_person(Settings(person_credentials=place), environment)
    assert environment == POD


def test_its_login_takes_the_place_of_the_services_and_the_password_stays_in_its_file(tmp_path: Path) -> None:
    environment = dict(POD)
    settings = mounted(tmp_path, **{"redis-username": "person\n", "redis-password": "secret"})
    assert log_in_as_person(settings, environment)
    assert environment == {
        **KAFKA,
        "PATH": "/bin",
        "ALPHAPANDA_REDIS_USERNAME": "person",
        "ALPHAPANDA_REDIS_PASSWORD_FILE": str(tmp_path / "redis-password"),
    }
    assert "secret" not in str(environment)


def test_a_login_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    """The pod's user with a person's password would be neither."""
    environment = dict(POD)
    settings = mounted(tmp_path, **{"redis-password": "secret", "kafka-sasl-username": "person"})
    assert log_in_as_person(settings, environment)
    assert "ALPHAPANDA_REDIS_USERNAME" not in environment
    assert {name: environment[name] for name in KAFKA} == KAFKA


@pytest.mark.parametrize("login", ["kafka-sasl", "redis", "journal-redis"])
def test_each_server_has_a_login_of_its_own(tmp_path: Path, login: str) -> None:
    environment: dict[str, str] = {}
    name = f"ALPHAPANDA_{login.replace('-', '_').upper()}"
    settings = mounted(tmp_path, **{f"{login}-username": "person", f"{login}-password": "secret"})
    assert log_in_as_person(settings, environment)
    assert environment == {
        f"{name}_USERNAME": "person",
        f"{name}_PASSWORD_FILE": str(tmp_path / f"{login}-password"),
    }
    assert name.removeprefix("ALPHAPANDA_").lower() + "_password" in Settings.model_fields


def test_what_is_mounted_and_can_not_be_read_is_said(tmp_path: Path) -> None:
    """Else a command would go on as the service, and fail for a reason that nobody finds."""
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match="ALPHAPANDA_PERSON_CREDENTIALS"):
        log_in_as_person(Settings(person_credentials=str(file)), {})
