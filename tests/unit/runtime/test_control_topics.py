"""Who keeps a latch, and what is told when it is cleared."""

from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.runtime.control_topics import account_names, cleared_records, keepers, owner_of


def latch(scope: str) -> Latch:
    return Latch(latch_id="x", scope=scope, state=TradingState.HALTED, reason="", set_by="ann", set_at=1)


def test_an_accounts_latch_is_its_own_and_others_are_everybodys() -> None:
    assert keepers(account_scope("a"), ["a", "b"]) == ["a"]
    assert keepers(account_scope("c"), ["a", "b"]) == []
    assert keepers(strategy_scope("s"), ["a", "b"]) == ["a", "b"]
    assert keepers(PLATFORM, ["a", "b"]) == ["a", "b"]


def test_accounts_are_found_by_their_control_topics_below_the_prefix() -> None:
    topics = [
        "t.a.control",
        "t.b.control",
        "t.b.signals.raw",
        "u.c.control",
        "t.demo.market.ticks",
        "control",
    ]
    assert account_names(topics, "t.") == ["a", "b"]
    assert owner_of("t.demo.market.ticks", "t.") == ("demo", "market.ticks")
    assert owner_of("u.c.control", "t.") is None


def test_each_keeper_hears_of_each_clearing_under_the_latchs_key() -> None:
    latches = [latch(account_scope("a")), latch(PLATFORM)]
    records = cleared_records(latches, ["a", "b"], "t.", reason="looked", by="ann", now=5)
    assert [(item.topic, item.key) for item in records] == [
        ("t.a.control", "account/a/x"),
        ("t.a.control", "platform/x"),
        ("t.b.control", "platform/x"),
    ]
    for item in records:
        change = decode_event(item.value).data
        assert isinstance(change, ControlChanged)
        assert (change.action, change.reason, change.set_by) == ("cleared", "looked", "ann")
