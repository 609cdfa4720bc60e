"""What is written into status: every field each time, within the schema; what a later version wrote is still read."""

from typing import Any

import pytest
from pydantic import ValidationError

from alpha_panda.contracts import crds
from alpha_panda.contracts.resources import (
    KINDS,
    STATUSES,
    AccountStatus,
    Condition,
    FeedStatus,
    StrategyStatus,
)

CONDITION: dict[str, Any] = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "All pods work.",
    "observedGeneration": 3,
    "lastTransitionTime": "2026-01-05T03:45:00Z",
}


def test_every_kind_has_a_status() -> None:
    assert set(STATUSES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_status_writes_every_field(kind: str) -> None:
    written = STATUSES[kind]().model_dump(mode="json")
    assert set(written) == set(crds.schema_of(kind)["properties"]["status"]["properties"])
    assert written["observedGeneration"] == 0
    assert written["conditions"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_unknown_is_null_and_may_be_so(kind: str) -> None:
    properties = crds.schema_of(kind)["properties"]["status"]["properties"]
    unknown = {name for name, value in STATUSES[kind]().model_dump(mode="json").items() if value is None}
    assert unknown == {name for name, node in properties.items() if node.get("nullable")}


def test_a_condition_is_written_as_kubernetes_has_it() -> None:
    status = FeedStatus(conditions=(Condition.model_validate(CONDITION),), instruments=2)
    assert status.model_dump(mode="json")["conditions"] == [CONDITION]


def test_figures_are_named_as_the_columns_show_them() -> None:
    account = AccountStatus(day_pnl="-12.50", equity="99987.50", in_doubt=1).model_dump(mode="json")
    assert (account["dayPnl"], account["equity"], account["inDoubt"]) == ("-12.50", "99987.50", 1)
    strategy = StrategyStatus(signals_today=4, orders_today=3, type="momentum").model_dump(mode="json")
    assert (strategy["signalsToday"], strategy["ordersToday"], strategy["type"]) == (4, 3, "momentum")


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert (
        FeedStatus.model_validate({"later": 1, "conditions": [{**CONDITION, "more": 2}]}).conditions[0].type
        == "Ready"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "Maybe"},
        {"reason": "has blanks"},
        {"reason": ""},
        {"type": "lower"},
        {"message": "x" * 2049},
    ],
)
def test_a_condition_that_the_server_would_refuse_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate({**CONDITION, **wrong})
