"""The generated CustomResourceDefinitions on a real API server: what it refuses, what it takes, what it gives back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpha_panda.contracts import crd_rules, crds
from alpha_panda.contracts.resources import KINDS, STATUSES, Condition
from cases.wrong_manifests import (
    ACCOUNT,
    CASES,
    CODE,
    DROP,
    FEED,
    GOOD,
    REPLAY,
    STRATEGY,
    Manifest,
    Wrong,
    changed,
)
from harness.cluster import Cluster
from harness.command import wait_until
from harness.kubectl import Kubectl, as_text

SECONDS = 30.0
ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(folder for folder in (ROOT / "examples").iterdir() if folder.is_dir())


def example(folder: Path) -> list[Manifest]:
    return [
        document
        for file in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


@pytest.fixture(scope="session")
def served(control_plane: Cluster) -> Kubectl:
    """The administrator's kubectl, once the server serves all kinds."""
    kubectl = control_plane.kubectl
    kubectl.apply(*(crds.crd(kind) for kind in KINDS), server_side=True)
    plurals = {crd_rules.NAMES[kind].plural for kind in KINDS}
    kubectl("wait", "--for=condition=Established", *(f"crd/{plural}.{crds.GROUP}" for plural in plurals))
    listing = ("api-resources", f"--api-group={crds.GROUP}", "--cached=false", "--output=name")
    wait_until(lambda: len(kubectl(*listing).split()) == len(KINDS), "all kinds are served", SECONDS)
    return kubectl


@pytest.fixture
def kubectl(served: Kubectl, namespace: str) -> Kubectl:
    """The same in a namespace of the test's own."""
    return served.within(namespace)


@pytest.fixture
def trial(served: Kubectl) -> Kubectl:
    """The same for what is only tried, which leaves nothing: a namespace each would cost more than the tests."""
    return served.within("default")


def create(kubectl: Kubectl, manifest: Manifest) -> str:
    """Create for trial; return what kubectl said of it."""
    return kubectl("create", "--dry-run=server", "-f", "-", stdin=as_text(manifest))


def refusal(kubectl: Kubectl, manifest: Manifest) -> str:
    return kubectl.refused("create", "--dry-run=server", "-f", "-", stdin=as_text(manifest))


# ---------------------------------------------------------------------------------------------- the schemas


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_structural_and_its_rules_are_cheap_enough(trial: Kubectl, kind: str) -> None:
    found = trial.get("crd", f"{crd_rules.NAMES[kind].plural}.{crds.GROUP}")
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_keeps_the_schema_as_it_is_written(trial: Kubectl, kind: str) -> None:
    """What the API server drops or rewrites would be drift for whoever compares it with git."""
    (kept,) = trial.get("crd", f"{crd_rules.NAMES[kind].plural}.{crds.GROUP}")["spec"]["versions"]
    (written,) = crds.crd(kind)["spec"]["versions"]
    assert kept["schema"] == written["schema"]
    assert kept["additionalPrinterColumns"] == written["additionalPrinterColumns"]


# -------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_manifest_is_refused_with_the_field_and_the_reason(trial: Kubectl, case: Wrong) -> None:
    said = refusal(trial, case.manifest)
    for word in case.server:
        assert word in said


@pytest.mark.parametrize("manifest", GOOD, ids=lambda manifest: manifest["metadata"]["name"])
def test_what_the_cases_spoil_is_good(trial: Kubectl, manifest: Manifest) -> None:
    assert "created (server dry run)" in create(trial, manifest)


TAKEN = [
    ("an empty price band", FEED, {"spec/instruments/0/priceBand": {"low": 5, "high": "4"}}),
    ("an unknown calendar", FEED, {"spec/calendar": "XNOWHERE"}),
    ("an unknown time zone", REPLAY, {"spec/source/replay/timezone": "Asia/Nowhere"}),
    ("too many digits without quotes", FEED, {"spec/instruments/0/tickSize": 0.1234567890123456}),
    ("a resource that is none", STRATEGY, {"spec/resources/limits": {"No Resource": 1}}),
    ("a reference to nothing", ACCOUNT, {"spec/marketFeed": "nowhere"}),
]


@pytest.mark.parametrize(("name", "base", "changes"), TAKEN, ids=[name for name, _, _ in TAKEN])
def test_what_the_page_says_only_the_operator_sees_is_taken(
    trial: Kubectl, name: str, base: Manifest, changes: dict[str, Any]
) -> None:
    """Should a later schema refuse one of these, `crd_rules.OPERATOR_ONLY` and the page are to be shortened."""
    assert "created (server dry run)" in create(trial, changed(base, changes))


# ------------------------------------------------------------------------------------------- what is right

