"""Manifests from files to checked resources: `load_manifests` reports every fault at once, with its place.

`documents` reads YAML, `faults` puts pydantic's errors into words, `references` checks what one resource says of
another, `checking` does all of it over a set, `resource_set` is the result, `embedded` holds what only `run` needs.
"""

from alpha_panda.contracts.manifests.checking import ParametersModel
from alpha_panda.contracts.manifests.embedded import check_embedded
from alpha_panda.contracts.manifests.loader import json_schema, load_manifests
from alpha_panda.contracts.manifests.resource_set import ResourceSet

__all__ = ["ParametersModel", "ResourceSet", "check_embedded", "json_schema", "load_manifests"]
