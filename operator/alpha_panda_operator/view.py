"""A resource as the operator sees it: what of it must be known although other fields of it may be wrong.

The model is made when it is first asked for: 1,000 strategies at rest cost their raw specs alone.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import API_VERSION, KINDS, DeletionPolicy, MarketFeed, Resource
from alpha_panda.errors import ManifestError, UserInputError
from alpha_panda.runtime.venues import rules_of
from alpha_panda_operator.clock import moment
from alpha_panda_operator.names import FINALIZER, PAUSED, ROLLOUT, Key

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation that repeats the whole manifest; nobody who reads the closure needs it twice."""

_NO_SUCH: Final = re.compile(r"there is no (MarketFeed|BrokerAccount) ")
"""A fault of references alone: they are checked against the cluster, not against the one manifest."""


@dataclass(frozen=True, slots=True)
class ResourceView:
    """One custom resource. `spec` and `status` are raw: any shape that the API server lets through."""

    key: Key
    uid: str
    version: str
    generation: int
    created: str
    deleted_at: str
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    spec: Mapping[str, Any] = field(repr=False)
    status: Mapping[str, Any] = field(repr=False)
    written_at: float | None = None
    """When somebody last changed its spec (UTC seconds, whole ones); None where the API does not say."""
    _made: list[Resource | str] = field(default_factory=list, repr=False, compare=False)

    @property
    def deleting(self) -> bool:
        """Whether somebody has asked for its deletion."""
        return bool(self.deleted_at)

    def asks_the_same(self, other: "ResourceView") -> bool:
        """Whether nothing differs but status and what the server notes: others need not look at it again."""
        return (
            (self.uid, self.generation, self.deleted_at) == (other.uid, other.generation, other.deleted_at)
            and self.annotations == other.annotations
            and self.labels == other.labels
        )

    @property
    def guarded(self) -> bool:
        """Whether our finalizer holds it."""
        return FINALIZER in self.finalizers

    @property
    def paused(self) -> bool:
        """Whether its children are to be left alone."""
        return self.annotations.get(PAUSED, "").lower() == "true"

    @property
    def rollout_now(self) -> bool:
        """Whether an upgrade's changes are wanted at once."""
        return self.annotations.get(ROLLOUT, "").lower() == "now"

    @property
    def feed(self) -> str:
        """Name of its feed; empty if it names none."""
        return _text(self.spec.get("marketFeed"))

    @property
    def accounts(self) -> tuple[str, ...]:
        """Names of its accounts."""
        named = self.spec.get("accounts")
        return tuple(_text(item) for item in named) if isinstance(named, list) else ()

    @property
    def trading_state(self) -> TradingState:
        """What its manifest asks for, however wrong the rest of it is; what is no state is Halted."""
        wanted = self.spec.get("tradingState", TradingState.ACTIVE.value)
        return TradingState(wanted) if wanted in set(TradingState) else TradingState.HALTED

    @property
    def deletion_policy(self) -> DeletionPolicy:
        """What its deletion does; what can't be read cancels, as by default."""
        told = self.spec.get("deletionPolicy")
        return DeletionPolicy(told) if told in set(DeletionPolicy) else DeletionPolicy.CANCEL_ORDERS

    @property
    def clear_latch(self) -> tuple[str, ...]:
        """Ids of latches that a person wants cleared."""
        named = self.spec.get("clearLatch")
        return tuple(_text(item) for item in named) if isinstance(named, list) else ()

    @property
    def model(self) -> Resource | None:
        """The checked resource; None if it is not valid."""
        made = self._checked()
        return made if isinstance(made, Resource) else None

    @property
    def checked(self) -> bool:
        """Whether `model` and `fault` are known, or the next look at them takes the time of a check."""
        return bool(self._made)

    @property
    def fault(self) -> str:
        """What is wrong with it by itself, in words; empty if nothing is."""
        made = self._checked()
        return made if isinstance(made, str) else ""

    def manifest(self, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the resource as a manifest: what the user wrote, and which resource it is."""
        kept = {name: text for name, text in self.annotations.items() if name != LAST_APPLIED}
        metadata: dict[str, Any] = {
            "name": self.key.name,
            "namespace": self.key.namespace,
            "uid": self.uid,
        }
        if kept or annotations:
            metadata["annotations"] = {**kept, **(annotations or {})}
        return {"apiVersion": API_VERSION, "kind": self.key.kind, "metadata": metadata, "spec": self.spec}

    def _checked(self) -> Resource | str:
        if not self._made:
            self._made.append(_check(self))
        return self._made[0]


def _check(view: ResourceView) -> Resource | str:
    """Return the model, or in words why there is none."""
    try:
        model = KINDS[view.key.kind].model_validate(view.manifest(), by_alias=True, by_name=False)
    except ValidationError:
        return _in_words(view) or "is not valid"
    if not isinstance(model, MarketFeed):
        return model
    fault = _in_words(view)  # its calendar and time zones: what refers to no other resource
    if fault:
        return fault
    try:
        rules_of(model)
    except UserInputError as error:
        return str(error)
    return model


def _in_words(view: ResourceView) -> str:
    """Return the faults as every command tells them, but for references to what is not at hand here."""
    try:
        ResourceSet.from_documents([view.manifest()])
    except ManifestError as error:
        own = (fault for fault in error.faults if not _NO_SUCH.match(fault.problem))
        return "; ".join(
            f"{fault.field}: {fault.problem}" + (f" (allowed: {fault.allowed})" if fault.allowed else "")
            for fault in own
        )
    return ""


def view_of(raw: Mapping[str, Any], known: ResourceView | None = None) -> ResourceView:
    """Return what matters of an object as the API or a watch gives it; what has not changed is shared with `known`."""
    metadata = raw["metadata"]
    same = (
        known is not None
        and known.uid == metadata["uid"]
        and known.generation == metadata.get("generation", 0)
    )
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    keep = known if known is not None and same and known.annotations == annotations else None
    return ResourceView(
        key=Key(raw["kind"], metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp", ""),
        deleted_at=metadata.get("deletionTimestamp") or "",
        finalizers=tuple(metadata.get("finalizers") or ()),
        annotations=annotations,
        labels=dict(metadata.get("labels") or {}),
        spec=keep.spec if keep is not None else _plain(raw.get("spec")),
        status=_plain(raw.get("status")),
        written_at=_written_at(metadata),
        _made=keep._made if keep is not None else [],  # noqa: SLF001 - the same class
    )


def _written_at(metadata: Mapping[str, Any]) -> float | None:
    """Return when the last of those who own fields of the spec has changed any: applying the same again is no change."""
    times = (
        moment(str(entry.get("time") or ""))
        for entry in metadata.get("managedFields") or ()
        if not entry.get("subresource") and "f:spec" in (entry.get("fieldsV1") or {})
    )
    return max((time for time in times if time is not None), default=None)


def digest(value: object) -> str:
    """Return a short hash of anything that JSON has, the same from run to run."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def _plain(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
