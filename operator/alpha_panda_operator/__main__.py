"""`python -m alpha_panda_operator`: exit code 0 when told to stop, 1 when it must start anew, 2 for wrong settings."""

import asyncio
import os
import secrets
import socket
import sys
from pathlib import Path

import structlog

from alpha_panda.errors import AlphaPandaError, SettingsError, UserInputError
from alpha_panda.runtime.logging import configure_logging, log_fields
from alpha_panda.runtime.settings import OPERATOR_PREFIX, load_settings
from alpha_panda_operator.access import find_access
from alpha_panda_operator.app import Operator, Place
from alpha_panda_operator.config import load_config

CONFIG = f"{OPERATOR_PREFIX}CONFIG"
"""Names the configuration file."""
NAMESPACE = f"{OPERATOR_PREFIX}NAMESPACE"
"""The operator's own namespace: of its Lease and the platform's ConfigMap; by default that of its service account."""
NAME = f"{OPERATOR_PREFIX}NAME"
"""The pod's name; by default the host's."""

log = structlog.get_logger()


def main() -> int:
    """Run the operator until it is told to stop; return the exit code."""
    try:
        return _run()
    except UserInputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up yet
        return 2


def _run() -> int:
    settings = load_settings()
    configure_logging(settings)
    path = os.environ.get(CONFIG)
    if not path:
        raise SettingsError(f"{CONFIG} is not set: name the operator's configuration file")
    config = load_config(Path(path))
    access = find_access(os.environ)
    name = os.environ.get(NAME) or socket.gethostname()
    place = Place(os.environ.get(NAMESPACE) or access.namespace, f"{name}-{secrets.token_hex(4)}")
    operator = Operator(config, settings, access, place)
    with log_fields(service_name="operator"):
        try:
            asyncio.run(operator.run())
        except BaseException as error:  # noqa: BLE001 - raised again unless it is one of ours
            first = _first(error)
            if not isinstance(first, AlphaPandaError) or isinstance(first, UserInputError):
                raise first from None
            log.error("ending: it must start anew", error=str(first))  # noqa: TRY400 - the words say all
            return 1
    return 0


def _first(error: BaseException) -> BaseException:
    """Return an error; of a group, however deep, the first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    sys.exit(main())
