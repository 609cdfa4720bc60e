"""Events of MarketFeed, BrokerAccount and Strategy."""

from collections.abc import Callable
from typing import Any

import kopf

from alpha_panda_operator.names import RESOURCES

Sink = Callable[[str | None, dict[str, Any]], None]
"""Takes an event's type (None: from a listing at the watch's start) and its object."""


def register(registry: kopf.OperatorRegistry, sink: Sink) -> None:
    """Have the sink called at every event of a resource."""
    for kind in RESOURCES.values():

        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"{kind.plural}-seen")
        async def _seen(event: Any, **_: Any) -> None:  # noqa: ANN401 - Kopf's own types
            sink(event["type"], dict(event["object"]))
