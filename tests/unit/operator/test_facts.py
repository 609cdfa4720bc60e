"""Facts of children and pods: what conditions are made of."""

from typing import Any

import pytest

from alpha_panda_operator.facts import child_fact, covers, fingerprint, foreign_fields, last_words, pod_fact
from alpha_panda_operator.names import FIELD_MANAGER, Key
from unit.operator.kit import START, child, with_metadata

OWNER = Key("BrokerAccount", "desk", "paper")


def deployment(status: dict[str, Any], replicas: int = 2, generation: int = 1) -> dict[str, Any]:
    made = child(OWNER, "Deployment", "paper-engine", "engine", spec={"replicas": replicas}, status=status)
    made["metadata"]["generation"] = generation
    return made


@pytest.mark.parametrize(
    ("status", "settled", "pods"),
    [
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1}, True, 2),
        ({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 2}, False, 3),
        ({"observedGeneration": 0, "replicas": 0, "updatedReplicas": 0}, False, 2),
        ({}, False, 2),
    ],
)
def test_a_deployment_is_settled_when_its_status_is_of_this_generation_and_no_old_pod_is_left(
    status: dict[str, Any], settled: bool, pods: int
) -> None:
    fact = child_fact(deployment(status), "Deployment")
    assert fact is not None
    assert (fact.settled, fact.pods, fact.role, fact.wanted) == (settled, pods, "engine", 2)


def test_a_deployment_that_was_just_scaled_to_zero_is_not_without_pods_before_its_status_says_so() -> None:
    fact = child_fact(
        deployment({"observedGeneration": 1, "replicas": 2}, replicas=0, generation=2), "Deployment"
    )
    assert fact is not None
    assert fact.pods == 2


def test_what_cannot_be_made_says_why() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: q"}
    fact = child_fact(deployment({"conditions": [condition]}), "Deployment")
    assert fact is not None
    assert fact.failure == "exceeded quota: q"


def test_the_fingerprint_covers_what_people_change_and_no_more() -> None:
    base = deployment({})
    same = [
        with_metadata(base),
        {**base, "status": {"replicas": 1}},
        with_metadata(
            base, annotations={"deployment.kubernetes.io/revision": "7"}, generation=9, managedFields=[1]
        ),
    ]
    other = [
        {**base, "spec": {"replicas": 3}},
        {**base, "data": {"a": "b"}},
        with_metadata(base, labels={}),
        with_metadata(base, annotations={"a": "b"}),
        with_metadata(base, ownerReferences=[]),
    ]
    assert {fingerprint(item) for item in same} == {
        fingerprint({**base, "metadata": {**base["metadata"], "annotations": {}}})
    }
    assert len({fingerprint(item) for item in (base, *other)}) == 6


def managed(manager: str, fields: Any, subresource: str = "") -> dict[str, Any]:
    return {"manager": manager, "fieldsV1": fields, "subresource": subresource}


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([managed(FIELD_MANAGER, {"f:spec": {"f:replicas": {}}})], ()),
        ([managed("kube-controller-manager", {"f:status": {"f:replicas": {}}}, "status")], ()),
        ([managed("kube-controller-manager", {"f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}}})], ()),
        ([managed("kubectl-edit", {"f:spec": {"f:paused": {}}})], ("kubectl-edit: spec.paused",)),
        ([managed("hpa", {"f:spec": {"f:x": {'k:{"name":"a"}': {".": {}, "f:image": {}}}}})], ('hpa: spec.x[{"name":"a"}].image',)),
    ],
)  # fmt: skip
def test_fields_of_others_are_found(entries: list[Any], found: tuple[str, ...]) -> None:
    assert foreign_fields({"metadata": {"managedFields": entries}}) == found


def pod(status: dict[str, Any]) -> Any:
    fact = pod_fact(child(OWNER, "Pod", "p", "engine", status=status))
    assert fact is not None
    return fact


def container(**more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "engine", "restartCount": 0, **more}]}


