"""Types of settings: the bounds that several settings share, and texts that must not be shown."""

import re
from typing import Annotated, Final

from annotated_types import Ge, Gt
from pydantic import AfterValidator, AllowInfNan, SecretStr

Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Gt(0), AllowInfNan(allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Ge(0), AllowInfNan(allow_inf_nan=False)]

REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")

_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,\[\]]+):[0-9]{1,5}")


def _servers(value: str) -> str:
    if value and not all(_SERVER.fullmatch(server) for server in value.split(",")):
        raise ValueError("each broker is host:port, separated by commas; an IPv6 address stands in brackets")
    return value


Servers = Annotated[str, AfterValidator(_servers)]


def _redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not text.startswith(REDIS_SCHEMES):
        raise ValueError("an address of Redis begins with redis://, rediss:// (TLS) or unix://")
    return value


RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
"""Secret, because it may hold a password."""
