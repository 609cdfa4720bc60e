"""Manifests with their strategies' parameters checked by the strategies' own models."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from alpha_panda.contracts.manifests import ResourceSet, load_manifests
from alpha_panda.contracts.resources import Strategy
from alpha_panda.sdk import load_strategy_class


def load(paths: Sequence[Path]) -> ResourceSet:
    """Return the resources; ManifestError with every fault in them."""
    return load_manifests(paths, parameters_model=parameters_model)


def load_for_pod(paths: Sequence[Path], own: bool) -> ResourceSet:
    """Return the resources that one pod needs; the strategies' own models are asked only where it runs their code.

    Elsewhere their classes need not be at hand: they may come from another image.
    """
    return load_manifests(paths, parameters_model=parameters_model if own else None, complete=False)


def parameters_model(strategy: Strategy, directory: Path) -> type[BaseModel]:
    """Return the parameter model of the class that the manifest names; StrategyLoadError if it can't be had."""
    spec = strategy.spec
    loaded = load_strategy_class(
        type=spec.type,
        class_path=spec.class_,
        code_file=None if spec.code is None else directory / spec.code.file,
        code_class=None if spec.code is None else spec.code.class_,
    )
    return loaded.Parameters
