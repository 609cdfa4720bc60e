"""What is kept of children and pods: the few facts that conditions are made of, never the objects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from alpha_panda_operator.clock import moment
from alpha_panda_operator.names import (
    APPLIED,
    COMPONENT_LABEL,
    FIELD_MANAGER,
    INSTANCE_LABEL,
    KIND_LABEL,
    START_HASH,
    TEMPLATE_REVISION,
    Key,
)
from alpha_panda_operator.view import digest

OTHERS_OWN: Final = ("deployment.kubernetes.io/revision",)
"""Annotations that Kubernetes itself writes onto what is ours."""

_CRASHING: Final = (
    "CrashLoopBackOff",
    "RunContainerError",
    "CreateContainerError",
    "CreateContainerConfigError",
)
_NO_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_ENDED: Final = ("Succeeded", "Failed")
"""Phases in which no process of a pod runs any more."""

_ENOUGH_RESTARTS: Final = 2
"""Restarts after which a pod that is down right now counts as crashing before the kubelet backs off."""


@dataclass(frozen=True, slots=True)
class ChildFact:
    """A child as last seen. `fingerprint` covers all that somebody could have changed by hand, no status."""

    key: Key
    owner: Key
    owner_uid: str
    uid: str
    version: str
    fingerprint: str
    foreign: tuple[str, ...] = ()
    deleting: bool = False
    applied: str = ""
    role: str = ""
    start_hash: str = ""
    template_revision: str = ""
    wanted: int = 0
    pods: int = 0
    ready: int = 0
    updated: int = 0
    settled: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class PodFact:
    """A pod as last seen. `trouble`: CrashLoop, ImageMissing, MissingSecret or empty, with `message`.

    `ending`: somebody has deleted it, and its processes may still run. `ended`: they don't any more, and it stays to be
    looked at (evicted, say). `unmounted_since` (UTC seconds): it has a node, and no volumes or no network there yet.
    """

    key: Key
    owner: Key
    role: str
    ready: bool
    uid: str = ""
    trouble: str = ""
    message: str = ""
    start_hash: str = ""
    ending: bool = False
    ended: bool = False
    unmounted_since: float | None = None
    version: str = field(default="", compare=False)


def owner_of(raw: Mapping[str, Any]) -> Key | None:
    """Return for which resource an object was made, by its labels; None if it is none of ours."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    kind, name = labels.get(KIND_LABEL), labels.get(INSTANCE_LABEL)
    return Key(kind, metadata["namespace"], name) if kind and name else None


def child_fact(raw: Mapping[str, Any], kind: str) -> ChildFact | None:
    """Return the facts of an object that is labelled as ours."""
    owner = owner_of(raw)
    if owner is None:
        return None
    metadata = raw["metadata"]
    return ChildFact(
        key=Key(kind, metadata["namespace"], metadata["name"]),
        owner=owner,
        owner_uid=next(
            (item["uid"] for item in metadata.get("ownerReferences") or () if item.get("controller")), ""
        ),
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        fingerprint=fingerprint(raw),
        foreign=foreign_fields(raw),
        deleting=bool(metadata.get("deletionTimestamp")),
        applied=(metadata.get("annotations") or {}).get(APPLIED, ""),
        **(_workload(raw) if kind == "Deployment" else {}),
    )


def fingerprint(raw: Mapping[str, Any]) -> str:
    """Return a hash of what a person could change of an object."""
    metadata = raw["metadata"]
    notes = {
        name: text for name, text in (metadata.get("annotations") or {}).items() if name not in OTHERS_OWN
    }
    kept = {name: raw[name] for name in raw if name not in ("metadata", "status", "apiVersion", "kind")}
    return digest([metadata.get("labels"), notes, metadata.get("ownerReferences"), kept])


