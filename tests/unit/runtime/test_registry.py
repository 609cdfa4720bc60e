import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import alpha_panda
from alpha_panda.errors import MisuseError
from alpha_panda.runtime.registry import ServiceDefinition, find_services

SOURCE = """
from alpha_panda.runtime.builder import StreamServiceBuilder
from alpha_panda.runtime.registry import ServiceDefinition

def build(context):
    return StreamServiceBuilder("{name}", context).build()

SERVICE = ServiceDefinition(name="{name}", kind="Strategy", build=build, replicas=3)
"""
EXPLODES = "raise RuntimeError('imported without need')"


def write(root: Path, folder: str, module: str, text: str) -> None:
    (root / folder).mkdir(exist_ok=True)
    (root / folder / "__init__.py").touch()
    (root / folder / module).write_text(text)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, Path]]:
    root = tmp_path / "some_platform"
    root.mkdir()
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("some_platform"), root
    for name in [name for name in sys.modules if name.split(".")[0] == "some_platform"]:
        del sys.modules[name]


def test_a_new_folder_with_a_service_module_is_found_with_no_other_edit(
    package: tuple[ModuleType, Path],
) -> None:
    module, root = package
    write(root, "zeta", "service.py", SOURCE.format(name="zeta"))
    write(root, "alpha", "service.py", SOURCE.format(name="the-first"))
    found = find_services(module)
    assert list(found) == ["the-first", "zeta"]
    assert isinstance(found["zeta"], ServiceDefinition)
    assert (found["zeta"].kind, found["zeta"].replicas) == ("Strategy", 3)


def test_a_folder_added_to_the_platform_itself_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "probe_of_the_registry", "service.py", SOURCE.format(name="probe"))
    monkeypatch.setattr(alpha_panda, "__path__", [str(tmp_path)])
    try:
        assert list(find_services()) == ["probe"]
    finally:
        for name in [name for name in sys.modules if "probe_of_the_registry" in name]:
            del sys.modules[name]


def test_folders_without_a_service_module_are_not_even_imported(package: tuple[ModuleType, Path]) -> None:
    module, root = package
    write(root, "tools", "__init__.py", EXPLODES)
    (root / "loose.py").write_text(EXPLODES)
    assert find_services(module) == {}


def test_a_service_module_without_a_definition_is_no_service(package: tuple[ModuleType, Path]) -> None:
    module, root = package
    write(root, "odd", "service.py", "SERVICE = 'a word'")
    write(root, "bare", "service.py", "")
    assert find_services(module) == {}


def test_two_services_of_one_name_are_refused(package: tuple[ModuleType, Path]) -> None:
    module, root = package
    write(root, "one", "service.py", SOURCE.format(name="same"))
    write(root, "two", "service.py", SOURCE.format(name="same"))
    with pytest.raises(
        MisuseError, match=r"two services are named 'same'; the second is in some_platform\.two"
    ):
        find_services(module)


def test_a_module_that_fails_to_import_is_not_passed_over(package: tuple[ModuleType, Path]) -> None:
    module, root = package
    write(root, "broken", "service.py", EXPLODES)
    with pytest.raises(RuntimeError, match="imported without need"):
        find_services(module)