@pytest.mark.parametrize(
    ("status", "trouble", "words"),
    [
        ({}, "", ""),
        ({"conditions": [{"type": "Ready", "status": "True"}], **container(restartCount=9)}, "", ""),
        (container(state={"waiting": {"reason": "ContainerCreating"}}), "", ""),
        (container(state={"waiting": {"reason": "ErrImagePull", "message": "no x"}}), "ImageMissing", "ErrImagePull: no x"),
        (container(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 2, "message": "boom\n"}}), "CrashLoop", "exit code 2: boom"),
        (container(state={"terminated": {"exitCode": 1, "reason": "Error"}}, restartCount=2), "CrashLoop", "Error, exit code 1"),
        (container(state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}), "MissingSecret", 'secret "x" not found'),
        (container(state={"waiting": {"reason": "CreateContainerConfigError", "message": "couldn't find key k in Secret desk/x"}}), "MissingSecret", "key k"),
        (container(state={"waiting": {"reason": "CreateContainerConfigError", "message": "image will run as root"}}), "CrashLoop", "as root"),
        ({"initContainerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}, "image": "i"}]}, "ImageMissing", "i"),
    ],
)  # fmt: skip
def test_a_pods_trouble_is_told_in_the_words_of_who_knows(
    status: dict[str, Any], trouble: str, words: str
) -> None:
    found = pod(status)
    assert (found.trouble, words in found.message) == (trouble, True), found


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("  \n", ""),
        ("starting\nTraceback (most recent call last):\n  File x\nValueError: no such key\n\n", "ValueError: no such key"),
        ('{"event": "starts"}\n{"event": "service failed", "error": "kafka: refused"}\n', "service failed: kafka: refused"),
        ('{"event": "died", "exception": "Traceback\\n  File x\\nKeyError: 1"}', "died: KeyError: 1"),
        ('{"level": "info"}', '{"level": "info"}'),
        ('half of a line", "event": "x"}', 'half of a line", "event": "x"}'),
        ("[1, 2]", "[1, 2]"),
    ],
)  # fmt: skip
def test_of_a_crashed_containers_log_its_last_words_are_told(log: str, words: str) -> None:
    assert last_words(log) == words


def test_objects_of_others_are_no_facts() -> None:
    stranger = {"metadata": {"name": "x", "namespace": "desk", "uid": "u", "resourceVersion": "1"}}
    assert child_fact(stranger, "Deployment") is None
    assert pod_fact(stranger) is None


@pytest.mark.parametrize(
    ("live", "covered"),
    [
        ({"a": {"b": [{"c": 1}]}}, True),
        ({"a": {"b": [{"c": 1, "default": 2}], "more": 3}, "status": {}}, True),
        ({"a": {"b": [{"c": 2}]}}, False),
        ({"a": {"b": [{"c": 1}, {"c": 2}]}}, False),
        ({"a": {"b": [{}]}}, False),
        ({"a": {"b": {"c": 1}}}, False),
        ({"a": None}, False),
        ({}, False),
    ],
)
def test_an_object_covers_what_it_has_all_of(live: dict[str, Any], covered: bool) -> None:
    assert covers(live, {"a": {"b": [{"c": 1}]}}) is covered


def test_what_is_empty_need_not_be_there() -> None:
    assert covers({}, {"a": {}, "b": []})


@pytest.mark.parametrize(
    ("status", "more", "ending", "ended"),
    [
        ({"phase": "Running"}, {}, False, False),
        ({"phase": "Running"}, {"deletionTimestamp": "2026-01-05T08:00:00Z"}, True, False),
        ({"phase": "Failed", "reason": "Evicted"}, {}, False, True),
        ({"phase": "Succeeded"}, {}, False, True),
    ],
)
def test_a_pod_that_ends_is_told_from_one_that_has_ended(
    status: dict[str, Any], more: dict[str, Any], ending: bool, ended: bool
) -> None:
    made = child(OWNER, "Pod", "p", "engine", status=status)
    made["metadata"] |= more
    found = pod_fact(made)
    assert found is not None
    assert (found.ending, found.ended) == (ending, ended)


@pytest.mark.parametrize(
    ("status", "text", "since"),
    [
        ("False", "2026-01-05T08:00:00Z", START),
        ("True", "2026-01-05T08:00:00Z", None),
        ("False", "yesterday", None),
        ("False", None, None),
    ],
)
def test_since_when_a_pod_waits_for_its_volumes(status: str, text: Any, since: float | None) -> None:
    condition = {"type": "PodReadyToStartContainers", "status": status, "lastTransitionTime": text}
    assert pod({"conditions": [condition]}).unmounted_since == since
    assert pod({}).unmounted_since is None
