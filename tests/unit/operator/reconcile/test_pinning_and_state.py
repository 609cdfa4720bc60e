"""When an upgrade is rolled out; what workloads' facts come to; conditions' times."""

import pytest

from alpha_panda.errors import ApiRefusedError
from alpha_panda_operator.conditions import OF_KIND, Finding, changed, conditions_of
from alpha_panda_operator.facts import ChildFact, PodFact
from alpha_panda_operator.names import Key
from alpha_panda_operator.reconcile.pinning import Roll, broken, roll
from alpha_panda_operator.reconcile.workload_state import TOO_LARGE, progressing, ready, refused
from unit.operator.kit import START

OWNER = Key("BrokerAccount", "desk", "paper")


def fact(**more: object) -> ChildFact:
    base: dict[str, object] = {
        "key": Key("Deployment", "desk", "paper-risk"),
        "owner": OWNER,
        "owner_uid": "u",
        "uid": "d",
        "version": "1",
        "fingerprint": "f",
        "start_hash": "same",
        "template_revision": "old",
        "wanted": 1,
        "pods": 1,
        "ready": 1,
        "updated": 1,
        "settled": True,
    }
    return ChildFact(**{**base, **more})  # type: ignore[arg-type]


def pod(trouble: str = "", message: str = "", unmounted_since: float | None = None) -> PodFact:
    return PodFact(
        Key("Pod", "desk", "p-1"),
        OWNER,
        "risk",
        ready=not trouble,
        trouble=trouble,
        message=message,
        unmounted_since=unmounted_since,
    )


@pytest.mark.parametrize(
    ("live", "start", "revision", "now", "is_open", "wanted"),
    [
        (None, "same", "new", False, True, Roll.TAKE),
        (fact(), "same", "old", False, True, Roll.KEEP),
        (fact(), "same", "new", False, True, Roll.HOLD),
        (fact(), "same", "new", False, False, Roll.TAKE),
        (fact(), "same", "new", True, True, Roll.TAKE),
        (fact(), "other", "new", False, True, Roll.TAKE),
        (fact(ready=0), "same", "new", False, True, Roll.HOLD),
    ],
)
def test_an_upgrade_waits_for_the_close_and_nothing_else_does(  # noqa: PLR0917 - fixtures and a row of the table
    live: ChildFact | None, start: str, revision: str, now: bool, is_open: bool, wanted: Roll
) -> None:
    assert roll(live, start, revision, at_once=now, session_open=lambda: is_open) is wanted


