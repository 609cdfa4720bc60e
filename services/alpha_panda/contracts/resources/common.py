"""What all custom resources share: the base models, the types of their fields, metadata."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator
from pydantic.alias_generators import to_camel

from alpha_panda.contracts.resources.fields import NAME_PATTERN, Name
from alpha_panda.contracts.resources.rules import Finding, together

API_VERSION: Final = "alphapanda.io/v1alpha1"

SERVER_METADATA: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
)
"""Metadata that the API server writes: ignored, so that `kubectl get -o yaml` is a valid manifest."""


class ManifestModel(BaseModel):
    """Base of all models: camelCase in manifests, snake_case in Python, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
    )


class RuledModel(ManifestModel):
    """A model with rules over several of its fields."""

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield what the fields together get wrong. `raw` is unchecked: read it with `peek` and `items`."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _with_rules(cls, raw: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return together(handler, raw, cls.rules(raw))


def _without(raw: object, names: tuple[str, ...]) -> object:
    if not isinstance(raw, Mapping):
        return raw
    return {key: value for key, value in raw.items() if key not in names}


class Metadata(ManifestModel):
    """Kubernetes object metadata, as far as Alpha Panda reads it."""

    name: Name = Field(description="Name of the resource, unique within its kind and namespace.")
    namespace: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        max_length=63,
        description="Namespace. References never leave it; all manifests of one load share it.",
    )
    uid: str | None = Field(
        None, max_length=64, description="Set by the API server; a new one is a new resource."
    )
    labels: dict[
        Annotated[str, Field(min_length=1, max_length=317)], Annotated[str, Field(max_length=63)]
    ] = Field(default_factory=dict, max_length=64, description="Labels, for selecting.")
    annotations: dict[
        Annotated[str, Field(min_length=1, max_length=317)], Annotated[str, Field(max_length=262_144)]
    ] = Field(default_factory=dict, max_length=64, description="Annotations, for people and tools.")

    @model_validator(mode="before")
    @classmethod
    def _drop_server_fields(cls, raw: Any) -> object:  # noqa: ANN401 - raw input has any shape
        return _without(raw, SERVER_METADATA)


class Resource(ManifestModel):
    """One custom resource; subclasses add `kind` and `spec`."""

    api_version: Literal["alphapanda.io/v1alpha1"] = Field(API_VERSION, description="Group and version.")
    kind: str = Field(max_length=63, description="Kind of the resource.")
    metadata: Metadata = Field(description="Name, namespace, labels.")

    @model_validator(mode="before")
    @classmethod
    def _drop_status(cls, raw: Any) -> object:  # noqa: ANN401 - raw input has any shape
        return _without(raw, ("status",))

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def ref(self) -> str:
        """`Kind/name`."""
        return f"{self.kind}/{self.name}"
