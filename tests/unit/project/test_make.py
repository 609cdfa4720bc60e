"""The Makefile and the scripts: what they offer, and that a failed run can be repeated."""

import os
import re
import subprocess

import pytest
from hypothesis import core

from unit.project.repository import ROOT, read

TARGETS = [
    "bench",
    "clean",
    "cluster",
    "crds",
    "day",
    "demo",
    "docs",
    "e2e",
    "format",
    "help",
    "image",
    "lint",
    "lock",
    "models",
    "servers",
    "setup",
    "soak",
    "test",
]


@pytest.mark.parametrize("arguments", [(), ("help",)])
def test_make_shows_its_targets(arguments: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(  # noqa: S603 - the project's own Makefile
        ["make", "--no-print-directory", *arguments],  # noqa: S607 - by whichever make there is
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert sorted(re.findall(r"^  ([a-z0-9-]+)  +\S", done.stdout, re.MULTILINE)) == TARGETS


def test_every_target_is_phony() -> None:
    assert sorted(re.findall(r"^\.PHONY: (\S+)$", read("Makefile"), re.MULTILINE)) == TARGETS


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/README.md", "docs/strategies.md", ".ci/run"],
)
def test_documents_name_targets_that_exist(name: str) -> None:
    assert set(re.findall(r"\bmake ([a-z0-9]+)\b(?=[`\s]*(?:$|[`A-Z#]))", read(name), re.MULTILINE)) <= set(
        TARGETS
    )


@pytest.mark.parametrize(
    "name",
    [".ci/run", "tools/find-python", "tools/install-cluster-tools", "tools/install-test-tools", "tools/lock"],
)
def test_scripts_can_be_run(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert re.match(r"#!/(bin/sh|usr/bin/env bash)\n", read(name))


def test_property_tests_can_be_repeated(request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--hypothesis-seed")
    assert core.global_force_seed == int(seed)
