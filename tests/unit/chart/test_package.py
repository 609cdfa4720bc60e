"""The chart as a whole: it passes Helm's own check, and its package holds what it should."""

import io
import runpy
import tarfile
from pathlib import Path

import pytest
import yaml

import alpha_panda
from harness.versions import KUBERNETES
from unit.chart.helm import CHART, DEVELOPMENT, OWN, helm, run, template
from unit.project.repository import ROOT


@pytest.mark.parametrize("settings", [(), OWN, DEVELOPMENT])
def test_helm_finds_no_fault(settings: tuple[str, ...]) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    done = run("lint", "--strict", str(CHART), "--kube-version", KUBERNETES, *words)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


def test_the_package_holds_the_chart_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run("package", str(CHART), "--destination", str(tmp_path / "out")).returncode == 0
    (package,) = (tmp_path / "out").iterdir()
    with tarfile.open(package) as archive:
        packed = {name.removeprefix("alpha-panda/") for name in archive.getnames()}
    there = {str(file.relative_to(CHART)) for file in CHART.rglob("*") if file.is_file()}
    assert packed == there - {".helmignore"} | ({".helmignore"} & packed)


def test_packed_twice_it_is_the_same(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "tools" / "package_chart.py"))
    one, two = (script["pack"](CHART, tmp_path / folder, helm()) for folder in ("one", "two"))
    assert one.name == two.name == f"alpha-panda-{alpha_panda.__version__}.tgz"
    assert one.read_bytes() == two.read_bytes()
    assert run("lint", "--strict", str(one), "--kube-version", KUBERNETES).returncode == 0


def test_a_settled_package_has_every_file_of_helms(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "tools" / "package_chart.py"))
    assert run("package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    (package,) = tmp_path.iterdir()
    assert _files(package.read_bytes()) == _files(script["settled"](package.read_bytes()))


def _files(package: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_what_is_rendered_is_the_same_each_time() -> None:
    assert template(DEVELOPMENT).stdout == template(DEVELOPMENT).stdout


def test_the_charts_crds_are_the_projects() -> None:
    done = template(("development.enabled=true", "crds.keep=false"))
    ours = [
        each
        for each in yaml.safe_load_all(done.stdout)
        if each and each["kind"] == "CustomResourceDefinition"
    ]
    files = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]
    assert {each["metadata"]["name"]: each["spec"] for each in ours} == {
        each["metadata"]["name"]: each["spec"] for each in files
    }


def test_no_line_ends_in_blanks() -> None:
    done = template((*DEVELOPMENT, "imagePullSecrets[0].name=x", "monitoring.podMonitor.enabled=true"))
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []
