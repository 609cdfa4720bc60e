"""Conditions Progressing and Ready, from the facts of Deployments and pods. Pure."""

from collections.abc import Mapping, Sequence

from alpha_panda_operator.conditions import Finding
from alpha_panda_operator.facts import ChildFact, PodFact


def progressing(deployments: Mapping[str, ChildFact | None]) -> Finding:
    """Return whether pods are still on their way to what is wanted."""
    waiting = [role for role, fact in deployments.items() if fact is None or not fact.settled]
    if not waiting:
        return Finding.of("Progressing", False, "Settled", "all pods are of the wanted kind and number")
    known = [fact for role in waiting if (fact := deployments[role]) is not None]
    if len(known) == len(waiting) and all(fact.pods > fact.wanted == fact.updated for fact in known):
        return Finding.of("Progressing", True, "ScalingDown", f"fewer pods are wanted: {_list(waiting)}")
    return Finding.of("Progressing", True, "RollingOut", f"pods are being made or replaced: {_list(waiting)}")


def ready(deployments: Mapping[str, ChildFact | None], pods: Mapping[str, Sequence[PodFact]]) -> Finding:
    """Return whether every workload has a ready pod, and if not, why: the gravest first."""
    lacking = [role for role, fact in deployments.items() if fact is None or not fact.ready]
    if not lacking:
        told = ", ".join(f"{role} {fact.ready}/{fact.wanted}" for role, fact in deployments.items() if fact)
        return Finding.of("Ready", True, "Ready", f"pods are ready: {told}")
    for role in lacking:
        fact = deployments[role]
        if fact is not None and "quota" in fact.failure:
            return _no(
                "QuotaExceeded", role, f"{fact.failure}; raise the quota or ask for less in spec.resources"
            )
    for trouble, remedy in (
        ("ImageMissing", "check the image's name and pull secrets"),
        ("CrashLoop", "see the pod's log"),
    ):
        for role in lacking:
            for pod in pods.get(role, ()):
                if pod.trouble == trouble:
                    return _no(trouble, role, f"{pod.message}; {remedy} (pod {pod.key.name})")
    for role in lacking:
        fact = deployments[role]
        if fact is not None and fact.failure:
            return _no("PodsNotReady", role, fact.failure)
    return Finding.of("Ready", False, "PodsNotReady", f"no pod is ready yet of: {_list(lacking)}")


def _no(reason: str, role: str, message: str) -> Finding:
    return Finding.of("Ready", False, reason, f"{role}: {message}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
