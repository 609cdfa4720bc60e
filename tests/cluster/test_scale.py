"""Many strategies on simulated nodes: what the operator takes of memory, CPU and the API, and how long it takes.

By default as many as a test run has time for; the figures of the documentation are of 1,000:

    ALPHAPANDA_TEST_STRATEGIES=1000 python -m pytest tests/cluster/test_scale.py -s --timeout 900

Bounds are on counts, which do not depend on the machine's load, and loosely on seconds of CPU; times are printed.
"""

import json
import os
import re
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPSConnection
from itertools import count
from pathlib import Path
from threading import local
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alpha_panda.contracts.status_details import (
    BookFigures,
    FeedFigures,
    RunnerFigures,
    StrategyFigures,
    TrackerFigures,
    strategy_details,
)
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.testing.servers.redis import RedisServer
from alpha_panda_operator.names import RESOURCES
from alpha_panda_operator.view import LAST_APPLIED
from cluster.operator_fixtures import redis_server, set_platform, with_store
from cluster.operator_process import ROOT, Desk, OperatorProcess
from harness.cluster import Cluster
from harness.command import wait_until
from unit.operator.kit import account, feed, strategy

__all__ = ["redis_server"]

STRATEGIES: Final = int(os.environ.get("ALPHAPANDA_TEST_STRATEGIES", "100"))
ACCOUNTS: Final = 4
LIMIT: Final = 30 + 0.6 * STRATEGIES
"""Seconds that anything may take on a machine that is busy with other tests."""

MEASURING: Final = STRATEGIES >= 1000
"""Whether there is time to look longer."""

REST_SECONDS: Final = 60.0 if MEASURING else 15.0

MEGABYTES: Final = 150
"""What the operator may take of memory at most, with 1,000 strategies or fewer."""

CONFIG: Final[Mapping[str, Any]] = {
    "controlTtlSeconds": 60,
    "controlRenewSeconds": 5,
    "statusSeconds": 15,
    "codePollSeconds": 15,
    "resyncSeconds": 300,
    "leader": {"leaseSeconds": 15, "renewSeconds": 3, "giveUpSeconds": 12, "callTimeoutSeconds": 5},
    "networkPolicy": {"enabled": True},
}
"""As the chart has it: what is measured is what a user gets."""

QUIET_SECONDS: Final = 3.0
"""How long no reconcile must have ended and nothing been written for the operator to be at rest."""

Object = dict[str, Any]


class Api:
    """The API server without kubectl, which would take longer than what is measured. A connection a thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._place = urlsplit(cluster.url)
        self._trust = ssl.create_default_context(cafile=cluster.authority)
        self._token = cluster.token
        self._own = local()
        self._open: list[HTTPSConnection] = []

    def __call__(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Object:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = HTTPSConnection(
                str(self._place.hostname), self._place.port, timeout=60, context=self._trust
            )
            self._open.append(connection)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content}
        connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, f"{method} {path}: {text[:500]!r}"
        found: Object = msgspec.json.decode(text)
        return found

    def items(self, path: str) -> Iterator[Object]:
        """Yield all objects of a collection, from the API server's cache: as cheap as it gets."""
        query = {"resourceVersion": "0"}
        yield from self("GET", f"{path}?{urlencode(query)}")["items"]

    def all(self, calls: Sequence[Callable[[], Any]]) -> None:
        """Make calls, eight at a time."""
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(call) for call in calls]:
                done.result()
        self.close()

    def close(self) -> None:
        """Close all connections."""
        while self._open:
            self._open.pop().close()
        self._own = local()


COUNTED: Final = {
    "alphapanda_operator_api_requests": ("requests", "verb", "resource", "code"),
    "alphapanda_operator_reconciles": ("reconciles", "kind", "result"),
}
"""Counters of the operator that are looked at: what they are called here, and their labels."""


