"""`alpha-panda halt` and `resume`: stop trading by hand, and let it go on."""

import re
from typing import Annotated, Any, Final

import typer

from alpha_panda.compose.control_room import ControlRoom, Halt, Resumption, standing_cause
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import ControlReading, Latch
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .connecting import over_ports, person
from .output import ByOption, Form, FormOption, moment, say, say_json, say_table, warn
from .person_login import DENIED, REMEDY
from .plugin_places import InPod, runs

app = typer.Typer()

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_KINDS: Final = {
    "": account_scope,
    "BrokerAccount": account_scope,
    "account": account_scope,
    "Strategy": strategy_scope,
    "strategy": strategy_scope,
}

Everything = Annotated[bool, typer.Option("--all", help="The platform: every account and strategy.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; everybody reads it later.", show_default=False)]


def scope_of(text: str) -> str:
    """Return the control scope of `NAME`, `BrokerAccount/NAME`, `Strategy/NAME`, or of a scope as it is printed."""
    kind, _, name = text.rpartition("/")
    if kind not in _KINDS or not _NAME.fullmatch(name):
        raise UserInputError(
            f"{text!r} is no scope; allowed: an account's NAME, BrokerAccount/NAME, Strategy/NAME, or --all"
        )
    return _KINDS[kind](name)


def scopes_of_words(words: list[str], *, everything: bool) -> list[str]:
    """Return the scopes that a person named, once each; UserInputError for none, and for some beside `--all`."""
    if everything == bool(words):
        raise UserInputError(
            "name what is meant: accounts (NAME or BrokerAccount/NAME), Strategy/NAME, or --all, not both"
        )
    return [PLATFORM] if everything else list(dict.fromkeys(map(scope_of, words)))


# ------------------------------------------------------------------------------------------------------ halt


@app.command()
@runs(InPod(scopes="scopes", everything="everything"))
def halt(  # noqa: PLR0913, PLR0917 - a command's options
    reason: Reason,
    scopes: Annotated[
        list[str] | None,
        typer.Argument(help="Accounts (NAME), Strategy/NAME; several are allowed.", show_default=False),
    ] = None,
    everything: Everything = False,
    reducing: Annotated[
        bool,
        typer.Option(
            "--reducing", help="Let positions be closed: only orders that increase one are refused."
        ),
    ] = False,
    latch: Annotated[
        str,
        typer.Option(
            help="Id of the latch, to repeat a halt that succeeded by half. Never one that was cleared: a manifest may name it.",
            show_default=False,
        ),
    ] = "",
    by: ByOption = None,
    output: FormOption = Form.TEXT,
) -> None:
    """Stop trading at once, until a person resumes it. Exit code 1 if the halt is not in force or not durable.

    No new order begins after this; one that has begun is sent within seconds or not at all. What rests at the
    venue is cancelled (with --reducing: what would increase a position).
    """
    wanted = scopes_of_words(scopes or [], everything=everything)
    state = TradingState.REDUCING if reducing else TradingState.HALTED
    _require_reason(reason)

    def in_force(latch: Latch) -> None:
        if output is Form.TEXT:
            say(f"{latch.scope} is {latch.state}: latch {latch.latch_id} is in force")

    async def work(ports: Ports, settings: Settings) -> list[Halt]:
        room = ControlRoom(ports, settings, person(by))
        return await room.halt(wanted, state, reason, latch_id=latch, on_force=in_force)

    halts = over_ports(work)
    if output is Form.JSON:
        say_json({"halts": [_halt_json(item) for item in halts]})
    for item in halts:
        if output is Form.TEXT:
            _say_rest(item)
        for problem in item.problems:
            warn(f"failed: {item.latch.scope}: {problem}")
    if any(DENIED in problem for item in halts for problem in item.problems):
        warn(f"note: {REMEDY}")
    if not all(item.complete for item in halts):
        raise typer.Exit(1)


def _say_rest(item: Halt) -> None:
    """Print what was not known when the latch came into force."""
    kept = ", ".join(item.kept_in)
    if not item.in_force:
        but = f"; but kept in {kept}, from where a Redis that has lost its memory gets it" if kept else ""
        say(f"{item.latch.scope} is NOT {item.latch.state}: latch {item.latch.latch_id} is not in Redis{but}")
    elif kept:
        say(f"{item.latch.scope}: kept in {kept}")


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise UserInputError("--reason is empty; say why, in a few words")


