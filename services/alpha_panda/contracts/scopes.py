"""Names of the scopes that have a trading state; of all that concern an order, the strictest binds."""

from typing import Final

PLATFORM: Final = "platform"


def account_scope(account: str) -> str:
    """Return the scope of an account."""
    return f"account/{account}"


def strategy_scope(strategy: str) -> str:
    """Return the scope of a strategy."""
    return f"strategy/{strategy}"


def scopes_of(account: str, strategy: str) -> tuple[str, str, str]:
    """Return the three scopes that bind a strategy's order on an account, the widest first."""
    return (PLATFORM, account_scope(account), strategy_scope(strategy))
