"""The login of a person's commands, where a pod has one beside its service's own.

In a pod a command runs with the pod's settings. The pod's own users may less than a person (docs/reference/redis-acl.md),
so a second Secret may be mounted: a directory with the keys that a role's Secret has. Of these the commands, and nothing
else, log in.
"""

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Final

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.secret_files import SUFFIX
from alpha_panda.runtime.settings import Settings, env_name

_LOGINS: Final = ("kafka-sasl", "redis", "journal-redis")
"""What the keys of one login begin with: `-username` and `-password` follow."""

DENIED: Final = "NOPERM"
"""What Redis begins its answer with when a user lacks a right."""

REMEDY: Final = (
    "the user of Redis that this command logs in as may not do this: it takes the rights of `person`, see "
    "docs/kubernetes/security.md for how a pod gets that login"
)


def log_in_as_person(settings: Settings, environment: MutableMapping[str, str]) -> bool:
    """Put the person's login in the place of the pod's into the environment, if there is one; say whether there was.

    A login is taken whole: a user's name without the password that belongs to it would be neither's. Passwords stay in
    their files. What else the pod has, it keeps: a Secret with Redis' login alone leaves Kafka's as it is.

    Raises:
        SettingsError: the directory is there, but can't be read.

    """
    folder = Path(settings.person_credentials)
    try:
        present = {item.name for item in folder.iterdir()} if settings.person_credentials else set()
    except FileNotFoundError:
        return False
    except OSError as error:
        name = env_name("person_credentials")
        raise SettingsError(f"{name} names {folder}, which can't be read: {error.strerror}") from error
    logins = [login for login in _LOGINS if f"{login}-password" in present]
    for login in logins:
        for name in _names(login):
            environment.pop(name, None)
        user, password = (env_name(f"{login}-{part}".replace("-", "_")) for part in ("username", "password"))
        environment[f"{password}{SUFFIX}"] = str(folder / f"{login}-password")
        if f"{login}-username" in present:
            environment[user] = (folder / f"{login}-username").read_text(encoding="utf-8").rstrip("\r\n")
    return bool(logins)


def _names(login: str) -> Iterator[str]:
    """Yield the variables by which a login may be told."""
    for part in ("username", "password"):
        name = env_name(f"{login}-{part}".replace("-", "_"))
        yield from (name, f"{name}{SUFFIX}")
