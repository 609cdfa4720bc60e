"""What a pod that logs in at a broker gets beside all others: its Secrets as directories, and where they are. Pure.

The operator has no rights on Secrets: it names them in templates. Each is optional there, so that a pod starts before
anybody has logged in, says what it waits for, and finds the session as soon as it is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from alpha_panda.contracts.resources import BrokerAccount
from alpha_panda.runtime.settings import env_name
from alpha_panda_operator.view import ResourceView

ACCOUNTS: Final = "/etc/alpha-panda/accounts"
"""Holds a folder an account, with one for its keys and one for its session."""
INSTRUMENTS: Final = "/var/cache/alpha-panda/instruments"
POSTBACK_PORT: Final = 8600
POSTBACKS: Final = "postbacks"
"""Name of the port at which an order-tracker takes postbacks."""

ENGINE: Final = "engine"
ORDER_TRACKER: Final = "order-tracker"
MARKET_FEED_ROLE: Final = "market-feed"
ROLES: Final = (ENGINE, ORDER_TRACKER, MARKET_FEED_ROLE)
"""Roles that speak to a broker. Strategy pods run users' code, and risk decides by what the order-tracker tells."""

KEY: Final = "api_key"
SECRET: Final = "api_secret"  # noqa: S105 - a key's name
_READABLE: Final = 0o440

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Login:
    """A log-in at a broker: of which account, and in which Secrets. `postbacks`: whether any are taken."""

    account: str
    user: str
    keys_secret: str
    session_secret: str
    postbacks: bool


def login_of(account: ResourceView | None) -> Login | None:
    """Return the log-in of an account; None of one that has none, or is not valid."""
    model = account.model if account is not None else None
    spec = model.spec.zerodha if isinstance(model, BrokerAccount) else None
    if spec is None or account is None:
        return None
    name = account.key.name
    return Login(name, spec.user_id, spec.keys_secret_of(name), spec.session_secret_of(name), spec.postbacks)


def source_account(view: ResourceView) -> str:
    """Return the account whose log-in a feed names; "" of any other feed."""
    source = view.spec.get("source")
    zerodha = source.get("zerodha") if isinstance(source, Mapping) else None
    name = zerodha.get("account") if isinstance(zerodha, Mapping) else None
    return name if isinstance(name, str) else ""


def takes_postbacks(login: Login | None, role: str) -> bool:
    """Whether pods of the role listen for postbacks."""
    return login is not None and login.postbacks and role == ORDER_TRACKER


def volumes(login: Login | None, role: str) -> list[Json]:
    """Return the volumes of a role: api_secret goes to whoever checks postbacks, and to nobody else."""
    if login is None or role not in ROLES:
        return []
    keys = [KEY, SECRET] if takes_postbacks(login, role) else [KEY]
    found: list[Json] = [
        _secret("broker-keys", login.keys_secret, keys),
        _secret("broker-session", login.session_secret, ["session.json"]),
    ]
    if role == MARKET_FEED_ROLE:
        found.append({"name": "instruments", "emptyDir": {"sizeLimit": "256Mi"}})
    return found


def _secret(name: str, secret: str, keys: list[str]) -> Json:
    items = [{"key": key, "path": key} for key in keys]
    terms = {"secretName": secret, "items": items, "defaultMode": _READABLE, "optional": True}
    return {"name": name, "secret": terms}


def mounts(login: Login | None, role: str) -> list[Json]:
    """Return where a role's container has them."""
    if login is None or role not in ROLES:
        return []
    folder = f"{ACCOUNTS}/{login.account}"
    found: list[Json] = [
        {"name": "broker-keys", "mountPath": f"{folder}/keys", "readOnly": True},
        {"name": "broker-session", "mountPath": f"{folder}/session", "readOnly": True},
    ]
    if role == MARKET_FEED_ROLE:
        found.append({"name": "instruments", "mountPath": INSTRUMENTS})
    return found


def variables(login: Login | None, role: str) -> dict[str, str]:
    """Return the settings that say where."""
    if login is None or role not in ROLES:
        return {}
    told = {env_name("broker_directory"): ACCOUNTS}
    if role == MARKET_FEED_ROLE:
        told[env_name("zerodha_instruments_directory")] = INSTRUMENTS
    if takes_postbacks(login, role):
        told[env_name("postback_port")] = str(POSTBACK_PORT)
    return told


def ports(login: Login | None, role: str) -> list[Json]:
    """Return the ports of a container beside those of all."""
    if not takes_postbacks(login, role):
        return []
    return [{"name": POSTBACKS, "containerPort": POSTBACK_PORT, "protocol": "TCP"}]
