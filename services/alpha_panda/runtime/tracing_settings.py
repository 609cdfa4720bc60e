"""Settings of tracing; part of `runtime.settings.Settings`. Without an endpoint nothing is traced."""

import re
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

from annotated_types import Interval
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from alpha_panda.runtime.setting_types import Count, Seconds

TRACES_PATH: Final = "/v1/traces"
"""Where a collector takes spans, below its base address (OTLP specification)."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _endpoint(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text:
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # a port that is none
            usable = False
        if not usable:
            raise ValueError("a collector's address is http://host:4318 or https://…")
    return value


def _headers(value: SecretStr) -> SecretStr:
    parse_headers(value.get_secret_value())
    return value


def parse_headers(text: str) -> dict[str, str]:
    """Return the headers that `name=value,name=value` says; values are percent-decoded. ValueError without the values."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(sign and _NAME.fullmatch(name.strip()) for name, sign, _ in pairs):
        raise ValueError("headers are name=value, separated by commas; a comma in a value is written %2C")
    found = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
    if not all(value.isprintable() and value.isascii() for value in found.values()):
        raise ValueError("a header's value is printable ASCII")
    return found


def traces_url(endpoint: str) -> str:
    """Return where spans are posted: `/v1/traces` below the endpoint, unless its path ends in that already."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(TRACES_PATH) else path + TRACES_PATH).geturl()


class TracingSettings(BaseSettings):
    """Where spans go, and of what share of the ticks."""

    otlp_endpoint: Annotated[SecretStr, AfterValidator(_endpoint)] = Field(
        default=SecretStr(""),
        description="Collector that takes spans by OTLP over HTTP, `http://host:4318` (`/v1/traces` is added); secret, "
        "because it may hold a key; empty: nothing is traced. Why: a first run needs no collector.",
    )
    otlp_headers: Annotated[SecretStr, AfterValidator(_headers)] = Field(
        default=SecretStr(""),
        description="Headers of each request to it, `name=value` separated by commas, percent-encoded; read once at "
        "start. Why: a collector of one's own asks for none.",
    )
    otlp_tls_ca_file: str = Field(
        default="",
        description="PEM file of the authorities that sign its certificate (`https://`); empty: the system's. "
        "Why: vendors have public certificates.",
    )
    otlp_timeout_seconds: Seconds = Field(
        default=5,
        description="Longest try to get one batch of spans to the collector, repeats included; and longest wait for "
        "the last ones when a process ends. Why: after draining it must fit into the grace period (Kubernetes' default: 30 s).",
    )
    otlp_interval_seconds: Seconds = Field(
        default=1,
        description="How often spans are sent. Why: an order is found in its trace within seconds, at a request a second.",
    )
    otlp_queue_spans: Count = Field(
        default=8192,
        description="Most spans that wait for the collector; further ones are dropped and counted. "
        "Why: an order has about twenty; four hundred orders may wait for a collector that is away, in some 10 MB.",
    )
    trace_tick_share: Annotated[float, Interval(ge=0, le=1)] = Field(
        default=0,
        description="Share of the tick batches that are traced from feed to price cache. Every order is traced from "
        "its tick on whatever this says. Why: a feed has hundreds of batches a second, and all look alike.",
    )
