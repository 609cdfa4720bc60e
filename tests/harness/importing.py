"""Images into a cluster's node: streamed to ours, by kind's own command to a kind cluster."""

import subprocess
import tempfile
from typing import Final

from alpha_panda.errors import DependencyUnavailableError, MisuseError

from .cluster import KUBECONFIG_VARIABLE, Cluster
from .command import run
from .images import archive
from .oci import Image, write_archive

SECONDS: Final = 300.0
KIND: Final = "kind-"


def import_images(cluster: Cluster, *images: Image) -> None:
    """Bring images to the node, under their names; what it has already is not sent again.

    Raises:
        MisuseError: the cluster is neither ours nor kind's.
        DependencyUnavailableError: the node refused them.

    """
    if cluster.containerd:
        _stream(cluster.containerd, images)
        return
    context = "" if cluster.simulated else cluster.kubectl("config", "current-context").strip()
    if not context.startswith(KIND):
        raise MisuseError(f"only real nodes and kind clusters ({KUBECONFIG_VARIABLE}) can be given images")
    name = context.removeprefix(KIND)
    run(["kind", "load", "image-archive", archive(*images), "--name", name], seconds=SECONDS)


def _stream(socket: str, images: "tuple[Image, ...]") -> None:
    ctr = ["ctr", "--address", socket, "--namespace", "k8s.io"]
    digests = run([*ctr, "content", "ls", "--quiet"], seconds=SECONDS).split()
    present = {digest.removeprefix("sha256:") for digest in digests}
    with tempfile.TemporaryFile() as said:
        importing = subprocess.Popen(  # noqa: S603 - containerd's own client, no shell
            [*ctr, "images", "import", "-"], stdin=subprocess.PIPE, stdout=said, stderr=said
        )
        assert importing.stdin is not None
        broken = False
        try:
            write_archive(importing.stdin, images, present)
            importing.stdin.close()
        except BrokenPipeError:
            broken = True
        if importing.wait(SECONDS) or broken:
            said.seek(0)
            raise DependencyUnavailableError("containerd", f"images not taken: {said.read().decode()}")
