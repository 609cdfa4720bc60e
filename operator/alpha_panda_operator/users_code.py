"""Users' ConfigMaps that pods mount beside ours: a strategy's code, a replay's files. Looked at, never written."""

from alpha_panda_operator.cache import Cache, Content, Place
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.names import CONFIG_MAP
from alpha_panda_operator.view import digest


async def look(cluster: Cluster, cache: Cache, place: Place) -> bool:
    """Read one; return whether its content is another than known."""
    found = await cluster.get(CONFIG_MAP, place.namespace, place.name)
    content = Content("")
    if found is not None:
        data, binary = found.get("data") or {}, found.get("binaryData") or {}
        content = Content(
            digest([data, binary]), frozenset({*data, *binary}), found["metadata"]["resourceVersion"]
        )
    known = cache.code.get(place)
    cache.code[place] = content
    return known is None or known.content != content.content


async def look_at_changed(cluster: Cluster, cache: Cache, named: set[Place]) -> set[Place]:
    """Read those of the named that have another version than known; return those whose content is another.

    One request for the versions of a namespace, and one for each that has changed.
    """
    for gone in set(cache.code) - named:
        del cache.code[gone]
    changed: set[Place] = set()
    for namespace in sorted({place.namespace for place in named}):
        listing = await cluster.list(CONFIG_MAP, [namespace], metadata_only=True)
        versions = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listing.items}
        for place in sorted(place for place in named if place.namespace == namespace):
            known = cache.code.get(place)
            if known is not None and known.version == versions.get(place.name, ""):
                continue
            if await look(cluster, cache, place):
                changed.add(place)
    return changed
