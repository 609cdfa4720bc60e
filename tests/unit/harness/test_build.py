"""Where programs come from."""

from pathlib import Path

import pytest

from alpha_panda.errors import DependencyUnavailableError
from harness import build, versions


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(build.ASSETS_VARIABLE, raising=False)
    monkeypatch.delenv("CI", raising=False)


def test_the_folder_of_envtest_is_preferred_and_need_not_have_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "etcd").touch()
    monkeypatch.setenv(build.ASSETS_VARIABLE, str(tmp_path / "assets"))
    assert build.find_program("etcd") == tmp_path / "assets" / "etcd"
    assert build.existing_program("kubectl") is None


def test_where_ci_is_true_nothing_is_built_and_the_command_that_does_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(
        DependencyUnavailableError, match=r"etcd: is not built: run tools/install-cluster-tools"
    ):
        build.find_program("etcd")


def test_without_go_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyUnavailableError, match=r"Go 1\.24 or newer.*KUBEBUILDER_ASSETS"):
        build.find_program("kubectl")


def test_a_new_version_is_another_folder() -> None:
    folders = {build._folder(program) for program in versions.PROGRAMS.values()}
    assert "bin/kubectl-v1.34.4" in folders
    assert len(folders) == len(versions.PROGRAMS)


def test_only_libraries_of_kubernetes_own_repository_are_replaced() -> None:
    assert build._is_staging("\tk8s.io/api v0.0.0")
    assert not build._is_staging("\tk8s.io/klog/v2 v2.130.1")
    assert not build._is_staging("\tgithub.com/x/y v0.0.0")
    assert not build._is_staging("")


def test_a_name_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build.main(["kubeclt"])
    assert "unknown: kubeclt" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "tags"), [("promtool", "remove_all_sd"), ("helm", "")])
def test_a_program_is_built_with_its_tags(
    name: str, tags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(build, "run", lambda command, **_: commands.append(command))
    monkeypatch.setattr("shutil.which", lambda _: "go")
    (tmp_path / "fresh").mkdir()
    build._build(versions.PROGRAMS[name], tmp_path / "fresh")
    (built,) = [command for command in commands if command[1] == "build"]
    assert built[built.index("-tags") + 1] == tags
    assert built[-1] == versions.PROGRAMS[name].package
