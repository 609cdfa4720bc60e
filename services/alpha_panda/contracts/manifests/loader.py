"""From paths to resources; and their schemas."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alpha_panda.contracts.manifests.checking import ParametersModel, check
from alpha_panda.contracts.manifests.documents import read_documents
from alpha_panda.contracts.manifests.faults import listed, suggestion
from alpha_panda.contracts.manifests.resource_set import ResourceSet
from alpha_panda.contracts.resources import KINDS
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
    return ResourceSet.of(check(read_documents(paths), parameters_model, complete=complete))


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
