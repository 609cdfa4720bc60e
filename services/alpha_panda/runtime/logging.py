"""Structured logs on stderr: JSON lines for machines, readable lines on a terminal, secrets never.

stdout belongs to results (`--output json`). Bind what is known once, with `log_fields`, and every line of that
task and of the tasks it starts carries it. Nothing is logged per tick.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO

import structlog

from alpha_panda.contracts.traceparent import trace_id_of
from alpha_panda.runtime.settings import Settings

REDACTED: Final = "***"

_SENSITIVE: Final = (
    r"(?:access|refresh|request|session|bearer|auth|id)[_-]?token|enctoken"
    r"|secret|password|passwd|passphrase|api[_-]?key|private[_-]?key|credentials?|authorization|cookie|totp"
)
_SECRET_KEY: Final = re.compile(_SENSITIVE, re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(
    # A quoted value ends with its quotation mark, whatever is in it; marks may be escaped: JSON within a text.
    rf"(?P<head>\b\w*(?:{_SENSITIVE})\w*\\*[\"']?\s*[=:]\s*)"
    r"(?:(?P<open>b?(?P<quote>\\*[\"']))(?:(?!(?P=quote))(?:\\.|.))*(?P<close>(?P=quote))?"
    r"|(?:(?:bearer|basic|token)\s+)?[^\s\"',;&}]+)",
    re.IGNORECASE,
)
_LOGIN: Final = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s/@:\"']*:)[^\s/\"']+@", re.IGNORECASE)
"""An address with a password in it."""


def redact_text(text: str) -> str:
    """Return `text` with the values of `api_key=…`, `"access_token": "…"`, `redis://user:…@` and their like replaced."""
    if "://" in text:
        text = _LOGIN.sub(rf"\g<head>{REDACTED}@", text)
    return _SECRET_TEXT.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    return f"{found['head']}{found['open'] or ''}{REDACTED}{found['close'] or ''}"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets by `***`, by the name of their key, at any depth; a structlog processor."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: object, value: object) -> object:
    if _is_secret(key, value):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {inner: _redacted(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(None, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(str(value))  # an error, bytes …: what the renderer would print, and not look at


def _is_secret(key: object, value: object) -> bool:
    if not isinstance(key, str):
        return False
    if key.lower() in ("token", "tokens"):
        # An instrument's token is its number and worth logging; any other token opens something.
        numbers = value if isinstance(value, list | tuple) else (value,)
        return not all(isinstance(number, int) for number in numbers)
    return bool(_SECRET_KEY.search(key))


def with_trace_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add `trace_id` to what has a `correlation_id`: it follows from it, traced or not; a structlog processor.

    A line about an order that has only its `signal_id` is in the same trace: that is where its events correlate to.
    """
    told = event.get("correlation_id") or event.get("signal_id")
    if isinstance(told, str) and "trace_id" not in event:
        trace_id = trace_id_of(told)
        if trace_id is not None:
            event["trace_id"] = trace_id
    return event


def without_traceback(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop the exception, but for its words where the line has no `error` of its own; a structlog processor."""
    told = event.pop("exc_info", None)
    error = sys.exc_info()[1] if told is True else told[1] if isinstance(told, tuple) else told
    if isinstance(error, BaseException):
        event.setdefault("error", repr(error))
    return event


def wants_json(log_format: str, stream: TextIO) -> bool:
    """Whether lines are JSON: when asked for, or under `auto` when nobody watches."""
    return log_format == "json" or (log_format == "auto" and not stream.isatty())


CLIENTS: Final = "aiokafka"
"""Logger of the one library that reports trouble with its servers by itself."""


WIRE: Final = f"{CLIENTS}.conn"
"""Part of it that writes each request down at DEBUG, whole: a login with its password among them."""


def configure_logging(
    settings: Settings, stream: TextIO | None = None, *, tracebacks: bool = True, clients: bool = True
) -> None:
    """Send structlog's and the standard library's logs to `stream` (stderr), in the format of the settings.

    Without `tracebacks` an error is told by its words alone; without `clients` the Kafka client tells nothing: who
    calls it tells what became of the call.
    """
    logging.getLogger(CLIENTS).setLevel(logging.NOTSET if clients else logging.CRITICAL)
    logging.getLogger(WIRE).setLevel(logging.INFO if clients else logging.CRITICAL)
    target = sys.stderr if stream is None else stream
    level = logging.getLevelNamesMapping()[settings.log_level]
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        with_trace_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    after: list[structlog.typing.Processor] = [
        # The traceback becomes text first, so that it is redacted like everything else.
        structlog.processors.format_exc_info if tracebacks else without_traceback,
        redact,
        _renderer(target, as_json=wants_json(settings.log_format, target)),
    ]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,  # so that a test, or a second run in this process, can configure anew
    )
    _configure_standard_library(target, level, before, after)


def _renderer(stream: TextIO, *, as_json: bool) -> structlog.typing.Processor:
    if as_json:
        return structlog.processors.JSONRenderer(sort_keys=True, default=str)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


def _configure_standard_library(
    stream: TextIO,
    level: int,
    before: list[structlog.typing.Processor],
    after: list[structlog.typing.Processor],
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)


def log_fields(**fields: str) -> AbstractContextManager[None]:
    """Add fields to every line logged inside the block: `service_name`, `account`, `correlation_id` and so on."""
    return structlog.contextvars.bound_contextvars(**fields)
