"""Which strategies are being torn down, as the services of an account see it."""

from collections.abc import Iterable

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources.strategy import DeletionPolicy
from alpha_panda.contracts.scopes import strategy_scope
from alpha_panda.contracts.stored import TeardownRequest

_SCOPE = strategy_scope("")


def torn_down(requests: Iterable[TeardownRequest], resources: ResourceSet) -> dict[str, TeardownRequest]:
    """Return the requests that stand by strategy; of two on one name the later.

    A strategy that is in the manifests as another resource (uid) is not meant: its name was given anew.
    """
    found: dict[str, TeardownRequest] = {}
    for request in requests:
        name = request.scope.removeprefix(_SCOPE)
        present = resources.strategies.get(name)
        uid = None if present is None else present.metadata.uid
        if request.scope == strategy_scope(name) and uid in (None, request.uid):
            found[name] = request
    return found


def flattens(request: TeardownRequest) -> bool:
    """Whether the strategy's positions are to be closed."""
    return request.policy == DeletionPolicy.FLATTEN
