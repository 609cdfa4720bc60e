import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.runtime.logging import configure_logging, log_fields, redact, redact_text, wants_json
from alpha_panda.runtime.settings import Settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(**settings: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(Settings(**settings), stream)
    return stream


def test_a_line_is_one_json_object_with_the_bound_fields() -> None:
    stream = configured()
    with log_fields(service_name="risk", account="paper"):
        structlog.get_logger().info("started", correlation_id="c1")
    structlog.get_logger().info("after")
    first, second = lines(stream)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "started",
        "level": "info",
        "service_name": "risk",
        "account": "paper",
        "correlation_id": "c1",
    }
    assert "account" not in second


def test_the_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="json"))
    structlog.get_logger().warning("seen")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "seen"


def test_less_severe_lines_than_the_level_are_left_out() -> None:
    stream = configured(log_level="WARNING")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_libraries_log_in_the_same_form_from_warnings_on() -> None:
    stream = configured()
    logging.getLogger("aiokafka").info("chatter")
    with log_fields(account="paper"):
        logging.getLogger("aiokafka").warning("lost %s", "broker-1")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["account"]) == ("lost broker-1", "aiokafka", "paper")


def test_a_traceback_is_logged_without_its_secrets() -> None:
    stream = configured()
    try:
        int("GET /orders?access_token=s3cr3t&x=1")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("lib").exception("failed too")
    assert "s3cr3t" not in stream.getvalue()
    assert all("access_token=***&x=1" in line["exception"] for line in lines(stream))


def test_a_terminal_gets_readable_lines_and_a_file_gets_json() -> None:
    terminal = Terminal()
    configure_logging(Settings(), terminal)
    structlog.get_logger().info("started", password="hunter2")  # noqa: S106 - what must not show
    assert "started" in terminal.getvalue()
    assert "hunter2" not in terminal.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(terminal.getvalue())


