from alpha_panda.contracts.scopes import PLATFORM, account_scope, scopes_of, strategy_scope


def test_three_scopes_bind_an_order_the_widest_first() -> None:
    assert scopes_of("paper", "momentum") == ("platform", "account/paper", "strategy/momentum")
    assert scopes_of("paper", "momentum") == (PLATFORM, account_scope("paper"), strategy_scope("momentum"))


def test_an_account_and_a_strategy_of_one_name_are_two_scopes() -> None:
    assert account_scope("demo") != strategy_scope("demo")
    assert PLATFORM not in (account_scope(PLATFORM), strategy_scope(PLATFORM))