@pytest.mark.parametrize(
    ("live", "pods", "is_broken"),
    [
        (None, [], False),
        (fact(), [pod("CrashLoop")], False),  # another one is ready
        (fact(ready=0), [], False),  # somebody has scaled it to zero
        (fact(ready=0), [pod()], False),
        (fact(ready=0), [pod(), pod("CrashLoop")], True),
        (fact(ready=0), [pod("ImageMissing")], True),
        (fact(ready=0, failure="exceeded quota"), [], True),
    ],
)
def test_an_upgrade_replaces_at_once_what_can_not_run_and_not_what_is_only_unready(
    live: ChildFact | None, pods: list[PodFact], is_broken: bool
) -> None:
    assert broken(live, pods) is is_broken
    wanted = Roll.TAKE if is_broken or live is None else Roll.HOLD
    assert roll(live, "same", "new", at_once=is_broken, session_open=lambda: True) is wanted


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ({"risk": fact()}, "False", "Settled"),
        ({"risk": fact(), "engine": None}, "True", "RollingOut"),
        ({"risk": fact(settled=False, updated=0)}, "True", "RollingOut"),
        ({"risk": fact(settled=False, wanted=1, updated=1, pods=3)}, "True", "ScalingDown"),
    ],
)
def test_progressing(facts: dict[str, ChildFact | None], status: str, reason: str) -> None:
    found = progressing(facts)
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("deployment", "pods", "status", "reason", "words"),
    [
        (fact(), [], "True", "Ready", "risk 1/1"),
        (fact(ready=0), [], "False", "PodsNotReady", "no pod is ready yet of: risk"),
        (None, [], "False", "PodsNotReady", "risk"),
        (
            fact(ready=0),
            [pod("CrashLoop", "exit code 1")],
            "False",
            "CrashLoop",
            "exit code 1; see the pod's log (pod p-1)",
        ),
        (fact(ready=0), [pod("ImageMissing", "ErrImagePull: x")], "False", "ImageMissing", "pull secrets"),
        (
            fact(ready=0, failure="pods x is forbidden: exceeded quota: q"),
            [],
            "False",
            "QuotaExceeded",
            "raise the quota",
        ),
        (
            fact(ready=0),
            [pod("MissingSecret", 'secret "x" not found')],
            "False",
            "MissingSecret",
            'secret "x" not found; create it',
        ),
        (
            fact(ready=0),
            [pod("", "", unmounted_since=START - 21)],
            "False",
            "MissingSecret",
            "is Secret 'logins' in namespace desk?",
        ),
        (
            fact(ready=0),
            [pod("", "", unmounted_since=START - 5)],
            "False",
            "PodsNotReady",
            "no pod is ready yet",
        ),
        (fact(ready=0, failure="violates PodSecurity"), [], "False", "PodsNotReady", "violates PodSecurity"),
        (fact(ready=1), [pod("CrashLoop", "x")], "True", "Ready", ""),
    ],
)
def test_ready_says_the_gravest_reason_with_a_remedy(
    deployment: ChildFact | None, pods: list[PodFact], status: str, reason: str, words: str
) -> None:
    found = ready({"risk": deployment}, {"risk": pods}, {"risk": "logins"}, START)
    assert (found.status, found.reason, words in found.message) == (status, reason, True), found


def test_all_conditions_are_there_from_the_first_on_and_unknown() -> None:
    for kind, types in OF_KIND.items():
        made = conditions_of(kind, [], [], 4, "now")
        assert [item["type"] for item in made] == list(types)
        assert {(item["status"], item["reason"], item["observedGeneration"]) for item in made} == {
            ("Unknown", "Pending", 4)
        }


def test_the_time_moves_with_the_status_and_with_nothing_else() -> None:
    first = conditions_of("MarketFeed", [Finding.of("Ready", False, "A", "a")], [], 1, "t1")
    same = conditions_of("MarketFeed", [Finding.of("Ready", False, "B", "b")], first, 2, "t2")
    moved = conditions_of("MarketFeed", [Finding.of("Ready", True, "B", "b")], same, 3, "t3")
    times = [
        next(item["lastTransitionTime"] for item in made if item["type"] == "Ready")
        for made in (first, same, moved)
    ]
    assert times == ["t1", "t1", "t3"]
    assert [item["type"] for item in changed(first, same)] == ["Ready"]
    assert changed(same, same) == []


def test_a_message_is_never_longer_than_the_schema_allows() -> None:
    made = conditions_of("MarketFeed", [Finding.of("Ready", True, "R", "x" * 9999)], [], 1, "t")
    assert max(len(item["message"]) for item in made) == 2048


def test_a_pod_without_a_secret_that_lacks_its_volumes_is_not_told_of_one() -> None:
    waiting = pod("", "", unmounted_since=START - 21)
    found = ready({"risk": fact(ready=0)}, {"risk": [waiting]}, {"risk": ""}, START)
    assert (found.reason, "kubectl describe pod p-1" in found.message) == ("PodsNotReady", True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiRefusedError(403, "Forbidden", "exceeded quota: q"), "QuotaExceeded"),
        (ApiRefusedError(413, TOO_LARGE, "too many"), "ManifestsTooLarge"),
        (ApiRefusedError(422, "Invalid", "no"), "PodsNotReady"),
    ],
)
def test_what_the_api_refuses_has_a_reason_of_its_own(error: ApiRefusedError, reason: str) -> None:
    found = refused(error)
    assert (found.status, found.reason, str(error) in found.message) == ("False", reason, True)
