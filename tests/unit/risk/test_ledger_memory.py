"""What the ledger keeps at hand between records is never older than the last fill, mark or start."""

from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.stored import RiskClaim, RiskSnapshot
from alpha_panda.domain.risk.shorts import shorts_at
from alpha_panda.risk.ledger import Ledger
from unit.risk.world import BUY, RELIANCE, SELL, TCS, D, filled, signal

TOKENS = (RELIANCE, TCS)
fills = st.tuples(st.sampled_from((BUY, SELL)), st.sampled_from(TOKENS), st.integers(1, 3))
marks = st.dictionaries(st.sampled_from(TOKENS), st.integers(1, 200).map(D), min_size=1)


def _agrees(ledger: Ledger) -> None:
    own = [book.positions for book in ledger.book.strategies.values()]
    every = [ledger.book.positions, *own]
    assert ledger.shorts == shorts_at(ledger.book.positions, own, ledger.marks)
    held = {token for book in every for token, item in book.items() if item.quantity}
    assert set(ledger.held_tokens()) == held
    assert ledger.holds_short is any(item.quantity < 0 for book in every for item in book.values())


def _restarted(ledger: Ledger) -> None:
    """Let a ledger that has been asked already take over what another stored."""
    snapshot = RiskSnapshot(offsets={}, state=ledger.encode())
    twin = Ledger(D(1000))
    _agrees(twin)
    twin.load(RiskClaim(epoch="e", decisions={}, snapshot=snapshot, folds={}))
    _agrees(twin)


@given(st.lists(fills | marks, max_size=12))
def test_after_each_step_what_is_at_hand_is_what_would_be_computed_anew(taken: list[object]) -> None:
    ledger = Ledger(D(1000))
    for number, step in enumerate(taken):
        if isinstance(step, dict):
            ledger.mark(step)
        elif isinstance(step, tuple):
            side, token, quantity = step
            ledger.fold(filled(signal(f"s{number}", side, quantity, token=token), 100, quantity))
        _agrees(ledger)
    _restarted(ledger)
