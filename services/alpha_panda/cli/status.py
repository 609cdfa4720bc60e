"""`alpha-panda status`: what runs, how fresh, how far behind, what is halted, by whom and why."""

from typing import Annotated, Any

import typer

from alpha_panda.domain.overview import Facts, Finding, findings
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .connecting import over_ports
from .output import Form, FormOption, moment, say, say_json, warn
from .person_login import DENIED, REMEDY
from .plugin_places import InPod, runs

app = typer.Typer()

_WELL, _ILL = "ok", "!!"


@app.command()
@runs(InPod(near="accounts"))
def status(
    accounts: Annotated[
        list[str] | None,
        typer.Argument(help="Accounts, and what all share; default: all accounts.", show_default=False),
    ] = None,
    output: FormOption = Form.TEXT,
) -> None:
    """Tell how everything stands, a line each; what a person has to do stands below it, behind an arrow.

    Exit code 0: all is well; 1: something needs a person, or did not answer; 2: what was typed is wrong.
    """

    async def work(ports: Ports, settings: Settings) -> Facts:
        from alpha_panda.compose.overview import Overlook  # noqa: PLC0415 - keeps `--help` quick

        return await Overlook(ports, settings, accounts or ()).facts()

    facts = over_ports(work)
    _require_known(accounts or [], facts)
    found = findings(facts)
    if output is Form.JSON:
        say_json({"at": moment(facts.now), "well": _well(found), "findings": [_json(item) for item in found]})
    else:
        _print(found)
    if any(DENIED in problem for problem in facts.problems):
        warn(f"note: {REMEDY}")
    if not _well(found):
        raise typer.Exit(1)


def _require_known(accounts: list[str], facts: Facts) -> None:
    strangers = [name for name in accounts if name not in facts.accounts]
    if strangers and not facts.problems:
        raise UserInputError(f"there is no account {', '.join(strangers)}")


def _well(found: list[Finding]) -> bool:
    return all(item.well for item in found)


def _print(found: list[Finding]) -> None:
    width = max((len(item.what) for item in found), default=0)
    for item in sorted(found, key=lambda item: item.well):
        say(f"{_WELL if item.well else _ILL}  {item.what:<{width}}  {item.says}")
        if item.remedy:
            say(f"    → {item.remedy}")
    ill = sum(1 for item in found if not item.well)
    say("all is well" if not ill else f"{ill} of {len(found)} need a person")


def _json(item: Finding) -> dict[str, Any]:
    return {"what": item.what, "says": item.says, "well": item.well, "remedy": item.remedy}
