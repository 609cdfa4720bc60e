"""`alpha-panda login`: a broker's log-in of the day, from the page where a person logs in to the stored session."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import typer

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.ids import RandomIds
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import UserInputError
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import Settings, load_settings

from .login_callback import Callback
from .login_keys import Files, Keys, Place, Secrets
from .output import Form, FormOption, moment, say, say_json, warn
from .plugin_kubectl import Kubectl
from .plugin_places import Here, runs

if TYPE_CHECKING:
    from alpha_panda.adapters.zerodha.session import Session

STATE: Final = "state"
"""What the log-in page is given and must bring back to the callback: another page can't make one up."""

_PANEL: Final = "Kubernetes"


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """The arguments of `login`; `callback` is the loopback port, None: a person pastes."""

    account: str
    callback: int | None
    form: Form


@runs(Here())
def login(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    account: Annotated[str, typer.Argument(help="Name of the BrokerAccount.", show_default=False)],
    callback: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Wait at http://127.0.0.1:PORT for the browser, instead of asking you to paste. The app's redirect URL must "
            "be that address.",
            metavar="PORT",
        ),
    ] = None,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Store the session in the cluster, as a Secret, by your kubectl; `kubectl alpha-panda login` does so anyway.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    namespace: Annotated[
        str,
        typer.Option("--namespace", "-n", help="Namespace; default: the context's.", rich_help_panel=_PANEL),
    ] = "",
    kube_context: Annotated[
        str, typer.Option("--context", help="Context of the kubeconfig.", rich_help_panel=_PANEL)
    ] = "",
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig", help="Kubeconfig; default: kubectl's.", rich_help_panel=_PANEL)
    ] = "",
    output: FormOption = Form.TEXT,
) -> None:
    """Log in at the account's broker for the day: prints the page, takes what comes back, stores the session.

    Services notice the new session within seconds. Log in once a day, in one place: a new session ends the one before.
    """
    settings = load_settings()
    configure_logging(settings)
    kube = {"kubeconfig": kubeconfig, "context": kube_context, "namespace": namespace}
    above = context.find_root().obj or {}
    place: Place
    if cluster or above or any(kube.values()):
        given = {name: value or above.get(f"kube_{_OPTIONS[name]}", "") for name, value in kube.items()}
        place = Secrets.of(account, Kubectl(**given, seconds=settings.command_timeout_seconds))
    else:
        place = Files(account, Path(settings.broker_directory).expanduser() / account)
    log_in(LoginRequest(account, callback, output), place, settings)


_OPTIONS: Final = {"kubeconfig": "config", "context": "context", "namespace": "namespace"}
"""What the plugin calls kubectl's options, of a command's own."""


def log_in(request: LoginRequest, place: Place, settings: Settings) -> None:
    """Ask for all that the log-in needs, exchange it, and store the session at its place.

    Raises:
        UserInputError: keys are missing, the broker refuses, or the session is of another user; nothing is stored.
        DependencyUnavailableError: the broker, or the cluster, can't be reached.

    """
    keys = place.keys()
    session = asyncio.run(_session(request, keys, settings))
    if objection := place.objection(session.user_id):
        raise UserInputError(
            f"that was a log-in of user {session.user_id}, but {objection}; nothing is stored. To log in as another user, "
            "log out of the broker's page first"
        )
    where = place.store(session)
    _tell(request, session, where)


async def _session(request: LoginRequest, keys: Keys, settings: Settings) -> "Session":
    from alpha_panda.adapters.zerodha import login as zerodha  # noqa: PLC0415 - keeps `--help` quick
    from alpha_panda.compose.zerodha import clock_of  # noqa: PLC0415 - as above

    page = zerodha.login_url(settings.zerodha_login_url, keys.api_key)
    warn(f"The app's keys are {keys.where}.")
    if request.callback is None:
        token = _pasted(page)
    else:
        token = await _called_back(page, request.callback, settings.login_wait_seconds)
    try:
        return await zerodha.exchange(
            RealClock(),
            url=settings.zerodha_api_url,
            api_key=keys.api_key,
            api_secret=keys.api_secret,
            request_token=token,
            dies_at=clock_of(settings.zerodha_token_dies_at),
            request_seconds=settings.zerodha_request_seconds,
        )
    except UserInputError as error:
        raise UserInputError(f"{error}; the keys used are {keys.where}") from error


def _pasted(page: str) -> str:
    from alpha_panda.adapters.zerodha.login import request_token_of  # noqa: PLC0415 - as above

    warn(f"Log in here:\n\n  {page}\n")
    warn("The browser is then sent to your app's redirect URL; whether a page is there does not matter.")
    if sys.stdin.isatty():
        pasted = str(typer.prompt("Paste its whole address, or its request_token", err=True))
    else:
        pasted = sys.stdin.readline()
    return request_token_of(pasted)


async def _called_back(page: str, port: int, seconds: float) -> str:
    from alpha_panda.adapters.zerodha.login import request_token_of  # noqa: PLC0415 - as above

    state = RandomIds().new_id()
    async with Callback(port, lambda query: parse_qs(query).get(STATE) == [state]) as callback:
        echoed = quote(urlencode({STATE: state}), safe="")
        warn(f"Log in here, within {seconds / 60:g} minutes:\n\n  {page}&redirect_params={echoed}\n")
        warn(f"Waiting for the browser at {callback.url} (your app's redirect URL must be this address) …")
        return request_token_of(urlsplit(await callback.query(seconds)).query)


def _tell(request: LoginRequest, session: "Session", where: str) -> None:
    from alpha_panda.adapters.zerodha.session import IST  # noqa: PLC0415 - as above

    if request.form is Form.JSON:
        say_json(
            {
                "account": request.account,
                "user": session.user_id,
                "expiresAt": moment(session.expires_at),
                "storedIn": where,
            }
        )
        return
    left = max(0, session.expires_at - RealClock().now()) // SECOND_NS
    say(f"{request.account}: logged in as {session.user_id}; stored in {where}")
    until = datetime.fromtimestamp(session.expires_at / SECOND_NS, IST)
    say(f"valid until {until:%Y-%m-%d %H:%M} in India, for {left // 3600} h {left % 3600 // 60:02} min")
