"""`kubectl alpha-panda logs`: what the pods of a resource print, by the name of the resource."""

from dataclasses import dataclass
from typing import Annotated, Final

import typer

from alpha_panda.errors import DependencyUnavailableError, UserInputError

from .plugin_kubectl import Kubectl
from .plugin_pods import COMPONENT, INSTANCE, KIND, NAME, Pod
from .plugin_routes import name_of

_ALL_LINES: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The values of the parameters of `logs`."""

    strategy: str | None
    account: str
    feed: str
    role: str
    follow: bool
    previous: bool
    tail: int
    since: str

    @property
    def target(self) -> tuple[str, str]:
        """Kind and name of the resource; UserInputError unless there is exactly one."""
        named = {"Strategy": self.strategy, "BrokerAccount": self.account, "MarketFeed": self.feed}
        given = [(kind, name) for kind, name in named.items() if name]
        if len(given) != 1:
            raise UserInputError("name what is meant: a strategy, --account NAME or --feed NAME; one of them")
        return given[0]


def logs(  # noqa: PLR0913, PLR0917 - a command's options
    strategy: Annotated[str | None, typer.Argument(help="Name of the Strategy.", show_default=False)] = None,
    account: Annotated[
        str, typer.Option("--account", help="Instead: the pods of a BrokerAccount.", show_default=False)
    ] = "",
    feed: Annotated[
        str, typer.Option("--feed", help="Instead: the pods of a MarketFeed.", show_default=False)
    ] = "",
    role: Annotated[
        str, typer.Option("--role", help="Only this service, e.g. engine.", show_default=False)
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the container that ended before this one.")
    ] = False,
    tail: Annotated[int, typer.Option("--tail", min=_ALL_LINES, help="Last lines; -1: all.")] = _ALL_LINES,
    since: Annotated[
        str, typer.Option("--since", help="Not older than this: 30s, 5m, 2h.", show_default=False)
    ] = "",
) -> None:
    """Print what the pods of a strategy log; of an account or a feed too, with the pod's name before each line."""


def words(asked: Asked, kubectl: Kubectl) -> list[str]:
    """Return kubectl's words; looks first what there is.

    Raises:
        UserInputError: not exactly one resource, or a role that it doesn't have.
        DependencyUnavailableError: it has no pods, or kubectl can't tell.

    """
    kind, name = asked.target
    selector = f"{NAME},{KIND}={kind},{INSTANCE}={name_of(kind, name)}"
    pods = _of_role([Pod.of(item) for item in kubectl.objects("pods", selector=selector)], asked, name)
    if len(pods) == 1:
        (pod,) = pods
        which = [pod.name, f"--container={pod.container}"]
    else:
        role = f",{COMPONENT}={asked.role}" if asked.role else ""
        which = [f"--selector={selector}{role}", "--prefix", f"--max-log-requests={len(pods)}"]
    return ["logs", *which, *_how(asked)]


def _how(asked: Asked) -> list[str]:
    flags = {"--follow": asked.follow, "--previous": asked.previous}
    since = [f"--since={asked.since}"] if asked.since else []
    return [f"--tail={asked.tail}", *(flag for flag, wanted in flags.items() if wanted), *since]


def _of_role(pods: list[Pod], asked: Asked, name: str) -> list[Pod]:
    kind = asked.target[0]
    if not pods:
        remedy = f"see `kubectl describe {kind.lower()} {name}`, or say another namespace by -n"
        raise DependencyUnavailableError("kubernetes", f"{kind}/{name} has no pods; {remedy}")
    found = [pod for pod in pods if asked.role in ("", pod.component)]
    if not found:
        roles = ", ".join(sorted({pod.component for pod in pods}))
        raise UserInputError(f"{kind}/{name} has no pod of role {asked.role!r}; it has {roles}")
    return found
