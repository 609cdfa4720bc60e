"""The values with which `make cluster` has the chart tried: right ones, of the node's own images."""

import json
from pathlib import Path

from harness.chart import trial_values
from unit.chart.helm import operator_config, pods, rendered


def test_they_install_the_chart_with_what_is_on_the_node(tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps(trial_values()))
    found = pods(rendered(files=(values,)))
    containers = [each for pod in found.values() for each in pod["containers"]]
    assert {each["image"].partition("/")[0] for each in containers} == {"localhost"}
    assert {each["imagePullPolicy"] for each in containers} == {"Never"}
    assert operator_config(files=(values,)).image.reference == "localhost/alpha-panda:dev"


def test_they_ask_for_no_disk_which_nobody_would_make() -> None:
    assert trial_values()["development"]["persistence"] == {"enabled": False}
