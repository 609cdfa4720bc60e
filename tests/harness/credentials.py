"""Who may talk to an API server: tokens, the key of service accounts, kubeconfigs."""

import base64
import json
from pathlib import Path
from typing import Final

from .command import run

ADMINS: Final = "system:masters"
OPENSSL_SECONDS: Final = 30.0


def write_secret(path: Path, content: str) -> Path:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")
    return path


def write_service_account_key(path: Path) -> Path:
    """Make the private key by which tokens of service accounts are signed."""
    write_secret(path, "")
    run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path],
        seconds=OPENSSL_SECONDS,
    )
    return path


def write_kubeconfig(path: Path, *, url: str, authority: Path, token: str) -> Path:
    """Write a kubeconfig (as JSON, which is YAML) with one cluster, one user, and all that they need inside."""
    certificate = base64.b64encode(authority.read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": certificate}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
        "current-context": "test",
    }
    return write_secret(path, json.dumps(content, indent=1))
