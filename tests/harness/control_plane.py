"""Real etcd, kube-apiserver and kube-controller-manager: an API that takes, checks, garbage-collects and runs nothing.

with ControlPlane() as control_plane:
    control_plane.cluster.kubectl("get", "namespaces")

RBAC is on; the only token is an administrator's, others by `Cluster.service_account_kubeconfig`.
"""

import http.client
import secrets
import signal
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from alpha_panda.testing.servers.ports import LOOPBACK, free_ports

from . import versions
from .build import find_programs
from .cluster import Cluster
from .credentials import ADMINS, write_kubeconfig, write_secret, write_service_account_key
from .folders import OwnFolder
from .processes import Processes

START_SECONDS: Final = 90.0  # 4 s when idle; a loaded machine may take many times that
PROBE_SECONDS: Final = 2.0

API_SERVER: Final = "kube-apiserver"
CONTROLLERS: Final = "kube-controller-manager"

WORKERS: Final = ("deployment", "endpoint", "gc", "namespace", "replicaset", "service-endpoint")
"""Controllers that get as many workers as a thousand strategies want; by default they have five."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a control plane runs: the address it listens on, and how a process gets there.

    `services`, `pods`: its networks.
    """

    address: str = LOOPBACK
    prefix: tuple[str, ...] = ()
    services: str = "10.96.0.0/16"
    pods: str = "10.244.0.0/16"

    @property
    def reachable_from_pods(self) -> bool:
        """Whether pods could reach the API server here; if not, it does not advertise itself."""
        return self.address != LOOPBACK


class ControlPlane:
    """A control plane of one's own, below a folder that goes with it.

    All methods block and return when the state is reached.

    Args:
        place: where; by default free ports on loopback.
        folder: where data and logs go; by default a temporary one, deleted on `close`.
        arguments: more arguments by program, e.g. {"kube-apiserver": ["--v=4"]}.

    """

    def __init__(
        self,
        *,
        place: Place | None = None,
        folder: Path | None = None,
        arguments: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._place = place or Place()
        self._own: OwnFolder | None = None
        if folder is None:
            self._own = OwnFolder()
            folder = self._own.path
        self.folder = folder
        self._more = {name: list(more) for name, more in (arguments or {}).items()}
        self._programs = find_programs(versions.CONTROL_PLANE)
        self._port, self._etcd, self._peers, self._controllers = free_ports(4)
        self._token = secrets.token_urlsafe()
        self.processes = Processes(self.folder, self._place.prefix)
        self.seconds = 0.0
        """How long the start took."""

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{self._place.address}:{self._port}"

    @property
    def cluster(self) -> Cluster:
        """What its users need."""
        return Cluster(
            kubeconfig=str(self.kubeconfig),
            folder=str(self.folder),
            url=self.url,
            token=self._token,
            authority=str(self._certificate),
        )

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    def start(self) -> Self:
        """Start all three; return when the API is ready and namespaces get their service account."""
        began = time.monotonic()
        write_service_account_key(self._key)
        write_secret(self.folder / "tokens.csv", f'{self._token},admin,admin,"{ADMINS}"\n')
        self.processes.start("etcd", self._etcd_command())
        self.processes.start(API_SERVER, self._api_server_command())
        self._await_ready()
        write_kubeconfig(self.kubeconfig, url=self.url, authority=self._certificate, token=self._token)
        self.processes.start(CONTROLLERS, self._controllers_command())
        self.processes.wait_until(
            self._has_service_account, "the controllers work", START_SECONDS, CONTROLLERS
        )
        self.seconds = time.monotonic() - began
        return self

    def close(self) -> None:
        """Kill all and delete what they kept."""
        self.processes.close()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- harm

    def kill_api_server(self) -> None:
        """End the API server at once: connections are refused."""
        self.processes.kill(API_SERVER)

    def restart_api_server(self) -> None:
        """Start the API server again, on the same port with the same data."""
        self.processes.restart(API_SERVER)
        self._await_ready()

    def pause_api_server(self) -> None:
        """Freeze the API server: connections stay open and nobody answers."""
        self.processes[API_SERVER].signal(signal.SIGSTOP)

    def resume_api_server(self) -> None:
        """Let a frozen API server go on."""
        self.processes[API_SERVER].signal(signal.SIGCONT)

    # ------------------------------------------------------------------------------------------- how

    @property
    def _key(self) -> Path:
        return self.folder / "service-accounts.key"

    @property
    def _certificate(self) -> Path:
        return self.folder / "certificates" / "apiserver.crt"

    def _etcd_command(self) -> list[str | Path]:
        clients, peers = (f"http://{LOOPBACK}:{port}" for port in (self._etcd, self._peers))
        return [
            self._programs["etcd"],
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # what a test cluster holds may be lost with the machine
            "--log-level=warn",
            *self._more.get("etcd", []),
        ]

    def _api_server_command(self) -> list[str | Path]:
        return [
            self._programs[API_SERVER],
            f"--etcd-servers=http://{LOOPBACK}:{self._etcd}",
            f"--bind-address={self._place.address}",
            f"--advertise-address={self._place.address}",
            f"--secure-port={self._port}",
            f"--cert-dir={self._certificate.parent}",
            f"--service-cluster-ip-range={self._place.services}",
            f"--endpoint-reconciler-type={'lease' if self._place.reachable_from_pods else 'none'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--service-account-key-file={self._key}",
            f"--service-account-signing-key-file={self._key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            *self._more.get(API_SERVER, []),
        ]

    def _controllers_command(self) -> list[str | Path]:
        return [
            self._programs[CONTROLLERS],
            f"--kubeconfig={self.kubeconfig}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={self._controllers}",
            f"--service-account-private-key-file={self._key}",
            f"--root-ca-file={self._certificate}",
            f"--cluster-cidr={self._place.pods}",
            "--allocate-node-cidrs=false",
            "--leader-elect=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            *(f"--concurrent-{kind}-syncs=20" for kind in WORKERS),
            *self._more.get(CONTROLLERS, []),
        ]

    def _await_ready(self) -> None:
        self.processes.wait_until(self._answers, "the API is ready", START_SECONDS, "etcd", API_SERVER)

    def _answers(self) -> bool:
        return self._status("/readyz") == http.client.OK

    def _has_service_account(self) -> bool:
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self._status(path) == http.client.OK

    def _status(self, path: str) -> int:
        """Return the status of a GET; 0 without an answer."""
        where = urlsplit(self.url)
        try:
            trust = ssl.create_default_context(cafile=self._certificate)
            connection = http.client.HTTPSConnection(
                str(where.hostname), where.port, timeout=PROBE_SECONDS, context=trust
            )
            try:
                connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
                return connection.getresponse().status
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return 0