def counters_of(text: str) -> Counter[str]:
    """Read the operator's counters from its exposition: `requests list strategies 200`."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        if family.name in COUNTED:
            title, *labels = COUNTED[family.name]
            for item in family.samples:
                if item.name.endswith("_total"):
                    found[" ".join((title, *(item.labels[name] for name in labels)))] += int(item.value)
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """What the operator has used so far: CPU seconds, resident bytes now and at most, and its own counters."""

    cpu: float
    resident: float
    peak: float
    counters: Counter[str]
    at: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, operator: OperatorProcess) -> "Sample":
        """Look at the operator from outside (Linux) and ask for its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        proc = Path(f"/proc/{operator.process.pid}")
        memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", (proc / "status").read_text(), re.MULTILINE))
        return cls(cpu_of(proc), int(memory["VmRSS"]) / 1e3, int(memory["VmHWM"]) / 1e3, counters_of(text))

    def since(self, before: "Sample") -> "Sample":
        """What was used in between."""
        counters = Counter(
            {name: more for name in self.counters if (more := self.counters[name] - before.counters[name])}
        )
        return Sample(self.cpu - before.cpu, self.resident, self.peak, counters, self.at - before.at)

    def requests(self, *verbs: str) -> float:
        """Requests to the API server; of some verbs alone."""
        return sum(
            number
            for name, number in self.counters.items()
            if name.startswith("requests ") and (not verbs or name.split()[1] in verbs)
        )

    def control_reads(self) -> float:
        """Requests by which trading states are renewed: fresh listings of the three kinds, the platform's ConfigMap."""
        plurals = [kind.plural for kind in RESOURCES.values()]
        names = ["requests get configmaps 200", *(f"requests list {plural} 200" for plural in plurals)]
        return sum(self.counters[name] for name in names)

    def __str__(self) -> str:
        told = ", ".join(f"{name} {number:.0f}" for name, number in sorted(self.counters.items()))
        return (
            f"{self.at:.1f} s, {self.cpu:.1f} s of CPU, {self.resident:.0f} MB (peak {self.peak:.0f}); {told}"
        )


def cpu_of(proc: Path) -> float:
    """Return the seconds of CPU that a process has used."""
    user, system = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - measured for a person to read (-s)


