"""The manifests as a service sees them: as they are now, which may be other ones than a moment ago."""

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from alpha_panda.contracts.manifests import ResourceSet

T = TypeVar("T")


class Manifests(Protocol):
    """Where the resources come from. A set never changes: other manifests are another set.

    A `ResourceSet` is one: manifests that stay as they are, as in a run of one process.
    """

    @property
    def resources(self) -> "ResourceSet":
        """The resources as they are now; to be asked for at each use."""

    @property
    def problem(self) -> str | None:
        """Why what is written now can't be used, so that the last good set stands; None: all is well."""


class Derived(Generic[T]):
    """What follows from the manifests: made at the first use, and again when they have changed."""

    __slots__ = ("_made", "_make", "_manifests", "_of")

    def __init__(self, manifests: Manifests, make: "Callable[[ResourceSet], T]") -> None:
        self._manifests = manifests
        self._make = make
        self._of = manifests.resources
        self._made = make(self._of)

    def __call__(self) -> T:
        """Return what follows from the present manifests."""
        present = self._manifests.resources
        if present is not self._of:
            self._made = self._make(present)
            self._of = present
        return self._made
