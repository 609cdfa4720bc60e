"""The project's resources in a test's namespace."""

from contextlib import suppress
from typing import Final

from alpha_panda.errors import DependencyUnavailableError

from .command import wait_until
from .kubectl import Kubectl

KINDS: Final = ("strategies", "brokeraccounts", "marketfeeds")
SECONDS: Final = 60.0

RELEASE: Final = '--patch={"metadata":{"finalizers":null}}'


def release(kubectl: Kubectl) -> None:
    """Delete all resources of a namespace without leaving anything to the operator: return when they are gone."""
    kubectl("delete", ",".join(KINDS), "--all", "--wait=false")
    wait_until(lambda: _released(kubectl), f"the resources of {kubectl.namespace} are gone", SECONDS)


def _released(kubectl: Kubectl) -> bool:
    """Take the finalizers off what is left; return whether that is nothing."""
    left = [f"{kind}/{item['metadata']['name']}" for kind in KINDS for item in kubectl.list(kind)]
    if left:
        with suppress(DependencyUnavailableError):  # one of them has gone by itself meanwhile
            kubectl("patch", *left, "--type=merge", RELEASE)
    return not left
