"""From a command's words to the pods that execute it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from alpha_panda.contracts.resources.fields import NAME_PATTERN
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.errors import DependencyUnavailableError, UserInputError

from .halt import scope_of, scopes_of_words
from .plugin_kubectl import Kubectl
from .plugin_places import InPod
from .plugin_pods import COMPONENT, KIND, NAME, OPERATOR, RISK, Pod, best, chosen

ACCOUNTS: Final = "brokeraccounts.alphapanda.io"
STRATEGIES: Final = "strategies.alphapanda.io"
_HALT_BY_HAND: Final = 'to halt without a pod: kubectl patch brokeraccount NAME --type merge -p \'{"spec":{"tradingState":"Halted"}}\''


@dataclass(frozen=True, slots=True)
class Route:
    """A pod, and the scopes that it is to act on; None: the command as it was typed."""

    pod: Pod
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a command goes. `problems`: scopes that can't be reached, which must not keep the others waiting."""

    routes: list[Route] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def plan(place: InPod, values: Mapping[str, Any], cluster: "Cluster") -> Plan:
    """Return where a command with these values of parameters goes.

    Raises:
        UserInputError: what is named is not there, or can't be told apart.
        DependencyUnavailableError: kubectl can't tell, or nothing of it runs.

    """
    everything = bool(place.everything and values.get(place.everything))
    if place.scopes:
        words = _listed(values.get(place.scopes))
        scopes_of_words(words, everything=everything)
        if words:
            return _scopes(words, cluster)
    if everything:
        return Plan([Route(cluster.operator())])
    account = str(values.get(place.account) or "") if place.account else ""
    if account:
        return Plan([Route(cluster.account(account))])
    near = _listed(values.get(place.near)) if place.near else []
    return Plan([Route(cluster.near(near))])


def _listed(value: object) -> list[str]:
    if value is None or value == "":
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _scopes(words: Sequence[str], cluster: "Cluster") -> Plan:
    """Send each scope to a pod of its account; a strategy's goes along with an account's where that is possible."""
    taken: dict[str, tuple[Pod, list[str]]] = {}
    problems = []
    own = account_scope("")
    cluster.look()
    for word in sorted(dict.fromkeys(words), key=lambda word: not scope_of(word).startswith(own)):
        kind, _, name = scope_of(word).partition("/")
        try:
            pod = cluster.account(name) if f"{kind}/" == own else cluster.strategy(name, taken)
        except DependencyUnavailableError as error:
            problems.append(f"{word}: {error}")
            continue
        taken.setdefault(pod.name, (pod, []))[1].append(word)
    return Plan([Route(pod, tuple(scopes)) for pod, scopes in taken.values()], problems)


def name_of(word: str, name: str) -> str:
    """Return the name of a resource of that kind; UserInputError for what can't be one."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise UserInputError(f"{name!r} is no name of a {word}")
    return name


class Cluster:
    """What kubectl shows of an installation; asked for once each."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def look(self) -> None:
        """Ask for the pods now: if kubectl can't tell, that is one failure, not one of each scope."""
        _ = self._risk

    @cached_property
    def _risk(self) -> list[Pod]:
        selector = f"{NAME},{KIND}=BrokerAccount,{COMPONENT}={RISK}"
        return [Pod.of(item) for item in self._kubectl.objects("pods", selector=selector)]

    def _of(self, accounts: Sequence[str]) -> list[Pod]:
        return [pod for pod in self._risk if pod.instance in accounts]

    def account(self, name: str) -> Pod:
        """Return the pod for an account; UserInputError for one that is not there."""
        pods = self._of((name,))
        if not pods:
            self._require(ACCOUNTS, "BrokerAccount", name)
        look = f"see `kubectl describe brokeraccount {name}` and `kubectl alpha-panda logs --account {name} --role risk`"
        return chosen(pods, f"risk pod of account {name}", f"{look}; {_HALT_BY_HAND.replace('NAME', name)}")

    def strategy(self, name: str, taken: Mapping[str, object]) -> Pod:
        """Return a pod of any account that a strategy trades on, best one of those `taken` already."""
        found = self._require(STRATEGIES, "Strategy", name)
        accounts = [str(item) for item in found.get("spec", {}).get("accounts", [])]
        pods = self._of(accounts)
        at_hand = best(pod for pod in pods if pod.name in taken)
        what = f"risk pod of an account of strategy {name} ({', '.join(accounts)})"
        return at_hand or chosen(pods, what, f"see `kubectl describe strategy {name}`")

    def near(self, words: Sequence[str]) -> Pod:
        """Return the pod of the first account that the words begin with, after a prefix or not; else any."""
        parts = [part for word in words for part in word.split(".")[:2]]
        pod = best(self._of(parts))
        remedy = "apply a BrokerAccount, or say by -n in which namespace there is one"
        return pod or chosen(self._risk, "risk pod of any account", remedy)

    def operator(self) -> Pod:
        """Return a pod of the operator: of the namespace if it has one there, else of the one in the cluster."""
        selector = f"{NAME},{COMPONENT}={OPERATOR}"
        found = self._kubectl.objects("pods", selector=selector)
        if not found:
            found = self._kubectl.objects("pods", selector=selector, everywhere=True)
        pods = [Pod.of(item) for item in found]
        owners = sorted({(pod.namespace, pod.instance) for pod in pods})
        if len(owners) > 1:
            names = ", ".join(f"-n {namespace} ({release})" for namespace, release in owners)
            raise UserInputError(f"there are several installations; say which one is meant: {names}")
        remedy = "without an operator trading stops by itself when the control keys expire; to stop it now, name the accounts"
        return chosen(pods, "operator pod", remedy)

    def _require(self, kind: str, word: str, name: str) -> Mapping[str, Any]:
        name_of(word, name)
        found = self._kubectl.object(kind, name)
        if found is None:
            where = f"namespace {self._kubectl.namespace}" if self._kubectl.namespace else "your namespace"
            raise UserInputError(f"there is no {word} {name} in {where}; -n NAMESPACE says another")
        return found
