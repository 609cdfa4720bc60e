"""The operator's configuration, as the chart writes it and the operator reads it."""

from pathlib import Path

import pytest
import yaml

from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import ROLES
from unit.chart.helm import DEVELOPMENT, OWN, one, operator_config, pods, rendered, variables

SASL = (
    *OWN,
    "kafka.securityProtocol=SASL_SSL",
    "kafka.tls.caFile=/var/run/alpha-panda/credentials/ca.crt",
    "redis.auth=Password",
    "journalRedis.url=redis://journal:6380/0",
    "journalRedis.auth=User",
    "operator.credentialsSecret=own",
    "roles.defaults.credentialsSecret=all",
    "roles.strategy.credentialsSecret=theirs",
)


def test_the_defaults_are_the_operators_own() -> None:
    config = operator_config(*OWN)
    plain = OperatorConfig()
    same = (
        "control_ttl_seconds",
        "control_renew_seconds",
        "resync_seconds",
        "status_seconds",
        "teardown_seconds",
        "topic_prefix",
        "watch_namespaces",
        "health_port",
        "defaults",
    )
    assert {name: getattr(config, name) for name in same} == {name: getattr(plain, name) for name in same}


def test_names_follow_the_release() -> None:
    config = operator_config(*OWN)
    assert config.installation == "desk-trading"
    assert config.platform_config_map == "trading-platform"
    assert config.leader.lease_name == "trading-operator"
    assert operator_config(*OWN, "installation=mine").installation == "mine"


def test_resources_without_a_label_are_served_whatever_the_installations_name_is() -> None:
    assert operator_config(*OWN).serve_unlabelled
    assert operator_config(*OWN, "watchNamespaces[0]=desk").serve_unlabelled


def test_an_installation_of_a_long_name_gets_a_short_one_that_is_its_own() -> None:
    names = {operator_config(*OWN, f"fullnameOverride={'a' * 45}{last}").installation for last in "bc"}
    assert len(names) == 2
    assert {len(name) for name in names} == {40}


def test_the_development_pair_is_where_the_settings_point() -> None:
    objects = rendered(*DEVELOPMENT)
    env = operator_config(*DEVELOPMENT).env
    kafka = env["ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS"]
    assert kafka == "trading-kafka.desk.svc:9092"
    assert env["ALPHAPANDA_REDIS_URL"] == "redis://trading-redis.desk.svc:6379/0"
    properties = one(objects, "ConfigMap", "trading-kafka")["data"]["server.properties"]
    assert f"advertised.listeners=PLAINTEXT://{kafka}," in properties


def test_every_variable_is_a_setting_of_that_name_and_type(monkeypatch: pytest.MonkeyPatch) -> None:
    config = operator_config(*SASL, "kafka.replicationFactor=2", "env.ALPHAPANDA_ENGINE_LANES=4")
    known = {env_name(field) for field in Settings.model_fields}
    assert set(config.env) <= known
    for name, value in config.env.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.kafka_security_protocol == "SASL_SSL"
    assert settings.kafka_tls_ca_file == "/var/run/alpha-panda/credentials/ca.crt"
    assert settings.kafka_replication_factor == 2
    assert settings.engine_lanes == 4


def test_numbers_from_a_file_of_values_are_written_out(tmp_path: Path) -> None:
    """A file's numbers are floats to Helm, which prints them as 1e+06: no service, and no broker, reads that."""
    numbers = {"A": 1_000_000, "B": 0.25, "C": 0, "D": 604_800_000, "E": True, "F": "text"}
    values = tmp_path / "values.yaml"
    settings = {"log.retention.bytes": 1_073_741_824}
    told = {
        "env": {f"ALPHAPANDA_{name}": number for name, number in numbers.items()},
        "development": {"kafka": {"settings": settings}},
    }
    values.write_text(yaml.safe_dump(told))
    env = operator_config(*DEVELOPMENT, files=(values,)).env
    written = ["1000000", "0.25", "0", "604800000", "true", "text"]
    assert [env[f"ALPHAPANDA_{name}"] for name in numbers] == written
    broker = one(rendered(*DEVELOPMENT, files=(values,)), "ConfigMap", "trading-kafka")
    assert "\nlog.retention.bytes=1073741824\n" in f"\n{broker['data']['server.properties']}\n"


def test_settings_of_yours_go_over_the_charts() -> None:
    env = operator_config(*OWN, "env.ALPHAPANDA_LOG_FORMAT=console").env
    assert env["ALPHAPANDA_LOG_FORMAT"] == "console"


def test_the_operator_itself_has_the_same_settings_as_its_workloads() -> None:
    told = variables(pods(rendered(*SASL))["trading-operator"])
    assert told.items() >= operator_config(*SASL).env.items()
    assert told["ALPHAPANDA_INSTALLATION"] == "desk-trading"


