"""The clusters that can be started, by name: what `make cluster`, fixtures and keepers choose from."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from .cluster import Cluster
from .control_plane import ControlPlane
from .kwok import Kwok
from .node import Node


@contextmanager
def bare() -> Iterator[Cluster]:
    """An API that runs nothing."""
    with ControlPlane() as control_plane:
        yield control_plane.cluster


@contextmanager
def simulated() -> Iterator[Cluster]:
    """An API with nodes that pretend to run pods."""
    with ControlPlane() as control_plane:
        yield Kwok(control_plane).start().cluster


@contextmanager
def real() -> Iterator[Cluster]:
    """A node that runs pods; Linux and root."""
    with Node() as node:
        yield node.cluster


KINDS: Final[Mapping[str, Callable[[], AbstractContextManager[Cluster]]]] = {
    "bare": bare,
    "simulated": simulated,
    "real": real,
}
