"""The generated CustomResourceDefinitions: as committed, structural, bounded, described, and no stricter than the models."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from alpha_panda.contracts import crd_rules, crds
from alpha_panda.contracts.crd_schema import HIDDEN, fields_of, number_or_text, structural
from alpha_panda.contracts.resources import KINDS, STATUSES, fields
from alpha_panda.errors import MisuseError

ROOT = Path(__file__).parents[3]
FORBIDDEN = {
    "$ref", "$defs", "title", "anyOf", "oneOf", "allOf", "const", "discriminator", "prefixItems", "propertyNames",
    "patternProperties", "uniqueItems", "examples",
}  # fmt: skip
Schema = dict[str, Any]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema within a structural schema."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def at(kind: str, path: str) -> Schema:
    """Return the schema at a path such as `.spec.instruments[].token`."""
    return dict(nodes(crds.schema_of(kind)))[path]


EVERY_NODE = [
    pytest.param(node, id=f"{kind}{path}")
    for kind in KINDS
    for path, node in nodes(crds.schema_of(kind))
    if not path.startswith((".apiVersion", ".kind", ".metadata"))
]

# ---------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(("path", "text"), [pytest.param(*each, id=str(each[0])) for each in crds.rendered()])
def test_a_generated_file_is_as_the_models_make_it(path: Path, text: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run `make crds`"


def test_there_is_no_file_that_is_generated_no_more() -> None:
    expected = {path.name for path, _ in crds.rendered()}
    for folder in (crds.CRD_FOLDER, crds.CHART_FOLDER):
        assert {file.name for file in (ROOT / folder).iterdir()} <= expected


def test_the_command_writes_what_is_rendered_and_the_same_again(tmp_path: Path) -> None:
    crds.main([str(tmp_path)])
    first = {path: (tmp_path / path).read_bytes() for path, _ in crds.rendered()}
    crds.main([str(tmp_path)])
    assert first == {path: (tmp_path / path).read_bytes() for path, _ in crds.rendered()}
    assert len(first) == 2 * len(KINDS) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_chart_s_copy_differs_by_its_switches_alone(kind: str) -> None:
    plain, template = crds.to_yaml(crds.crd(kind)), crds.templated(crds.crd(kind))
    assert "{{" not in plain  # helm would take it for a template
    lines = template.splitlines()
    assert (lines[0], lines[-1]) == ("{{- if .Values.crds.enabled }}", "{{- end }}")
    kept = lines.index("  {{- if .Values.crds.keep }}")
    assert lines[kept - 1 : kept + 4] == [
        "metadata:",
        "  {{- if .Values.crds.keep }}",
        "  annotations:",
        "    helm.sh/resource-policy: keep",
        "  {{- end }}",
    ]
    del lines[kept : kept + 4]
    assert lines[1:-1] == plain.splitlines()


def test_a_file_in_crds_is_what_kubectl_shall_apply() -> None:
    for kind in KINDS:
        document = yaml.safe_load((ROOT / "crds" / f"{crd_rules.NAMES[kind].plural}.yaml").read_text())
        assert document == crds.crd(kind)


@pytest.mark.parametrize(
    ("kind", "plural", "short"),
    [
        ("MarketFeed", "marketfeeds", "mf"),
        ("BrokerAccount", "brokeraccounts", "ba"),
        ("Strategy", "strategies", "strat"),
    ],
)
def test_names_category_and_status_are_as_documented(kind: str, plural: str, short: str) -> None:
    document = crds.crd(kind)
    assert document["metadata"]["name"] == f"{plural}.alphapanda.io"
    names, (version,) = document["spec"]["names"], document["spec"]["versions"]
    assert (names["plural"], names["shortNames"], names["categories"]) == (plural, [short], ["trading"])
    assert version["subresources"] == {"status": {}}
    assert document["spec"]["scope"] == "Namespaced"


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_shows_a_field_that_exists(kind: str) -> None:
    paths = {path for path, _ in nodes(crds.schema_of(kind))}
    for column in crd_rules.COLUMNS[kind]:
        path = re.sub(r"\[\?\(@\.type==\"[A-Za-z]+\"\)\]", "[]", column.path)
        assert path in paths or path == ".metadata.creationTimestamp", column


# --------------------------------------------------------------------------------------------------- schema


@pytest.mark.parametrize("node", EVERY_NODE)
def test_a_node_is_structural(node: Schema) -> None:
    assert not FORBIDDEN & set(node)
    assert ("type" in node) or node[HIDDEN] is True
    assert not {"properties", "additionalProperties"} <= set(node)
    assert node.get("additionalProperties") is not False
    assert (
        not isinstance(node.get("exclusiveMinimum", True), int | float)
        or node.get("exclusiveMinimum", True) is True
    )


@pytest.mark.parametrize("node", EVERY_NODE)
def test_a_node_is_bounded_and_described(node: Schema) -> None:
    kind = node.get("type")
    if kind == "array":
        assert "maxItems" in node
        assert node["x-kubernetes-list-type"] in ("atomic", "set", "map")
    elif kind == "string":
        assert {"maxLength", "enum"} & set(node)
    elif kind in ("integer", "number"):
        assert {"minimum", "maximum"} <= set(node)
    elif kind == "object" and "properties" not in node:
        assert "maxProperties" in node


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    for path, node, _ in fields_of(crds.schema_of(kind)):
        assert path.startswith("metadata") or node["description"], path


def test_only_the_defaults_that_are_meant_are_written_into_objects() -> None:
    found = {
        (kind, path, node["default"])
        for kind in KINDS
        for path, node in nodes(crds.schema_of(kind))
        if "default" in node
    }
    assert found == {
        ("MarketFeed", ".spec.partitions", 4),
        ("BrokerAccount", ".spec.tradingState", "Active"),
        ("Strategy", ".spec.tradingState", "Active"),
        ("Strategy", ".spec.deletionPolicy", "CancelOrders"),
    }


def test_other_defaults_are_told_in_words() -> None:
    assert at("BrokerAccount", ".spec.engine.replicas")["description"].endswith("Default: 2.")
    assert at("BrokerAccount", ".spec.risk.allowShort")["description"].endswith("Default: true.")
    assert "Default" not in at("Strategy", ".spec.tradingState")["description"]


@pytest.mark.parametrize("kind", KINDS)
def test_null_is_kept_in_status_alone_where_every_field_is_written(kind: str) -> None:
    for path, node in nodes(crds.schema_of(kind)):
        assert "nullable" not in node or path.startswith(".status"), path
    assert at(kind, ".status.conditions")["x-kubernetes-list-map-keys"] == ["type"]


def test_no_new_field_is_required() -> None:
    """What v1alpha1 requires is fixed: `Halted` must be patchable onto every older object."""
    required = {kind: at(kind, ".spec").get("required") for kind in KINDS}
    assert required == {
        "MarketFeed": ["source", "instruments"],
        "BrokerAccount": ["marketFeed"],
        "Strategy": ["marketFeed", "instruments", "accounts"],
    }


def lists_of(kind: str, list_type: str) -> set[str]:
    schemas = nodes(at(kind, ".spec"))
    return {path for path, node in schemas if node.get("x-kubernetes-list-type") == list_type}


def test_only_lists_for_which_empty_means_absent_are_sets() -> None:
    """Server-side apply takes an emptied set for an absent one: `acceptStrategies: []` would accept all."""
    assert lists_of("MarketFeed", "set") == {".extraHolidays"}
    assert lists_of("BrokerAccount", "set") == {".clearLatch"}
    assert lists_of("Strategy", "set") == {".clearLatch"}
    assert not any(lists_of(kind, "map") for kind in KINDS)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("BrokerAccount", ".spec.acceptStrategies"),
        ("BrokerAccount", ".spec.orderTypes"),
        ("BrokerAccount", ".spec.validities"),
        ("Strategy", ".spec.instruments"),
        ("Strategy", ".spec.accounts"),
    ],
)
def test_a_list_that_is_one_value_has_each_element_once_by_rule(kind: str, path: str) -> None:
    node = at(kind, path)
    assert node["x-kubernetes-list-type"] == "atomic"
    assert [rule["message"] for rule in node["x-kubernetes-validations"]] == ["each element once"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_be_empty_is_replaced_as_a_whole(kind: str) -> None:
    """Server-side apply makes null of an object that is emptied, unless the object is one value."""
    for path, node in nodes(at(kind, ".spec")):
        if node.get("type") == "object" and path and not path.endswith(".source"):
            assert ("required" in node) != (node.get("x-kubernetes-map-type") == "atomic"), path


# ---------------------------------------------------------------------------------------------------- rules


def rules_at(kind: str, path: str) -> list[str]:
    return [rule["rule"] for rule in at(kind, path)["x-kubernetes-validations"]]


def test_what_never_changes_has_a_transition_rule() -> None:
    assert rules_at("MarketFeed", ".spec.partitions") == ["self == oldSelf"]
    assert rules_at("BrokerAccount", ".spec.paper") == ["dyn(self).cash == dyn(oldSelf).cash"]


def test_every_kind_bounds_its_name() -> None:
    for kind in KINDS:
        (rule,) = rules_at(kind, "")
        assert "self.metadata.name.size() <= 40" in rule


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_has_a_message_and_a_path_that_exists(kind: str) -> None:
    known = {path for path, _ in nodes(crds.schema_of(kind))}
    for path, node in nodes(crds.schema_of(kind)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert len(rule["message"]) > 10
            assert f"{path}{rule.get('fieldPath', '')}" in known


def test_every_table_names_models_and_fields_that_exist() -> None:
    names = set(KINDS)
    for model in (*KINDS.values(), *STATUSES.values()):
        names |= set(model.model_json_schema().get("$defs", {}))
    assert set(crd_rules.RULES) | set(crd_rules.LIST_KEYS) <= names
    assert {model for model, _ in crd_rules.SHOWN_DEFAULTS} <= names
    assert set(crd_rules.NAMES) == set(crd_rules.COLUMNS) == set(KINDS)


def test_a_second_broker_is_one_more_choice_that_can_t_be_changed() -> None:
    brokers = ("paper", "zerodha")
    (rule,) = crd_rules.same_one("broker", brokers)
    assert rule.rule == "has(self.paper) == has(oldSelf.paper) && has(self.zerodha) == has(oldSelf.zerodha)"
    assert crd_rules.exactly_one("broker", brokers).message == "broker: give exactly one of paper, zerodha"
    assert list(crd_rules.same_one("broker", ("paper",))) == []


# ----------------------------------------------------------------------------------------------- the turner


class Odd(BaseModel):
    """A model with shapes that a structural schema can't have."""

    number: int = Field(1, multiple_of=5, description="A multiple.")