NUMBERS = ["12.5", 12.5, 7, "7", 0, "0", 0.05, "0.00000001"]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_number_is_taken_with_and_without_quotes_and_kept_as_it_is(trial: Kubectl, number: object) -> None:
    manifest = changed(ACCOUNT, {"spec/paper/slippageBps": number})
    said = trial("create", "--dry-run=server", "--output=json", "-f", "-", stdin=as_text(manifest))
    kept = json.loads(said)["spec"]["paper"]["slippageBps"]
    assert (kept, type(kept)) == (number, type(number))


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (STRATEGY, {"spec/image": "registry.example:5000/team/alpha-panda-own:1.2@sha256:" + "a" * 64}),
        (STRATEGY, {"spec/resources": {"requests": {"cpu": 0.5, "memory": "128Mi"}, "limits": {"cpu": 1}}}),
        (
            STRATEGY,
            {"spec/clearLatch": ["daily-loss-2026-01-05", "late-ap7x"], "spec/tradingState": "Halted"},
        ),
        (STRATEGY, {"spec/type": DROP, "spec/class": "package.module:Class"}),
        (CODE, {"spec/code": {"file": "lib/own.py"}}),
        (ACCOUNT, {"spec/engine/replicas": 16, "spec/acceptStrategies": []}),
        (FEED, {"spec/feedCacher/replicas": 1, "spec/partitions": 64}),
        (REPLAY, {"spec/source/replay/volumeClaim": "ticks", "spec/source/replay/symbol": "CME:ES"}),
        (REPLAY, {"spec/source/replay/configMap": "ticks.csv"}),
        (STRATEGY, {"metadata/name": "a" * 40}),
    ],
    ids=lambda value: "" if "kind" in value else ",".join(value),
)
def test_what_only_a_cluster_needs_is_taken(trial: Kubectl, base: Manifest, changes: dict[str, Any]) -> None:
    assert "created (server dry run)" in create(trial, changed(base, changes))


def test_ten_thousand_instruments_are_taken_by_server_side_apply(kubectl: Kubectl) -> None:
    """The most that the model allows must fit what etcd takes, 1.5 MB, with what the server notes of each field."""
    instruments = [
        {
            "symbol": f"NFO:NIFTY26JAN{number}CE",
            "token": number + 1,
            "tickSize": "0.05",
            "referencePrice": 100.5,
        }
        for number in range(10_000)
    ]
    kubectl.apply(changed(FEED, {"spec/instruments": instruments}), server_side=True)
    assert len(kubectl.get("mf", "demo")["spec"]["instruments"]) == 10_000
    instruments[-1]["token"] = 1
    spoilt = changed(FEED, {"spec/instruments": instruments})
    assert "key 1 already exists" in kubectl.refused_apply(spoilt, server_side=True)


# -------------------------------------------------------------------------------------------- what changes


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (
            FEED,
            {"spec/partitions": 8},
            "partitions can't be changed: each instrument has its partition for good",
        ),
        (ACCOUNT, {"spec/paper/cash": 5}, "cash is what the account began with and can't be changed"),
    ],
    ids=lambda value: "" if isinstance(value, dict) and "kind" in value else str(value)[:30],
)
def test_what_never_changes_can_t(
    kubectl: Kubectl, base: Manifest, changes: dict[str, Any], words: str
) -> None:
    kubectl.apply(base)
    kubectl.apply(base)
    assert words in kubectl.refused_apply(changed(base, changes))


def test_a_feed_that_said_nothing_of_partitions_keeps_the_count_it_began_with(kubectl: Kubectl) -> None:
    kubectl.apply(FEED)
    assert kubectl.get("mf", "demo")["spec"]["partitions"] == 4
    kubectl.apply(changed(FEED, {"spec/partitions": 4}))
    assert "can't be changed" in kubectl.refused_apply(changed(FEED, {"spec/partitions": 5}))


@pytest.mark.parametrize(("kind", "base"), [("strat", STRATEGY), ("ba", ACCOUNT)])
def test_halted_is_patched_onto_whatever_is_stored(kubectl: Kubectl, kind: str, base: Manifest) -> None:
    kubectl.apply(base)
    name = base["metadata"]["name"]
    assert kubectl.get(kind, name)["spec"]["tradingState"] == "Active"
    kubectl("patch", kind, name, "--type=merge", "--patch", '{"spec":{"tradingState":"Halted"}}')
    assert kubectl.get(kind, name)["spec"]["tradingState"] == "Halted"


def test_what_is_applied_gains_no_more_fields_than_the_page_says(kubectl: Kubectl) -> None:
    kubectl.apply(STRATEGY)
    kept = kubectl.get("strat", "momentum")["spec"]
    assert kept == {**STRATEGY["spec"], "tradingState": "Active", "deletionPolicy": "CancelOrders"}


