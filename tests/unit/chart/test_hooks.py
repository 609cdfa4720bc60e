"""What Helm runs at certain moments: the platform's trading state, the check before uninstalling, `helm test`."""

from unit.chart.helm import DEVELOPMENT, OWN, one, rendered


def hook(kind: str, name: str, *settings: str) -> dict[str, str]:
    annotations = one(rendered(*OWN, *settings), kind, name)["metadata"]["annotations"]
    return {key.removeprefix("helm.sh/"): value for key, value in annotations.items()}


def test_the_platforms_state_is_made_by_the_first_installation_alone() -> None:
    told = hook("ConfigMap", "trading-platform")
    assert told["hook"] == "pre-install"
    assert "before-hook-creation" not in told["hook-delete-policy"]
    assert "hook-succeeded" not in told["hook-delete-policy"]


def test_it_says_what_the_values_say() -> None:
    objects = rendered(*OWN, "platform.tradingState=Halted")
    assert one(objects, "ConfigMap", "trading-platform")["data"] == {"tradingState": "Halted"}
    assert one(rendered(*OWN), "ConfigMap", "trading-platform")["data"] == {"tradingState": "Active"}


def test_uninstalling_asks_first_and_shows_the_answer() -> None:
    told = hook("Job", "trading-uninstall-check")
    assert told["hook"] == "pre-delete"
    assert told["hook-output-log-policy"] == "hook-failed"
    spec = one(rendered(*OWN), "Job")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] <= 300  # Helm's own time-out


def test_it_asks_about_the_namespaces_that_are_served() -> None:
    def arguments(*settings: str) -> list[str]:
        job = one(rendered(*OWN, *settings), "Job")["spec"]["template"]["spec"]
        found: list[str] = job["containers"][0]["args"]
        return found

    assert arguments() == ["trading", "desk", "1"]
    assert arguments("watchNamespaces={blue,green}") == ["trading", "desk", "1", "blue", "green"]


def test_helm_test_asks_operator_redis_and_kafka() -> None:
    pod = one(rendered(*DEVELOPMENT), "Pod")["spec"]
    containers = {each["name"]: each for each in pod["containers"]}
    url = "http://trading-operator.desk.svc:8080/readyz"
    assert containers["operator"]["args"] == [url]
    assert containers["operator"]["command"][-1] == "alpha_panda_operator.install_check"
    assert containers["redis"]["args"] == ["resume", "--all"]
    assert containers["kafka"]["args"] == ["dlq", "list"]
    for container in pod["containers"]:
        names = {each["name"] for each in container["env"]}
        assert {"ALPHAPANDA_REDIS_URL", "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS"} <= names


def test_helm_test_asks_about_the_namespaces_that_are_served() -> None:
    pod = one(rendered(*OWN, "watchNamespaces={blue}"), "Pod")["spec"]
    assert pod["containers"][0]["args"][1:] == ["blue"]
