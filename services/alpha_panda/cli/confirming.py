"""Before a run that moves real money: a person's word for each account, and a look at what orders would leave from."""

import asyncio
import sys

import typer

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.zerodha import egress_check
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import BrokerAccount
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.settings import Settings

from .output import warn


def confirm_live(resources: ResourceSet, *, live: bool) -> None:
    """Let a person type each live account's name, unless `live` (`--live`) says it all.

    Raises:
        UserInputError: something else was typed, or nobody is at a terminal.

    """
    accounts = [account for account in resources.accounts.values() if account.live]
    if not accounts or live:
        return
    names = ", ".join(account.name for account in accounts)
    if not sys.stdin.isatty():
        raise UserInputError(
            f"orders of {names} would move real money; say so with --live, or try with dryRun: true in the account"
        )
    for account in accounts:
        warn(_warning(account, resources))
        typed = str(
            typer.prompt("Type the account's name to go on", default="", show_default=False, err=True)
        )
        if typed.strip() != account.name:
            raise UserInputError(f"{typed.strip()!r} is not {account.name!r}: nothing was started")


def _warning(account: BrokerAccount, resources: ResourceSet) -> str:
    names = [strategy.name for strategy in resources.strategies_of(account.name)]
    spec = account.spec.zerodha
    user, product = (spec.user_id, spec.product.value) if spec else ("", "")
    traded = ", ".join(names) or "no strategy"
    return f"{account.ref} is live: {traded} will trade real money as {user} at Zerodha ({product})."


def check_egress(resources: ResourceSet, settings: Settings) -> None:
    """Refuse to begin where a live account's orders would leave from another address than the registered one.

    Raises:
        UserInputError: names both addresses.

    """
    for account in resources.accounts.values():
        check = egress_check(account, settings, RealClock()) if account.live else None
        problem = asyncio.run(check.problem()) if check is not None else ""
        if problem:
            raise UserInputError(f"{account.ref}, spec.zerodha.egressIp: {problem}")
