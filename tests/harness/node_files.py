"""The configuration files of a node's programs, as functions of its folder and addresses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PAUSE_IMAGE: Final = "localhost/pause:v1"
PLUGINS: Final = "/usr/lib/cni"
NODE: Final = "node"
DOMAIN: Final = "cluster.local"


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Where a node is and what it is told.

    Args:
        folder: of all its files.
        kubeconfig: the administrator's; it is a test node, so that its programs use it too.
        address: the node's.
        pods: network of its pods.
        name_server: the address of the DNS Service.

    """

    folder: Path
    kubeconfig: Path
    address: str
    pods: str
    name_server: str

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.folder / "containerd.sock"

    def write(self) -> None:
        """Write all files below the folder."""
        (self.folder / "cni").mkdir()
        self._path("cni/10-bridge.conflist").write_text(_json(self.network()))
        self._path("kubelet.yaml").write_text(_json(self.kubelet()))
        self._path("kube-proxy.yaml").write_text(_json(self.proxy()))
        self._path("containerd.toml").write_text(self.containerd())
        self._path("Corefile").write_text(self.corefile())

    def network(self) -> Mapping[str, Any]:
        """Return how pods are connected: one bridge; addresses are handed out from a folder."""
        addresses = {
            "type": "host-local",
            "dataDir": str(self._path("addresses")),
            "ranges": [[{"subnet": self.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,  # a pod reaches itself by its Service
            "ipam": addresses,
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}

    def kubelet(self) -> Mapping[str, Any]:
        """Return the kubelet's configuration. Only the host and the node reach it, hence no authentication."""
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "clusterDNS": [self.name_server],
            "clusterDomain": DOMAIN,
            "readOnlyPort": 0,
            "resolvConf": "",
            "podLogsDir": str(self._path("pod-logs")),
            "volumePluginDir": str(self._path("volume-plugins")),
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,  # never: nothing could be pulled again
            "maxPods": 200,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            # What takes a minute by default would be waited for in tests.
            "syncFrequency": "2s",  # how soon a changed Secret is in a pod's directory, with the next
            "configMapAndSecretChangeDetectionStrategy": "Watch",
            "nodeStatusUpdateFrequency": "5s",
            "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
        }

    def proxy(self) -> Mapping[str, Any]:
        """Return kube-proxy's configuration; it leaves the kernel's connection limits alone."""
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": self.pods,
            "hostnameOverride": NODE,
            "clientConnection": {"kubeconfig": str(self.kubeconfig)},
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "iptables": {"minSyncPeriod": "100ms"},
            "metricsBindAddress": "127.0.0.1:10249",
        }

    def containerd(self) -> str:
        """Return containerd's configuration."""
        cri = "io.containerd.grpc.v1.cri"
        runtime = f'plugins."{cri}".containerd.runtimes.runc'
        return f"""version = 2
root = "{self._path("containerd")}"
state = "{self._path("containerd-state")}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{self.socket}"
[plugins."{cri}"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."{cri}".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{self._path("cni")}"
  [plugins."{cri}".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
  [{runtime}]
    runtime_type = "io.containerd.runc.v2"
    [{runtime}.options]
      SystemdCgroup = false
"""

    def corefile(self) -> str:
        """Return the name server's configuration; it knows the cluster's names and no others."""
        return f""".:53 {{
  bind {self.address}
  errors
  kubernetes {DOMAIN} in-addr.arpa {{
    kubeconfig {self.kubeconfig}
    pods insecure
  }}
  cache 2
}}
"""

    def name_service(self) -> list[Mapping[str, Any]]:
        """Return the Service of the name server and, as that runs in no pod, its endpoints."""
        ports = [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ]
        name = {"name": "kube-dns", "namespace": "kube-system"}
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": name,
                "spec": {"clusterIP": self.name_server, "ports": ports},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**name, "labels": {"kubernetes.io/service-name": "kube-dns"}},
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}}],
            },
        ]

    def _path(self, name: str) -> Path:
        return self.folder / name


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1)
