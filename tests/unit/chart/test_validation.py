"""What the chart refuses, and what it says then."""

import pytest

from harness.versions import KUBERNETES
from unit.chart.helm import CHART, DEVELOPMENT, OWN, refusal, rendered, run

KAFKA, REDIS = OWN
SASL = (
    "kafka.securityProtocol=SASL_SSL",
    "operator.credentialsSecret=own",
    "roles.defaults.credentialsSecret=all",
)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((), ("kafka.bootstrapServers=HOST", "development.enabled=true", "not for money")),
        ((KAFKA,), ("not where Redis is", "redis.url=redis://HOST")),
        ((REDIS,), ("not where Kafka is", "kafka.bootstrapServers=HOST")),
        ((*DEVELOPMENT, KAFKA), ("must be empty", "Take away")),
        ((*DEVELOPMENT, REDIS), ("must be empty",)),
        ((*DEVELOPMENT, "journalRedis.url=redis://j:1"), ("must be empty",)),
        (
            (KAFKA, "redis.url=redis://me:secret@redis:6379"),
            ("redis.url", "Secret", "redis-password", "redis.auth"),
        ),
        ((*OWN, "journalRedis.url=redis://:x@r:1"), ("journalRedis.url", "journal-redis-password")),
        ((*OWN, "env.ALPHAPANDA_REDIS_PASSWORD=x"), ("env.ALPHAPANDA_REDIS_PASSWORD", "credentialsSecret")),
        ((*OWN, "env.ALPHAPANDA_TOPIC_PREFIX=x."), ("ALPHAPANDA_TOPIC_PREFIX", "topicPrefix")),
        ((*OWN, *SASL[:1]), ("operator.credentialsSecret", "kafka-sasl-password, kafka-sasl-username")),
        ((*OWN, *SASL[:2]), ("roles.market-feed.credentialsSecret", "namespace of each resource")),
        ((*OWN, "redis.auth=User"), ("redis-password, redis-username",)),
        ((*OWN, "operator.serviceAccount.create=false"), ("operator.serviceAccount.name",)),
        ((*OWN, "control.ttlSeconds=10"), ("renewSeconds (5)", "ttlSeconds (10)", "halts trading")),
        ((*OWN, "operater.replicas=3"), ("operater", "not allowed")),
        ((*OWN, "roles.engines.replicas=3"), ("engines", "not allowed")),
        ((*OWN, "roles.engine.replica=3"), ("replica", "not allowed")),
        ((*OWN, "env.LOG_LEVEL=x"), ("LOG_LEVEL", "ALPHAPANDA_")),
        ((*OWN, "platform.tradingState=On"), ("tradingState", "'Active', 'Reducing', 'Halted'")),
        ((*OWN, "redis.url=redis:6379"), ("redis/url", "pattern")),
        ((*OWN, "topicPrefix=all."), ("topicPrefix",)),
        ((*OWN, "installation=a.b"), ("installation",)),
        ((*OWN, "fullnameOverride=a.b"), ("fullnameOverride",)),
        ((*OWN, "fullnameOverride=7a"), ("fullnameOverride",)),
        ((*OWN, "personSecret.account=x"), ("account", "not allowed")),
        ((*OWN, "roles.risk.personSecret=x"), ("personSecret", "not allowed")),
        ((*OWN, "image.digest=latest"), ("digest",)),
        ((*OWN, "operator.replicas=0"), ("replicas",)),
        ((*OWN, "watchNamespaces={a,a}"), ("watchNamespaces",)),
    ],
)
def test_wrong_values_are_refused_with_what_to_do(settings: tuple[str, ...], words: tuple[str, ...]) -> None:
    said = refusal(*settings)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    "settings",
    [
        OWN,
        DEVELOPMENT,
        (*OWN, *SASL),
        (*OWN, "journalRedis.url=rediss://journal:6379/1"),
        (*OWN, "control.ttlSeconds=11"),
        (*OWN, "env.ALPHAPANDA_KAFKA_RETENTION_DAYS=30"),
        (*OWN, "global.anything=1"),
    ],
)
def test_right_values_are_taken(settings: tuple[str, ...]) -> None:
    assert rendered(*settings)


def test_each_role_may_name_its_own_secret() -> None:
    roles = ("market-feed", "feed-cacher", "strategy", "risk", "engine", "order-tracker")
    named = [f"roles.{role}.credentialsSecret={role}" for role in roles]
    assert rendered(*OWN, *SASL[:2], *named)


@pytest.mark.parametrize("release", ["1st", "a.b"])
def test_a_release_whose_name_no_service_can_have_is_refused_before_anything_is_made(release: str) -> None:
    """Helm takes both, and the API server would take them for all objects but the Services."""
    named = [word for each in OWN for word in ("--set", each)]
    done = run("template", release, str(CHART), "--kube-version", KUBERNETES, *named)
    assert done.returncode != 0
    assert f'"{release}"' in done.stderr
    assert "fullnameOverride" in done.stderr
