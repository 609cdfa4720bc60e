"""Conditions Progressing and Ready, from the facts of Deployments and pods. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from alpha_panda.errors import ApiRefusedError
from alpha_panda_operator.conditions import Finding
from alpha_panda_operator.facts import ChildFact, PodFact

TOO_LARGE: Final = "ManifestsTooLarge"
"""Reason where the manifests that an account's pods serve are more than a ConfigMap holds."""

MOUNT_SECONDS: Final = 20.0
"""How long a pod may wait for its volumes before it is told of: seconds where all is there."""

_REMEDIES: Final = (
    ("ImageMissing", "check the image's name and pull secrets"),
    ("MissingSecret", "create it in the resource's namespace"),
    ("CrashLoop", "see the pod's log"),
)
"""Troubles of pods, the gravest first, and what helps."""


def progressing(deployments: Mapping[str, ChildFact | None]) -> Finding:
    """Return whether pods are still on their way to what is wanted."""
    waiting = [role for role, fact in deployments.items() if fact is None or not fact.settled]
    if not waiting:
        return Finding.of("Progressing", False, "Settled", "all pods are of the wanted kind and number")
    known = [fact for role in waiting if (fact := deployments[role]) is not None]
    if len(known) == len(waiting) and all(fact.pods > fact.wanted == fact.updated for fact in known):
        return Finding.of("Progressing", True, "ScalingDown", f"fewer pods are wanted: {_list(waiting)}")
    return Finding.of("Progressing", True, "RollingOut", f"pods are being made or replaced: {_list(waiting)}")


def refused(error: ApiRefusedError) -> Finding:
    """Return why nothing is ready if the API refuses what shall be made."""
    if "exceeded quota" in str(error):
        return Finding.of("Ready", False, "QuotaExceeded", f"{error}; raise the quota")
    reason = TOO_LARGE if error.reason == TOO_LARGE else "PodsNotReady"
    return Finding.of("Ready", False, reason, str(error))


def ready(
    deployments: Mapping[str, ChildFact | None],
    pods: Mapping[str, Sequence[PodFact]],
    secrets: Mapping[str, str],
    now: float,
) -> Finding:
    """Return whether every workload has a ready pod, and if not, why: the gravest first.

    `secrets`: the Secret that each role's pods mount, if any. `now`: UTC seconds.
    """
    lacking = [role for role, fact in deployments.items() if fact is None or not fact.ready]
    if not lacking:
        told = ", ".join(f"{role} {fact.ready}/{fact.wanted}" for role, fact in deployments.items() if fact)
        return Finding.of("Ready", True, "Ready", f"pods are ready: {told}")
    return next(
        _causes({role: deployments[role] for role in lacking}, pods, secrets, now),
        Finding.of("Ready", False, "PodsNotReady", f"no pod is ready yet of: {_list(lacking)}"),
    )


def _causes(
    lacking: Mapping[str, ChildFact | None],
    pods: Mapping[str, Sequence[PodFact]],
    secrets: Mapping[str, str],
    now: float,
) -> Iterator[Finding]:
    """Yield what keeps workloads from having a ready pod, the gravest first."""
    failures = {role: fact.failure for role, fact in lacking.items() if fact is not None and fact.failure}
    for role, words in failures.items():
        if "quota" in words:
            yield _no("QuotaExceeded", role, f"{words}; raise the quota or ask for less in spec.resources")
    for trouble, remedy in _REMEDIES:
        for role in lacking:
            for pod in pods.get(role, ()):
                if pod.trouble == trouble:
                    yield _no(trouble, role, f"{pod.message}; {remedy} (pod {pod.key.name})")
    for role, words in failures.items():
        yield _no("PodsNotReady", role, words)
    for role in lacking:
        yield from _unmounted(role, pods.get(role, ()), secrets.get(role, ""), now)


def _unmounted(role: str, pods: Sequence[PodFact], secret: str, now: float) -> Iterator[Finding]:
    """Yield what keeps a pod from its containers. The kubelet says in its Events alone which volume it lacks."""
    for pod in pods:
        if pod.unmounted_since is None or now - pod.unmounted_since < MOUNT_SECONDS:
            continue
        words = f"pod {pod.key.name} waits for its volumes or its network"
        see = f"kubectl describe pod {pod.key.name} says what is missing"
        if secret:
            yield _no(
                "MissingSecret",
                role,
                f"{words}: is Secret {secret!r} in namespace {pod.key.namespace}? {see}",
            )
        else:
            yield _no("PodsNotReady", role, f"{words}; {see}")


def _no(reason: str, role: str, message: str) -> Finding:
    return Finding.of("Ready", False, reason, f"{role}: {message}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