def test_secrets_are_files_and_only_those_that_are_asked_for() -> None:
    pod = pods(rendered(*SASL))["trading-operator"]
    told = variables(pod)
    folder = "/var/run/alpha-panda/credentials"
    assert told["ALPHAPANDA_KAFKA_SASL_PASSWORD_FILE"] == f"{folder}/kafka-sasl-password"
    assert told["ALPHAPANDA_REDIS_PASSWORD_FILE"] == f"{folder}/redis-password"
    assert told["ALPHAPANDA_JOURNAL_REDIS_USERNAME"] == {
        "secretKeyRef": {"name": "own", "key": "journal-redis-username"}
    }
    assert "ALPHAPANDA_REDIS_USERNAME" not in told
    mount = next(each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "credentials")
    assert mount["mountPath"] == folder
    assert "subPath" not in mount
    assert {"name": "credentials", "secret": {"secretName": "own", "defaultMode": 0o440}} in pod["volumes"]


def test_the_operator_learns_which_keys_secrets_have() -> None:
    keys = ["journal-redis-password", "journal-redis-username", "kafka-sasl-password"]
    assert sorted(operator_config(*SASL).credential_keys or ()) == [
        *keys,
        "kafka-sasl-username",
        "redis-password",
    ]
    assert operator_config(*OWN).credential_keys == ()


def test_each_role_takes_its_own_over_the_defaults() -> None:
    config = operator_config(*SASL, "roles.engine.replicas=3")
    assert config.role("strategy").credentials_secret == "theirs"  # noqa: S105 - a name
    assert config.role("risk").credentials_secret == "all"  # noqa: S105 - a name
    assert config.role("engine").replicas == 3
    assert config.role("engine").resources == config.defaults.resources


def test_the_values_name_every_role_that_the_operator_knows() -> None:
    assert set(operator_config(*OWN).roles) == set(ROLES)


def test_workloads_reach_the_ports_of_the_stores_and_no_others() -> None:
    config = operator_config(
        "kafka.bootstrapServers=a:9092\\,b:9093\\,c:9092",
        "redis.url=rediss://r",
        "journalRedis.url=redis://j:6380/1",
    )
    assert _ports(config.network_policy.kafka) == [9092, 9093]
    assert _ports(config.network_policy.redis) == [6379, 6380]


def _ports(rules: tuple[dict[str, object], ...]) -> list[object]:
    (rule,) = rules
    assert set(rule) == {"ports"}
    return [port["port"] for port in rule["ports"]]  # type: ignore[attr-defined]


def test_with_the_pair_they_reach_its_pods_alone() -> None:
    objects = rendered(*DEVELOPMENT)
    for store, rules in (
        ("kafka", operator_config(*DEVELOPMENT).network_policy.kafka),
        ("redis", operator_config(*DEVELOPMENT).network_policy.redis),
    ):
        (rule,) = rules
        labels = one(objects, "StatefulSet", f"trading-{store}")["spec"]["template"]["metadata"]["labels"]
        (peer,) = rule["to"]
        assert peer["podSelector"]["matchLabels"].items() <= labels.items()
        assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "desk"}}


def test_rules_of_yours_replace_the_guess() -> None:
    rule = "networkPolicy.kafka[0].to[0].ipBlock.cidr=10.0.0.0/8"
    assert operator_config(*OWN, rule).network_policy.kafka == (
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    )


PERSON = ("personSecret.accounts=theirs", "personSecret.platform=ours")


def test_the_login_of_persons_is_where_commands_look_for_it_in_risk_and_operator_alone() -> None:
    place = Settings.model_fields["person_credentials"].default
    mount = {"name": "person", "mountPath": place, "readOnly": True}
    config = operator_config(*OWN, *PERSON)
    assert [role for role in ROLES if mount in config.role(role).extra_volume_mounts] == ["risk"]
    assert config.role("risk").extra_volumes == (_person("theirs"),)
    pod = pods(rendered(*OWN, *PERSON))["trading-operator"]
    assert mount in pod["containers"][0]["volumeMounts"]
    assert _person("ours") in pod["volumes"]
    plain = pods(rendered(*OWN))["trading-operator"]
    assert mount not in plain["containers"][0]["volumeMounts"]
    assert operator_config(*OWN).role("risk").extra_volumes == ()


def test_risk_keeps_the_volumes_that_it_would_have_without_a_login_of_persons() -> None:
    def names(*settings: str) -> list[str]:
        config = operator_config(*OWN, *PERSON, *settings)
        return [str(each["name"]) for each in config.role("risk").extra_volumes]

    of_all = "roles.defaults.extraVolumes[0].name=all"
    assert names(of_all) == ["person", "all"]
    assert names(of_all, "roles.risk.extraVolumes[0].name=own") == ["person", "own"]


def _person(secret: str) -> dict[str, object]:
    """Optional: a namespace without this Secret has its risk all the same."""
    return {"name": "person", "secret": {"secretName": secret, "optional": True, "defaultMode": 0o440}}


def test_further_fields_go_over_those_of_the_values() -> None:
    config = operator_config(*OWN, "operator.config.leader.leaseSeconds=20", "operator.config.workers=2")
    assert config.leader.lease_seconds == 20
    assert config.leader.lease_name == "trading-operator"
    assert config.workers == 2


def test_an_unknown_field_would_be_refused() -> None:
    text = one(rendered(*OWN, "operator.config.wrokers=2"), "ConfigMap", "trading-operator")
    with pytest.raises(ValueError, match="wrokers"):
        OperatorConfig.model_validate(yaml.safe_load(text["data"]["config.yaml"]))
