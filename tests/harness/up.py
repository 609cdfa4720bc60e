"""`python -m harness.up`: a cluster to try the operator on, until Ctrl-C or SIGTERM (`make cluster`).

On Linux as root a real node with the project's image, Kafka's and Redis' on it; elsewhere, or with --simulated, pods are
only pretended to run. Prints what a shell needs, and how to install the chart with these images:

    export KUBECONFIG=/tmp/…/kubeconfig
    export PATH=/tmp/…/bin:$PATH      # kubectl and helm of the cluster's versions
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from alpha_panda.errors import AlphaPandaError

from .build import find_program
from .chart import trial_values
from .cluster import Cluster
from .images import kafka_image, project_image, redis_image
from .importing import import_images
from .kinds import KINDS
from .sandbox import why_not

INTERRUPTED: Final = 130
CHART: Final = Path(__file__).parents[2] / "charts" / "alpha-panda"


def main(arguments: Sequence[str] | None = None) -> int:
    """Start it, print where it is, wait for a signal, end it."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.up", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--simulated", action="store_true", help="pods are only pretended to run (kwok)")
    simulated = parser.parse_args(arguments).simulated
    # Both interrupt whatever is under way: to start may take minutes, when images are made.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    up = False
    if not simulated and (reason := why_not()):
        _say(f"{reason}: its pods are only pretended to run")
        simulated = True
    try:
        with KINDS["simulated" if simulated else "real"]() as cluster:
            if not simulated:
                _fill(cluster)
            _tell(cluster)
            up = True
            while True:
                time.sleep(1.0)
    except AlphaPandaError as error:
        _say(f"failed: {error}")
        return 1
    except OSError as error:  # the cache's folder, say
        _say(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 0 if up else INTERRUPTED


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


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
    if not cluster.simulated:
        values = Path(cluster.folder) / "values.yaml"
        values.write_text(json.dumps(trial_values(), indent=2), encoding="utf-8")
        _say("then:")
        _say(f"  helm install alpha-panda {CHART} -n alpha-panda --create-namespace --wait -f {values}")
        _say("  kubectl create namespace trading")
        _say(f"  kubectl apply -n trading -f {CHART.parents[1] / 'examples' / '01-paper-momentum'}")
        _say("  kubectl get trading -n trading --watch")
    _say("ready; paste the first two lines into another shell; Ctrl-C ends the cluster")


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)  # noqa: T201 - for a person


if __name__ == "__main__":
    sys.exit(main())
