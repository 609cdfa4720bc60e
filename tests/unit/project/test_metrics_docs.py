"""The reference page of the metrics says what the code has; the operator's are known by the names that it serves."""

import runpy
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from alpha_panda.runtime.metrics.catalogue import CATALOGUE, LATENCY
from alpha_panda_operator.metrics import Metrics as OperatorMetrics
from unit.project.repository import ROOT, read

DOCS = runpy.run_path(str(ROOT / "tools" / "metrics_docs.py"))


def test_the_page_in_the_repository_is_what_the_code_says() -> None:
    assert read("docs/reference/metrics.md") == DOCS["render"](), (
        "run `python tools/metrics_docs.py docs/reference`"
    )


def test_make_docs_writes_it(tmp_path: Path) -> None:
    DOCS["main"](str(tmp_path / "new"))
    assert (tmp_path / "new" / "metrics.md").read_text(encoding="utf-8") == DOCS["render"]()
    assert "tools/metrics_docs.py docs/reference" in read("Makefile")


def test_every_metric_has_its_row_with_all_labels() -> None:
    rows = {line.split("`")[1]: line for line in DOCS["render"]().splitlines() if line.startswith("| `")}
    families = OperatorMetrics().families
    assert rows.keys() == {spec.name for spec in CATALOGUE} | {family.name for family in families}
    told = [(one.name, one.labels, one.help) for one in CATALOGUE]
    for name, labels, text in [*told, *((one.name, one.labels, one.help) for one in families)]:
        assert all(f"`{label}`" in rows[name] for label in labels)
        assert text in rows[name]


def test_the_buckets_are_on_the_page() -> None:
    assert ", ".join(f"{bound:g}" for bound in LATENCY) in DOCS["render"]()


def test_the_operators_families_are_those_that_it_serves() -> None:
    metrics = OperatorMetrics()
    served = {
        (f"{found.name}_total" if found.type == "counter" else found.name, found.type)
        for found in text_string_to_metric_families(metrics.text().decode())
        if not found.name.endswith("_created")
    }
    assert {(family.name, family.kind) for family in metrics.families} == served
    assert {name for name, _ in served}.isdisjoint(spec.name for spec in CATALOGUE)
