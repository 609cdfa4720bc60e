"""When a deleted resource may go. Pure: what is known in, what to wait for out.

A strategy: its pods first, then what its policy wants of the accounts' services, or the deadline. An account: its
strategies, then its pods. A feed: whoever uses it, then its pods.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alpha_panda.contracts.resources import DeletionPolicy
from alpha_panda.contracts.status_details import (
    FLAT,
    cancelled_out,
    flattened,
    risk_strategies,
    tracker_strategies,
)
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.units import nanoseconds
from alpha_panda_operator.facts import ChildFact, PodFact
from alpha_panda_operator.names import BROKER_ACCOUNT, DEPLOYMENT, Key, workload_name
from alpha_panda_operator.view import ResourceView

RISK: Final = "risk"
TRACKER: Final = "order-tracker"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a deletion still waits for. Empty `on`: nothing, it may go."""

    on: str = ""
    timed_out: bool = False

    @property
    def over(self) -> bool:
        """Whether the resource may go."""
        return not self.on or self.timed_out


def pods_left(children: Iterable[ChildFact], pods: Iterable[PodFact]) -> str:
    """Return in words which workloads still have pods.

    Pods themselves are counted: a Deployment's status leaves out those that are ending, which may still drain. Of a
    Deployment counts what it has not been told yet, or has not told of.
    """
    left = Counter(workload_name(pod.owner.name, pod.role) for pod in pods if not pod.ended)
    for fact in children:
        if fact.key.kind == DEPLOYMENT.kind:
            left[fact.key.name] = max(left[fact.key.name], fact.pods)
    return ", ".join(f"{name} ({count})" for name, count in sorted(left.items()) if count)


def users_left(users: Sequence[ResourceView]) -> str:
    """Return in words who still uses an account or a feed."""
    named = [f"{item.key.kind} {item.key.name}{' (going)' if item.deleting else ''}" for item in users[:10]]
    more = f" and {len(users) - 10} more" if len(users) > 10 else ""  # noqa: PLR2004 - as many as are named
    return f"{', '.join(named)}{more} still use it; delete them first" if named else ""


def strategy_waits(
    view: ResourceView,
    accounts: Sequence[Key],
    reports: Mapping[tuple[str, str], ServiceStatus],
    quiet_since: float | None,
) -> str:
    """Return what a deleted strategy without pods waits for.

    Args:
        view: the strategy.
        accounts: its accounts that exist.
        reports: statuses of the namespace by (service, resource).
        quiet_since: UTC seconds from which on no new order can be on its way: the trading state was tightened and
            the last permission to send has run out; None: not yet.

    """
    policy = view.deletion_policy
    if policy is DeletionPolicy.RETAIN:
        return ""
    if quiet_since is None:
        return "its trading state to be tightened, and the last permission to send an order to run out"
    since = nanoseconds(quiet_since)
    judge = _flat if policy is DeletionPolicy.FLATTEN else _cancelled
    return "; ".join(filter(None, (judge(view, account.name, reports, since) for account in accounts)))


def _cancelled(
    view: ResourceView, account: str, reports: Mapping[tuple[str, str], ServiceStatus], since: int
) -> str:
    report = reports.get((TRACKER, account))
    if report is None:
        return f"the order-tracker of account {account} to report"
    if cancelled_out(report, view.key.name, since):
        return ""
    own = tracker_strategies(report.details).get(view.key.name)
    told = f": {own.resting} resting, {own.open} untold, {own.doubt} in doubt" if own else ""
    return f"account {account} to cancel its orders{told}"


def _flat(
    view: ResourceView, account: str, reports: Mapping[tuple[str, str], ServiceStatus], since: int
) -> str:
    report = reports.get((RISK, account))
    if report is None:
        return f"risk of account {account} to report"
    if flattened(report, view.key.name, view.uid, since):
        return ""
    own = risk_strategies(report.details).get(view.key.name)
    doing = f" ({own.teardown})" if own and own.teardown not in ("", FLAT) else ""
    held = f": {own.position}" if own and own.position else ""
    return f"account {account} to close its positions{held}{doing}"


def in_use(view: ResourceView) -> str:
    """Return what a person calls those who use a resource."""
    return "strategies" if view.key.kind == BROKER_ACCOUNT else "accounts and strategies"
