"""Turns pydantic's JSON schema into what an API server takes: a structural schema.

Every keyword is either turned or refused, so that one which a new version of pydantic brings is noticed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from alpha_panda.contracts.crd_rules import (
    LIST_KEYS,
    NO_REPEATS,
    RULES,
    SETS,
    SHOWN_DEFAULTS,
    Rule,
    unchanged,
)
from alpha_panda.contracts.resources.fields import PATTERN_WORDS
from alpha_panda.errors import MisuseError

Schema = dict[str, Any]

COPIED: Final = (
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "minProperties", "maxProperties", "required",
)  # fmt: skip
DROPPED: Final = ("title", "$defs", "propertyNames", "default", "description", "const", "uniqueItems")
"""Turned into something else, or of no use to the API server."""
MARK: Final = "x-alphapanda-"
KEPT_APART: Final = ("FeedSource",)
"""Models without required fields that are never empty."""
EMPTIABLE: Final[Schema] = {"x-kubernetes-map-type": "atomic"}
"""Server-side apply makes null of an object whose last field its manager gives up, and then refuses it: `simulated: {}`
after `simulated: {seed: 7}`. An atomic object is one value and stays. So limits belong to one manager as a whole."""
IMMUTABLE_MARK: Final = f"{MARK}immutable"
HIDDEN: Final = "x-kubernetes-preserve-unknown-fields"


def structural(model: type[BaseModel], *, status: bool = False) -> Schema:
    """Return the structural schema of a model.

    Args:
        model: whose.
        status: whether it is written by the operator alone: null is kept, defaults and their words are left out.

    Raises:
        MisuseError: the model has a shape that a structural schema can't have.

    """
    source = model.model_json_schema(by_alias=True)
    defs = {**source.get("$defs", {}), model.__name__: source}
    return _Turner(defs, status=status).turn({"$ref": f"#/$defs/{model.__name__}"}, model.__name__)


def number_or_text(text: Schema, number: Schema) -> Schema:
    """Return the schema of a number that may also be written as text.

    A structural schema knows integer-or-text only, which refuses an unquoted 12.5. So the field has no type at all;
    limits bind by the kind of value (`minimum` numbers, `pattern` text), and contradictory ones refuse objects and
    lists. The API server keeps such a value as it is; CEL sees only whether it is there.
    """
    kept = {key: value for key, value in {**text, **_exclusive(number)}.items() if key != "type"}
    nothing = {"minProperties": 1, "maxProperties": 0, "minItems": 1, "maxItems": 0}
    return {HIDDEN: True, **kept, **nothing, "not": {"enum": [True, False]}}


def _exclusive(node: Mapping[str, Any]) -> Schema:
    """Return the node with its exclusive limits as OpenAPI 3.0 has them."""
    turned = dict(node)
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in turned:
            turned[plain] = turned.pop(exclusive)
            turned[exclusive] = True
    return turned


@dataclass(frozen=True, slots=True)
class _Turner:
    defs: Mapping[str, Schema]
    status: bool = field(kw_only=True)

    def turn(self, node: Schema, where: str) -> Schema:
        """Return a node's structural schema; `where` names it in errors."""
        if "$ref" in node:
            return self._model(node, where)
        if "anyOf" in node:
            return self._union(node, where)
        turned = _exclusive(node)
        result: Schema = {"description": turned["description"]} if turned.get("description") else {}
        result |= {key: turned[key] for key in COPIED if key in turned}
        result |= {key: True for key in ("exclusiveMinimum", "exclusiveMaximum") if turned.get(key) is True}
        if "const" in turned:
            result["enum"] = [turned["const"]]
        if turned.get("type") == "integer":
            result["format"] = "int64"
        _refuse_unknown(turned, where)
        if result.get("pattern") in PATTERN_WORDS:
            result = _with_rules(result, [_spelt(result.pop("pattern"))])
        shape = {"object": self._object, "array": self._array}.get(str(turned.get("type")))
        return {**result, **shape(turned, where)} if shape else _typed(result, where)

    def _model(self, node: Schema, where: str) -> Schema:
        name = node["$ref"].rsplit("/", 1)[-1]
        target = {**self.defs[name], **{key: value for key, value in node.items() if key != "$ref"}}
        result = self.turn(target, name if "properties" in target else where)
        hidden = [
            key for key, each in self.defs[name].get("properties", {}).items() if IMMUTABLE_MARK in each
        ]
        rules = [*RULES.get(name, ()), *_hidden_rules(hidden, result)]
        return _with_rules(result, rules)

    def _union(self, node: Schema, where: str) -> Schema:
        """Return `X | None` as X, and a text or number as one field."""
        branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
        optional = len(branches) < len(node["anyOf"])
        outer = {key: value for key, value in node.items() if key != "anyOf"}
        nullable = {"nullable": True} if optional and self.status else {}
        if len(branches) == 1:
            return {**self.turn({**branches[0], **outer}, where), **nullable}
        if [branch.get("type") for branch in branches] == ["string", "number"]:
            return {"description": node["description"], **number_or_text(*branches)}
        raise MisuseError(f"{where}: a structural schema has no unions but text or number: {node['anyOf']}")

    def _object(self, node: Schema, where: str) -> Schema:
        """Return the properties or values. What may be empty is replaced as a whole, see `EMPTIABLE`."""
        whole = {} if node.get("required") or self.status or where.endswith(KEPT_APART) else EMPTIABLE
        if "properties" in node:
            return {"properties": dict(self._properties(node["properties"], where)), **whole}
        values = node.get("additionalProperties", True)
        if values is True:
            return {HIDDEN: True, **whole}
        return {"additionalProperties": self.turn({"description": "One of them.", **values}, where), **whole}

    def _properties(self, properties: Mapping[str, Schema], where: str) -> Iterator[tuple[str, Schema]]:
        for name, node in properties.items():
            place = f"{where}.{name}"
            turned = self.turn(node, place)
            turned["description"] = self._description(node, turned, place)
            if (where, name) in SHOWN_DEFAULTS:
                turned["default"] = node["default"]
            if IMMUTABLE_MARK in node and HIDDEN not in turned:
                turned = _with_rules(turned, [unchanged(name, visible=True)])
            yield name, turned

    def _description(self, node: Schema, turned: Schema, place: str) -> str:
        """Return the field's description, with the default where the schema does not show it."""
        text = node.get("description", turned.get("description"))
        if not text:
            raise MisuseError(f"{place} has no description")
        default = node.get("default")
        said = self.status or default in (None, [], {}, "") or tuple(place.split(".")) in SHOWN_DEFAULTS
        return str(text) if said else f"{text} Default: {_shown(default)}."

    def _array(self, node: Schema, where: str) -> Schema:
        """Return the items and how server-side apply merges them."""
        items = {"items": self.turn(node["items"], where)}
        keys = LIST_KEYS.get(node["items"].get("$ref", "").rsplit("/", 1)[-1])
        if keys:
            return {**items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
        if tuple(where.split(".")) in SETS:
            return {**items, "x-kubernetes-list-type": "set"}
        rules = [NO_REPEATS] if node.get("uniqueItems") else []
        return _with_rules({**items, "x-kubernetes-list-type": "atomic"}, rules)


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default).removesuffix(".0")


