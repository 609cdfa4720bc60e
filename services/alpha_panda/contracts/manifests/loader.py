"""From paths to resources; and their schemas."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alpha_panda.contracts.manifests.checking import ParametersModel, check
from alpha_panda.contracts.manifests.documents import Document, read_documents
from alpha_panda.contracts.manifests.faults import listed, suggestion
from alpha_panda.contracts.manifests.resource_set import ResourceSet
from alpha_panda.contracts.resources import CODE_DIRECTORY, DATA_DIRECTORY, KINDS
from alpha_panda.errors import UserInputError


def load_manifests(
    paths: Sequence[Path], *, parameters_model: ParametersModel | None = None, complete: bool = True
) -> ResourceSet:
    """Load files and folders of manifests.

    Folders are read with all below them (`*.yaml`, `*.yml`; not what begins with a dot), sorted by path. A file
    that is named twice is read once. Without `parameters_model` the strategies' parameters are not checked. Not
    `complete`: only what one pod needs, where strategies may name accounts that are not here.

    Raises:
        ManifestError: with all faults of all files, in the order of files and lines.

    """
    reading = read_documents(paths)
    if not complete:
        reading = replace(reading, documents=[_in_pod(document) for document in reading.documents])
    return ResourceSet.of(check(reading, parameters_model, complete=complete))


def _in_pod(document: Document) -> Document:
    """Return a document whose relative paths begin where a pod has the volume that it names, if it names one."""
    spec = _part(document.data, "spec")
    if _part(spec, "code").get("configMap"):
        return replace(document, directory=Path(CODE_DIRECTORY))
    replay = _part(_part(spec, "source"), "replay")
    if replay.get("configMap") or replay.get("volumeClaim"):
        return replace(document, directory=Path(DATA_DIRECTORY))
    return document


def _part(whole: Mapping[Any, Any], name: str) -> Mapping[Any, Any]:
    """Return a part of a document that nobody has checked yet; an empty one if it is none."""
    part = whole.get(name)
    return part if isinstance(part, Mapping) else {}


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema of a kind (any case) as manifests write it.

    Raises:
        UserInputError: there is no such kind.

    """
    name = next((known for known in KINDS if known.lower() == kind.lower()), None)
    if name is None:
        raise UserInputError(
            f"there is no kind {kind!r}{suggestion(kind, list(KINDS))}; allowed: {listed(list(KINDS))}"
        )
    schema = KINDS[name].model_json_schema(by_alias=True)
    return {**schema, "required": ["apiVersion", "kind", "metadata", "spec"]}
