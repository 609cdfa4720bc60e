"""The lock: exact, hash-checked, complete, and of nothing that nobody asks for."""

import ast
import re
import sys
from functools import cache
from importlib.metadata import distribution
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from unit.project.repository import PLATFORM, PROJECT, PYPROJECT, ROOT, read

DATA_ONLY = {"bokeh-sampledata", "mlfinpy"}  # installed for their files, without what they declare


@cache
def lock(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """Return the pins of a lock file by project, each with its number of hashes."""
    pins: dict[str, list[tuple[Requirement, int]]] = {}
    text = re.sub(r"\\\n\s*", " ", read(name))
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words, *hashes = line.split(" --hash=sha256:")
        assert all(re.fullmatch(r"[0-9a-f]{64}\s*", value) for value in hashes), line
        requirement = Requirement(words.strip())
        pins.setdefault(canonicalize_name(requirement.name), []).append((requirement, len(hashes)))
    return pins


LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"]


def pinned(name: str) -> dict[str, str]:
    """Return project → version for the Python that runs now."""
    return {
        project: next(iter(requirement.specifier)).version
        for project, pins in lock(name).items()
        for requirement, _ in pins
        if requirement.marker is None or requirement.marker.evaluate()
    }


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact_and_hash_checked(name: str) -> None:
    assert lock(name)
    for pins in lock(name).values():
        for requirement, hashes in pins:
            assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
            assert hashes > 0, requirement
            assert requirement.url is None


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_speaks_of_nothing_but_packages(name: str) -> None:
    assert not re.search(r"://|^\s*-|@ |/(?!.*via)", re.sub(r"--hash=\S+", "", read(name)), re.MULTILINE)


def wanted(*groups: str) -> list[Requirement]:
    """Return what pyproject asks for: the dependencies, and those of extras and dependency groups."""
    found: list[str] = list(PROJECT["dependencies"])
    for group in groups:
        entries: list[Any] = (
            PROJECT["optional-dependencies"].get(group) or PYPROJECT["dependency-groups"][group]
        )
        found += [entry for entry in entries if isinstance(entry, str)]
    return [Requirement(entry) for entry in found]


def required(by: Requirement) -> list[Requirement]:
    """What the installed distribution asks for, with the extras that are wanted of it."""
    entries = [Requirement(entry) for entry in distribution(canonicalize_name(by.name)).requires or ()]
    extras = {"", *by.extras}
    return [
        entry
        for entry in entries
        if entry.marker is None or any(entry.marker.evaluate({"extra": extra}) for extra in extras)
    ]


@pytest.mark.parametrize(
    ("name", "groups"), [("requirements.lock", ()), ("requirements-dev.lock", ("parquet", "dev", "build"))]
)
def test_a_lock_is_complete(name: str, groups: tuple[str, ...]) -> None:
    pins, seen, open_ = pinned(name), set[str](), wanted(*groups)
    while open_:
        requirement = open_.pop()
        project = canonicalize_name(requirement.name)
        assert project in pins, f"{requirement} is missing from {name}: make lock"
        assert requirement.specifier.contains(pins[project]), (
            f"{name} holds {pins[project]}, not {requirement}: make lock"
        )
        if project not in seen and project not in DATA_ONLY:
            open_ += required(requirement)
        seen.add(project)
    assert seen == set(pins), "the lock holds what nobody asks for: make lock"


def test_the_locks_agree() -> None:
    everything = lock("requirements-dev.lock")
    for name in ("requirements.lock", "requirements-build.lock"):
        for project, pins in lock(name).items():
            assert [str(pin) for pin, _ in pins] == [str(pin) for pin, _ in everything[project]]


def test_what_is_installed_is_what_is_locked() -> None:
    pins = pinned("requirements-dev.lock")
    assert {project: distribution(project).version for project in pins} == pins, "make setup"


def test_data_packages_bring_no_libraries_with_them() -> None:
    assert lock("requirements-dev.lock").keys() >= DATA_ONLY
    assert (
        not {"numba", "scipy", "statsmodels", "matplotlib", "icalendar", "shapely"}
        & lock("requirements-dev.lock").keys()
    )


def test_the_build_back_end_is_locked() -> None:
    assert PYPROJECT["build-system"]["requires"] == PYPROJECT["dependency-groups"]["build"]
    assert pinned("requirements-build.lock").items() >= {"hatchling": "1.33.0"}.items()


IMPORTED_AS = {"yaml": "pyyaml", "pydantic_core": "pydantic"}  # pydantic pins its core to the patch
SHARED = {  # one name for the modules of several distributions; the SDK pins its API, the exporter the wire's classes
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-sdk",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.proto": "opentelemetry-exporter-otlp-proto-http",
}
INDIRECT = {"pandas", "tzdata"}  # asked for, but not imported: pyproject says why


def distribution_of(module: str) -> str:
    """Return what a module's first name, or two where several share it, are installed by."""
    return SHARED.get(".".join(module.split(".")[:2]), module.partition(".")[0])


def imported() -> set[str]:
    found = set()
    for file in (*PLATFORM.rglob("*.py"), *(ROOT / "operator").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {distribution_of(alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(distribution_of(node.module or ""))
    return found - sys.stdlib_module_names - {"alpha_panda", "alpha_panda_operator"}


def test_what_is_imported_is_declared_and_the_reverse() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in wanted("parquet")} - INDIRECT
    testing = {"pytest"}  # alpha_panda.testing.pytest_plugin is loaded by pytest alone
    assert {canonicalize_name(IMPORTED_AS.get(name, name)) for name in imported()} - testing == declared
