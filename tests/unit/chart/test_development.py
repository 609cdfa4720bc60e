"""The development pair: one Kafka and one Redis that keep what they have acknowledged."""

from alpha_panda_operator.names import INSTALLATION_LABEL
from unit.chart.helm import DEVELOPMENT, one, pods, rendered


def lines(text: str, separator: str) -> dict[str, str]:
    pairs = (line.partition(separator) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def redis_conf(*settings: str) -> dict[str, str]:
    return lines(
        one(rendered(*DEVELOPMENT, *settings), "ConfigMap", "trading-redis")["data"]["redis.conf"], " "
    )


def kafka_properties(*settings: str) -> dict[str, str]:
    found = one(rendered(*DEVELOPMENT, *settings), "ConfigMap", "trading-kafka")
    return lines(found["data"]["server.properties"], "=")


def test_redis_writes_each_command_to_its_file_and_evicts_nothing() -> None:
    told = redis_conf()
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["no-appendfsync-on-rewrite"] == "no"
    assert told["maxmemory-policy"] == "noeviction"


def test_redis_refuses_before_it_is_killed_for_its_memory() -> None:
    container = pods(rendered(*DEVELOPMENT))["trading-redis"]["containers"][0]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert int(redis_conf()["maxmemory"].removesuffix("mb")) <= 0.8 * limit


def test_the_files_of_both_are_on_their_volume() -> None:
    mounts = {
        name: {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        for name, pod in pods(rendered(*DEVELOPMENT)).items()
        if name in {"trading-kafka", "trading-redis"}
    }
    assert redis_conf()["dir"] == mounts["trading-redis"]["data"]
    assert kafka_properties()["log.dirs"].startswith(mounts["trading-kafka"]["data"] + "/")


def test_kafka_makes_no_topics_by_itself_and_knows_that_it_is_alone() -> None:
    told = kafka_properties()
    assert told["auto.create.topics.enable"] == "false"
    assert told["offsets.topic.replication.factor"] == "1"
    assert int(told["offsets.retention.minutes"]) >= 7 * 24 * 60


def test_settings_of_yours_go_over_the_charts() -> None:
    assert kafka_properties("development.kafka.settings.num\\.io\\.threads=2")["num.io.threads"] == "2"


def test_a_forwarded_port_is_advertised_as_localhost() -> None:
    told = kafka_properties()
    assert "FORWARDED://localhost:9094" in told["advertised.listeners"]
    ports = one(rendered(*DEVELOPMENT), "Service", "trading-kafka")["spec"]["ports"]
    assert {"name": "forwarded", "port": 9094, "targetPort": "forwarded"} in ports


def test_disks_are_claimed_or_the_pods_own() -> None:
    for store, size in (("kafka", "8Gi"), ("redis", "2Gi")):
        claimed = one(rendered(*DEVELOPMENT), "StatefulSet", f"trading-{store}")["spec"]
        (claim,) = claimed["volumeClaimTemplates"]
        assert claim["spec"]["resources"]["requests"]["storage"] == size
        assert "storageClassName" not in claim["spec"]
        assert "data" not in {each["name"] for each in claimed["template"]["spec"]["volumes"]}
        own = one(
            rendered(*DEVELOPMENT, "development.persistence.enabled=false"), "StatefulSet", f"trading-{store}"
        )["spec"]
        assert "volumeClaimTemplates" not in own
        assert {"name": "data", "emptyDir": {}} in own["template"]["spec"]["volumes"]


def test_a_storage_class_is_named_or_none_at_all() -> None:
    for told, class_name in (("fast", "fast"), ("-", "")):
        objects = rendered(*DEVELOPMENT, f"development.persistence.storageClass={told}")
        (claim,) = one(objects, "StatefulSet", "trading-redis")["spec"]["volumeClaimTemplates"]
        assert claim["spec"]["storageClassName"] == class_name


def test_new_settings_restart_the_server_that_reads_them() -> None:
    def stamp(store: str, *settings: str) -> str:
        template = one(rendered(*DEVELOPMENT, *settings), "StatefulSet", f"trading-{store}")["spec"][
            "template"
        ]
        return str(template["metadata"]["annotations"]["alphapanda.io/config-hash"])

    changed = "development.redis.maxMemory=100mb"
    assert stamp("redis", changed) != stamp("redis")
    assert stamp("kafka", changed) == stamp("kafka")


def test_another_image_brings_its_own_command() -> None:
    pod = pods(
        rendered(*DEVELOPMENT, "development.kafka.image=mine:1", "development.kafka.command={/start,--now}")
    )["trading-kafka"]
    assert pod["containers"][0]["image"] == "mine:1"
    assert pod["containers"][0]["command"] == ["/start", "--now"]


def test_the_policy_knows_the_label_that_the_operator_gives_its_pods() -> None:
    (rule,) = one(rendered(*DEVELOPMENT), "NetworkPolicy", "trading-redis")["spec"]["ingress"]
    assert INSTALLATION_LABEL in rule["from"][0]["podSelector"]["matchLabels"]
