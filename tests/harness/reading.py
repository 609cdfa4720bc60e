"""Reads objects straight from the API server: a test polls hundreds of times, and a kubectl each costs 0.1 s of a core.

Only what waiting needs: `get` and `list` of common kinds by the token of a kubeconfig of ours. Whatever else there is
(another kubeconfig, another kind, no answer) gives None, and kubectl is asked, whose words a person knows.
"""

import http.client
import json
import ssl
import threading
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import yaml

SECONDS: Final = 30.0
OURS: Final = "apis/alphapanda.io/v1alpha1"

_PLACES: Final = {
    "api/v1": ("pods", "configmaps", "events", "services", "serviceaccounts", "secrets"),
    "apis/apps/v1": ("deployments", "replicasets", "statefulsets"),
    "apis/batch/v1": ("jobs",),
    "apis/networking.k8s.io/v1": ("networkpolicies",),
    "apis/policy/v1": ("poddisruptionbudgets",),
    OURS: ("strategies", "brokeraccounts", "marketfeeds"),
}
_SINGULAR: Final = {"strategies": "strategy", "networkpolicies": "networkpolicy"}

PATHS: Final = {
    name: f"{place}/namespaces/{{}}/{plural}"
    for place, plurals in _PLACES.items()
    for plural in plurals
    for name in (plural, _SINGULAR.get(plural, plural.removesuffix("s")))
}
"""Where the objects of a kind are, by the names that kubectl knows too."""


@dataclass
class _Server:
    """An API server and the token for it; a connection for each thread, which is kept."""

    address: str
    context: ssl.SSLContext
    token: str
    local: threading.local

    def ask(self, path: str) -> dict[str, Any] | None:
        """Return the answer to a GET, empty if that is 404, None if another; an ended connection is made anew once."""
        for fresh in (False, True):
            connection = self._connection(fresh=fresh)
            try:
                connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                continue
            if answer.status == http.HTTPStatus.NOT_FOUND:
                return {}
            return json.loads(body) if answer.status == http.HTTPStatus.OK else None
        return None

    def _connection(self, *, fresh: bool) -> http.client.HTTPSConnection:
        if fresh or not hasattr(self.local, "connection"):
            if hasattr(self.local, "connection"):
                self.local.connection.close()
            self.local.connection = http.client.HTTPSConnection(
                self.address, timeout=SECONDS, context=self.context
            )
        connection: http.client.HTTPSConnection = self.local.connection
        return connection


@cache
def _server(kubeconfig: Path, _: int) -> _Server | None:
    content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    try:
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        address, token = urlsplit(cluster["server"]).netloc, user["token"]
    except (KeyError, IndexError, TypeError):
        return None
    return _Server(address, ssl.create_default_context(cadata=authority), token, threading.local())


def read(
    kubeconfig: Path, namespace: str, kind: str, name: str = "", *arguments: str
) -> dict[str, Any] | None:
    """Return an object, or a list's answer without a name; empty: there is none; None: ask kubectl."""
    path = PATHS.get(kind)
    words = [word.partition("=") for word in arguments]
    if path is None or not namespace or any(word[0] != "--selector" for word in words):
        return None
    server = _server(kubeconfig, kubeconfig.stat().st_mtime_ns)
    if server is None:
        return None
    query = "?" + urlencode({"labelSelector": words[0][2]}) if words else ""
    tail = f"/{quote(name)}" if name else ""
    found = server.ask(f"/{path.format(quote(namespace))}{tail}{query}")
    return _as_kubectl_shows(found) if found else found


def _as_kubectl_shows(found: dict[str, Any]) -> dict[str, Any]:
    """Without managed fields, and the items of a list with their kind."""
    own = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    items = [{**own, **item} for item in found["items"]] if "items" in found else []
    for item in items or [found]:
        item["metadata"].pop("managedFields", None)
    return {**found, "items": items} if "items" in found else found