@pytest.mark.parametrize("server_side", [True, False], ids=["server-side", "client-side"])
@pytest.mark.parametrize(
    ("base", "path", "full", "empty"),
    [
        (FEED, "spec/source/simulated", {"seed": 7}, {}),
        (REPLAY, "spec/source/replay/columns", {"timestamp": "t"}, {}),
        (ACCOUNT, "spec/risk", {"maxPosition": 5}, {}),
        (ACCOUNT, "spec/acceptStrategies", ["a"], []),
        (ACCOUNT, "spec/engine", {"replicas": 3}, {}),
        (STRATEGY, "spec/parameters", {"lookback": 5}, {}),
        (STRATEGY, "spec/resources/limits", {"cpu": 1}, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_emptied_stays_empty_and_is_not_absent(
    kubectl: Kubectl, base: Manifest, path: str, full: object, empty: object, *, server_side: bool
) -> None:
    """An account that accepts no strategy must not accept all of them since its list is emptied."""
    kubectl.apply(changed(base, {path: full}), server_side=server_side)
    kubectl.apply(changed(base, {path: empty}), server_side=server_side)
    found: Any = kubectl.get(base["kind"], base["metadata"]["name"])
    for step in path.split("/"):
        found = found[step]
    assert found == empty


# ------------------------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_an_example_is_applied_as_it_is_and_loads_again_as_it_is_given_back(
    kubectl: Kubectl, folder: Path, tmp_path: Path
) -> None:
    kubectl("apply", "-f", str(folder), "--dry-run=server")
    kubectl("apply", "-f", str(folder))
    for file in folder.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    count = 0
    for document in example(folder):
        text = kubectl("get", document["kind"].lower(), document["metadata"]["name"], "--output=yaml")
        count += 1
        (tmp_path / f"{count}.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "alpha_panda.cli", "validate", str(tmp_path)]
    own = {key: value for key, value in os.environ.items() if not key.startswith("ALPHAPANDA_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=own)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    assert count >= 3


# -------------------------------------------------------------------------------------------------- status


def status_of(kind: str) -> dict[str, Any]:
    condition = Condition(
        type="Ready",
        status="True",
        reason="Ready",
        message="All pods work.",
        observed_generation=1,
        last_transition_time="2026-01-05T03:45:00Z",
    )
    status = STATUSES[kind](observed_generation=1, conditions=(condition,))
    return status.model_dump(mode="json")


def write_status(kubectl: Kubectl, manifest: Manifest, status: dict[str, Any]) -> None:
    document = {key: manifest[key] for key in ("apiVersion", "kind", "metadata")} | {"status": status}
    command = (
        "apply",
        "--server-side",
        "--subresource=status",
        "--field-manager=alpha-panda-operator",
        "-f",
        "-",
    )
    kubectl(*command, stdin=json.dumps(document))


@pytest.mark.parametrize(("kind", "base"), [("mf", FEED), ("ba", ACCOUNT), ("strat", STRATEGY)])
def test_a_status_is_kept_as_it_is_written_nulls_and_all(kubectl: Kubectl, kind: str, base: Manifest) -> None:
    kubectl.apply(base)
    status = status_of(base["kind"])
    write_status(kubectl, base, status)
    found = kubectl.get(kind, base["metadata"]["name"])
    assert found["status"] == status
    version = found["metadata"]["resourceVersion"]
    write_status(kubectl, base, status)
    assert kubectl.get(kind, base["metadata"]["name"])["metadata"]["resourceVersion"] == version


def test_kubectl_get_shows_the_columns(kubectl: Kubectl) -> None:
    kubectl.apply(STRATEGY)
    trading = {
        **status_of("Strategy")["conditions"][0],
        "type": "TradingAllowed",
        "status": "False",
        "reason": "Latched",
    }
    status = status_of("Strategy")
    conditions = [*status["conditions"], trading]
    figures = {"type": "momentum", "signalsToday": 4, "ordersToday": 3, "dayPnl": "-12.50"}
    write_status(kubectl, STRATEGY, {**status, **figures, "conditions": conditions})
    head, row = kubectl("get", "strategies").splitlines()
    assert head.split() == ["NAME", "TYPE", "STATE", "READY", "TRADING", "SIGNALS", "ORDERS", "P&L", "AGE"]
    assert row.split()[:-1] == ["momentum", "momentum", "Active", "True", "Latched", "4", "3", "-12.50"]
    assert "momentum" in kubectl("get", "trading")


def test_a_status_can_t_be_written_with_the_spec(kubectl: Kubectl) -> None:
    kubectl.apply({**STRATEGY, "status": {"type": "forged"}})
    assert "status" not in kubectl.get("strat", "momentum")
