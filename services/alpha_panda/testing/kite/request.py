"""A call as the pure interface takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `query`: each name's values; `form`: the last value of each field; `body`: as it came."""

    method: str
    path: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    authorization: str = ""
    remote: str = "127.0.0.1"

    @property
    def parts(self) -> list[str]:
        """The address without its slashes."""
        return self.path.strip("/").split("/")

    def first(self, name: str) -> str:
        """Return the first value of a name in the query, empty if there is none."""
        return next(iter(self.query.get(name, ())), "")