def _halt_json(item: Halt) -> dict[str, Any]:
    return {
        "scope": item.latch.scope,
        "latch": _latch_json(item.latch),
        "in_force": item.in_force,
        "kept_in": list(item.kept_in),
        "complete": item.complete,
        "problems": list(item.problems),
    }


# ---------------------------------------------------------------------------------------------------- resume


@app.command()
@runs(InPod(scopes="scope", everything="everything"))
def resume(  # noqa: PLR0913, PLR0917 - a command's options
    scope: Annotated[
        str | None, typer.Argument(help="Account (NAME) or Strategy/NAME.", show_default=False)
    ] = None,
    everything: Everything = False,
    latches: Annotated[
        list[str] | None,
        typer.Option("--latch", help="Id of a latch to clear; may be repeated.", show_default=False),
    ] = None,
    every_latch: Annotated[
        bool, typer.Option("--every-latch", help="Clear all that the scope has; wants --yes.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't only say what would be cleared.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    by: ByOption = None,
    output: FormOption = Form.TEXT,
) -> None:
    """Show the latches of a scope, and clear those that are named: nothing else ends a halt.

    What the manifest asks for stays: a scope that its manifest halts is halted afterwards too.
    """
    (wanted,) = scopes_of_words([] if scope is None else [scope], everything=everything)
    if latches and every_latch:
        raise UserInputError("--latch ID or --every-latch, not both")

    async def work(ports: Ports, settings: Settings) -> ControlReading | Resumption:
        room = ControlRoom(ports, settings, person(by))
        reading = await room.reading(wanted)
        ids = [item.latch_id for item in reading.latches] if every_latch and yes else latches or []
        return await room.resume(wanted, ids, reason) if ids else reading

    result = over_ports(work)
    cleared = result.cleared if isinstance(result, Resumption) else ()
    reading = result.reading if isinstance(result, Resumption) else result
    notes = result.notes if isinstance(result, Resumption) else _notes(reading)
    if output is Form.JSON:
        say_json(
            {**_reading_json(reading), "cleared": [_latch_json(item) for item in cleared], "notes": notes}
        )
    else:
        for item in cleared:
            say(f"cleared {item.latch_id} of {item.scope} ({item.state}, {item.reason})")
        _say_reading(reading)
        for note in notes:
            warn(f"note: {note}")
    if every_latch and not yes and reading.latches:
        raise UserInputError(f"nothing was cleared; add --yes to clear all {len(reading.latches)}")


def _notes(reading: ControlReading) -> list[str]:
    return [note for note in map(standing_cause, reading.latches) if note]


def _say_reading(reading: ControlReading) -> None:
    say(f"{reading.scope} is {reading.state}: {_why(reading)}")
    if reading.latches:
        rows = [
            (item.latch_id, item.state, moment(item.set_at) or "", item.set_by, item.reason)
            for item in reading.latches
        ]
        say_table(("latch", "state", "since", "by", "reason"), rows)


def _why(reading: ControlReading) -> str:
    """Return what the state comes from: latches, and what the manifest asks for."""
    count = len(reading.latches)
    latches = f"{count} latch{'' if count == 1 else 'es'}" if count else "no latch"
    if reading.spec is None:
        return f"{latches}; no trading state was ever written (no operator, no `run` or `control`: Halted)"
    if reading.expired:
        return f"{latches}; the manifest's {reading.spec} ran out, nobody renews it: Halted"
    return f"{latches}; its manifest asks for {reading.spec}"


def _reading_json(reading: ControlReading) -> dict[str, Any]:
    return {
        "scope": reading.scope,
        "state": reading.state.value,
        "spec": None if reading.spec is None else reading.spec.value,
        "expired": reading.expired,
        "latches": [_latch_json(item) for item in reading.latches],
    }


def _latch_json(latch: Latch) -> dict[str, Any]:
    return {
        "id": latch.latch_id,
        "state": latch.state.value,
        "reason": latch.reason,
        "set_by": latch.set_by,
        "set_at": moment(latch.set_at),
    }
