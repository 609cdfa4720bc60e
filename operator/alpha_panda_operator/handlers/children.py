"""Events of what the operator makes, and of the pods that come of it."""

from collections.abc import Callable
from typing import Any, Final

import kopf

from alpha_panda_operator.names import CHILDREN, POD, Kind

Sink = Callable[[str, str | None, dict[str, Any]], None]
"""Takes the object's kind, an event's type (None: from a listing at the watch's start) and the object."""

WATCHED: Final = (*CHILDREN.values(), POD)
"""The kinds; of each only objects with our labels (`watching`)."""


def register(registry: kopf.OperatorRegistry, sink: Sink) -> None:
    """Have the sink called at every event of such an object."""
    for kind in WATCHED:
        _register(registry, sink, kind)


def _register(registry: kopf.OperatorRegistry, sink: Sink, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"{kind.plural}-seen")
    async def _seen(event: Any, **_: Any) -> None:  # noqa: ANN401 - Kopf's own types
        sink(kind.kind, event["type"], dict(event["object"]))
