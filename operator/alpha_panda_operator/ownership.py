"""Whose the topics and keys of a namespace are: claimed in Redis before anything is written there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from alpha_panda.errors import TransientError, UnknownOutcomeError

log = structlog.get_logger()


class Claims(Protocol):
    """What of a namespace's store is needed here."""

    async def owner(self, installation: str) -> str:
        """Claim the prefix unless another installation has it; return whose it is."""

    async def disown(self, installation: str) -> None:
        """Give it back."""


@dataclass(slots=True)
class Ownership:
    """Claims and remembers. `owners`: the installation that has a namespace, where it is not this one."""

    store: Callable[[str], Claims]
    installation: str
    owners: dict[str, str] = field(default_factory=dict)
    _claimed: set[str] = field(default_factory=set)

    async def claim(self, namespaces: Iterable[str], *, again: bool = False) -> list[str]:
        """Claim those that are not ours yet (`again`: ask of all anew); return those whose owner is another now."""
        moved: list[str] = []
        for namespace in namespaces:
            if not again and (namespace in self._claimed or namespace in self.owners):
                continue
            try:
                owner = await self.store(namespace).owner(self.installation)
            except (TransientError, UnknownOutcomeError) as error:
                log.warning("whose a namespace is could not be asked", namespace=namespace, error=str(error))
                continue
            if self._note(namespace, owner):
                moved.append(namespace)
        return moved

    async def release(self, present: Iterable[str]) -> None:
        """Give back what holds no resource any more."""
        for namespace in self._claimed - set(present):
            try:
                await self.store(namespace).disown(self.installation)
            except (TransientError, UnknownOutcomeError) as error:
                log.warning("a namespace could not be given back", namespace=namespace, error=str(error))
            else:
                self._claimed.discard(namespace)

    def ours(self, namespace: str) -> bool:
        """Whether it is known that the namespace is this installation's."""
        return namespace in self._claimed

    def foreign(self, namespace: str) -> bool:
        """Whether another installation has the namespace."""
        return namespace in self.owners

    def _note(self, namespace: str, owner: str) -> bool:
        before = self.owners.get(namespace, "")
        if owner == self.installation:
            self._claimed.add(namespace)
            self.owners.pop(namespace, None)
            return bool(before)
        self._claimed.discard(namespace)
        self.owners[namespace] = owner
        return owner != before
