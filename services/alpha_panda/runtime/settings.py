"""Settings of the platform from `ALPHAPANDA_*` environment variables: read once, at the edge.

Every description ends in `Why:` and the reason for the default; `docs/reference/settings.md` is made from them.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self

from annotated_types import Ge, Interval
from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.secret_files import SUFFIX, SecretFiles, is_secret
from alpha_panda.runtime.setting_types import Count, Seconds, SecondsOrZero
from alpha_panda.runtime.tracing_settings import TracingSettings
from alpha_panda.runtime.transport_settings import KafkaSettings, RedisSettings
from alpha_panda.runtime.zerodha_settings import ZerodhaSettings

ENV_PREFIX: Final = "ALPHAPANDA_"

OPERATOR_PREFIX: Final = f"{ENV_PREFIX}OPERATOR_"
"""Begins the variables of the operator's own, which are no settings of services."""


def _any_case(value: object) -> object:
    """Accept `info` for `INFO`, and keep what is wrong as it was written."""
    upper = str(value).upper()
    return upper if upper in _LOG_LEVELS else value


_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(_any_case),
]

# The first value of each pair must be below the second: a renewal that comes after the expiry is none.
_ORDERED: Final = (
    ("lease_renew_seconds", "lease_ttl_seconds"),
    ("status_interval_seconds", "status_ttl_seconds"),
    ("control_renew_seconds", "control_ttl_seconds"),
    ("kafka_group_heartbeat_seconds", "kafka_session_timeout_seconds"),
)
# ... and here it may be equal.
_AT_MOST: Final = (
    ("retry_transient_initial_seconds", "retry_max_seconds"),
    ("restart_initial_seconds", "restart_max_seconds"),
    ("kafka_reconnect_initial_seconds", "kafka_reconnect_max_seconds"),
    ("zerodha_reconnect_initial_seconds", "zerodha_reconnect_max_seconds"),
)


