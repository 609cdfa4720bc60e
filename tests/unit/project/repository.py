"""Where the repository's files are; shared by the tests of the project's frame."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PLATFORM = ROOT / "services" / "alpha_panda"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PYPROJECT: dict[str, Any] = tomllib.loads(read("pyproject.toml"))
PROJECT: dict[str, Any] = PYPROJECT["project"]


def packages() -> set[str]:
    """Return the names of the packages directly below the platform's."""
    return {path.parent.name for path in PLATFORM.glob("*/__init__.py")}
