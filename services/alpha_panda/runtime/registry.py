"""Finds the services from the folders: a new `alpha_panda/<folder>/service.py` with `SERVICE` needs no other edit."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import alpha_panda
from alpha_panda.errors import MisuseError
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.service import StreamService


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """What a service's module says of itself in `SERVICE`.

    `name` as in `alpha-panda service NAME`; `kind` of the resource it serves (MarketFeed, BrokerAccount,
    Strategy); `replicas` is the default number. `start_order`: in one process the smaller are started first,
    those who read before those who write.
    """

    name: str
    kind: str
    build: Callable[[ServiceContext], StreamService]
    replicas: int = 1
    start_order: int = 50


def find_services(package: ModuleType = alpha_panda) -> dict[str, ServiceDefinition]:
    """Return the services of the package's folders, sorted by name.

    Only folders with a `service` module are imported.

    Raises:
        MisuseError: two folders define the same name.

    """
    found: dict[str, ServiceDefinition] = {}
    for module_name in _service_modules(package):
        definition = getattr(importlib.import_module(module_name), "SERVICE", None)
        if not isinstance(definition, ServiceDefinition):
            continue
        if definition.name in found:
            raise MisuseError(f"two services are named {definition.name!r}; the second is in {module_name}")
        found[definition.name] = definition
    return dict(sorted(found.items()))


def _service_modules(package: ModuleType) -> Iterator[str]:
    for path in package.__path__:
        for folder in pkgutil.iter_modules([path]):
            inside = (module.name for module in pkgutil.iter_modules([f"{path}/{folder.name}"]))
            if folder.ispkg and "service" in inside:
                yield f"{package.__name__}.{folder.name}.service"
