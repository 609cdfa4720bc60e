"""A workload's Deployment: the pod template with its restricted security context, and how it is rolled out."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from alpha_panda_operator.builders import broker
from alpha_panda_operator.builders.pod_settings import credentials_mount, environment
from alpha_panda_operator.builders.workload import Workload, metadata
from alpha_panda_operator.names import (
    MARKET_FEED,
    PINNED_TEMPLATE,
    START_HASH,
    STRATEGY,
    TEMPLATE_REVISION,
    config_map_name,
    selector_labels,
)
from alpha_panda_operator.view import digest

USER: Final = 10001
"""User and group of the image; a number, so that runAsNonRoot can be checked."""

HEALTH_PORT: Final = 8080
METRICS_PORT: Final = 9090
MANIFESTS: Final = "/etc/alpha-panda/manifests"
CODE: Final = "/etc/alpha-panda/code"
DATA: Final = "/etc/alpha-panda/data"

_STARTUP: Final = {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 90}
_READINESS: Final = {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2}
_LIVENESS: Final = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3}
"""A start may take three minutes (Kafka, Redis and topics may still be on their way); what is stuck is ended in 30 s."""

Json = dict[str, Any]


def deployment(workload: Workload, held: Json | None = None) -> Json:
    """Return the Deployment; with `held` (a pod template) that stays, whatever this operator would make of it."""
    template = pod_template(workload) if held is None else held
    notes = {
        START_HASH: workload.start_hash,
        TEMPLATE_REVISION: digest(template),
        PINNED_TEMPLATE: pin(template),
    }
    return {
        "metadata": metadata(workload.view, workload.name, workload.labels, notes),
        "spec": {
            "replicas": workload.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": selector_labels(workload.key, workload.role.name)},
            "strategy": _strategy(workload),
            "template": template,
        },
    }


def pin(template: Mapping[str, Any]) -> str:
    """Return a pod template as text for an annotation."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpin(text: str) -> Json | None:
    """Return the pod template of such a text; None if somebody has spoilt it."""
    try:
        found = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, zlib.error):
        return None
    return found if isinstance(found, dict) else None


def _strategy(workload: Workload) -> Json:
    if workload.role.singleton:
        return {"type": "Recreate"}  # two at once would fight over the lease
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}


def pod_template(workload: Workload) -> Json:
    """Return the pod template, as this operator makes it."""
    role = workload.config.role(workload.role.name)
    return {
        "metadata": {
            "labels": {**role.pod_labels, **workload.labels},
            "annotations": {**role.pod_annotations, START_HASH: workload.start_hash},
        },
        "spec": _without_empty(
            {
                "serviceAccountName": workload.name,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": workload.config.termination_grace_seconds,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "imagePullSecrets": [{"name": name} for name in workload.config.image.pull_secrets],
                "nodeSelector": role.node_selector,
                "tolerations": list(role.tolerations),
                "affinity": role.affinity,
                "topologySpreadConstraints": _spread(workload),
                "priorityClassName": role.priority_class_name,
                "containers": [_container(workload)],
                "volumes": _volumes(workload),
            }
        ),
    }


def _without_empty(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in ({}, [], "")}


def _spread(workload: Workload) -> list[Json]:
    told = workload.config.role(workload.role.name).topology_spread
    if told is not None:
        return [dict(item) for item in told]
    if workload.role.singleton:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector_labels(workload.key, workload.role.name)},
        }
    ]


def _container(workload: Workload) -> Json:
    config, key = workload.config, workload.key
    return {
        "name": workload.role.name,
        "image": _image(workload),
        "imagePullPolicy": config.image.pull_policy,
        "args": [
            "service",
            workload.role.name,
            "--manifests",
            MANIFESTS,
            "--resource",
            f"{key.kind}/{key.name}",
        ],
        "env": environment(workload, HEALTH_PORT, METRICS_PORT),
        "ports": [
            {"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            *broker.ports(workload.login, workload.role.name),
        ],
        "resources": _resources(workload),
        "startupProbe": _probe("/livez", _STARTUP),
        "readinessProbe": _probe("/readyz", _READINESS),
        "livenessProbe": _probe("/livez", _LIVENESS),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # A crash's last words, which the operator shows: the log's end where the pod wrote no message of its own.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(workload),
    }


def _image(workload: Workload) -> str:
    own = workload.view.spec.get("image") if workload.key.kind == STRATEGY else None
    return own if isinstance(own, str) and own else workload.config.image.reference


def _resources(workload: Workload) -> Json:
    """Return the role's resources; a strategy's own take their place, each of requests and limits by itself."""
    told = workload.config.role(workload.role.name).resources
    own = workload.view.spec.get("resources") if workload.key.kind == STRATEGY else None
    if isinstance(own, Mapping):
        told = {**told, **{part: _texts(values) for part, values in own.items() if values}}
    return told


def _texts(amounts: Mapping[str, Any]) -> dict[str, str]:
    """Return amounts as the API server stores them: text, also where a manifest has a number."""
    return {name: str(amount) for name, amount in amounts.items()}


def _probe(path: str, terms: Mapping[str, int]) -> Json:
    return {"httpGet": {"path": path, "port": "health"}, **terms}


def code_of(workload: Workload) -> str:
    """Return the user's ConfigMap with a strategy's code; empty without."""
    code = workload.view.spec.get("code") if workload.key.kind == STRATEGY else None
    return code.get("configMap") or "" if isinstance(code, Mapping) else ""


def _data_volume(workload: Workload) -> Json | None:
    """Return the volume with a replay's files; the market-feed alone reads them."""
    if workload.key.kind != MARKET_FEED or workload.role.name != "market-feed":
        return None
    replay = (workload.view.spec.get("source") or {}).get("replay") or {}
    if replay.get("configMap"):
        return {"name": "data", "configMap": {"name": replay["configMap"]}}
    if replay.get("volumeClaim"):
        claim = {"claimName": replay["volumeClaim"], "readOnly": True}
        return {"name": "data", "persistentVolumeClaim": claim}
    return None


def _volumes(workload: Workload) -> list[Json]:
    """Return the volumes; all are mounted as directories, so that what changes in them arrives."""
    key, role = workload.key, workload.config.role(workload.role.name)
    volumes: list[Json] = [
        {"name": "manifests", "configMap": {"name": config_map_name(key.kind, key.name)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if code_of(workload):
        volumes.append({"name": "code", "configMap": {"name": code_of(workload)}})
    data = _data_volume(workload)
    if data is not None:
        volumes.append(data)
    if role.credentials_secret:
        volumes.append({"name": "credentials", "secret": {"secretName": role.credentials_secret}})
    volumes += broker.volumes(workload.login, workload.role.name)
    return [*volumes, *(dict(item) for item in role.extra_volumes)]


def _mounts(workload: Workload) -> list[Json]:
    role = workload.config.role(workload.role.name)
    mounts: list[Json] = [
        {"name": "manifests", "mountPath": MANIFESTS, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
    ]
    if code_of(workload):
        mounts.append({"name": "code", "mountPath": CODE, "readOnly": True})
    if _data_volume(workload) is not None:
        mounts.append({"name": "data", "mountPath": DATA, "readOnly": True})
    if role.credentials_secret:
        mounts.append({"name": "credentials", "mountPath": credentials_mount(), "readOnly": True})
    mounts += broker.mounts(workload.login, workload.role.name)
    return [*mounts, *(dict(item) for item in role.extra_volume_mounts)]
