"""How many pods of a workload a drain may take at a time."""

from typing import Any

from alpha_panda_operator.builders.workload import Workload, metadata
from alpha_panda_operator.names import selector_labels


def pdb(workload: Workload) -> dict[str, Any] | None:
    """Return the budget of a workload with several pods; a single one must be free to move."""
    if workload.role.singleton or workload.replicas < 2:  # noqa: PLR2004 - one pod has nobody to stand in for it
        return None
    return {
        "metadata": metadata(workload.view, workload.name, workload.labels),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector_labels(workload.key, workload.role.name)},
            # A pod that is not ready anyway is no loss: it must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
