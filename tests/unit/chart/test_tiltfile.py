"""The Tiltfile, evaluated by Starlark with Tilt's functions stubbed: what it would run exists and fits together."""

import json
import os
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.build import existing_program, find_program
from harness.versions import PROGRAMS
from unit.chart.helm import SECONDS, of_kind, operator_config, rendered
from unit.project.repository import ROOT, read

STUBS = Path(__file__).parent / "tilt.star"
VALUES = ROOT / "hack" / "kind-values.yaml"
RELEASE = "alpha-panda"

Call = dict[str, Any]


@cache
def starlark() -> str:
    """Return the interpreter; skips the test where there is none. In CI that is a failure."""
    known = "starlark" in PROGRAMS
    found = shutil.which("starlark") or (existing_program("starlark") if known else None)
    if found is None and not (known and os.environ.get("CI") == "true"):
        pytest.skip("needs starlark: `PYTHONPATH=tests python -m harness.build starlark` builds it once")
    return str(found or find_program("starlark"))


def evaluate(folder: Path, context: str) -> "subprocess.CompletedProcess[str]":
    whole = [f"CONTEXT = {context!r}", STUBS.read_text(), read("Tiltfile"), "print(json.encode(calls))"]
    script = folder / "Tiltfile.star"
    script.write_text("\n".join(whole))
    return subprocess.run(  # noqa: S603 - our own arguments
        [starlark(), "-globalreassign", str(script)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture
def calls(tmp_path: Path) -> list[Call]:
    done = evaluate(tmp_path, "kind-alpha-panda")
    assert done.returncode == 0, done.stderr
    found: list[Call] = json.loads(done.stderr)  # where Starlark prints
    return found


@pytest.fixture
def resources(calls: list[Call]) -> dict[str, Call]:
    return {each["name"]: each for each in calls if each["call"] == "local_resource"}


def test_it_runs_in_kind_and_nowhere_else(tmp_path: Path, calls: list[Call]) -> None:
    assert [each["contexts"] for each in calls if each["call"] == "allow_k8s_contexts"] == [
        "kind-alpha-panda"
    ]
    done = evaluate(tmp_path, "production")
    assert done.returncode != 0
    assert "the current context is production" in done.stderr
    assert "hack/kind-up cluster" in done.stderr


def test_every_step_waits_for_the_one_before(resources: dict[str, Call]) -> None:
    assert set(resources) == {
        *("image", "chart", "example", "python"),
        *("operator", "kafka", "redis", "trading", "operator-log"),
        *("halt", "reduce", "resume", "update-python", "helm-test"),
    }
    for each in resources.values():
        assert set(each["resource_deps"]) <= set(resources)
    assert resources["chart"]["resource_deps"] == ["image"]
    assert resources["example"]["resource_deps"] == ["chart"]


def test_what_it_calls_and_watches_is_there(resources: dict[str, Call]) -> None:
    for each in resources.values():
        for path in each["deps"]:
            assert (ROOT / path).exists(), path
        words = shlex.split(each["cmd"] or each["serve_cmd"])
        command = next(word for word in words if "=" not in word)
        assert command in {"kubectl", "helm"} or os.access(ROOT / command, os.X_OK), command


def test_every_step_is_one_of_kind_up(resources: dict[str, Call]) -> None:
    for name in ("image", "chart", "example"):
        assert resources[name]["cmd"] == f"hack/kind-up {name}"
        assert f"\nstep_{name}() {{\n" in read("hack/kind-up")


def test_a_change_of_python_is_synced_and_not_built(resources: dict[str, Call]) -> None:
    python = resources["python"]
    assert set(python["deps"]) == {"services/alpha_panda", "operator/alpha_panda_operator"}
    assert python["cmd"] == "hack/live-update"
    assert not set(python["deps"]) & set(resources["image"]["deps"])
    copied = {
        word for line in read("Dockerfile").splitlines() if line.startswith("COPY ") for word in line.split()
    }
    for path in resources["image"]["deps"]:
        assert path in copied | {"Dockerfile", ".dockerignore"}


def test_buttons_wait_to_be_pressed(resources: dict[str, Call]) -> None:
    for name, state in (("halt", "Halted"), ("reduce", "Reducing"), ("resume", "Active")):
        button = resources[name]
        assert (button["auto_init"], button["trigger_mode"]) == (False, "manual")
        words = shlex.split(button["cmd"])
        assert words[:6] == [
            "kubectl",
            "--context",
            "kind-alpha-panda",
            "patch",
            "configmap",
            f"{RELEASE}-platform",
        ]
        assert json.loads(words[-1]) == {"data": {"tradingState": state}}


def test_the_button_for_helm_test_asks_for_no_logs_which_helm_can_not_give_of_three_containers(
    resources: dict[str, Call],
) -> None:
    assert "--logs" not in shlex.split(resources["helm-test"]["cmd"])
    (pod,) = of_kind(rendered(f"fullnameOverride={RELEASE}", files=(VALUES,)), "Pod")
    assert len(pod["spec"]["containers"]) > 1
    assert pod["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed"


def test_forwarded_ports_are_ports_of_services_of_the_chart(resources: dict[str, Call]) -> None:
    objects = rendered(f"fullnameOverride={RELEASE}", files=(VALUES,))
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind(objects, "Service")}
    for name in ("operator", "kafka", "redis"):
        words = shlex.split(resources[name]["serve_cmd"])
        service, port = words[-2].removeprefix("service/"), int(words[-1])
        assert port in {each["port"] for each in services[service]}


def test_the_platforms_state_has_the_name_that_the_buttons_patch() -> None:
    objects = rendered(f"fullnameOverride={RELEASE}", files=(VALUES,))
    assert f"{RELEASE}-platform" in {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")}


def test_every_pod_of_ours_looks_into_the_synced_folder_first() -> None:
    config = operator_config(files=(VALUES,))
    (deployment,) = of_kind(rendered(files=(VALUES,)), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    path, mount, volume = (
        {"name": "PYTHONPATH", "value": "/live"},
        {"name": "live", "mountPath": "/live"},
        {"name": "live", "emptyDir": {"sizeLimit": "64Mi"}},
    )
    assert path in pod["containers"][0]["env"]
    assert mount in pod["containers"][0]["volumeMounts"]
    assert volume in pod["volumes"]
    for role in config.roles:
        told = config.role(role)
        assert (told.extra_env, told.extra_volume_mounts, told.extra_volumes) == (
            (path,),
            (mount,),
            (volume,),
        )
