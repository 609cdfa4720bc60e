"""What the test cluster is made of, with every version: the one place to change them.

Kubernetes 1.34 is the last minor whose kubelet runs on cgroup v1 by default.
"""

from dataclasses import dataclass
from typing import Final

KUBERNETES: Final = "1.34.4"
DEBIAN: Final = "bookworm"
"""The release that images are made of; its Python is 3.11."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program built from a Go module: `package` of `module` at `version`, with build `tags` (separated by commas)."""

    name: str
    module: str
    version: str
    package: str
    tags: str = ""


def _kubernetes(name: str) -> GoProgram:
    return GoProgram(name, "k8s.io/kubernetes", f"v{KUBERNETES}", f"k8s.io/kubernetes/cmd/{name}")


def _prometheus(name: str) -> GoProgram:
    """Version 3.13 of Prometheus, whose Go module is called 0.313; without the clients of clouds to discover targets in."""
    module = "github.com/prometheus/prometheus"
    return GoProgram(name, module, "v0.313.5", f"{module}/cmd/{name}", "remove_all_sd")


PROGRAMS: Final = {
    program.name: program
    for program in (
        GoProgram("etcd", "go.etcd.io/etcd/server/v3", "v3.6.8", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kubectl"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        GoProgram("coredns", "github.com/coredns/coredns", "v1.12.4", "github.com/coredns/coredns"),
        GoProgram("helm", "helm.sh/helm/v3", "v3.19.0", "helm.sh/helm/v3/cmd/helm"),
        GoProgram("kwok", "sigs.k8s.io/kwok", "v0.7.0", "sigs.k8s.io/kwok/cmd/kwok"),
        GoProgram(  # evaluates the Tiltfile; has no released versions
            "starlark",
            "go.starlark.net",
            "v0.0.0-20260908191801-89a6a09411d5",
            "go.starlark.net/cmd/starlark",
        ),
        GoProgram("pause", "", "v1", "."),  # ours: pause.go
        _prometheus("prometheus"),
        _prometheus("promtool"),
    )
}

CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
KWOK: Final = (*CONTROL_PLANE, "kube-scheduler", "kwok")
MONITORING: Final = ("prometheus", "promtool")
NODE: Final = (*CONTROL_PLANE, "kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause")
