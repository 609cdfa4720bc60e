"""The guards of the Lua scripts, each a line that ends with `-- guard: NAME`: for tests that take one out."""

import re
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

FOLDER: Final = Path(str(resources.files("alpha_panda.adapters.redis"))) / "lua"
GUARD: Final = re.compile(r"^(.*) -- guard: (.+)$", re.MULTILINE)
BLOCK: Final = re.compile(r"if .* then$")

LUA_GUARDS: Final = sorted(
    name for file in FOLDER.rglob("*.lua") for _, name in GUARD.findall(file.read_text(encoding="utf-8"))
)

INSTEAD: Final[dict[str, str]] = {
    "decision": "if not decision then decision = {verdict = 'VALIDATED', class = 'increasing', hash = hash} end",
    "newer sequence": "if epoch == stored_epoch then return true end",
    "newer epoch": "return true",
    "own proofs": "if true then",
    "newer heartbeat": "beats[proofs[at]] = proofs[at + 1]",
    "asked once": "redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])",
    "cursor of this store": "from = '(' .. cursor .. '-0'",
}
"""What stands in a guard's place where the script would fail, or do nothing at all, without the line."""

Patch = Callable[[str], str]


def without(guard: str) -> Patch:
    """Return a patch that takes a guard out of a script: its line, or the condition of the block that it opens."""
    return partial(GUARD.sub, lambda line: _instead(line[1], guard) if line[2] == guard else line[0])


def _instead(code: str, guard: str) -> str:
    """Return what takes the place of a guard's line."""
    if guard in INSTEAD:
        return INSTEAD[guard]
    return "if false then" if BLOCK.search(code) else ""
