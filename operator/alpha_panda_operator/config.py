"""The operator's own configuration: one YAML file (the chart's ConfigMap), read once at the start."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda_operator.names import ROLES

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Mapping_ = dict[str, Any]

OWN_VARIABLES: Final = ("topic_prefix", "installation", "health_port", "health_host")
"""Settings of a pod that the operator itself chooses; `env` may not."""


class ConfigModel(BaseModel):
    """camelCase in the file, unknown fields refused: a misspelt one would leave its default in force."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
    )


class Image(ConfigModel):
    """The platform's image."""

    repository: str = "alpha-panda"
    tag: str = ""
    digest: str | None = None
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """What a container names; a digest wins over a tag."""
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag}" if self.tag else self.repository


class RoleConfig(ConfigModel):
    """How one role's pods are made, beside what the operator always does."""

    resources: Mapping_ = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Mapping_, ...] = ()
    affinity: Mapping_ = Field(default_factory=dict)
    topology_spread: tuple[Mapping_, ...] | None = None
    priority_class_name: str = ""
    pod_labels: dict[str, str] = Field(default_factory=dict)
    pod_annotations: dict[str, str] = Field(default_factory=dict)
    extra_env: tuple[Mapping_, ...] = ()
    extra_volumes: tuple[Mapping_, ...] = ()
    extra_volume_mounts: tuple[Mapping_, ...] = ()
    credentials_secret: str = ""
    replicas: Annotated[int, Field(ge=1, le=32)] | None = None


_DEFAULT_RESOURCES: Final[Mapping_] = {
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}


class NetworkPolicyConfig(ConfigModel):
    """Whom pods may talk to. Each peer is one `to` rule of a NetworkPolicy, with its ports."""

    enabled: bool = True
    kafka: tuple[Mapping_, ...] = ()
    redis: tuple[Mapping_, ...] = ()
    otlp: tuple[Mapping_, ...] = ()
    broker: tuple[Mapping_, ...] = ()
    dns: tuple[Mapping_, ...] = (
        {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
    )
    probes: tuple[Mapping_, ...] = ()
    metrics: tuple[Mapping_, ...] = ()
    """Who may scrape the pods' figures, which are an account's: without a peer nobody."""


class LeaderConfig(ConfigModel):
    """How one of several replicas leads. The leader gives up well before anybody else may take over."""

    lease_name: str = "alpha-panda-operator"
    lease_seconds: Seconds = 15
    renew_seconds: Seconds = 3
    give_up_seconds: Seconds = 9
    call_timeout_seconds: Seconds = 3

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.renew_seconds < self.give_up_seconds < self.lease_seconds:
            raise ValueError(
                "renewSeconds < giveUpSeconds < leaseSeconds is needed, or two could lead at once"
            )
        return self


class OperatorConfig(ConfigModel):
    """Everything that the operator is told. Times in seconds."""

    installation: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)] = (
        "alpha-panda"
    )
    watch_namespaces: tuple[str, ...] = ()
    serve_unlabelled: bool = False
    """Whether resources without our label that names an installation are this one's, whatever its name is."""
    image: Image = Field(default_factory=Image)
    env: dict[str, str] = Field(default_factory=dict)
    credential_keys: tuple[str, ...] | None = None
    """Which keys the roles' Secrets have; None: what `env` makes likely, since the operator can't look into them."""
    defaults: RoleConfig = Field(default_factory=lambda: RoleConfig(resources=_DEFAULT_RESOURCES))
    roles: dict[str, RoleConfig] = Field(default_factory=dict)
    network_policy: NetworkPolicyConfig = Field(default_factory=NetworkPolicyConfig)
    platform_config_map: str = "alpha-panda-platform"
    topic_prefix: str = "{namespace}."
    control_ttl_seconds: Seconds = 60
    control_renew_seconds: Seconds = 5
    resync_seconds: Seconds = 300
    watch_stale_seconds: Seconds = 30
    status_seconds: Seconds = 15
    code_poll_seconds: Seconds = 15
    teardown_seconds: Seconds = 300
    teardown_settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 1
    termination_grace_seconds: Annotated[int, Field(ge=1, le=3600)] = 45
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    call_timeout_seconds: Seconds = 15
    leader: LeaderConfig = Field(default_factory=LeaderConfig)
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8080

    @field_validator("roles")
    @classmethod
    def _known_roles(cls, value: dict[str, RoleConfig]) -> dict[str, RoleConfig]:
        unknown = sorted(set(value) - set(ROLES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such role; allowed: {', '.join(ROLES)}")
        return value

    @field_validator("env")
    @classmethod
    def _no_own_variables(cls, value: dict[str, str]) -> dict[str, str]:
        own = sorted(set(value) & {env_name(name) for name in OWN_VARIABLES})
        if own:
            raise ValueError(f"{', '.join(own)}: the operator sets these itself")
        return value

    @field_validator("topic_prefix")
    @classmethod
    def _prefix_names_namespace(cls, value: str) -> str:
        if "{namespace}" not in value:
            raise ValueError("must hold {namespace}: two namespaces may not share their topics")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.control_renew_seconds < self.control_ttl_seconds:
            raise ValueError("controlRenewSeconds must be less than controlTtlSeconds")
        drain = float(
            self.env.get(
                env_name("drain_timeout_seconds"), Settings.model_fields["drain_timeout_seconds"].default
            )
        )
        if not drain < self.termination_grace_seconds:
            raise ValueError(
                f"terminationGraceSeconds must be more than a service's drain, {drain:g} s "
                f"({env_name('drain_timeout_seconds')})"
            )
        return self

    def role(self, name: str) -> RoleConfig:
        """Return a role's configuration: its own fields, else those of `defaults`."""
        own = self.roles.get(name)
        if own is None:
            return self.defaults
        given = {field: getattr(own, field) for field in own.model_fields_set}
        return self.defaults.model_copy(update=given)

    def prefix(self, namespace: str) -> str:
        """Return what goes before the topics and keys of a namespace."""
        return self.topic_prefix.replace("{namespace}", namespace)


def load_config(path: Path) -> OperatorConfig:
    """Read the file.

    Raises:
        SettingsError: it can't be read, is no YAML, or a field does not fit; names every field.

    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read: {error.strerror}; it holds the operator's configuration"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    try:
        return OperatorConfig.model_validate({} if raw is None else raw)
    except ValidationError as error:
        lines = (f"{path}, {_place(item['loc'])}: {_said(item)}" for item in error.errors(include_url=False))
        raise SettingsError("\n".join(lines)) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the whole"


def _said(fault: Any) -> str:  # noqa: ANN401 - pydantic_core.ErrorDetails is a TypedDict of loose types
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
    return str(fault["msg"]).removeprefix("Value error, ")
