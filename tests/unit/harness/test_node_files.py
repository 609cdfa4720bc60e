"""What a node's programs are told."""

import json
import tomllib
from pathlib import Path

import pytest

from harness.node_files import PAUSE_IMAGE, NodeFiles


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    made = NodeFiles(tmp_path, tmp_path / "kubeconfig", "198.18.3.2", "198.18.67.0/24", "198.19.3.10")
    made.write()
    return made


def test_containerd_knows_the_image_that_holds_pods_and_keeps_all_in_its_folder(files: NodeFiles) -> None:
    config = tomllib.loads((files.folder / "containerd.toml").read_text())
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == PAUSE_IMAGE
    assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False
    for place in (config["root"], config["state"], config["grpc"]["address"], cri["cni"]["conf_dir"]):
        assert Path(place).is_relative_to(files.folder)


def test_pods_ask_the_service_of_the_name_server(files: NodeFiles) -> None:
    kubelet = json.loads((files.folder / "kubelet.yaml").read_text())
    service, endpoints = files.name_service()
    assert kubelet["clusterDNS"] == [service["spec"]["clusterIP"]]
    assert endpoints["endpoints"][0]["addresses"] == [files.address]
    assert endpoints["metadata"]["labels"] == {"kubernetes.io/service-name": service["metadata"]["name"]}
    assert f"bind {files.address}\n" in (files.folder / "Corefile").read_text()


def test_pods_get_addresses_of_the_nodes_network(files: NodeFiles) -> None:
    plugins = json.loads((files.folder / "cni" / "10-bridge.conflist").read_text())["plugins"]
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": "198.18.67.0/24"}]]
    assert json.loads((files.folder / "kube-proxy.yaml").read_text())["clusterCIDR"] == "198.18.67.0/24"