class Union(BaseModel):
    """A union of two types."""

    value: int | str = Field(description="Either.")


class Silent(BaseModel):
    """A field without words."""

    value: Annotated[str, Field(max_length=3)]


class Fixed(BaseModel):
    """A field of one value."""

    value: Literal["a"] = Field("a", description="Always the same.")


@pytest.mark.parametrize(
    ("model", "words"),
    [(Odd, "multipleOf"), (Union, "no unions"), (Silent, "has no description")],
)
def test_a_shape_that_nobody_thought_of_is_refused(model: type[BaseModel], words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        structural(model)


def test_a_constant_becomes_an_enum_of_one() -> None:
    assert structural(Fixed)["properties"]["value"]["enum"] == ["a"]


# -------------------------------------------------------------------------------------------------- numbers

EXACT: dict[str, Any] = {
    "Money": fields.Money,
    "PositiveMoney": fields.PositiveMoney,
    "Quantity": fields.Quantity,
    "BasisPoints": fields.BasisPoints,
    "Ratio": fields.Ratio,
    "MarginRatio": fields.MarginRatio,
}


def server_takes(kind: str, value: str | float) -> bool:
    """Whether an API server would take the value: what a node without a type checks of text and of numbers."""
    text, number = TypeAdapter(EXACT[kind]).json_schema()["anyOf"]
    node = number_or_text(text, number)
    if isinstance(value, str):
        return bool(re.search(node["pattern"], value)) and len(value) <= node["maxLength"]
    low = value > node["minimum"] if node.get("exclusiveMinimum") else value >= node["minimum"]
    return bool(low and value <= node["maximum"])


def model_takes(kind: str, value: str | float) -> bool:
    try:
        TypeAdapter(EXACT[kind]).validate_python(value)
    except ValidationError:
        return False
    return True


decimals = st.from_regex(r"\A[0-9]{1,16}(\.[0-9]{1,11})?\Z")
near_limits = st.sampled_from(
    [
        "0",
        "0.0",
        "0.0000000001",
        "1",
        "1.0",
        "1.0000000001",
        "10",
        "10.5",
        "10000",
        "10000.1",
        "9999.9999999999",
        "1000000000000",
        "1000000000000.1",
        "999999999999.9",
        "999999999999999",
        "1000000000000000",
        "007",
        ".5",
        "-1",
    ]
)


@pytest.mark.parametrize("kind", EXACT)
@given(text=decimals | near_limits)
def test_text_that_the_model_takes_is_taken_by_the_server(kind: str, text: str) -> None:
    if model_takes(kind, text):
        assert server_takes(kind, text)


@pytest.mark.parametrize("kind", EXACT)
@given(text=decimals.filter(lambda text: not text.startswith("0")) | near_limits)
def test_text_that_the_server_takes_is_taken_by_the_model(kind: str, text: str) -> None:
    if server_takes(kind, text):
        assert model_takes(kind, text)


@pytest.mark.parametrize("kind", EXACT)
@given(value=st.integers(-10, 10**16) | st.decimals(0, 20_000, places=2).map(float))
def test_numbers_are_judged_alike(kind: str, value: float) -> None:
    assert server_takes(kind, value) == model_takes(kind, value)


def test_objects_lists_and_booleans_are_no_numbers() -> None:
    node = at("BrokerAccount", ".spec.paper.cash")
    assert node["minProperties"] > node["maxProperties"]
    assert node["minItems"] > node["maxItems"]
    assert node["not"] == {"enum": [True, False]}
    assert Decimal(node["maximum"]) == 10**15 - 1


# --------------------------------------------------------------------------------------------------- page


def test_the_page_has_every_field_and_what_only_the_operator_sees() -> None:
    page = dict(crds.rendered())[crds.PAGE]
    for kind in KINDS:
        schema = crds.schema_of(kind)["properties"]
        for part in ("spec", "status"):
            for path, _, _ in fields_of(schema[part]):
                assert f"| `{path}`" in page, path
    for each in crd_rules.OPERATOR_ONLY:
        assert each in page