def covers(live: object, wanted: object) -> bool:
    """Whether an object is all that was applied of it; what others added to its mappings does not matter.

    Where the server writes a value in another way than we it says no: then an apply finds out.
    """
    if isinstance(wanted, Mapping):
        there = live if isinstance(live, Mapping) else {}
        return all(covers(there.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        items = live if isinstance(live, list) else []
        return len(items) == len(wanted) and all(map(covers, items, wanted))
    return live == wanted


def _workload(raw: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    notes = metadata.get("annotations") or {}
    wanted = spec.get("replicas", 1)
    counts = {name: status.get(name, 0) for name in ("replicas", "readyReplicas", "updatedReplicas")}
    seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    # `replicas` counts old pods too: settled means that none of them is left.
    level = counts["updatedReplicas"] == wanted == counts["replicas"]
    return {
        "role": (metadata.get("labels") or {}).get(COMPONENT_LABEL, ""),
        "start_hash": notes.get(START_HASH, ""),
        "template_revision": notes.get(TEMPLATE_REVISION, ""),
        "wanted": wanted,
        "pods": counts["replicas"] if seen else max(counts["replicas"], wanted),
        "ready": counts["readyReplicas"],
        "updated": counts["updatedReplicas"],
        "settled": seen and level,
        "failure": _failure(status),
    }


def _failure(status: Mapping[str, Any]) -> str:
    """Return why Kubernetes can't make the pods: a quota, a refused security context."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return str(condition.get("message", ""))
    return ""


def foreign_fields(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what somebody else owns of an object: `manager: path`. Status and Kubernetes' own notes don't count."""
    found: list[str] = []
    for entry in raw["metadata"].get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER or entry.get("subresource"):
            continue
        paths = (path for path in _paths(entry.get("fieldsV1") or {}) if not _expected(path))
        found.extend(f"{entry.get('manager')}: {path}" for path in paths)
    return tuple(found[:10])


def _expected(path: str) -> bool:
    return path.startswith("status") or any(f"[{note}]" in path or path.endswith(note) for note in OTHERS_OWN)


def _paths(fields: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, below in fields.items():
        if name == ".":
            continue
        path = f"{above}.{name[2:]}" if name.startswith("f:") else f"{above}[{name[2:]}]"
        inner = [key for key in below if key != "."]
        if inner:
            yield from _paths(below, path)
        else:
            yield path.lstrip(".")


def pod_fact(raw: Mapping[str, Any]) -> PodFact | None:
    """Return the facts of a pod of ours."""
    owner = owner_of(raw)
    if owner is None:
        return None
    metadata, status = raw["metadata"], raw.get("status") or {}
    ready = any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in status.get("conditions") or ()
    )
    trouble, message = ("", "") if ready else _trouble(status)
    return PodFact(
        key=Key("Pod", metadata["namespace"], metadata["name"]),
        owner=owner,
        role=(metadata.get("labels") or {}).get(COMPONENT_LABEL, ""),
        ready=ready,
        uid=metadata["uid"],
        trouble=trouble,
        message=message,
        start_hash=(metadata.get("annotations") or {}).get(START_HASH, ""),
        ending=bool(metadata.get("deletionTimestamp")),
        ended=status.get("phase") in _ENDED,
        unmounted_since=_unmounted_since(status),
        version=metadata["resourceVersion"],
    )


def _unmounted_since(status: Mapping[str, Any]) -> float | None:
    """Return since when a pod with a node waits for what comes before its first container."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodReadyToStartContainers" and condition.get("status") == "False":
            return moment(str(condition.get("lastTransitionTime") or ""))
    return None


def last_words(log: str) -> str:
    """Return what a container said last, on one line: Kubernetes hands on the end of its log, traceback and all."""
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    try:
        told = msgspec.json.decode(last, type=dict[str, Any])
    except msgspec.MsgspecError:
        return last
    event, error = str(told.get("event", "")), str(told.get("error") or told.get("exception") or "")
    why = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "")
    return ": ".join(part for part in (event, why) if part) or last


def _trouble(status: Mapping[str, Any]) -> tuple[str, str]:
    for item in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (item.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        ended = (
            (item.get("lastState") or {}).get("terminated")
            or (item.get("state") or {}).get("terminated")
            or {}
        )
        if reason in _NO_IMAGE:
            return "ImageMissing", f"{reason}: {waiting.get('message') or item.get('image', '')}"
        if (
            reason == "CreateContainerConfigError"
            and "secret" in (said := str(waiting.get("message", ""))).lower()
        ):
            return "MissingSecret", said
        if reason in _CRASHING or (item.get("restartCount", 0) >= _ENOUGH_RESTARTS and ended):
            code = f"exit code {ended['exitCode']}" if "exitCode" in ended else waiting.get("message", "")
            said = last_words(str(ended.get("message") or ""))
            return "CrashLoop", f"{reason or ended.get('reason', 'ended')}, {code}" + (
                f": {said}" if said else ""
            )
    return "", ""
