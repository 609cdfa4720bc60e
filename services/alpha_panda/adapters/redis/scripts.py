"""The Lua scripts of this package: read from `lua/`, joined with the parts they share, named by their SHA-1."""

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

LUA = "alpha_panda.adapters.redis"


@dataclass(frozen=True, slots=True)
class Script:
    """A script as Redis gets it. `writes`: whether it may write; if not, Redis itself refuses each write of it.

    `ARGV[1]` is always the offset of the store's clock in microseconds (`RedisDatabase.run` adds it); the script's
    own arguments begin at `ARGV[2]`. KEYS are the keys that it writes: Redis asks for read and write rights to all of
    them, so names of keys that are only read travel as arguments. A script that only reads gets its keys as KEYS.
    """

    name: str
    text: str
    writes: bool
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


def script(name: str, *, uses: tuple[str, ...] = ("common",), writes: bool = True) -> Script:
    """Return `lua/<name>.lua` after the files of `uses`, as one script."""
    flags = "#!lua\n" if writes else "#!lua flags=no-writes\n"
    return Script(name, flags + "\n".join(_text(part) for part in (*uses, name)), writes)


@cache
def _text(name: str) -> str:
    return resources.files(LUA).joinpath("lua", *f"{name}.lua".split("/")).read_text(encoding="utf-8")