class Settings(KafkaSettings, RedisSettings, TracingSettings, ZerodhaSettings):
    """All settings. Units are in the names; see the descriptions for meaning and reason."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's; no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments come before files of secrets (`…_FILE`), and those before plain variables."""
        return init_settings, SecretFiles(settings_cls, ENV_PREFIX), env_settings

    topic_prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]+[.])*$", max_length=80)] = Field(
        default="",
        description="Goes before every topic and key; empty, or dot-terminated such as `trading.`. "
        "Why: one process owns its topics; a cluster sets `<namespace>.`.",
    )
    installation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=63)] = Field(
        default="",
        description="Whose platform-wide trading state binds: its control keys carry this name instead of the prefix. "
        "Why: one process is an installation of its own; a cluster's operator has many namespaces, halted by one word.",
    )
    manifests_poll_seconds: Seconds = Field(
        default=1,
        description="How often a service looks whether its manifests have changed, and follows them: limits, trading "
        "states, strategies. Why: nobody waits for a limit; a look is a few stats, and nothing is read unless it changed.",
    )
    order_partitions: Annotated[int, Interval(ge=1, le=1024)] = Field(
        default=4,
        description="Partitions of the validated, rejected and `orders.*` topics; never changed once they exist. "
        "Why: room for four engines an account; more only cost file handles.",
    )
    fetch_max_records: Count = Field(
        default=500,
        description="Records that a consumer takes at a time. "
        "Why: spreads the cost of a fetch and a commit; a redelivery repeats at most this many.",
    )
    feed_batch_max_ticks: Count = Field(
        default=500,
        description="Ticks in one record of `market.ticks`. "
        "Why: spreads the cost of a record; a tick has at most 100 bytes, so a record stays far below Kafka's 1 MB.",
    )
    feed_batch_max_delay_ms: Count = Field(
        default=50,
        description="How long the feed waits to fill a batch, in milliseconds. "
        "Why: small beside the seconds in which freshness is counted; a busy feed fills batches sooner.",
    )
    heartbeat_seconds: Seconds = Field(
        default=1,
        description="How often a living feed writes a heartbeat to every partition. "
        "Why: freshness limits are seconds, so one heartbeat may be late without a false alarm.",
    )

    retry_transient_attempts: Count = Field(
        default=5,
        description="Attempts at a record that fails with a transient error, the first included. "
        "Why: with the back-offs below it rides out about a second; longer outages are the breaker's.",
    )
    retry_transient_initial_seconds: Seconds = Field(
        default=0.1,
        description="First back-off; each further one doubles, less a jitter of up to half. "
        "Why: gives a lost connection time to be made anew, and costs little if that takes longer.",
    )
    retry_max_seconds: Seconds = Field(
        default=5,
        description="Longest back-off between two attempts. "
        "Why: a dependency that is back should be noticed within seconds.",
    )
    retry_unexpected_attempts: Count = Field(
        default=2,
        description="Attempts at a record that fails with an error that nobody foresaw, the first included. "
        "Why: such an error is rarely transient; one repeat tells.",
    )
    breaker_failure_threshold: Count = Field(
        default=5,
        description="Consecutive failures of a dependency that open its circuit breaker. "
        "Why: as many as one record has attempts, so that at most one record waits through all of them.",
    )
    breaker_reset_seconds: Seconds = Field(
        default=10,
        description="How long an open breaker waits before it lets one probe through. "
        "Why: long enough to relieve a struggling store, short enough to be back soon.",
    )

    drain_timeout_seconds: Seconds = Field(
        default=20,
        description="Longest graceful stop of a service; what is in hand after it is dropped uncommitted. "
        "Why: the closing of connections comes on top, and both must end within the grace period (Kubernetes' default: 30 s).",
    )
    drain_quiet_seconds: Seconds = Field(
        default=0.25,
        description="How long the bus must be silent before the embedded run counts as drained. "
        "Why: the hops of a signal follow one another without waiting in one process; this leaves room for a slow machine.",
    )
    lease_ttl_seconds: Seconds = Field(
        default=10,
        description="How long a lease lives without renewal. "
        "Why: a dead singleton is replaced within this; shorter would trip over ordinary pauses.",
    )
    lease_renew_seconds: Seconds = Field(
        default=3,
        description="How often a lease is renewed. Why: two renewals may fail before it runs out.",
    )
    status_interval_seconds: Seconds = Field(
        default=5,
        description="How often a service reports its status. "
        "Why: the operator writes resource statuses at most every 15 s.",
    )
    status_ttl_seconds: Seconds = Field(
        default=20,
        description="When a status that is not renewed expires. Why: three missed reports mean a dead service.",
    )
    control_renew_seconds: Seconds = Field(
        default=5,
        description="How often the control keys are renewed from the manifests. "
        "Why: a change of the trading state acts within this.",
    )
    control_ttl_seconds: Seconds = Field(
        default=60,
        description="When a control key that is not renewed expires, which halts new orders. "
        "Why: trading outlives an operator's restart, but not its death.",
    )
    command_timeout_seconds: Seconds = Field(
        default=15,
        description="Longest wait of an operator's command (`halt`, `resume`, `orders`, `dlq`) for one step of its work. "
        "Why: longer than one request to Kafka or Redis may take, short for a person who waits.",
    )

    person_credentials: str = Field(
        default="/var/run/alpha-panda/person",
        description="Directory with the login by which operators' commands reach Kafka and Redis, in files as a role's "
        "Secret has keys (`redis-username`, `redis-password` …); services never look there; missing or empty: they log in "
        "as the service does. Why: a person may clear a latch and settle an order, which no pod's own user may.",
    )

    clock_skew_max_ms: Annotated[int, Ge(0)] = Field(
        default=200,
        description="How far a clock may be off the store's, and how far in the future a time may lie, in ms. "
        "Why: NTP keeps within tens of milliseconds; more is a fault.",
    )
    send_within_seconds: Seconds = Field(
        default=5,
        description="S: how long the permission to send an order lasts. "
        "Why: ample for one request to a broker that is well; an order older than this is not wanted any more.",
    )
    decision_batch_max: Count = Field(
        default=64,
        description="How many decisions risk stores in one step, if as many signals wait. "
        "Why: the disk is asked once for all; the first of them waits for the last about as long as the disk takes.",
    )
    engine_lanes: Count = Field(
        default=16,
        description="How many orders of different keys (strategy and instrument) an engine has under way at once. "
        "Why: a broker's answer takes a tenth of a second, and the signals behind it would grow old; as many as "
        "Redis writes to its disk in one go without losing time.",
    )
    lost_after_seconds: SecondsOrZero = Field(
        default=30,
        description="D: how long after the permission's end a live order may still show up in the broker's book "
        "(on paper it is 0). Why: six times S, a guess on the safe side; too long only delays the word LOST, too short "
        "could let it be said of a live order.",
    )
    book_reads_for_lost: Count = Field(
        default=3,
        description="Complete reads of the broker's book without an order that make it LOST. "
        "Why: one read may come from a replica that lags; three in a row make that unlikely.",
    )
    tracker_interval_seconds: Seconds = Field(
        default=1,
        description="How often the order-tracker looks at orders in doubt and unacknowledged ones. "
        "Why: an order in doubt is soon followed up, at one read of the journal a second.",
    )
    book_idle_seconds: Seconds = Field(
        default=5,
        description="How often the order-tracker reads the order book of a broker that pushes changes, while nothing rests "
        "or is in doubt. Why: trades by hand are seen soon even if their push was lost, at few of the broker's calls.",
    )
    reconcile_seconds: Seconds = Field(
        default=30,
        description="How often an account's positions and money are compared with its broker's. "
        "Why: a difference is found within a minute, at a few calls.",
    )
    reconcile_confirm_seconds: Seconds = Field(
        default=3,
        description="How long after a difference was first seen it is looked at again. "
        "Why: a broker's positions may lag its trades by moments; what still stands then is real.",
    )
    reconcile_stale_seconds: Seconds = Field(
        default=300,
        description="Age of the last complete comparison with the broker beyond which no position may grow. "
        "Why: ten comparisons have failed by then; closing goes on.",
    )
    sweep_cancels_at_once: Count = Field(
        default=8,
        description="How many cancellations the order-tracker has under way at once when the trading state forbids "
        "what rests. Why: one that hangs costs the others nothing; brokers take about ten requests a second.",
    )
    sweep_seconds: Seconds = Field(
        default=10,
        description="How long one turn of such cancelling begins new ones; the next turn goes on with those not "
        "asked for. Why: a turn reads the trading state anew, and ends well before it would count as stuck.",
    )
    checkpoint_interval_seconds: Seconds = Field(
        default=5,
        description="Longest time between two checkpoints of a strategy that emits nothing. "
        "Why: a restart re-reads at most this much.",
    )
    checkpoint_max_records: Count = Field(
        default=1000,
        description="Most records between two checkpoints of a strategy that emits nothing. "
        "Why: bounds what a restart re-reads when a replay runs faster than time.",
    )
    portfolio_interval_seconds: Seconds = Field(
        default=1,
        description="How often risk marks what the account holds at the latest prices, checks the loss limits, and "
        "publishes the book if its equity has moved; fills publish it sooner. "
        "Why: a limit is noticed within a second, at one read of the prices held.",
    )
    portfolio_change_seconds: SecondsOrZero = Field(
        default=0.25,
        description="Least time between two books stored and published because of fills; a replay does so each time. "
        "Why: a person can't tell it from at once, and a burst of a thousand fills need not be as many whole books; "
        "after a kill, risk reads again what came since.",
    )
    portfolio_replay_seconds: Seconds = Field(
        default=60,
        description="Where a replay drives the time: least market time between two books published because prices "
        "have moved. Why: a day of trading then is some hundreds of books; the loss limits are checked as often as ever.",
    )
    signal_ttl_seconds: Seconds = Field(
        default=10,
        description="How long a signal may wait before it expires. "
        "Why: a price view older than this is another market; late orders are worse than none.",
    )
    tick_max_age_seconds: Seconds = Field(
        default=10,
        description="Age beyond which a tick rebuilds a strategy's state but sends no signal. "
        "Why: as long as a signal's life; older would expire at once.",
    )

    health_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - a kubelet asks from outside the pod
        description="Address that answers health probes. Why: a kubelet asks from outside the pod.",
    )
    health_port: Annotated[int, Interval(ge=0, le=65535)] = Field(
        default=0,
        description="Port that answers `/livez`, `/readyz` and `/statusz`; 0: none. "
        "Why: several services of one machine would want the same; pods set it.",
    )
    metrics_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - Prometheus asks from outside the pod
        description="Address that serves `/metrics`. Why: Prometheus asks from outside the pod; a network policy says who may.",
    )
    metrics_port: Annotated[int, Interval(ge=0, le=65535)] = Field(
        default=0,
        description="Port that serves `/metrics`; 0: none. Not that of the probes: its figures are an account's. "
        "Why: several services of one machine would want the same; pods set it.",
    )
    poll_seconds: Seconds = Field(
        default=1,
        description="How long a consumer waits for records before it says that it lives and asks again. "
        "Why: cheap, and small beside the time after which it counts as stuck.",
    )
    stall_seconds: Seconds = Field(
        default=60,
        description="How long a service may make no progress before its liveness fails, and a consumer may get "
        "nothing of a topic that has more before it is opened anew. "
        "Why: longer than any pause of a dependency that is worth no restart; a restart loses nothing.",
    )
    probe_seconds: Seconds = Field(
        default=5,
        description="How often a service asks its stores for their time, which tells that they answer and how far "
        "its own clock is off. Why: a pod is taken out within two readiness probes.",
    )

    memory_retain_records: Count = Field(
        default=1_000,
        description="Records per partition that the in-process bus keeps at least for late readers. "
        "Why: keeps memory flat; what a group has not read yet is kept in any case.",
    )
    memory_max_backlog: Count = Field(
        default=100_000,
        description="Unread records per partition at which the in-process bus makes producers wait. "
        "Why: bounds memory; a reader that far behind should hold up those who write.",
    )
    restart_initial_seconds: Seconds = Field(
        default=0.1,
        description="First wait before a failed service is started again in the embedded run, and in a pod after the failure "
        "of a store; then doubled. Why: a fresh claim is all that most failures need.",
    )
    restart_max_seconds: Seconds = Field(
        default=30,
        description="Longest such wait; a service that lived longer than this has recovered. "
        "Why: a tenth of Kubernetes' own limit: a person is watching.",
    )
    restart_max_attempts: Count = Field(
        default=10,
        description="Quick failures in a row after which the embedded run ends with the error. "
        "Why: about a minute of trying; what fails that often needs a person.",
    )

    log_level: LogLevel = Field(
        default="INFO",
        description="Least severe level that is logged. Why: life-cycle events and faults, nothing per tick.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="`auto`: readable on a terminal, else JSON lines. Why: people read terminals, machines the rest.",
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        for low, high in _ORDERED:
            if not getattr(self, low) < getattr(self, high):
                raise ValueError(
                    f"{env_name(low)} must be less than {env_name(high)}{self._values(low, high)}"
                )
        for low, high in _AT_MOST:
            if not getattr(self, low) <= getattr(self, high):
                raise ValueError(f"{env_name(low)} must not exceed {env_name(high)}{self._values(low, high)}")
        return self

    def _values(self, *names: str) -> str:
        return f" (they are {' and '.join(str(getattr(self, name)) for name in names)})"


def env_name(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return ENV_PREFIX + field.upper()


def allowed_values(field: str) -> str:
    """Return in words what a field takes, e.g. `integer ≥ 1`; the same in messages and in the docs."""
    schema: dict[str, Any] = Settings.model_json_schema()["properties"][field]
    if "enum" in schema:
        return " | ".join(schema["enum"])
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true | false"}[
        schema["type"]
    ]
    if schema.get("format") == "password":
        return f"secret text, or a file's name in `{env_name(field)}{SUFFIX}`"
    if "pattern" in schema:
        return f"{words} matching `{schema['pattern']}`, at most {schema['maxLength']} characters"
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
    bounds = ", ".join(f"{sign} {schema[key]:g}" for key, sign in signs if key in schema)
    return f"{words} {bounds}".rstrip()


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - any field of Settings, checked by pydantic
    """Read the environment; `overrides` (by field name) come before it.

    Raises:
        SettingsError: names every variable that does not fit, its value, and what is allowed; and every variable
            with our prefix that is no setting: a misspelt one would leave its default in force without a word.

    """
    unknown = [
        f"{name} is no setting; did you mean {nearest}? All are in docs/reference/settings.md"
        for name, nearest in unknown_variables(os.environ).items()
    ]
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join([*unknown, *(_explain(fault) for fault in error.errors())])) from error
    if unknown:
        raise SettingsError("\n".join(unknown))
    return settings


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with our prefix that are no settings, each with the setting that it is nearest to.

    Kubernetes tells every pod of the services in its namespace by variables made of their names (`NAME_PORT` ...):
    those of a service `alphapanda-...` have our prefix and are nobody's mistake.
    """
    known = {env_name(field): field for field in Settings.model_fields}
    files = {env_name(field) + SUFFIX for field, info in Settings.model_fields.items() if is_secret(info)}
    found = {}
    for name in sorted(environment):
        if (
            name.upper().startswith(ENV_PREFIX)
            and not name.upper().startswith(OPERATOR_PREFIX)
            and name.upper() not in known
            and name not in files
            and not _is_link(name, environment)
        ):
            asked = name.upper().removeprefix(ENV_PREFIX).lower()
            found[name] = env_name(get_close_matches(asked, known.values(), n=1, cutoff=0.0)[0])
    return found


_LINK: Final = re.compile(r"(?P<service>.+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+(_[A-Z]+)?)?)")


def _is_link(name: str, environment: Mapping[str, str]) -> bool:
    """Whether Kubernetes made the variable for a service: then there is the service's host as well."""
    link = _LINK.fullmatch(name)
    return link is not None and f"{link['service']}_SERVICE_HOST" in environment


def _explain(fault: Any) -> str:  # noqa: ANN401 - pydantic_core.ErrorDetails is a TypedDict of loose types
    if not fault["loc"]:
        return str(fault["msg"]).removeprefix("Value error, ")
    field = str(fault["loc"][0])
    info = Settings.model_fields[field]
    if is_secret(info):  # its value is never shown
        return f"{env_name(field)}: {fault['msg'].removeprefix('Value error, ')}"
    default = info.default
    return (
        f"{env_name(field)} is {fault['input']!r}: {fault['msg']}; "
        f"allowed: {allowed_values(field)} (default {default!r})"
    )
