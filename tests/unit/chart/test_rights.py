"""What the operator may do: no more than it needs, and nothing with Secrets."""

from itertools import product

from alpha_panda_operator.rights import HOME, WATCHED
from unit.chart.helm import CHART, OWN, Object, of_kind, one, rendered

Right = tuple[str, str, str, str]
"""API group, resource, name (empty: any), verb."""


def rights(rules: list[Object]) -> set[Right]:
    return {
        right
        for rule in rules
        for right in product(
            rule["apiGroups"], rule["resources"], rule.get("resourceNames", [""]), rule["verbs"]
        )
    }


def watched(*settings: str) -> set[Right]:
    return rights(one(rendered(*OWN, *settings), "ClusterRole", "alpha-panda:desk:trading")["rules"])


def own(*settings: str) -> set[Right]:
    return rights(one(rendered(*OWN, *settings), "Role", "trading-operator")["rules"])


def test_no_rule_is_about_secrets_or_everything() -> None:
    for group, resource, _, verb in watched() | own():
        assert "*" not in {group, resource, verb}
        assert "secrets" not in resource
        assert verb not in {"escalate", "bind", "impersonate", "deletecollection"}
        assert "/exec" not in resource


def test_no_right_is_given_twice() -> None:
    for kind, name in (("ClusterRole", "alpha-panda:desk:trading"), ("Role", "trading-operator")):
        rules = one(rendered(*OWN), kind, name)["rules"]
        counted = [
            right for rule in rules for right in product(rule["apiGroups"], rule["resources"], rule["verbs"])
        ]
        names = [rule.get("resourceNames") for rule in rules]
        assert len(counted) == len(set(counted)) or any(names)


def test_the_same_rights_in_watched_namespaces_as_everywhere() -> None:
    objects = rendered(*OWN, "watchNamespaces={blue}")
    (role,) = [each for each in of_kind(objects, "Role") if each["metadata"]["namespace"] == "blue"]
    assert rights(role["rules"]) == watched()


def test_in_its_own_namespace_it_touches_its_lease_and_the_platform_alone() -> None:
    assert {right[1:3] for right in own()} == {
        ("leases", ""),  # create, which can't be limited to a name
        ("leases", "trading-operator"),
        ("configmaps", "trading-platform"),
    }
    assert {verb for _, resource, name, verb in own() if resource == "leases" and not name} == {"create"}


def test_every_rule_has_its_reason_beside_it() -> None:
    lines = [line.strip() for line in (CHART / "templates" / "_rules.tpl").read_text().splitlines()]
    groups: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("#") and not (groups[-1] and groups[-1][-1].startswith("#")):
            groups.append([])
        groups[-1].append(line)
    assert sum(line.startswith("- apiGroups") for line in groups[0]) == 0  # before the first reason
    assert len(groups) > 6


def test_people_may_see_or_write_resources_but_never_status() -> None:
    objects = rendered(*OWN)
    for suffix, verbs in (("view", {"get", "list", "watch"}), ("edit", None)):
        role = one(objects, "ClusterRole", f"alpha-panda:desk:trading:{suffix}")
        assert {right[1] for right in rights(role["rules"])} == {
            "marketfeeds",
            "brokeraccounts",
            "strategies",
        }
        if verbs:
            assert {right[3] for right in rights(role["rules"])} == verbs
        assert f"rbac.authorization.k8s.io/aggregate-to-{suffix}" in role["metadata"]["labels"]
    viewers = one(objects, "ClusterRole", "alpha-panda:desk:trading:edit")["metadata"]["labels"]
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in viewers


def test_the_chart_gives_what_the_operator_says_it_needs() -> None:
    names = {"{leader.leaseName}": "trading-operator", "{platformConfigMap}": "trading-platform"}
    assert rights([each.rule() for each in WATCHED]) == watched()
    home = rights([each.rule() for each in HOME])
    assert {(group, resource, names.get(name, name), verb) for group, resource, name, verb in home} == own()
