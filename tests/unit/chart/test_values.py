"""values.yaml, its schema and the page about them say the same."""

import json
import runpy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import alpha_panda
from unit.chart.helm import CHART
from unit.project.repository import ROOT, read

DOCS = runpy.run_path(str(ROOT / "tools" / "values_docs.py"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_the_page_is_up_to_date() -> None:
    page = read("docs/reference/values.md")
    assert page == DOCS["render"](CHART), (
        "run `python tools/values_docs.py charts/alpha-panda docs/reference`"
    )


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in node.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from nodes(inner, f"{path}{name}.")


ALL = {**dict(nodes(SCHEMA)), **dict(nodes(SCHEMA["$defs"]["role"], "role."))}


def test_every_value_has_a_sentence_about_it() -> None:
    assert [path for path, node in ALL.items() if len(node.get("description", "")) < 8] == []


def test_a_misspelt_value_is_refused_wherever_we_know_the_names() -> None:
    loose = [
        path
        for path, node in ALL.items()
        if "properties" in node and node.get("additionalProperties") is not False
    ]
    assert loose == []
    assert SCHEMA["additionalProperties"] is False


def test_every_value_has_a_default_and_every_default_is_a_value() -> None:
    known = {path for path in ALL if not path.startswith(("role.", "global"))}
    assert set(paths(VALUES)) == known


def paths(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{path}{name}"
        node = ALL[f"{path}{name}"]
        if isinstance(value, dict) and "properties" in node:
            yield from paths(value, f"{path}{name}.")


def test_the_page_tells_every_value() -> None:
    page = read("docs/reference/values.md")
    assert [
        path for path in ALL if not path.startswith(("role.", "global")) and f"| `{path}` |" not in page
    ] == []
    assert "| `roles.defaults.credentialsSecret` |" in page


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"enum": ["A", "B"]}, "A | B"),
        ({"type": "array", "items": {"type": "string"}}, "list of strings"),
        ({"type": ["integer", "string"]}, "integer or string"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 9}, "number > 0, ≤ 9"),
        ({}, "anything"),
    ],
)
def test_what_a_value_takes_is_said_in_words(node: dict[str, Any], words: str) -> None:
    assert DOCS["takes"](node) == words


def test_chart_and_image_have_the_packages_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == alpha_panda.__version__


def test_the_readme_names_no_value_that_there_is_not() -> None:
    text = (CHART / "README.md").read_text(encoding="utf-8")
    named = {
        word.strip("`.,):").partition("=")[0] for word in text.split() if word.startswith("`") and "." in word
    }
    dotted = {name for name in named if name.split(".")[0] in VALUES and "/" not in name}
    assert dotted
    assert sorted(dotted - set(ALL)) == []
