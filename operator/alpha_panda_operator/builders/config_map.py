"""The manifests that a resource's pods read, as one file: JSON documents, which every reader of YAML reads alike."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from alpha_panda_operator.builders.workload import metadata
from alpha_panda_operator.names import config_map_name, resource_labels
from alpha_panda_operator.view import ResourceView

FILE: Final = "manifests.yaml"

MAX_BYTES: Final = 1024 * 1024
"""What the API takes of data in one ConfigMap."""

_NOT_PRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""What JSON may hold as it is and YAML may not, or takes for the end of a line."""


def manifests_file(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return manifests as one multi-document file."""
    return "".join(f"---\n{_line(document)}\n" for document in documents)


def too_long(manifest: Mapping[str, Any]) -> str:
    """Return why a ConfigMap is more than the API takes, and what helps; empty if it is not."""
    size = sum(len(text.encode()) for text in manifest["data"].values())
    if size <= MAX_BYTES:
        return ""
    return (
        f"the manifests of all that its pods serve take {size:,} bytes, and a ConfigMap holds {MAX_BYTES:,}: "
        "move strategies to another account; until then its pods go on with the last manifests that fitted"
    )


def _line(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(", ", ": "))
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def config_map(
    view: ResourceView, documents: Iterable[Mapping[str, Any]], installation: str
) -> dict[str, Any]:
    """Return the ConfigMap of a resource's pods."""
    name = config_map_name(view.key.kind, view.key.name)
    return {
        "metadata": metadata(view, name, resource_labels(view.key, installation)),
        "data": {FILE: manifests_file(documents)},
    }
