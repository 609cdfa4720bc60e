"""A workload's own service account: a name for policies to hold on to, without rights and without a token."""

from typing import Any

from alpha_panda_operator.builders.workload import Workload, metadata


def service_account(workload: Workload) -> dict[str, Any]:
    """Return the service account of a workload."""
    return {
        "metadata": metadata(workload.view, workload.name, workload.labels),
        "automountServiceAccountToken": False,
    }
