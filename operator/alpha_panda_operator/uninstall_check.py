"""The chart's question before it is uninstalled: do resources live that nobody would tear down any more.

`python -m alpha_panda_operator.uninstall_check RELEASE NAMESPACE REVISION [WATCHED …]` ends with 0 if there are none, with 1 and
their names if there are some, or if the API server can't be asked. It only reads.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

from alpha_panda.errors import AlphaPandaError, ApiRefusedError
from alpha_panda_operator.access import ApiAccess, find_access
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import RESOURCES

CALL_SECONDS: Final = 15.0
SHOWN: Final = 20
"""Names a refusal lists; a thousand would hide the remedy."""

_NOT_FOUND: Final = 404


async def living(access: ApiAccess, namespaces: Sequence[str]) -> list[str]:
    """Return `KIND NAMESPACE/NAME` of every resource in these namespaces, or in all if none is named.

    A kind that the API server does not know has none.

    Raises:
        ApiRefusedError: we may not list them.
        DependencyUnavailableError: the API server does not answer.

    """
    found: list[str] = []
    async with Cluster(access, Metrics(), CALL_SECONDS) as cluster:
        for kind in RESOURCES.values():
            try:
                listing = await cluster.list(kind, namespaces, metadata_only=True)
            except ApiRefusedError as error:
                if error.status != _NOT_FOUND:
                    raise
                continue
            metadata = [item["metadata"] for item in listing.items]
            found += [f"{kind.kind} {each['namespace']}/{each['name']}" for each in metadata]
    return found


def refusal(names: Sequence[str], release: str, namespace: str, revision: str) -> str:
    """Return what a person reads whose uninstallation was refused.

    Helm has written down by then that it is uninstalling, and upgrades such a release no more: hence the way back.
    """
    more = len(names) - SHOWN
    return "\n".join(
        [
            f"NOT UNINSTALLED: {len(names)} resources live, and without the operator nobody would tear them down:",
            *(f"  {name}" for name in names[:SHOWN]),
            *([f"  … and {more} more"] if more > 0 else []),
            "Delete them first, in their namespaces, and wait until they are gone:",
            "  kubectl delete strategies,brokeraccounts,marketfeeds --all --namespace NAMESPACE",
            "Or leave them behind. Their pods then trade until their trading states expire, and halt:",
            f"  helm uninstall {release} --namespace {namespace} --no-hooks",
            "Or keep it, after all. Helm upgrades it again after:",
            f"  helm rollback {release} {revision} --namespace {namespace}",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Print the verdict and return the exit code."""
    release, namespace, revision, *watched = arguments
    try:
        names = asyncio.run(living(find_access(os.environ), watched))
    except AlphaPandaError as error:
        print(f"NOT UNINSTALLED: the API server can't be asked whether resources live: {error}")  # noqa: T201 - its output
        return 1
    print(refusal(names, release, namespace, revision) if names else "No feed, account or strategy lives.")  # noqa: T201 - as above
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
