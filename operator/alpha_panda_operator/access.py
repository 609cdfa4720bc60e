"""How the API server is reached: from inside a pod, or by a kubeconfig (on a desk, and in tests)."""

import base64
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from alpha_panda.errors import SettingsError

MOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """Address and login. `token` is asked before each request: the kubelet exchanges the file every hour."""

    server: str
    token: Callable[[], str | None] = field(repr=False)
    ca_file: Path | None = None
    ca_data: str | None = None
    certificate_file: Path | None = None
    key_file: Path | None = field(default=None, repr=False)
    insecure: bool = False
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what verifies the server and shows our certificate; None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(
            cafile=None if self.ca_file is None else str(self.ca_file), cadata=self.ca_data
        )
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def find_access(environment: Mapping[str, str], mount: Path = MOUNT) -> ApiAccess:
    """Return the pod's own access where there is one, else that of `KUBECONFIG` or `~/.kube/config`.

    Raises:
        SettingsError: there is neither, or it can't be used.

    """
    if environment.get("KUBECONFIG"):
        return from_kubeconfig(Path(environment["KUBECONFIG"]))
    if environment.get(HOST):
        return _in_cluster(environment, mount)
    usual = Path(environment.get("HOME", "/")) / ".kube" / "config"
    if usual.is_file():
        return from_kubeconfig(usual)
    raise SettingsError(
        "no way to the Kubernetes API: run in a pod with a service account, or set KUBECONFIG"
    )


def _in_cluster(environment: Mapping[str, str], mount: Path) -> ApiAccess:
    host = environment[HOST]
    address = f"[{host}]" if ":" in host else host
    token_file = mount / "token"
    if not token_file.is_file():
        raise SettingsError(f"{token_file} is missing: the operator's pod needs its service account's token")
    return ApiAccess(
        server=f"https://{address}:{environment.get(PORT, '443')}",
        token=lambda: token_file.read_text(encoding="utf-8").strip(),
        ca_file=mount / "ca.crt",
        namespace=(mount / "namespace").read_text(encoding="utf-8").strip(),
    )


def from_kubeconfig(path: Path) -> ApiAccess:
    """Return the access of a kubeconfig's current context: a token, a token's file or a client certificate.

    Raises:
        SettingsError: it can't be read, or logs in by a plugin.

    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(config, "contexts", "context", config["current-context"])
        cluster = _named(config, "clusters", "cluster", context["cluster"])
        user = _named(config, "users", "user", context["user"])
    except OSError as error:
        raise SettingsError(f"kubeconfig {path} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise SettingsError(f"kubeconfig {path} is not complete: {error!r}") from error
    if "exec" in user or "auth-provider" in user:
        raise SettingsError(f"kubeconfig {path} logs in by a plugin; use one with a token or a certificate")
    ca_data = cluster.get("certificate-authority-data")
    return ApiAccess(
        server=cluster["server"].rstrip("/"),
        token=_token_of(user, path),
        ca_file=_file(cluster, "certificate-authority", path),
        ca_data=None if ca_data is None else base64.b64decode(ca_data).decode("ascii"),
        certificate_file=_file(user, "client-certificate", path),
        key_file=_file(user, "client-key", path),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=context.get("namespace", "default"),
    )


def _named(config: Mapping[str, Any], plural: str, singular: str, name: str) -> dict[str, Any]:
    found = next(item for item in config[plural] if item["name"] == name)
    return dict(found.get(singular) or {})


def _token_of(user: Mapping[str, Any], kubeconfig: Path) -> Callable[[], str | None]:
    file = _file(user, "tokenFile", kubeconfig)
    if file is not None:
        return lambda: file.read_text(encoding="utf-8").strip()
    token = user.get("token")
    return lambda: token


def _file(entry: Mapping[str, Any], name: str, kubeconfig: Path) -> Path | None:
    """Return the file of an entry; inline data goes into a file, which is all that Python's TLS reads."""
    if entry.get(name):
        return kubeconfig.parent / str(entry[name])
    data = entry.get(f"{name}-data")
    if not data or name == "certificate-authority":
        return None
    number, path = tempfile.mkstemp(prefix="alpha-panda-", suffix=".pem")  # 0600
    with os.fdopen(number, "wb") as file:
        file.write(base64.b64decode(data))
    return Path(path)
