import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alpha_panda
from alpha_panda.errors import SettingsError, UserInputError
from alpha_panda.runtime.settings import (
    Settings,
    allowed_values,
    env_name,
    load_settings,
    unknown_variables,
)
from alpha_panda.runtime.settings_docs import WHY

# Those that order safety leans on (DESIGN section 4); the others are tuning and may change.
SAFETY_DEFAULTS = {
    "clock_skew_max_ms": 200,
    "send_within_seconds": 5,
    "lost_after_seconds": 30,
    "book_reads_for_lost": 3,
    "control_renew_seconds": 5,
    "control_ttl_seconds": 60,
    "lease_ttl_seconds": 10,
    "lease_renew_seconds": 3,
    "signal_ttl_seconds": 10,
    "tick_max_age_seconds": 10,
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(env_name(field), raising=False)


def test_the_defaults_that_order_safety_leans_on_are_those_of_the_design() -> None:
    actual = load_settings().model_dump()
    assert {name: actual[name] for name in SAFETY_DEFAULTS} == SAFETY_DEFAULTS


def test_a_variable_replaces_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_TOPIC_PREFIX", "trading.")
    monkeypatch.setenv("ALPHAPANDA_LOG_LEVEL", "debug")
    monkeypatch.setenv("ALPHAPANDA_HEARTBEAT_SECONDS", "0.25")
    settings = load_settings()
    assert (settings.topic_prefix, settings.log_level, settings.heartbeat_seconds) == (
        "trading.",
        "DEBUG",
        0.25,
    )


def test_an_override_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_ORDER_PARTITIONS", "2")
    assert load_settings(order_partitions=8).order_partitions == 8


def test_settings_can_not_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().order_partitions = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("order_partitions", "many", "integer ≥ 1, ≤ 1024 (default 4)"),
        ("order_partitions", "0", "integer ≥ 1, ≤ 1024 (default 4)"),
        ("fetch_max_records", "1.5", "integer ≥ 1 (default 500)"),
        ("heartbeat_seconds", "0", "number > 0 (default 1)"),
        ("heartbeat_seconds", "nan", "number > 0 (default 1)"),
        ("drain_timeout_seconds", "inf", "number > 0 (default 20)"),
        ("lost_after_seconds", "-1", "number ≥ 0 (default 30)"),
        ("log_level", "chatty", "DEBUG | INFO | WARNING | ERROR (default 'INFO')"),
        ("log_format", "xml", "auto | json | console (default 'auto')"),
        (
            "topic_prefix",
            "no-dot",
            "text matching `^([A-Za-z0-9_-]+[.])*$`, at most 80 characters (default '')",
        ),
    ],
)
def test_a_bad_value_is_told_with_its_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, field: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(env_name(field), value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"ALPHAPANDA_{field.upper()} is {value!r}: ")
    assert message.endswith(f"; allowed: {allowed}")
    assert isinstance(caught.value, UserInputError)


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_ORDER_PARTITIONS", "x")
    monkeypatch.setenv("ALPHAPANDA_LOG_FORMAT", "y")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ALPHAPANDA_SEND_WITHIN_SECOND", "ALPHAPANDA_SEND_WITHIN_SECONDS"),
        ("ALPHAPANDA_SIGNAL_TTL", "ALPHAPANDA_SIGNAL_TTL_SECONDS"),
        ("ALPHAPANDA_LOGLEVEL", "ALPHAPANDA_LOG_LEVEL"),
        ("alphapanda_log_levl", "ALPHAPANDA_LOG_LEVEL"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name} is no setting; did you mean {nearest}?")


def test_misspelt_variables_and_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_ORDER_PARTITIONS", "x")
    monkeypatch.setenv("ALPHAPANDA_LOG_LEVLE", "INFO")
    monkeypatch.setenv("ALPHAPANDA_CONTROL_TTL", "60")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    told = [line.partition(" is ")[0] for line in str(caught.value).splitlines()]
    assert told == ["ALPHAPANDA_CONTROL_TTL", "ALPHAPANDA_LOG_LEVLE", "ALPHAPANDA_ORDER_PARTITIONS"]


def test_known_variables_in_any_case_and_those_of_others_are_left_alone() -> None:
    environment = {"ALPHAPANDA_LOG_LEVEL": "x", "alphapanda_log_format": "y", "HOME": "/", "ALPHA_LOG": "z"}
    assert unknown_variables(environment) == {}


def test_what_kubernetes_tells_of_a_service_with_our_prefix_is_no_setting() -> None:
    service = "ALPHAPANDA_WEB"
    links = {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": "80",
        f"{service}_SERVICE_PORT_METRICS": "80",
        f"{service}_PORT": "tcp://10.0.0.1:80",
        f"{service}_PORT_80_TCP": "tcp://10.0.0.1:80",
        f"{service}_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_variables(links) == {}
    del links[f"{service}_SERVICE_HOST"]  # without it they are somebody's mistake
    assert list(unknown_variables(links)) == sorted(links)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("lease_renew_seconds", "lease_ttl_seconds"),
        ("status_interval_seconds", "status_ttl_seconds"),
        ("control_renew_seconds", "control_ttl_seconds"),
    ],
)
def test_what_expires_must_be_renewed_before(low: str, high: str) -> None:
    expected = f"{env_name(low)} must be less than {env_name(high)} (they are 7.0 and 7.0)"
    with pytest.raises(SettingsError, match=re.escape(expected)):
        load_settings(**{low: 7, high: 7})


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("retry_transient_initial_seconds", "retry_max_seconds"),
        ("restart_initial_seconds", "restart_max_seconds"),
    ],
)
def test_a_first_wait_must_not_exceed_the_longest(low: str, high: str) -> None:
    load_settings(**{low: 7, high: 7})
    with pytest.raises(SettingsError, match=env_name(high)):
        load_settings(**{low: 8, high: 7})


@given(st.sampled_from(list(Settings.model_fields)))
def test_every_setting_says_what_it_does_and_why_its_default(field: str) -> None:
    what, why, reason = (Settings.model_fields[field].description or "").partition(WHY)
    assert what.endswith((".", ")."))
    assert why
    assert reason.endswith(".")
    assert allowed_values(field)


BY_STORE = re.compile(r"^(?:journal_)?redis(?=_(?:url|username|password)$)")
"""`compose.transports` puts the names of these together: one store's, or the other's."""


@pytest.fixture(scope="module")
def readers() -> str:
    """All code but that which defines settings."""
    package = Path(alpha_panda.__file__).parent
    files = (file for file in sorted(package.rglob("*.py")) if not file.name.endswith("settings.py"))
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_read_somewhere(field: str, readers: str) -> None:
    composed = BY_STORE.sub("{name}", field)
    read = re.search(rf"settings\.{field}\b", readers)
    assert read or (composed != field and f'getattr(settings, f"{composed}")' in readers)