@dataclass
class Crowd:
    """Many strategies on a few accounts and one feed, in one namespace."""

    desk: Desk
    api: Api
    revision: Iterator[int] = field(default_factory=lambda: count(1))

    def path(self, plural: str, name: str = "") -> str:
        return f"/apis/alphapanda.io/v1alpha1/namespaces/{self.desk.namespace}/{plural}" + (
            f"/{name}" if name else ""
        )

    @property
    def names(self) -> list[str]:
        return [f"strategy-{number:04d}" for number in range(STRATEGIES)]

    def create(self) -> None:
        """Create all, as `kubectl apply` would have: with the manifest once more in an annotation."""
        made = [("marketfeeds", feed())]
        made += [("brokeraccounts", account(f"paper-{number}")) for number in range(ACCOUNTS)]
        made += [
            (
                "strategies",
                strategy(
                    name,
                    accounts=[f"paper-{number % ACCOUNTS}"],
                    parameters={"lookback": 20, "thresholdBps": "10", "quantity": "1"},
                    risk={"maxOrderQuantity": "1000", "maxOrderValue": "500000", "maxDailyLoss": "20000"},
                    tradingState="Active",
                ),
            )
            for number, name in enumerate(self.names)
        ]
        self.api.all([partial(self._post, *one) for one in made])

    def _post(self, plural: str, resource: Object) -> None:
        manifest = {name: resource[name] for name in ("apiVersion", "kind", "spec")}
        labels = {"alphapanda.io/installation": self.desk.installation}
        metadata = {"name": resource["metadata"]["name"], "labels": labels}
        notes = {LAST_APPLIED: json.dumps({**manifest, "metadata": metadata})}
        self.api("POST", self.path(plural), {**manifest, "metadata": {**metadata, "annotations": notes}})

    def change_all(self) -> None:
        """Change a parameter of each: all their pods must be made anew."""
        patch = {"spec": {"parameters": {"lookback": 20 + next(self.revision)}}}
        content = "application/merge-patch+json"
        paths = [self.path("strategies", name) for name in self.names]
        self.api.all([partial(self.api, "PATCH", path, patch, content) for path in paths])

    def behind(self) -> list[str]:
        """Return who is not yet as wanted: accepted, settled and ready at its present generation, and its pods too."""
        found: list[str] = []
        seen = 0
        for item in self.api.items(self.path("strategies")):
            generation = item["metadata"]["generation"]
            seen += 1
            conditions = {one["type"]: one for one in (item.get("status") or {}).get("conditions", ())}
            wanted = {"Accepted": "True", "Ready": "True", "Progressing": "False", "ControlPublished": "True"}
            if any(
                conditions.get(name, {}).get("status") != status
                or conditions[name]["observedGeneration"] != generation
                for name, status in wanted.items()
            ):
                found.append(item["metadata"]["name"])
        return found + ["?"] * (STRATEGIES - seen)

    def measured(self, what: str, act: Callable[[], None]) -> Sample:
        """Do something to all and wait until nobody is behind; say and return what that took."""
        operator, cluster = self.desk.operator, self.desk.cluster
        before, theirs = Sample.of(operator), cluster_cpu(cluster)
        act()
        acted = time.monotonic() - before.at
        late: list[int] = []

        def done() -> bool:
            time.sleep(0.5)  # each look costs the API server some
            late.append(len(self.behind()))
            return not late[-1]

        wait_until(done, what, LIMIT, lambda: f"behind: {late[-20:]}\n{operator.tail()}")
        took = Sample.of(operator).since(before)
        say(
            f"{what}: asked within {acted:.1f} s, the cluster used {cluster_cpu(cluster) - theirs:.1f} s of CPU; {took}"
        )
        return took

    def at_rest(self, what: str, seconds: float) -> Sample:
        """Look on for a while after all has settled; say and return what that took."""
        self.settled()
        before = Sample.of(self.desk.operator)
        time.sleep(seconds)  # it is this time that is measured
        took = Sample.of(self.desk.operator).since(before)
        others = (took.requests() - took.control_reads()) * 60 / took.at
        say(
            f"{what}: {took.cpu / took.at:.1%} of a core, {others:.0f} requests a minute "
            f"and {took.control_reads() * 60 / took.at:.0f} control reads; {took}"
        )
        return took

    def settled(self) -> float:
        """Wait until the operator has seen all and has nothing to do; return since when (monotonic)."""
        last: list[tuple[float, float]] = [(-1.0, 0.0)]

        def quiet() -> bool:
            time.sleep(0.25)
            counters = Sample.of(self.desk.operator).counters
            done = sum(
                number
                for name, number in counters.items()
                if name.startswith(("reconciles", "requests apply"))
            )
            if done != last[-1][0]:
                last.append((done, time.monotonic()))
            return done > STRATEGIES and time.monotonic() - last[-1][1] > QUIET_SECONDS

        wait_until(quiet, "the operator is at rest", LIMIT, self.desk.operator.tail)
        return last[-1][1]

    def report(self, moment: int) -> None:
        """Have all services report, as those of a trading day do."""
        service = Reporter(moment)
        reports = [
            service.of(
                "market-feed", "demo", FeedFigures(last_tick_ts=moment, source_alive=True, session_open=True)
            )
        ]
        for number in range(ACCOUNTS):
            own = {name: StrategyFigures(signals_today=3) for name in self.names[number::ACCOUNTS]}
            book, tracker = BookFigures(day_pnl="1.5", equity="1000001.5"), TrackerFigures(reconciled=True)
            reports.append(service.of("risk", f"paper-{number}", book, strategy_details(own)))
            reports.append(service.of("order-tracker", f"paper-{number}", tracker))
        reports += [
            service.of("strategy", name, RunnerFigures(state="running", last_tick_ts=moment))
            for name in self.names
        ]

        async def put(store: Any) -> None:
            for report in reports:
                await store.statuses.put(report, 600)

        with_store(self.desk, self.desk.operator.redis_url, put)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes statuses of services."""

    moment: int

    def of(
        self, service: str, resource: str, figures: Any, more: Mapping[str, Any] | None = None
    ) -> ServiceStatus:
        return ServiceStatus(
            service=service,
            resource=resource,
            instance="one",
            state="running",
            processed=1,
            errors=0,
            dead_lettered=0,
            last_event_ts=self.moment,
            started_at=1,
            details={**figures.details(), **(more or {})},
        )


@pytest.fixture
def crowd(simulated_cluster: Cluster, redis_server: RedisServer, tmp_path: Path) -> Iterator[Crowd]:
    """A namespace on simulated nodes with an operator of its own."""
    if not simulated_cluster.token:
        pytest.skip("a cluster that was named has no address of ours to measure at")
    kubectl = simulated_cluster.kubectl
    files = sorted((ROOT / "crds").glob("*.yaml"))
    kubectl.apply(*(file.read_text(encoding="utf-8") for file in files))
    kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        *(f"crd/{file.stem}.alphapanda.io" for file in files),
    )
    home, namespace = "scale-operator", "scale"
    for name in (home, namespace):
        kubectl("create", "namespace", name)
    set_platform(kubectl.within(home), "Active")
    operator = OperatorProcess(
        Path(simulated_cluster.kubeconfig), home, redis_server.url, tmp_path, {**CONFIG, "installation": home}
    )
    with redis_server.client() as client:
        desk, api = Desk(simulated_cluster, namespace, operator, client, home), Api(simulated_cluster)
        try:
            yield Crowd(desk, api)
        finally:
            operator.close()
            api.close()  # what failed may have left a connection in the middle of an answer
            release(api, namespace)
            api.close()
            for name in (home, namespace):
                kubectl("delete", "namespace", name, "--wait=false")


def release(api: Api, namespace: str) -> None:
    """Let the namespace go although nobody is left who takes its resources down."""
    patch, content = {"metadata": {"finalizers": None}}, "application/merge-patch+json"
    for kind in RESOURCES.values():
        root = f"/apis/{kind.api_version}/namespaces/{namespace}/{kind.plural}"
        paths = [f"{root}/{item['metadata']['name']}" for item in api.items(root)]
        api.all([partial(api, "PATCH", path, patch, content) for path in paths])


def cluster_cpu(cluster: Cluster) -> float:
    """Return the seconds of CPU that the cluster's own processes have used (Linux): what no operator can spare."""
    total = 0.0
    for proc in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if cluster.folder.encode() in (proc / "cmdline").read_bytes():
                total += cpu_of(proc)
    return total


