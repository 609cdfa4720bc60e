"""The real kube-scheduler beside a control plane."""

from pathlib import Path
from typing import Final

from alpha_panda.testing.servers.ports import LOOPBACK, free_ports

from .control_plane import ControlPlane

NAME: Final = "kube-scheduler"


def start_scheduler(control_plane: ControlPlane, program: Path) -> None:
    """Start it; it ends with the control plane. Pods are scheduled from a second later on."""
    control_plane.processes.start(
        NAME,
        [
            program,
            f"--kubeconfig={control_plane.kubeconfig}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={free_ports(1)[0]}",
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ],
    )
