"""`alpha-panda` over an installation in memory: each call is a command of its own, as a person types it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from alpha_panda.cli import connecting
from unit.cli.installed import Installation
from unit.cli.kit import Alpha, Called

T = TypeVar("T")


class Operator:
    """A person at the command line, and what they operate."""

    def __init__(self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = Installation()
        self._alpha = alpha
        monkeypatch.setattr(connecting, "connected", self.site.connected)
        monkeypatch.setenv("ALPHAPANDA_COMMAND_TIMEOUT_SECONDS", "0.5")
        self.run(self.site.open())

    def __call__(self, *arguments: object) -> Called:
        return self._alpha(*arguments)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to the installation between two commands."""
        return asyncio.run(work)
