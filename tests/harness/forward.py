"""`kubectl port-forward` that begins anew when it ends: pods come and go while a test looks at them."""

import subprocess
import threading
from types import TracebackType
from typing import Final, Self

from .kubectl import Kubectl

AGAIN: Final = 0.2
"""Seconds until a forwarding that has ended is begun again: its pod may still be on its way."""

END_SECONDS: Final = 10.0


class Forward:
    """Forwards a port of this machine's loopback to one of a Service's pod while the context lasts."""

    def __init__(self, kubectl: Kubectl, target: str, port: int, local: int) -> None:
        """Prepare it.

        Args:
            kubectl: of the pod's namespace.
            target: `service/NAME` or `pod/NAME`.
            port: the target's.
            local: ours.

        """
        self._command = [
            str(kubectl.program),
            f"--kubeconfig={kubectl.kubeconfig}",
            f"--namespace={kubectl.namespace}",
            "port-forward",
            target,
            f"{local}:{port}",
        ]
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"forward {target}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._over.is_set():
            with subprocess.Popen(  # noqa: S603 - the harness' own program, no shell
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                self._process = process
                if self._over.is_set():
                    process.terminate()
            self._over.wait(AGAIN)
