"""`alpha-panda orders adopt` as typed."""

from decimal import Decimal

import pytest

from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import BrokerFacts, InstrumentDifference
from unit.cli.operating import Operator

ADOPT = ("orders", "adopt", "paper")
WHY = ("--reason", "the broker's web page", "--by", "ann")


def differs(symbol: str, ours: str, theirs: str) -> InstrumentDifference:
    return InstrumentDifference(
        difference_id=f"{symbol}-1",
        instrument_token=1,
        symbol=symbol,
        ours=Decimal(ours),
        theirs=Decimal(theirs),
        price=Decimal("100.05"),
        since=1_767_343_500_000_000_000,
        confirmed=True,
    )


def told(
    operator: Operator, *differences: InstrumentDifference, reconciled: bool = True, problem: str = ""
) -> None:
    """Have the order-tracker say what differs."""

    async def tell() -> None:
        lease = await operator.site.ports.lease.acquire(tracker_lease("paper"), "tracker", 10)
        assert lease is not None
        facts = BrokerFacts(reconciled=reconciled, differences=differences, problem=problem)
        await operator.site.ports.journal("paper").put_facts(lease, facts)

    operator.run(tell())


def asked(operator: Operator, *ids: str) -> dict[str, str]:
    found = operator.run(operator.site.ports.journal("paper").adoptions(*ids))
    return {difference_id: request.by for difference_id, request in found.items()}


def test_it_shows_what_would_be_booked_and_asks_for_a_yes(operator: Operator) -> None:
    told(operator, differs("NSE:X", "10", "4"))
    result = operator(*ADOPT, *WHY)
    assert result.code == 2
    for words in ("NSE:X", "10", "4", "-6", "100.05"):
        assert words in result.out
    assert "--yes" in result.err
    assert asked(operator, "NSE:X-1") == {}


def test_with_a_yes_it_is_asked_for_once(operator: Operator) -> None:
    told(operator, differs("NSE:X", "10", "4"), differs("NSE:Y", "0", "3"))
    assert operator(*ADOPT, *WHY, "--instrument", "NSE:X", "--yes").code == 0
    assert asked(operator, "NSE:X-1", "NSE:Y-1") == {"NSE:X-1": "ann"}
    assert operator(*ADOPT, "--reason", "again", "--by", "bob", "--yes").code == 0
    assert asked(operator, "NSE:X-1", "NSE:Y-1") == {"NSE:X-1": "ann", "NSE:Y-1": "bob"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*WHY, "--instrument", "NSE:Z"), "they differ on NSE:X"),
        (("--reason", " "), "--reason is empty"),
    ],
)
def test_what_can_not_be_adopted_is_said(operator: Operator, words: tuple[str, ...], says: str) -> None:
    told(operator, differs("NSE:X", "10", "4"))
    result = operator(*ADOPT, *words, "--yes")
    assert result.code == 2
    assert says in result.err
    assert asked(operator, "NSE:X-1") == {}


def test_there_may_be_nothing_to_adopt(operator: Operator) -> None:
    told(operator)
    assert "nothing to adopt" in operator(*ADOPT, *WHY, "--yes").err
    told(operator, reconciled=False, problem="the market sleeps")
    assert "the market sleeps" in operator(*ADOPT, *WHY, "--yes").err


def test_an_account_that_was_never_compared_has_none(operator: Operator) -> None:
    result = operator(*ADOPT, *WHY, "--yes")
    assert result.code == 2
    assert "paper" in result.err
