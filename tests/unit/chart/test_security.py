"""Every pod of the chart would be taken by a namespace that enforces the restricted standard."""

import pytest

from unit.chart.helm import DEVELOPMENT, Object, of_kind, one, pods, rendered

PODS = ("trading-operator", "trading-kafka", "trading-redis", "trading-uninstall-check", "trading-test")


@pytest.fixture(params=PODS)
def pod(request: pytest.FixtureRequest) -> Object:
    found = pods(rendered(*DEVELOPMENT))
    assert set(found) == set(PODS)
    spec: Object = found[request.param]
    return spec


def test_a_pod_is_restricted(pod: Object) -> None:
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all("hostPath" not in volume for volume in pod.get("volumes", []))


def test_a_container_can_change_nothing(pod: Object) -> None:
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in security


def test_a_container_says_what_it_needs(pod: Object) -> None:
    for container in pod["containers"]:
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_no_pod_gets_variables_of_services_nearby(pod: Object) -> None:
    assert pod["enableServiceLinks"] is False


def test_only_those_that_ask_the_api_have_a_token() -> None:
    found = pods(rendered(*DEVELOPMENT))
    without = {name for name, pod in found.items() if pod.get("automountServiceAccountToken") is False}
    assert without == {"trading-kafka", "trading-redis"}


def test_selectors_find_their_own_pods_alone() -> None:
    objects = rendered(*DEVELOPMENT)
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}
    }
    labels["trading-test"] = one(objects, "Pod")["metadata"]["labels"]
    for kind, field in (
        ("Service", None),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        for each in of_kind(objects, kind):
            wanted = each["spec"]["selector"] if field is None else each["spec"][field]["matchLabels"]
            found = {name for name, of_pod in labels.items() if wanted.items() <= of_pod.items()}
            assert found == {each["metadata"]["name"]}, kind


def test_workloads_and_the_releases_own_pods_reach_the_pair_and_nobody_else_does() -> None:
    objects = rendered(*DEVELOPMENT)
    for store in ("kafka", "redis"):
        (rule,) = one(objects, "NetworkPolicy", f"trading-{store}")["spec"]["ingress"]
        workloads, own = rule["from"]
        assert workloads["namespaceSelector"] == {}
        assert workloads["podSelector"]["matchLabels"] == {
            "app.kubernetes.io/name": "alpha-panda",
            "alphapanda.io/installation": "desk-trading",
        }
        assert "namespaceSelector" not in own
        assert own["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "trading"