@pytest.mark.parametrize(
    ("log_format", "stream", "json_wanted"),
    [
        ("auto", Terminal(), False),
        ("auto", io.StringIO(), True),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_the_format_can_be_forced(log_format: str, stream: io.StringIO, json_wanted: bool) -> None:
    assert wants_json(log_format, stream) is json_wanted


SECRET_KEYS = [
    "password",
    "token",
    "access_token",
    "accessToken",
    "refresh_token",
    "client_secret",
    "api_key",
    "apiKey",
    "API_SECRET",
    "Authorization",
    "credentials",
    "private_key",
    "enctoken",
    "totp",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_a_secret_is_known_by_its_key_at_any_depth(key: str) -> None:
    event = {"event": "x", key: "s3cr3t", "request": {"headers": [{key: "s3cr3t"}, {"ok": 1}]}}
    assert redact(None, "info", event) == {
        "event": "x",
        key: "***",
        "request": {"headers": [{key: "***"}, {"ok": 1}]},
    }


def test_an_instruments_token_is_a_number_and_stays() -> None:
    event = {"event": "x", "token": 738561, "tokens": [1, 2], "instrument_token": 738561}
    assert redact(None, "info", event) == event


def test_a_text_named_token_goes() -> None:
    assert redact(None, "info", {"token": "abc", "tokens": ["abc"]}) == {"token": "***", "tokens": "***"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("api_key=abc&x=1", "api_key=***&x=1"),
        ('{"access_token": "abc", "x": 1}', '{"access_token": "***", "x": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("authorization: token key:secret", "authorization: ***"),
        ("password = 'hunter2'", "password = '***'"),
        ("KITE_API_SECRET=abc", "KITE_API_SECRET=***"),
        ("x-api-key: abc", "x-api-key: ***"),
        ("X-Auth-Token=abc", "X-Auth-Token=***"),
        ('password = "correct horse, battery"; x', 'password = "***"; x'),
        (r'{"password": "a\"b c"}', '{"password": "***"}'),
        (r"body {\"password\": \"hunter2 x\", \"y\": 1}", r"body {\"password\": \"***\", \"y\": 1}"),
        ("payload(password=b'hunter2')", "payload(password=b'***')"),
        ('secret="cut off in the mid', 'secret="***'),
        ("no answer of redis://panda:hunter2@host:6379/0", "no answer of redis://panda:***@host:6379/0"),
        ("rediss://:p@ss@host", "rediss://:***@host"),
        ("http://host:80/a?b=c@d", "http://host:80/a?b=c@d"),
        ("token 738561 unknown", "token 738561 unknown"),
        ("the secret of trading", "the secret of trading"),
    ],
)
def test_secrets_inside_a_text_are_replaced(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@given(st.from_regex(r"[A-Za-z0-9._-]{8,40}", fullmatch=True), st.sampled_from(["=", ": ", '": "', "= '"]))
def test_no_value_after_a_secrets_name_survives(value: str, between: str) -> None:
    assert value not in redact_text(f"url?a=1&api_key{between}{value}&b=2")


@pytest.mark.parametrize(
    "value",
    [
        ValueError("password=hunter2"),
        b"password=hunter2",
        {"password=hunter2"},
        [{"deep": (KeyError("api_key: hunter2"),)}],
        {"inner": OSError("redis://:hunter2@host")},
    ],
)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_is_no_text_is_looked_through_as_it_would_be_printed(value: object, log_format: str) -> None:
    stream = configured(log_format=log_format)
    structlog.get_logger().info("failed", error=value)
    assert "hunter2" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_numbers_stay_numbers() -> None:
    event = {"event": "x", "count": 3, "share": 0.5, "on": True, "none": None}
    assert redact(None, "info", event) == event


def test_without_tracebacks_an_error_is_told_by_its_words() -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_format="json"), stream, tracebacks=False)
    try:
        raise ValueError("no good")  # noqa: TRY301 - what is logged
    except ValueError as error:
        structlog.get_logger().exception("from here")
        structlog.get_logger().error("given", exc_info=error)
        structlog.get_logger().error("with words of its own", error="mine", exc_info=error)
    told = lines(stream)
    assert [line["error"] for line in told] == ["ValueError('no good')", "ValueError('no good')", "mine"]
    assert not any("exception" in line or "exc_info" in line for line in told)


def test_a_line_without_an_error_gets_none() -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_format="json"), stream, tracebacks=False)
    structlog.get_logger().warning("late")
    assert "error" not in lines(stream)[0]


@pytest.mark.parametrize("clients", [True, False])
def test_what_the_kafka_client_sends_is_never_written_down(*, clients: bool) -> None:
    """Its requests are logged whole at DEBUG, the login among them."""
    stream = io.StringIO()
    configure_logging(Settings(log_level="DEBUG", log_format="json"), stream, clients=clients)
    logging.getLogger("aiokafka.conn").debug("SaslAuthenticateRequest(payload=%r)", b"\0panda\0hunter2")
    logging.getLogger("aiokafka.conn").info("connected")
    logging.getLogger("aiokafka.consumer").debug("fetching")
    assert "hunter2" not in stream.getvalue()
    assert [line["event"] for line in lines(stream)] == (["connected", "fetching"] if clients else [])


def test_a_line_with_a_correlation_id_names_its_trace() -> None:
    stream = configured(log_format="json")
    with log_fields(correlation_id="e2ee3515-4711-5a4f-8153-c11bf7968735"):
        structlog.get_logger().info("bound")
        logging.getLogger("library").warning("of a library")
    structlog.get_logger().info("given", correlation_id="e2ee351547115a4f8153c11bf7968735")
    structlog.get_logger().info("external", correlation_id="external:1")
    structlog.get_logger().info("none", correlation_id=None)
    structlog.get_logger().info("own", correlation_id="e2ee351547115a4f8153c11bf7968735", trace_id="x")
    structlog.get_logger().info("of an order", signal_id="e2ee3515-4711-5a4f-8153-c11bf7968735")
    found = [line.get("trace_id") for line in lines(stream)]
    trace_id = "e2ee351547115a4f8153c11bf7968735"
    assert found == [trace_id, trace_id, trace_id, None, None, "x", trace_id]
