"""`alpha-panda dev`: what helps while one writes and tries a strategy. Nothing here trades."""

from typing import TYPE_CHECKING, Annotated

import typer

from alpha_panda.runtime.settings import ENV_PREFIX

from .output import say
from .plugin_places import Here, runs

if TYPE_CHECKING:
    from alpha_panda.testing.kite.program import Addresses

app = typer.Typer(
    name="dev", help="Try things out: a broker on this machine instead of the real one.", no_args_is_help=True
)


@app.callback()
def dev() -> None:
    """Try things out: a broker on this machine instead of the real one."""


@app.command()
@runs(Here())
def kite(  # noqa: PLR0913, PLR0917 - a command's options
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0: a free one.")] = 8600,
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for commands of tests; 0: a free one.")
    ] = 0,
    instruments: Annotated[
        int, typer.Option(min=1, max=200_000, help="How many instruments there are.")
    ] = 100,
    ticks_per_second: Annotated[
        float, typer.Option(min=0, help="How often prices move, of all instruments together.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same prices from run to run.")] = 0,
    user: Annotated[str, typer.Option(help="The client's id.")] = "AB1234",
    token_life: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds that an access token lives. Default: until 06:00 in India."),
    ] = None,
    redirect_url: Annotated[
        str, typer.Option(help="Where the log-in page leads. Default: it shows the request token.")
    ] = "",
    postback_url: Annotated[str, typer.Option(help="Where changes of orders are posted.")] = "",
    limits: Annotated[bool, typer.Option(help="Whether Kite's limits on calls hold.")] = True,
) -> None:
    """Run a local Kite: Zerodha's interface on this machine, with made-up prices; until Ctrl-C.

    Log-in, instruments, quotes, orders, positions, funds and the WebSocket are there. No order leaves this machine.
    """
    import asyncio  # noqa: PLC0415 - keeps `--help` quick

    from alpha_panda.testing.kite.program import KiteOptions, serve  # noqa: PLC0415 - as above

    options = KiteOptions(
        port=port,
        control_port=control_port,
        instruments=instruments,
        ticks_per_second=ticks_per_second,
        seed=seed,
        user=user,
        token_life=token_life,
        redirect_url=redirect_url,
        postback_url=postback_url,
        limits=limits,
    )
    asyncio.run(serve(options, _explain))


def _explain(here: "Addresses") -> None:
    """Say how to point alpha-panda at it."""
    for line in (
        f"A local Kite of user {here.user}. Nothing that comes here reaches Zerodha. Ctrl-C ends it.",
        "",
        "Point alpha-panda at it:",
        f"  export {ENV_PREFIX}ZERODHA_API_URL={here.url}",
        f"  export {ENV_PREFIX}ZERODHA_WS_URL={here.ws_url}",
        f"  export {ENV_PREFIX}ZERODHA_LOGIN_URL={here.login_url}",
        f"  export {ENV_PREFIX}BROKER_DIRECTORY=~/.config/alpha-panda/local-kite   # apart from real log-ins",
        "",
        "Log in by `alpha-panda login ACCOUNT`; the first time it asks for",
        f"  api_key     {here.api_key}",
        f"  api_secret  {here.api_secret}",
        "",
        f"Commands (see alpha_panda.testing.kite.control): {here.control_url}",
    ):
        say(line)
