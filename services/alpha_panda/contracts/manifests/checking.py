"""From documents to resources that hold by themselves and together, or to one error with every fault."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from alpha_panda.contracts.manifests.documents import Document, Reading
from alpha_panda.contracts.manifests.faults import findings_of, listed, shown, suggestion
from alpha_panda.contracts.manifests.references import check_references
from alpha_panda.contracts.resources import API_VERSION, KINDS, Resource, Strategy
from alpha_panda.contracts.resources.rules import peek
from alpha_panda.errors import ManifestError, ManifestFault, StrategyLoadError

ParametersModel = Callable[[Strategy, Path], type[BaseModel]]
"""Finds the parameter model of a strategy whose manifest is in the folder; raises StrategyLoadError."""


def check(
    reading: Reading, parameters_model: ParametersModel | None, *, complete: bool = True
) -> list[tuple[Resource, Document]]:
    """Return each document with its resource; not `complete`: see `load_manifests`.

    Raises:
        ManifestError: with all faults, those of reading too, in the order of files and lines.

    """
    found = list(reading.faults)
    pairs: list[tuple[Resource, Document]] = []
    for document in reading.documents:
        resource = _validated(document, found)
        if parameters_model is not None:
            found.extend(_parameter_faults(document, resource, parameters_model))
        if resource is not None:
            pairs.append((resource, document))
    found.extend(check_references(reading.documents, complete=complete))
    if found:
        ranks = {file: rank for rank, file in enumerate(reading.files)}
        raise ManifestError(
            sorted(found, key=lambda item: (ranks.get(item.file, -1), item.document, item.line))
        )
    return pairs


def _validated(document: Document, faults: list[ManifestFault]) -> Resource | None:
    """Return the document's resource, or None after adding its faults."""
    kind, version = document.data.get("kind"), document.data.get("apiVersion")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    before = len(faults)
    if model is None:
        names = list(KINDS)
        problem = "is missing" if kind is None else f"{shown(kind)} is not a kind{suggestion(kind, names)}"
        faults.append(document.fault(("kind",), problem, listed(names)))
    if version != API_VERSION:
        problem = (
            "is missing"
            if version is None
            else f"{shown(version)} is unknown{suggestion(version, [API_VERSION])}"
        )
        faults.append(document.fault(("apiVersion",), problem, API_VERSION))
    if model is None:
        return None
    try:
        resource = model.model_validate(
            {**document.data, "apiVersion": API_VERSION}, by_alias=True, by_name=False
        )
    except ValidationError as error:
        faults.extend(document.fault(*finding) for finding in findings_of(error, model))
        return None
    return resource if len(faults) == before else None


def _parameter_faults(
    document: Document, resource: Resource | None, parameters_model: ParametersModel
) -> Iterator[ManifestFault]:
    """Yield what the strategy's own model refuses, even when something else is wrong with the manifest."""
    strategy = resource if isinstance(resource, Strategy) else _stand_in(document)
    if strategy is None:
        return
    try:
        model = parameters_model(strategy, document.directory)
    except StrategyLoadError as error:
        yield document.fault(("spec", strategy.class_field), str(error))
        return
    try:
        model.model_validate(dict(strategy.spec.parameters))
    except ValidationError as error:
        for finding in findings_of(error, model):
            yield document.fault(("spec", "parameters", *finding.location), finding.problem, finding.allowed)
    except Exception as error:  # noqa: BLE001 - users' code: its validators may raise anything
        yield document.fault(("spec", "parameters"), f"their model raised {type(error).__name__}: {error}")


def _stand_in(document: Document) -> Strategy | None:
    """Return a strategy with this document's class and parameters only, if those can be read."""
    if document.data.get("kind") != "Strategy":
        return None
    spec = document.data.get("spec")
    kept = {name: peek(spec, name) for name in ("type", "class", "code", "parameters")}
    given = {name: value for name, value in kept.items() if value is not None}
    rest = {"marketFeed": "x", "instruments": ["X:X"], "accounts": ["x"]}
    try:
        return Strategy.model_validate(
            {"metadata": {"name": "x"}, "spec": {**rest, **given}}, by_alias=True, by_name=False
        )
    except ValidationError:
        return None
