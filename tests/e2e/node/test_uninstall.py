"""The last thing that a user does: take all away. It runs after all others, for they would install the chart anew."""

import time
from collections.abc import Callable

from e2e.node.desk import EXAMPLE, Desk
from e2e.node.installation import NAME, Installation
from harness.kubectl import Kubectl
from harness.resources import KINDS

Tell = Callable[[str], None]


def test_what_is_taken_away_leaves_what_the_docs_say_and_nothing_else(
    installation: Installation, desk: Desk, tell: Tell
) -> None:
    desk.apply(EXAMPLE)
    desk.trades()
    refused = installation.uninstall()
    assert refused.returncode != 0
    job = f"job/{NAME}-uninstall-check"
    said = installation.kubectl("logs", job)
    assert "NOT UNINSTALLED: 3 resources live" in said, said
    assert f"Strategy {desk.namespace}/momentum-reliance" in said
    desk.trades()

    began = time.monotonic()
    desk.kubectl("delete", ",".join(KINDS), "--all", "--timeout=90s", seconds=100)
    tell(f"a trading namespace deleted in {time.monotonic() - began:.1f} s")
    desk.wait_until(lambda: not _left(desk.kubectl), f"nothing is left: {_left(desk.kubectl)}")

    began = time.monotonic()
    gone = installation.uninstall()
    assert gone.returncode == 0, gone.stderr
    tell(f"helm uninstall in {time.monotonic() - began:.1f} s")
    documented = [
        f"configmap/{NAME}-platform",
        f"lease.coordination.k8s.io/{NAME}-operator",
        *(f"persistentvolumeclaim/data-{NAME}-{store}-0" for store in ("kafka", "redis")),
    ]
    desk.wait_until(
        lambda: _left(installation.kubectl) == documented, f"it is gone: {_left(installation.kubectl)}"
    )
    everywhere = installation.cluster.kubectl(
        "get", "clusterroles,clusterrolebindings,crds", "--output=name"
    ).split()
    assert sorted(name for name in everywhere if "alpha" in name) == [
        f"customresourcedefinition.apiextensions.k8s.io/{kind}.alphapanda.io" for kind in sorted(KINDS)
    ]


def _left(kubectl: Kubectl) -> list[str]:
    """Return what is in a namespace beside what Kubernetes puts into each."""
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    listed = ",".join(kind for kind in kinds if not kind.startswith("events"))
    found = kubectl("get", listed, "--output=name", "--ignore-not-found").split()
    return sorted(set(found) - {"configmap/kube-root-ca.crt", "serviceaccount/default"})
