"""Finds a strategy's class: a registered type, `package.module:Class`, or a Python file.

A file is loaded under a module name of its own and its folder never gets onto `sys.path`: it can import what is
installed, not its neighbours (in a cluster it is alone in a ConfigMap).
"""

import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from alpha_panda.errors import StrategyLoadError
from alpha_panda.sdk.base import Strategy

GROUP: Final = "alpha_panda.strategies"
"""Entry point group: a package that registers `name = "module:Class"` in it adds a strategy type."""

_SHIPPED: Final = {
    "momentum": "alpha_panda.strategies.momentum:Momentum",
    "mean_reversion": "alpha_panda.strategies.mean_reversion:MeanReversion",
    "rsi": "alpha_panda.strategies.rsi:Rsi",
    "ma_crossover": "alpha_panda.strategies.ma_crossover:MaCrossover",
}
"""The types that ship, so that they are known when the project runs from its source tree, not installed."""


def known_types() -> tuple[str, ...]:
    """Return the names that `spec.type` may have, sorted."""
    return tuple(sorted(_registered()))


def load_strategy_class(
    *,
    type: str | None = None,  # noqa: A002 - named as the manifest's field
    class_path: str | None = None,
    code_file: Path | None = None,
    code_class: str | None = None,
) -> type[Strategy]:
    """Return the strategy class that a manifest names in exactly one of three ways.

    `code_class` may be left out when the file defines only one strategy.

    Raises:
        StrategyLoadError: none or several ways given, nothing found, the code does not import, or what was found
            is not a Strategy; the message says what is allowed.

    """
    given = [way for way in (type, class_path, code_file) if way is not None]
    if len(given) != 1:
        raise StrategyLoadError(f"{len(given)} of type, class and code are given: give exactly one")
    if type is not None:
        return _by_type(type)
    if class_path is not None:
        return _by_path(class_path)
    assert code_file is not None  # noqa: S101 - the count above leaves nothing else
    return _by_file(code_file, code_class)


def _registered() -> dict[str, list[str]]:
    """Return the class paths registered for each type; a sound type has one."""
    found = {name: [path] for name, path in _SHIPPED.items()}
    for entry in entry_points(group=GROUP):
        paths = found.setdefault(entry.name, [])
        if entry.value not in paths:
            paths.append(entry.value)
    return found


def _by_type(name: str) -> type[Strategy]:
    paths = _registered().get(name, [])
    if not paths:
        raise StrategyLoadError(f"unknown strategy type {name!r}; allowed: {', '.join(known_types())}")
    if len(paths) > 1:
        raise StrategyLoadError(
            f"strategy type {name!r} is registered as {' and as '.join(sorted(paths))}: name one of them as the class"
        )
    return _by_path(paths[0])


def _by_path(path: str) -> type[Strategy]:
    module_name, colon, class_name = path.partition(":")
    if not (colon and module_name and class_name):
        raise StrategyLoadError(f"class {path!r} is not of the form package.module:Class")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise StrategyLoadError(f"class {path!r}: importing {module_name} failed: {_why(error)}") from error
    return _strategy(module, class_name, path)


def _by_file(file: Path, class_name: str | None) -> type[Strategy]:
    try:
        source = file.read_bytes()
    except OSError as error:
        raise StrategyLoadError(f"code {file}: can't be read: {error.strerror}") from error
    module = _load_module(file, source)
    return _strategy(module, class_name or _only_class(module, file), str(file))


def _load_module(file: Path, source: bytes) -> ModuleType:
    """Return the module of a file; the same path and content give the same module."""
    name = "alpha_panda_code_" + hashlib.sha256(f"{file.resolve()}\0".encode() + source).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, _BytesLoader(file, source), origin=str(file))
    if spec is None:
        raise StrategyLoadError(f"code {file}: no module can be made of it")
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[name] = module  # before it runs: pydantic looks annotations up there
    try:
        _BytesLoader(file, source).exec_module(module)
    except (Exception, SystemExit) as error:  # a file that calls sys.exit() must not end us with its code
        del sys.modules[name]
        raise StrategyLoadError(f"code {file}: {_why(error)}") from error
    return module


class _BytesLoader(importlib.abc.InspectLoader):
    """Runs the bytes that were hashed; writes no byte code beside the user's file, and so never reads an old one."""

    def __init__(self, file: Path, source: bytes) -> None:
        self._file = file
        self._source = source

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - the interface's signature
        return importlib.util.decode_source(self._source)

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the interface's signature
        return self.source_to_code(self._source, str(self._file))


def _defined_in(module: ModuleType) -> list[str]:
    """Return the names of the strategies that the module itself defines, in the order of the file."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
    ]


def _only_class(module: ModuleType, file: Path) -> str:
    names = _defined_in(module)
    if len(names) != 1:
        found = (
            f"several strategies ({', '.join(names)}): name one as the class"
            if names
            else "no Strategy class"
        )
        raise StrategyLoadError(f"code {file}: it defines {found}")
    return names[0]


def _strategy(module: ModuleType, class_name: str, where: str) -> type[Strategy]:
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Strategy) and found is not Strategy:
        return found
    problem = "there is no class" if found is None else "not a subclass of alpha_panda.sdk.Strategy:"
    names = ", ".join(_defined_in(module)) or "none"
    raise StrategyLoadError(f"{where}: {problem} {class_name}; strategies there: {names}")


def _why(error: BaseException) -> str:
    """Return one line: type, message and, where a file's own text is wrong, the line."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    if isinstance(error, StrategyLoadError):
        return str(error)
    line = _last_line(error)
    return f"{type(error).__name__}: {error}" + (f" ({line})" if line else "")


def _last_line(error: BaseException) -> str:
    """Return `file:line` of the innermost frame outside the import system."""
    frame = error.__traceback__
    place = ""
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and file != __file__:
            place = f"{Path(file).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place