def _typed(result: Schema, where: str) -> Schema:
    if "type" not in result:
        raise MisuseError(f"{where}: a structural schema needs a type")
    return result


def _refuse_unknown(node: Schema, where: str) -> None:
    known = {
        *COPIED,
        *DROPPED,
        "properties",
        "items",
        "additionalProperties",
        "exclusiveMinimum",
        "exclusiveMaximum",
    }
    unknown = [key for key in node if key not in known and not key.startswith(MARK)]
    if unknown:
        raise MisuseError(f"{where}: nothing is known of the keywords {', '.join(unknown)}")


def _hidden_rules(marked: list[str], result: Schema) -> Iterator[Rule]:
    """Yield the rules of the immutable fields that CEL sees only through what holds them."""
    for name in marked:
        if HIDDEN in result["properties"][name]:
            yield unchanged(name, visible=False, path=f".{name}")


def _spelt(pattern: str) -> Rule:
    """Return a pattern as a rule: the API server's own message would show the pattern and not what it means."""
    return Rule(f"self.matches(r'{pattern}')", f"must be {PATTERN_WORDS[pattern]}")


def _with_rules(result: Schema, rules: list[Rule]) -> Schema:
    if not rules:
        return result
    before = result.get("x-kubernetes-validations", [])
    return {**result, "x-kubernetes-validations": [*before, *(rule.schema() for rule in rules)]}


def fields_of(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Yield each field of a structural schema below `path`: its path, its schema, whether it is required."""
    required = schema.get("required", ())
    for name, node in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, node, name in required
        yield from fields_of(node, here)
        if node.get("type") == "array":
            yield from fields_of(node["items"], f"{here}[]")
