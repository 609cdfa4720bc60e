"""Where an account's keys come from and its session goes: files of one's own, or Secrets of a cluster."""

import base64
import binascii
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import typer

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.resources import KINDS, BrokerAccount, ZerodhaBroker
from alpha_panda.errors import OutputError, UserInputError

from .output import warn
from .plugin_kubectl import Kubectl
from .plugin_routes import ACCOUNTS, name_of

if TYPE_CHECKING:
    from alpha_panda.adapters.zerodha.session import Session

API_KEY = "api_key"
API_SECRET = "api_secret"  # noqa: S105 - a file's name
SESSION_FILE = "session.json"
SESSION_AT = "alphapanda.io/session-at"
"""Annotation of an account: when somebody logged in last."""
MANAGER = "alpha-panda-login"
"""Who owns the fields of a session's Secret."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What an app at the broker has; the secret is never shown. `where`: in words, where they are kept."""

    api_key: str
    api_secret: str = field(repr=False)
    where: str = ""


class Place(Protocol):
    """Where one account's keys and session are."""

    def keys(self) -> Keys:
        """Return the keys; asks a person for what is missing."""

    def objection(self, user: str) -> str:
        """Return why no session of this user may be stored; "" if one may."""

    def store(self, session: "Session") -> str:
        """Store the session and say where."""


def asked(what: str, remedy: str, *, hidden: bool) -> str:
    """Ask a person at a terminal; UserInputError with the remedy where there is none, or what is typed can't be it."""
    if not sys.stdin.isatty():
        raise UserInputError(f"{what} is missing: {remedy}")
    text = str(typer.prompt(what, hide_input=hidden, err=True)).strip()
    if not text.isalnum():
        raise UserInputError(f"{what} has letters and digits alone")
    return text


# --------------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True, slots=True)
class Files:
    """An account's folder: `keys/api_key`, `keys/api_secret`, `session/session.json`, for its owner's eyes alone."""

    account: str
    directory: Path

    def __post_init__(self) -> None:
        name_of("BrokerAccount", self.account)

    def keys(self) -> Keys:
        """See `Place`; what is typed is kept, so that it is asked for once."""
        where = f"in {self.directory / 'keys'}: delete that folder to be asked for others"
        return Keys(self._key(API_KEY, hidden=False), self._key(API_SECRET, hidden=True), where)

    def _key(self, name: str, *, hidden: bool) -> str:
        path = self.directory / "keys" / name
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            raise UserInputError(f"{path} can't be read: {error}") from error
        if text:
            _warn_of_others(path)
            return text
        remedy = f"write it to {path} (mode 0600), from the app's page at developers.kite.trade"
        text = asked(name, remedy, hidden=hidden)
        _write_private(path, text)
        warn(f"kept in {path}")
        return text

    def objection(self, user: str) -> str:
        """See `Place`. No manifest is at hand; but what is good still is not written over by a slip."""
        from alpha_panda.adapters.zerodha.session import Session  # noqa: PLC0415 - keeps `--help` quick

        file = self.directory / "session" / SESSION_FILE
        try:
            before = msgspec.json.decode(file.read_bytes(), type=Session)
        except (OSError, msgspec.DecodeError):
            return ""
        if before.user_id == user or before.expires_at <= RealClock().now():
            return ""
        return (
            f"the session of {before.user_id} is good still; if the account is of {user} now, delete {file}"
        )

    def store(self, session: "Session") -> str:
        """See `Place`."""
        from alpha_panda.adapters.zerodha.session import write_session  # noqa: PLC0415 - as above

        try:
            return str(write_session(self.directory, session))
        except OSError as error:
            raise OutputError(
                f"the session can't be written below {self.directory}: {error.strerror}"
            ) from error


def _write_private(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text + "\n", encoding="ascii")
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error


def _warn_of_others(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        warn(f"warning: others may read {path}; `chmod 600 {path}`")


# ------------------------------------------------------------------------------------------------------- Secrets


@dataclass(frozen=True, slots=True)
class Secrets:
    """The account's Secrets in a cluster, reached by the kubectl of the person who types."""

    account: str
    kubectl: Kubectl
    spec: ZerodhaBroker
    namespace: str

    @classmethod
    def of(cls, account: str, kubectl: Kubectl) -> "Secrets":
        """Look at the account's manifest.

        Raises:
            UserInputError: there is no such account, or it needs no log-in.
            DependencyUnavailableError: kubectl can't tell.

        """
        found = kubectl.object(ACCOUNTS, name_of("BrokerAccount", account))
        if found is None:
            where = f"namespace {kubectl.namespace}" if kubectl.namespace else "your namespace"
            raise UserInputError(f"there is no BrokerAccount {account} in {where}; -n NAMESPACE says another")
        raw = (found.get("spec") or {}).get("zerodha")
        if raw is None:
            raise UserInputError(f"BrokerAccount {account} needs no log-in: it is a paper account")
        resource = KINDS["BrokerAccount"].model_validate(found, by_alias=True, by_name=False)
        assert isinstance(resource, BrokerAccount)  # noqa: S101 - the kind says so
        assert resource.spec.zerodha is not None  # noqa: S101 - looked at above
        namespace = str((found.get("metadata") or {}).get("namespace") or kubectl.namespace)
        return cls(account, kubectl, resource.spec.zerodha, namespace)

    def keys(self) -> Keys:
        """See `Place`; the secret may be missing in the cluster, and is then asked for each time and kept nowhere."""
        name = self.spec.keys_secret_of(self.account)
        data = (self.kubectl.object("secret", name) or {}).get("data") or {}
        key = _decoded(data, API_KEY)
        if not key:
            raise UserInputError(
                f"Secret {name} with the key {API_KEY} is missing in namespace {self.namespace}: kubectl create secret "
                f"generic {name} -n {self.namespace} --from-file={API_KEY}=FILE"
            )
        secret = _decoded(data, API_SECRET)
        remedy = f"put it into Secret {name}, or type it at a terminal"
        where = f"in Secret {name} of namespace {self.namespace}"
        return Keys(key, secret or asked(API_SECRET, remedy, hidden=True), where)

    def objection(self, user: str) -> str:
        """See `Place`."""
        return "" if user == self.spec.user_id else f"account {self.account} is of {self.spec.user_id}"

    def store(self, session: "Session") -> str:
        """See `Place`."""
        name = self.spec.session_secret_of(self.account)
        content = base64.b64encode(msgspec.json.encode(session)).decode()
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": {
                        "app.kubernetes.io/part-of": "alpha-panda",
                        "alphapanda.io/account": self.account,
                    },
                },
                "type": "Opaque",
                "data": {SESSION_FILE: content},
            },
            MANAGER,
        )
        # The operator tells the pods of a manifest that has changed, and their kubelets then look at their Secrets too.
        if not self.kubectl.annotate(ACCOUNTS, self.account, f"{SESSION_AT}={session.login_at}"):
            warn("note: the account could not be annotated; its pods find the session within a minute or two")
        return f"Secret {name} of namespace {self.namespace}"


def _decoded(data: Mapping[str, Any], name: str) -> str:
    try:
        return base64.b64decode(str(data.get(name) or ""), validate=True).decode("ascii").strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""
