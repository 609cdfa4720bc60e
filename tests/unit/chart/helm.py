"""Helm, and what it makes of the chart."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpha_panda_operator.config import OperatorConfig
from harness.build import existing_program, find_program
from harness.versions import KUBERNETES
from unit.project.repository import ROOT

CHART = ROOT / "charts" / "alpha-panda"
RELEASE, NAMESPACE = "trading", "desk"
SECONDS = 60

DEVELOPMENT = ("development.enabled=true",)
OWN = ("kafka.bootstrapServers=kafka:9092", "redis.url=redis://redis:6379/0")
"""The two ways to say where the stores are."""

Object = dict[str, Any]


@cache
def helm() -> str:
    """Return the program; skips the test where there is none. In CI that is a failure."""
    found = shutil.which("helm") or existing_program("helm")
    if found is None and os.environ.get("CI") != "true":
        pytest.skip("needs helm: `PYTHONPATH=tests python -m harness.build helm` builds it once")
    return str(found or find_program("helm"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own arguments
        [helm(), *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )


def template(settings: Iterable[str], *files: Path) -> subprocess.CompletedProcess[str]:
    named = [word for setting in settings for word in ("--set", setting)]
    values = [word for file in files for word in ("--values", str(file))]
    return run(
        "template",
        RELEASE,
        str(CHART),
        "--namespace",
        NAMESPACE,
        "--kube-version",
        KUBERNETES,
        *values,
        *named,
    )


@cache
def _rendered(settings: tuple[str, ...], files: tuple[Path, ...]) -> str:
    done = template(settings, *files)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(*settings: str, files: tuple[Path, ...] = ()) -> list[Object]:
    """Return all objects that the chart makes with these settings."""
    return [found for found in yaml.safe_load_all(_rendered(settings, files)) if found]


def refusal(*settings: str) -> str:
    """Return what a person reads whose values are refused."""
    done = template(settings)
    assert done.returncode != 0, "nothing was refused"
    return done.stderr


def one(objects: Iterable[Object], kind: str, name: str = "") -> Object:
    found = of_kind(objects, kind, name)
    assert len(found) == 1, f"{len(found)} objects are a {kind} {name}"
    return found[0]


def of_kind(objects: Iterable[Object], kind: str, name: str = "") -> list[Object]:
    return [
        found
        for found in objects
        if found["kind"] == kind and (not name or found["metadata"]["name"] == name)
    ]


def pods(objects: Iterable[Object]) -> dict[str, Object]:
    """Return the pod specs by the names of what makes them."""
    found = {}
    for each in objects:
        if each["kind"] == "Pod":
            found[each["metadata"]["name"]] = each["spec"]
        elif each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            found[each["metadata"]["name"]] = each["spec"]["template"]["spec"]
    return found


def variables(pod: Object) -> dict[str, Any]:
    """Return the environment of a pod's first container: values, or where they come from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod["containers"][0]["env"]}


def operator_config(*settings: str, files: tuple[Path, ...] = ()) -> OperatorConfig:
    """Return the operator's configuration, read as the operator does."""
    maps = of_kind(rendered(*settings, files=files), "ConfigMap")
    (text,) = [each["data"]["config.yaml"] for each in maps if "config.yaml" in each["data"]]
    return OperatorConfig.model_validate(yaml.safe_load(text))
