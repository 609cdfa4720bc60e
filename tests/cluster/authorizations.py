"""An API server that tells of every authorization it asks for: also of those that no audit log shows.

It asks a webhook first, which has no opinion ever; RBAC then decides. So what is recorded is what RBAC is asked: the
verb of each request, `create` where an apply makes what was not there, and what admission plugins ask about owners.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from harness.control_plane import ControlPlane

PLUGIN: Final = "OwnerReferencesPermissionEnforcement"
"""Off by default, on in some distributions (OpenShift): checks that who names an owner may hold up its deletion."""


class Asked(NamedTuple):
    """One question: may `user` do this. `resource` with its subresource; empty names and namespaces: any."""

    user: str
    group: str
    resource: str
    verb: str
    namespace: str
    name: str


class Recorder:
    """The webhook. Use as a context; `asked` grows while it lasts."""

    def __init__(self) -> None:
        self.asked: set[Asked] = set()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                found = _asked(review["spec"])
                if found is not None:
                    asked.add(found)
                body = json.dumps({**review, "status": {"allowed": False}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def by(self, user: str) -> set[Asked]:
        """Return what was asked about a user."""
        return {found for found in set(self.asked) if found.user == user}

    def kubeconfig(self, folder: Path) -> Path:
        """Write what an API server wants to know of a webhook."""
        port = self._server.server_address[1]
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "webhook", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "server", "user": {}}],
            "contexts": [{"name": "webhook", "context": {"cluster": "webhook", "user": "server"}}],
            "current-context": "webhook",
        }
        path = folder / "authorization-webhook"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


def _asked(spec: dict[str, Any]) -> Asked | None:
    what = spec.get("resourceAttributes")
    if what is None:
        return None  # a path such as /apis: what every user may read
    parts = (what.get("resource", ""), what.get("subresource", ""))
    return Asked(
        spec["user"],
        what.get("group", ""),
        "/".join(part for part in parts if part),
        what["verb"],
        what.get("namespace", ""),
        what.get("name", ""),
    )


class RecordingControlPlane(ControlPlane):
    """A control plane whose API server asks a recorder before RBAC, and RBAC about owners too."""

    def __init__(self, recorder: Recorder, folder: Path) -> None:
        super().__init__(
            arguments={
                "kube-apiserver": [
                    f"--authorization-webhook-config-file={recorder.kubeconfig(folder)}",
                    "--authorization-webhook-version=v1",
                    "--authorization-webhook-cache-unauthorized-ttl=10m",
                    f"--enable-admission-plugins={PLUGIN}",
                ]
            }
        )

    def _api_server_command(self) -> list[str | Path]:
        """Put the webhook before the rest; a flag given twice would put it behind."""
        words = super()._api_server_command()
        mode = "--authorization-mode="
        return [
            f"{mode}Webhook,{str(word).removeprefix(mode)}" if str(word).startswith(mode) else word
            for word in words
        ]
