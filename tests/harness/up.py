"""`python -m harness.up`: a cluster to try the operator on, until Ctrl-C or SIGTERM (`make cluster`).

On Linux as root a real node with the project's image, Kafka's and Redis' on it; elsewhere, or with --simulated, pods are
only pretended to run. Prints what a shell needs:

    export KUBECONFIG=/tmp/…/kubeconfig
    export PATH=/tmp/…/bin:$PATH      # kubectl and helm of the cluster's versions
"""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from alpha_panda.errors import AlphaPandaError

from .build import find_program
from .cluster import Cluster
from .images import kafka_image, project_image, redis_image
from .importing import import_images
from .kinds import KINDS
from .sandbox import why_not


def main(arguments: Sequence[str] | None = None) -> int:
    """Start it, print where it is, wait for a signal, end it."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.up", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--simulated", action="store_true", help="pods are only pretended to run (kwok)")
    simulated = parser.parse_args(arguments).simulated
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if not simulated and (reason := why_not()):
        _say(f"{reason}: its pods are only pretended to run")
        simulated = True
    try:
        with KINDS["simulated" if simulated else "real"]() as cluster:
            if not simulated:
                _fill(cluster)
            _tell(cluster)
            while not ended.wait(1.0):  # a wait without end would not be woken by a signal everywhere
                pass
    except AlphaPandaError as error:
        _say(f"failed: {error}")
        return 1
    return 0


def _fill(cluster: Cluster) -> None:
    for make in (project_image, kafka_image, redis_image):
        image = make()
        import_images(cluster, image)
        _say(f"image {image.name}")


def _tell(cluster: Cluster) -> None:
    programs = Path(cluster.folder) / "bin"
    programs.mkdir()
    for name in ("kubectl", "helm"):
        (programs / name).symlink_to(find_program(name))
    print(f"export KUBECONFIG={cluster.kubeconfig}")  # noqa: T201 - for a shell
    print(f"export PATH={programs}:$PATH", flush=True)  # noqa: T201 - as above
    _say("ready; paste these two lines into another shell; Ctrl-C ends the cluster")


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)  # noqa: T201 - for a person


if __name__ == "__main__":
    sys.exit(main())
