"""Which strategies are being torn down: by their resource, not by their name alone."""

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources.strategy import DeletionPolicy
from alpha_panda.contracts.stored import TeardownRequest
from alpha_panda.runtime.teardowns import flattens, torn_down
from unit.compose.test_live_manifests import ACCOUNT, FEED, STRATEGY, changed


def request(uid: str, name: str = "momentum", policy: str = "Flatten", at: int = 1) -> TeardownRequest:
    return TeardownRequest(scope=f"strategy/{name}", uid=uid, policy=policy, requested_at=at)


def resources() -> ResourceSet:
    return ResourceSet.from_documents([FEED, ACCOUNT, changed(STRATEGY, accounts=["paper"])])


def test_a_strategy_that_is_gone_from_the_manifests_is_meant() -> None:
    assert torn_down([request("any")], ResourceSet()) == {"momentum": request("any")}


def test_a_strategy_that_is_still_there_is_meant_by_its_uid() -> None:
    assert torn_down([request("uid-1")], resources()) == {"momentum": request("uid-1")}
    assert torn_down([request("uid-0")], resources()) == {}


def test_of_two_on_one_name_the_later_counts() -> None:
    both = [request("a", at=1), request("b", at=2)]
    assert torn_down(both, ResourceSet()) == {"momentum": request("b", at=2)}


def test_other_scopes_are_no_strategies() -> None:
    odd = TeardownRequest(scope="account/paper", uid="x", policy="Flatten", requested_at=1)
    assert torn_down([odd], ResourceSet()) == {}


def test_only_flatten_closes_positions() -> None:
    assert [flattens(request("a", policy=policy.value)) for policy in DeletionPolicy] == [False, False, True]
