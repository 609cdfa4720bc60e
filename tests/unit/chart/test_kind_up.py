"""`hack/kind-up` and `hack/live-update`, with docker, kind, kubectl and helm that only write down how they are called."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from unit.project.repository import ROOT

SECONDS = 60
TOOLS = ("docker", "kind", "kubectl", "helm")
ID = "sha256:0123456789abcdef" + "0" * 48

FAKE = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
  "docker image inspect"*) echo "{id}" ;;
  "kind get clusters") echo "$CLUSTERS" ;;
  *"get pods --all-namespaces"*) printf "$PODS" ;;
  *" exec "*) cat > "$CALLS.$(echo "$*" | sed 's/.*--namespace \\([^ ]*\\) \\([^ ]*\\) .*/\\1-\\2/' | head -n 1)"; [[ "$*" != *broken* ]] ;;
  *"get namespace"*) [[ -n "$NAMESPACES" ]] ;;
  "docker info") [[ -z "$NO_DAEMON" ]] ;;
esac
"""


class Desk:
    """A PATH with fakes, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        for tool in TOOLS:
            (self.bin / tool).write_text(FAKE.replace("{id}", ID))
            (self.bin / tool).chmod(0o755)
        for real in ("bash", "cat", "dirname", "basename", "grep", "sed", "tar", "mktemp", "rm", "head"):
            (self.bin / real).symlink_to(str(shutil.which(real)))

    def run(self, script: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": str(self.bin), "CALLS": str(self.calls_file), "HOME": str(self.bin), **variables}
        for name in ("CLUSTERS", "PODS", "NAMESPACES", "NO_DAEMON"):
            env.setdefault(name, "")
        return subprocess.run(  # noqa: S603 - our own script
            [str(ROOT / "hack" / script), *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=env,
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()

    def called(self, beginning: str) -> list[str]:
        return [call for call in self.calls if call.startswith(beginning)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("missing", TOOLS)
def test_it_says_which_tool_is_missing_and_where_to_get_it(desk: Desk, missing: str) -> None:
    (desk.bin / missing).unlink()
    done = desk.run("kind-up")
    assert done.returncode == 2
    assert f"needs {missing}" in done.stderr
    assert "https://" in done.stderr
    assert desk.called("kind create") == desk.called("helm upgrade") == []


def test_it_says_that_docker_does_not_answer(desk: Desk) -> None:
    done = desk.run("kind-up", NO_DAEMON="1")
    assert done.returncode == 2
    assert "daemon does not answer" in done.stderr


def test_a_step_that_does_not_exist_does_nothing(desk: Desk) -> None:
    done = desk.run("kind-up", "image", "charts")
    assert done.returncode == 2
    assert "charts is no step" in done.stderr
    assert desk.calls == []


def test_all_steps_in_order(desk: Desk) -> None:
    done = desk.run("kind-up")
    assert done.returncode == 0, done.stderr
    order = [
        "kind create cluster --name alpha-panda",
        "docker build --tag alpha-panda:dev .",
        "docker tag alpha-panda:dev alpha-panda:dev-0123456789ab",
        "kind load docker-image alpha-panda:dev-0123456789ab --name alpha-panda",
        "helm upgrade alpha-panda charts/alpha-panda --install --kube-context kind-alpha-panda",
        "kubectl --context kind-alpha-panda create namespace trading",
        "kubectl --context kind-alpha-panda apply --namespace trading --filename examples/01-paper-momentum",
        "kubectl --context kind-alpha-panda wait --namespace trading --for=condition=Ready",
        "kubectl --context kind-alpha-panda get trading --namespace trading",
    ]
    places = [next(i for i, call in enumerate(desk.calls) if call.startswith(words)) for words in order]
    assert places == sorted(places)
    (helm,) = desk.called("helm ")
    assert "--set image.tag=dev-0123456789ab --wait" in helm
    assert "--values hack/kind-values.yaml" in helm


def test_a_cluster_that_is_there_is_used(desk: Desk) -> None:
    desk.run("kind-up", "cluster", CLUSTERS="other\nalpha-panda")
    assert desk.called("kind create") == []
    desk.run("kind-up", "cluster", CLUSTERS="alpha-panda-2")
    assert len(desk.called("kind create")) == 1


def test_a_new_image_reaches_what_trades_already(desk: Desk) -> None:
    desk.run("kind-up", "chart", NAMESPACES="trading")
    (annotate,) = [call for call in desk.calls if " annotate " in call]
    assert "alphapanda.io/rollout=now" in annotate
    assert "--overwrite" in annotate


def test_names_may_be_others(desk: Desk) -> None:
    done = desk.run("kind-up", CLUSTER="mine", RELEASE="r", NAMESPACE="n", TRADING="t", NO_WAIT="1")
    assert done.returncode == 0, done.stderr
    (helm,) = desk.called("helm ")
    assert helm.startswith(
        "helm upgrade r charts/alpha-panda --install --kube-context kind-mine --namespace n"
    )
    assert "--wait" not in helm
    assert all("--context kind-mine" in call for call in desk.called("kubectl"))
    assert "patch configmap r-platform --namespace n" in done.stdout
    assert not [call for call in desk.calls if " wait " in call]


def test_down_deletes_the_cluster_and_nothing_else(desk: Desk) -> None:
    desk.run("kind-up", "down")
    assert desk.called("kind delete") == ["kind delete cluster --name alpha-panda"]
    assert desk.called("helm") == []


# ---------------------------------------------------------------------------------------------- live update


def test_python_goes_into_every_pod_of_ours(desk: Desk) -> None:
    done = desk.run("live-update", PODS="trading demo-risk-1\nalpha-panda operator-1\n")
    assert done.returncode == 0, done.stderr
    for pod in ("trading-demo-risk-1", "alpha-panda-operator-1"):
        with tarfile.open(fileobj=io.BytesIO(Path(f"{desk.calls_file}.{pod}").read_bytes())) as archive:
            names = archive.getnames()
        assert "alpha_panda/__init__.py" in names
        assert "alpha_panda_operator/__init__.py" in names
        assert not [name for name in names if name.startswith(("/", ".."))]
    (listing,) = [call for call in desk.calls if "get pods" in call]
    assert "app.kubernetes.io/name=alpha-panda" in listing
    assert "kafka" not in listing  # those have no Python


def test_byte_code_stays_here(desk: Desk, tmp_path: Path) -> None:
    for package in ("services/alpha_panda", "operator/alpha_panda_operator"):
        (tmp_path / package / "__pycache__").mkdir(parents=True)
        (tmp_path / package / "__pycache__" / "old.pyc").touch()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "hack").mkdir()
    shutil.copy(ROOT / "hack" / "live-update", tmp_path / "hack")
    done = desk.run(str(tmp_path / "hack" / "live-update"), PODS="trading one\n")
    assert done.returncode == 0, done.stderr
    with tarfile.open(f"{desk.calls_file}.trading-one") as archive:
        files = {member.name for member in archive if member.isfile()}
    assert files == {"alpha_panda/__init__.py", "alpha_panda_operator/__init__.py"}


def test_one_pod_that_fails_does_not_stop_the_others_and_is_told(desk: Desk) -> None:
    done = desk.run("live-update", PODS="trading broken-1\ntrading well-1\n")
    assert done.returncode == 1
    assert "NOT updated: trading/broken-1" in done.stderr
    assert "updated trading/well-1" in done.stdout


def test_without_pods_there_is_nothing_to_do(desk: Desk) -> None:
    done = desk.run("live-update")
    assert (done.returncode, done.stdout) == (0, "no pod runs: nothing to update\n")


@pytest.mark.parametrize("script", ["kind-up", "live-update"])
def test_shellcheck_finds_no_fault(script: str) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(  # noqa: S603 - our own script
        [shellcheck, str(ROOT / "hack" / script)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["kind-up", "live-update"])
def test_a_failed_command_ends_the_script(script: str) -> None:
    assert "\nset -euo pipefail\n" in (ROOT / "hack" / script).read_text()
    assert os.access(ROOT / "hack" / script, os.X_OK)
