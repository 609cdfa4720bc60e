from pathlib import Path

import pytest

from alpha_panda.adapters.kafka.acl import all_roles as kafka_roles
from alpha_panda.adapters.redis.acl import all_roles, operator_rights
from alpha_panda.compose.acl_docs import (
    INSTALLATION,
    KAFKA_PAGE,
    PAGE,
    allow,
    main,
    render_acl,
    render_kafka,
    setuser,
    user_of,
)
from alpha_panda.contracts.keys import KeyMap

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
ROLES = all_roles(KeyMap(), feed="demo", account="paper", strategy="momentum")


def test_the_page_in_the_repository_is_what_the_code_says() -> None:
    remedy = "run `python -m alpha_panda.compose.acl_docs docs/reference`"
    assert (REFERENCE / PAGE).read_text(encoding="utf-8") == render_acl(), remedy
    assert (REFERENCE / KAFKA_PAGE).read_text(encoding="utf-8") == render_kafka(), remedy


@pytest.mark.parametrize("role", list(ROLES))
def test_every_role_has_its_row_and_its_lines(role: str) -> None:
    lines, rights = render_acl().splitlines(), ROLES[role]
    assert sum(line.startswith(f"| `{role}` | ") and line.count(" | ") == 3 for line in lines) == 1
    assert lines.count(setuser(role, rights)) == 1
    for part in (rights.prices, rights.journal):
        assert setuser(role, part) in lines or not part.grants


def test_a_line_begins_anew_before_it_gives_anything() -> None:
    assert setuser("engine", ROLES["engine"]).startswith("ACL SETUSER engine-paper reset on >PASSWORD ~")


def test_every_service_has_a_user_for_each_resource() -> None:
    assert len({user_of(role) for role in ROLES}) == len(ROLES)
    assert (user_of("strategy"), user_of("feed-cacher"), user_of("person")) == (
        "strategy-momentum",
        "feed-cacher-demo",
        "person",
    )


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    main(str(tmp_path / "reference"))
    assert (tmp_path / "reference" / PAGE).read_text(encoding="utf-8") == render_acl()
    assert (tmp_path / "reference" / KAFKA_PAGE).read_text(encoding="utf-8") == render_kafka()


def test_an_operator_of_every_namespace_has_a_line_that_holds_the_claim_of_each() -> None:
    line = setuser("operator", operator_rights(KeyMap("*.", INSTALLATION)))
    assert line in render_acl().splitlines()
    assert " ~*.owner " in line
    assert f" ~{INSTALLATION}:control:platform:spec " in line


KAFKA = kafka_roles("trading.", feed="demo", account="paper", strategy="momentum", installation=INSTALLATION)


@pytest.mark.parametrize("role", list(KAFKA))
def test_every_role_that_speaks_to_kafka_has_its_row_and_its_commands(role: str) -> None:
    lines = render_kafka().splitlines()
    assert sum(line.startswith(f"| `{role}` | ") for line in lines) == 1
    assert [line for line in allow(user_of(role), KAFKA[role]) if line not in lines] == []


def test_a_command_names_the_user_the_operations_and_the_topics() -> None:
    user, topic = (
        "kafka-acls --add --allow-principal User:market-feed-demo",
        "--topic trading.demo.market.ticks",
    )
    assert allow(user_of("market-feed"), KAFKA["market-feed"]) == [
        f"{user} --operation Create --operation Describe --operation DescribeConfigs {topic}",
        f"{user} --operation Write {topic}",
    ]


def test_a_strategys_user_can_write_no_decision_and_no_order() -> None:
    assert {topic for topic in KAFKA["strategy"].writes if not topic.endswith(".dlq")} == {
        "trading.paper.signals.raw",
        "trading.paper.signals.rejected",
    }
