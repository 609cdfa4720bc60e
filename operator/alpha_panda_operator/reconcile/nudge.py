"""Tells pods that the ConfigMap they mount has changed: by itself a kubelet looks only once in a minute or more.

A kubelet brings a pod's volumes up to date when anything of the pod changes, so an annotation of the pod is changed.
The Deployment's template never is: that would replace the pods. What fails here costs that minute and nothing else.
"""

from collections.abc import Mapping

import structlog

from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError, ProcessMustExitError
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.facts import ChildFact, PodFact
from alpha_panda_operator.names import CONFIG_MAP, CONFIG_VERSION, POD, Key

log = structlog.get_logger()


def mounting(cache: Cache, owner: Key, start_hashes: Mapping[str, str]) -> list[PodFact]:
    """Return the pods of a resource that go on; not those that end, or are replaced since their role starts otherwise."""
    return [
        pod
        for pod in cache.all_pods_of(owner)
        if not pod.ending and not pod.ended and pod.start_hash == start_hashes.get(pod.role)
    ]


async def nudge(
    cluster: Cluster,
    cache: Cache,
    before: ChildFact | None,
    now: ChildFact,
    start_hashes: Mapping[str, str],
) -> None:
    """Have the pods that mount a ConfigMap look at it, if our apply has changed it. Other objects: nothing.

    `start_hashes`: of each role, as its pods shall be started.

    Raises:
        ProcessMustExitError: this replica may not write any more.

    """
    if now.key.kind != CONFIG_MAP.kind or (before is not None and before.fingerprint == now.fingerprint):
        return
    patch = {"metadata": {"annotations": {CONFIG_VERSION: now.version}}}
    for pod in mounting(cache, now.owner, start_hashes):
        try:
            await cluster.merge(POD, pod.key.namespace, pod.key.name, patch)
        except ProcessMustExitError:
            raise
        except AlphaPandaError as error:
            log.warning("a pod was not told of its new manifests", pod=str(pod.key), error=str(error))
            if isinstance(error, DependencyUnavailableError):
                return  # each further pod would wait for a time-out too
