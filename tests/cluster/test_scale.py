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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from itertools import count
from pathlib import Path
from threading import local
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
import yaml
from harness.cluster import Cluster
from harness.command import wait_until

from alpha_panda.contracts.status_details import (
    BookFigures,
    FeedFigures,
    RunnerFigures,
    StrategyFigures,
    TrackerFigures,
    strategy_details,
)
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.redis import RedisServer
from alpha_panda_operator.view import LAST_APPLIED
from cluster.operator_fixtures import redis_server, set_platform, with_store
from cluster.operator_process import ROOT, Desk, OperatorProcess
from unit.operator.kit import account, feed, strategy

__all__ = ["redis_server"]

STRATEGIES: Final = int(os.environ.get("ALPHAPANDA_TEST_STRATEGIES", "120"))
ACCOUNTS: Final = 4
REST_SECONDS: Final = float(os.environ.get("ALPHAPANDA_TEST_REST_SECONDS", "12"))
LIMIT: Final = 30 + 0.6 * STRATEGIES
"""Seconds that anything may take on a machine that is busy with other tests."""

CONTROL_READS: Final = 3 + 1
"""Listings of the three kinds and the platform's ConfigMap at each renewal; a listing is one request a 500."""

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

Object = dict[str, Any]


class Api:
    """The API server without kubectl, which would take longer than what is measured. A connection a thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._place = urlsplit(cluster.url)
        self._trust = ssl.create_default_context(cafile=cluster.authority)
        self._token = cluster.token
        self._own = local()

    def __call__(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Object:  # noqa: ANN401 - JSON
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = HTTPSConnection(
                str(self._place.hostname), self._place.port, timeout=60, context=self._trust
            )
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


@dataclass(frozen=True, slots=True)
class Sample:
    """What the operator has used so far: CPU seconds, resident bytes now and at most, and its own counters."""

    cpu: float
    resident: float
    peak: float
    counters: Counter[str]
    at: float = field(default_factory=time.monotonic)

    def since(self, before: "Sample") -> "Sample":
        """What was used in between."""
        counters = Counter(
            {name: more for name in self.counters if (more := self.counters[name] - before.counters[name])}
        )
        return Sample(
            self.cpu - before.cpu, self.resident, self.peak, counters, self.at - before.at
        )

    def requests(self, *verbs: str) -> float:
        """Requests to the API server; of some verbs alone."""
        return sum(
            number
            for name, number in self.counters.items()
            if name.startswith("requests ") and (not verbs or name.split()[1] in verbs)
        )

    def __str__(self) -> str:
        told = ", ".join(f"{name} {number:.0f}" for name, number in sorted(self.counters.items()))
        return f"{self.at:.1f} s, {self.cpu:.1f} s of CPU, {self.resident:.0f} MB (peak {self.peak:.0f}); {told}"


def sample(operator: OperatorProcess) -> Sample:
    """Look at the operator from outside (Linux) and ask for its metrics."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    counters: Counter[str] = Counter()
    for labels, number in re.findall(r"^alphapanda_operator_api_requests_total\{(.*)\} (\S+)$", text, re.M):
        told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        counters[f"requests {told['verb']} {told['resource']} {told['code']}"] += float(number)
    for labels, number in re.findall(r"^alphapanda_operator_reconciles_total\{(.*)\} (\S+)$", text, re.M):
        told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        counters[f"reconciles {told['kind']} {told['result']}"] += float(number)
    proc = Path(f"/proc/{operator.process.pid}")
    user, system = (proc / "stat").read_text().rpartition(")")[2].split()[11:13]
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", (proc / "status").read_text(), re.M))
    return Sample(
        (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"),
        int(memory["VmRSS"]) / 1e3,
        int(memory["VmHWM"]) / 1e3,
        counters,
    )


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
        self.api.all([lambda one=one: self._post(*one) for one in made])  # type: ignore[misc]

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
        self.api.all(
            [lambda name=name: self.api("PATCH", self.path("strategies", name), patch, content) for name in self.names]  # type: ignore[misc]
        )

    def behind(self) -> list[str]:
        """Return who is not yet as wanted: accepted, settled and ready at its present generation, and its pods too."""
        lookback = {}
        found = []
        for item in self.api.items(self.path("strategies")):
            generation = item["metadata"]["generation"]
            lookback[item["metadata"]["name"]] = generation
            conditions = {one["type"]: one for one in (item.get("status") or {}).get("conditions", ())}
            wanted = {"Accepted": "True", "Ready": "True", "Progressing": "False", "ControlPublished": "True"}
            if any(
                conditions.get(name, {}).get("status") != status
                or conditions[name]["observedGeneration"] != generation
                for name, status in wanted.items()
            ):
                found.append(item["metadata"]["name"])
        return found + ["?"] * (STRATEGIES - len(lookback))

    def converged(self, what: str) -> float:
        """Wait until nobody is behind; return how long that took."""
        began = time.monotonic()
        late: list[int] = []

        def done() -> bool:
            time.sleep(0.5)  # each look costs the API server some
            late.append(len(self.behind()))
            return not late[-1]

        wait_until(done, what, LIMIT, lambda: f"behind: {late[-20:]}\n{self.desk.operator.tail()}")
        return time.monotonic() - began

    def report(self, moment: int) -> None:
        """Have all services report, as those of a trading day do."""
        service = Reporter(moment)
        reports = [service.of("market-feed", "demo", FeedFigures(last_tick_ts=moment, source_alive=True, session_open=True))]
        for number in range(ACCOUNTS):
            own = {name: StrategyFigures(signals_today=3) for name in self.names[number::ACCOUNTS]}
            book, tracker = BookFigures(day_pnl="1.5", equity="1000001.5"), TrackerFigures(reconciled=True)
            reports.append(service.of("risk", f"paper-{number}", book, strategy_details(own)))
            reports.append(service.of("order-tracker", f"paper-{number}", tracker))
        reports += [
            service.of("strategy", name, RunnerFigures(state="running", last_tick_ts=moment))
            for name in self.names
        ]

        async def put(store: Any) -> None:  # noqa: ANN401 - the namespace's store
            for report in reports:
                await store.statuses.put(report, 600)

        with_store(self.desk, self.desk.operator.redis_url, put)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes statuses of services."""

    moment: int

    def of(self, service: str, resource: str, figures: Any, more: Mapping[str, Any] | None = None) -> ServiceStatus:  # noqa: ANN401 - any figures
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
def crowd(
    simulated_cluster: Cluster, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Crowd]:
    """A namespace on simulated nodes with an operator of its own."""
    if not simulated_cluster.token:
        pytest.skip("a cluster that was named has no address of ours to measure at")
    kubectl = simulated_cluster.kubectl
    files = sorted((ROOT / "crds").glob("*.yaml"))
    kubectl.apply(*(file.read_text(encoding="utf-8") for file in files))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{file.stem}.alphapanda.io" for file in files))
    home, namespace = "scale-operator", "scale"
    for name in (home, namespace):
        kubectl("create", "namespace", name)
    set_platform(kubectl.within(home), "Active")
    operator = OperatorProcess(
        Path(simulated_cluster.kubeconfig), home, redis_server.url, tmp_path, {**CONFIG, "installation": home}
    )
    with redis_server.client() as client:
        desk = Desk(simulated_cluster, namespace, operator, client, home)
        try:
            yield Crowd(desk, Api(simulated_cluster))
        finally:
            operator.close()
            for name in (home, namespace):
                kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.timeout(LIMIT * 4)
def test_many_strategies_cost_little(crowd: Crowd) -> None:
    operator = crowd.desk.operator.started()
    empty = sample(operator)
    print(f"\nempty: {empty.resident:.0f} MB")

    began = time.monotonic()
    crowd.create()
    print(f"created in {time.monotonic() - began:.1f} s")
    crowd.converged("all are made")
    made = sample(operator).since(empty)
    print(f"made: {time.monotonic() - began:.1f} s since the first; {made}")

    crowd.report(time.time_ns())
    time.sleep(20)
    before = sample(operator)
    time.sleep(REST_SECONDS)
    rest = sample(operator).since(before)
    print(f"at rest: {rest.cpu / rest.at:.1%} of a core, {rest.requests() * 60 / rest.at:.0f} requests a minute; {rest}")

    before = sample(operator)
    crowd.report(time.time_ns())
    time.sleep(30)
    print(f"after ticks for all: {sample(operator).since(before)}")

    before = sample(operator)
    began = time.monotonic()
    crowd.change_all()
    print(f"changed in {time.monotonic() - began:.1f} s")
    crowd.converged("all are changed")
    print(f"changed: {time.monotonic() - began:.1f} s since the first; {sample(operator).since(before)}")

    operator.stop()
    began = time.monotonic()
    operator.started()
    print(f"leads after {time.monotonic() - began:.1f} s")
    time.sleep(5)
    quiet = 0
    last = sample(operator)
    while quiet < 3:
        time.sleep(1)
        now = sample(operator)
        moved = now.since(last)
        quiet = quiet + 1 if not any("reconciles" in name for name in moved.counters) else 0
        last = now
    print(f"restarted: {time.monotonic() - began - 3:.1f} s; {last}")
