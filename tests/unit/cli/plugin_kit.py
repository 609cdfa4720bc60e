"""A `kubectl` that is a real program on the PATH: it has a cluster's objects in a file, and writes down its words."""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.models import CommandInfo

from alpha_panda.cli.plugin_app import main
from unit.cli.kit import Called

HOME = "trading"
"""The namespace of the kubeconfig's context."""

PROGRAM = """\
import json, os, signal, sys, time

folder, words = sys.argv[1], sys.argv[2:]
state = json.load(open(os.path.join(folder, "state.json")))
mine = words[: words.index("--")] if "--" in words else words
options = dict(word.split("=", 1) for word in mine if word.startswith("--") and "=" in word)
plain = [word for word in mine if not word.startswith("-")]
reads = ("--stdin" in mine and "--tty" not in mine) or "--filename=-" in mine
record = {"words": words, "stdin": sys.stdin.read() if reads else ""}
with open(os.path.join(folder, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps(record) + "\\n")
namespace = options.get("--namespace", "trading")


def labelled(item):
    wanted = dict(pair.split("=", 1) for pair in options["--selector"].split(","))
    labels = item["metadata"]["labels"]
    return all(labels.get(name) == value for name, value in wanted.items())


def get(kind, name=""):
    if kind in state["refused"]:
        sys.exit("Error from server (Forbidden): %s is forbidden" % kind)
    items = state["objects"].get(kind, [])
    if "--all-namespaces" not in words:
        items = [item for item in items if item["metadata"]["namespace"] == namespace]
    if name:
        print(*(json.dumps(item) for item in items if item["metadata"]["name"] == name))
    else:
        print(json.dumps({"kind": "List", "items": [item for item in items if labelled(item)]}))


def run(pod=""):
    ran = state["ran"].get(pod, state["ran"]["*"])
    if ran.get("waits"):
        open(os.path.join(folder, "waiting"), "w").close()
        signal.pause()
    print(ran["out"], end="", flush=True)
    print(ran["err"], end="", file=sys.stderr)
    if ran["code"] < 0:
        os.kill(os.getpid(), -ran["code"])
    sys.exit(ran["code"])


def change(*_):
    if plain[0] in state["refused"]:
        sys.exit("Error from server (Forbidden): %s is forbidden" % plain[0])


{"get": get, "exec": run, "logs": run, "apply": change, "annotate": change}[plain[0]](*plain[1:])
"""


class Call(NamedTuple):
    """One call of kubectl."""

    words: list[str]
    stdin: str

    @property
    def remote(self) -> list[str]:
        """What is executed in the pod, behind what takes its service's way of logging away."""
        words = self.words[self.words.index("--") + 1 :]
        unset = ["env", "-u", "ALPHAPANDA_LOG_LEVEL", "-u", "ALPHAPANDA_LOG_FORMAT"]
        assert words[: len(unset)] == unset
        return words[len(unset) :]

    @property
    def own(self) -> list[str]:
        """kubectl's own words."""
        return self.words[: self.words.index("--")] if "--" in self.words else self.words


class FakeCluster:
    """What the fake kubectl knows, and what it was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._state: dict[str, Any] = {
            "objects": {},
            "refused": [],
            "ran": {"*": {"out": "", "err": "", "code": 0}},
        }
        binaries = folder / "bin"
        binaries.mkdir()
        script = folder / "fake_kubectl.py"
        script.write_text(PROGRAM, encoding="utf-8")
        program = binaries / "kubectl"
        words = shlex.join([sys.executable, "-S", "-E", str(script), str(folder)])
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(binaries))
        self._save()

    def _save(self) -> None:
        (self.folder / "state.json").write_text(json.dumps(self._state), encoding="utf-8")

    def has(self, kind: str, *objects: dict[str, Any]) -> None:
        self._state["objects"].setdefault(kind, []).extend(objects)
        self._save()

    def refuses(self, kind: str) -> None:
        self._state["refused"].append(kind)
        self._save()

    def answers(
        self, *, pod: str = "*", out: str = "", err: str = "", code: int = 0, waits: bool = False
    ) -> None:
        """What `exec` and `logs` print and return, of one pod or of all."""
        self._state["ran"][pod] = {"out": out, "err": err, "code": code, "waits": waits}
        self._save()

    # what a cluster has

    def account(self, account: str, *, namespace: str = HOME, **pod: Any) -> None:
        self.has("brokeraccounts.alphapanda.io", named(account, namespace))
        self.has("pods", a_pod("BrokerAccount", account, "risk", namespace=namespace, **pod))

    def strategy(self, name: str, *accounts: str, namespace: str = HOME) -> None:
        found = named(name, namespace) | {"spec": {"accounts": list(accounts)}}
        self.has("strategies.alphapanda.io", found)

    def operator(self, *, namespace: str, release: str = "alpha-panda", **pod: Any) -> None:
        self.has("pods", a_pod("", release, "operator", namespace=namespace, **pod))

    # what it was asked

    @property
    def calls(self) -> list[Call]:
        path = self.folder / "calls.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [Call(**json.loads(line)) for line in lines]

    @property
    def executed(self) -> list[Call]:
        return [call for call in self.calls if "exec" in call.own]

    @property
    def only(self) -> Call:
        (call,) = self.executed
        return call


class Plugin:
    """`kubectl alpha-panda` in this process; what kubectl prints is caught too."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *words: object) -> Called:
        self._capture.readouterr()
        code = main([str(word) for word in words])
        out, err = self._capture.readouterr()
        assert "Traceback" not in out + err
        return Called(code, out, err)


def commands(app: typer.Typer, path: str = "") -> Iterator[tuple[str, CommandInfo]]:
    """The commands of an app with the path that is typed for each."""
    for info in app.registered_commands:
        yield f"{path}{info.name or (info.callback and info.callback.__name__)}", info
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = group.typer_instance.info.name
        yield from commands(group.typer_instance, f"{path}{name} " if isinstance(name, str) else path)


def named(name: str, namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {}}}


def a_pod(
    kind: str,
    instance: str,
    role: str,
    *,
    name: str = "",
    namespace: str = HOME,
    ready: bool = True,
    waiting: str = "",
    leaving: bool = False,
    containers: Sequence[str] = (),
) -> dict[str, Any]:
    """A pod as the API shows it; `waiting` is why its container does not run."""
    labels = {
        "app.kubernetes.io/name": "alpha-panda",
        "app.kubernetes.io/component": role,
        "app.kubernetes.io/instance": instance,
    }
    if kind:
        labels["alphapanda.io/kind"] = kind
    metadata = {"name": name or f"{instance}-{role}-1", "namespace": namespace, "labels": labels}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-05T09:15:00Z"
    state = (
        {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": "2026-01-05T09:00:00Z"}}
    )
    own = [{"name": item, "ready": ready and not waiting, "state": state} for item in containers or (role,)]
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": item} for item in containers or (role,)]},
        "status": {"phase": "Running", "containerStatuses": own},
    }