@pytest.mark.timeout(60 + LIMIT * 4)
def test_many_strategies_cost_little(crowd: Crowd) -> None:
    operator = crowd.desk.operator.started()
    start = Sample.of(operator)
    say(f"{STRATEGIES} strategies; without any: {start.resident:.0f} MB")

    made = crowd.measured("made", crowd.create)
    for kind in ("serviceaccounts", "configmaps", "networkpolicies", "deployments"):
        assert made.counters[f"requests apply {kind} 201"] >= STRATEGIES
    assert made.requests() < 25 * STRATEGIES + 30 * made.at

    if MEASURING:
        crowd.report(time.time_ns())
        time.sleep(CONFIG["statusSeconds"])
    rest = crowd.at_rest("at rest", REST_SECONDS)
    assert rest.requests("apply", "merge", "patch", "delete", "post") <= 10
    assert (rest.requests() - rest.control_reads()) * 60 / rest.at < 60
    assert rest.cpu / rest.at < 0.5

    if MEASURING:
        crowd.report(time.time_ns())
        crowd.at_rest("while ticks come", 60)

    changed = crowd.measured("changed", crowd.change_all)
    assert changed.requests("apply") < 12 * STRATEGIES
    for kind in ("serviceaccounts", "networkpolicies"):
        assert not any(f"apply {kind}" in name for name in changed.counters)

    operator.stop()
    began = time.monotonic()
    operator.started()
    seconds = crowd.settled() - began
    restarted = Sample.of(operator)
    say(f"restarted: settled after {seconds:.1f} s; {restarted.since(Sample(0, 0, 0, Counter(), began))}")
    assert not crowd.behind()
    assert restarted.requests("apply", "merge", "patch", "delete", "post") <= 10, "needless writes"
    assert max(restarted.peak, changed.peak) < MEGABYTES
