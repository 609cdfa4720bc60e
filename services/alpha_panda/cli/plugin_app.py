"""The commands of `kubectl alpha-panda`: those of `alpha-panda`, each where its mark says, and `logs`.

There is no list of commands here. Those that run here are taken over as they are; those that run in a pod keep their
options, get kubectl's `--context`, `--kubeconfig` and `-n`, are checked here, and are then executed there as they were
given. So a new command is there as soon as it is in `alpha-panda`.
"""

import copy
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final

import typer
from typer.models import CommandInfo

from alpha_panda.errors import MisuseError
from alpha_panda.runtime.settings import load_settings

from . import app as cli
from . import plugin_logs
from .connecting import person
from .output import warn
from .plugin_kubectl import Kubectl, on_terminal
from .plugin_places import Here, InPod, place_of
from .plugin_pods import Pod
from .plugin_routes import Cluster, Plan, Route, plan

PROGRAM: Final = "kubectl alpha-panda"
IN_POD: Final = ("env", "-u", "ALPHAPANDA_LOG_LEVEL", "-u", "ALPHAPANDA_LOG_FORMAT", "alpha-panda")
"""A pod's settings, but for how its service logs: a person reads what the command has to say, as anywhere else."""
_CTRL_C: Final = 130
"""A remote command's word for it: half-done work, so no success here."""
_PANEL: Final = "Kubernetes"
_BY: Final = "by"
"""The parameter that says who gives the command: known here, unknown in a pod."""

_CONTEXT: Final = "kube_context"
_NAMESPACE: Final = "kube_namespace"
_CONFIG: Final = "kube_config"


def _option_of_kubectl(*names: str, text: str) -> Any:  # noqa: ANN401 - typer's own type for it
    return typer.Option(*names, help=text, show_default=False, rich_help_panel=_PANEL)


Context = Annotated[
    str, _option_of_kubectl("--context", text="Context of the kubeconfig; default: the current one.")
]
Namespace = Annotated[str, _option_of_kubectl("--namespace", "-n", text="Namespace; default: the context's.")]
Config = Annotated[
    str, _option_of_kubectl("--kubeconfig", text="Kubeconfig; default: $KUBECONFIG, else ~/.kube/config.")
]
KUBE_OPTIONS: Final = {_CONTEXT: Context, _NAMESPACE: Namespace, _CONFIG: Config}


# ----------------------------------------------------------------------------------------------- the tree


def plugin_of(app: typer.Typer) -> typer.Typer:
    """Return the plugin's commands for those of a command line."""
    plugin = typer.Typer(
        add_completion=False,  # a shell completes `kubectl`, not what it calls
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    plugin.callback()(_root)
    _mirror(app, plugin)
    plugin.command("logs")(_with_kube_options(plugin_logs.logs, _logs))
    return plugin


def _mirror(app: typer.Typer, onto: typer.Typer) -> None:
    """Give `onto` the commands of `app`, each going where it says; groups are copied with what is in them."""
    onto.registered_commands = [_command(info) for info in app.registered_commands]
    onto.registered_groups = []
    for info in app.registered_groups:
        group = copy.copy(info)
        if info.typer_instance is not None:
            group.typer_instance = copy.copy(info.typer_instance)
            _mirror(info.typer_instance, group.typer_instance)
        onto.registered_groups.append(group)


def _command(info: CommandInfo) -> CommandInfo:
    own = info.callback
    place = place_of(own)
    if own is None or isinstance(place, Here):
        return info

    def in_pod(context: typer.Context, values: dict[str, Any], kubectl: Kubectl) -> None:
        if place is None:
            raise MisuseError(f"nobody has said where {context.info_name!r} runs; see cli/plugin_places.py")
        if place.here and values.get(place.here) is not None:
            own(**values)
            return
        _execute(place, context, values, kubectl)

    mirror = copy.copy(info)
    mirror.callback = _with_kube_options(own, in_pod)
    return mirror


def _with_kube_options(
    own: Callable[..., Any], act: Callable[[typer.Context, dict[str, Any], Kubectl], None]
) -> Callable[..., Any]:
    """Return a function with the name, help and parameters of `own`, and kubectl's, that calls `act`."""

    def wrapper(*, kubectl_call: typer.Context, **values: Any) -> None:  # noqa: ANN401 - any parameters
        given = {name: values.pop(name) for name in KUBE_OPTIONS}
        act(kubectl_call, values, _kubectl(kubectl_call, given))

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("kubectl_call", keyword, annotation=typer.Context),
        *(item.replace(kind=keyword) for item in inspect.signature(own).parameters.values()),
        *(
            inspect.Parameter(name, keyword, default="", annotation=option)
            for name, option in KUBE_OPTIONS.items()
        ),
    ]
    wrapper.__name__, wrapper.__doc__ = own.__name__, own.__doc__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    wrapper.__annotations__ = {item.name: item.annotation for item in parameters}
    return wrapper


def _root(
    context: typer.Context,
    kube_context: Context = "",
    kube_namespace: Namespace = "",
    kube_config: Config = "",
    _version: cli.VersionOption = False,
) -> None:
    """Trading strategies as Kubernetes resources: `alpha-panda` where the strategies run."""
    context.obj = {_CONTEXT: kube_context, _NAMESPACE: kube_namespace, _CONFIG: kube_config}


def _kubectl(context: typer.Context, given: Mapping[str, str]) -> Kubectl:
    """Return kubectl with the options given: behind a command they win over those before it."""
    before = context.find_root().obj or {}
    of = {name: given[name] or before.get(name, "") for name in KUBE_OPTIONS}
    seconds = load_settings().command_timeout_seconds
    return Kubectl(kubeconfig=of[_CONFIG], context=of[_CONTEXT], namespace=of[_NAMESPACE], seconds=seconds)


# ---------------------------------------------------------------------------------------------- execution


def _execute(place: InPod, context: typer.Context, values: dict[str, Any], kubectl: Kubectl) -> None:
    """Execute the command in each of its pods, all at once; ends with their exit code."""
    wanted = plan(place, values, Cluster(kubectl))
    if _BY in values and values[_BY] is None:
        values[_BY] = person(None)
    calls = [(route.pod, words_of(context, values, _narrowed(place, route))) for route in wanted.routes]
    terminal = len(calls) == 1 and on_terminal()
    code = _ran([(_exec(pod, place, terminal=terminal) + words, pod) for pod, words in calls], kubectl)
    _say_problems(wanted)
    code = code or (1 if wanted.problems else 0)
    if code:
        raise typer.Exit(code)


def _say_problems(wanted: Plan) -> None:
    for problem in wanted.problems:
        warn(f"failed: {problem}")


def _narrowed(place: InPod, route: Route) -> dict[str, Any]:
    return {} if route.scopes is None else {place.scopes: list(route.scopes)}


def _exec(pod: Pod, place: InPod, *, terminal: bool) -> list[str]:
    """Return kubectl's words up to the command's own: a terminal if there is one, stdin only for who reads it."""
    streams = ["--stdin", "--tty"] if terminal else ["--stdin"] if place.reads_stdin else []
    return ["exec", "--quiet", *streams, pod.name, f"--container={pod.container}", "--", *IN_POD]


def _ran(calls: Sequence[tuple[list[str], Pod]], kubectl: Kubectl) -> int:
    """Run kubectl once a call, all beside one another; return the one exit code, 1 where they differ."""
    running = []
    try:
        running = [kubectl.started(words, namespace=pod.namespace) for words, pod in calls]
        codes = {_code(process.wait()) for process in running}
    except KeyboardInterrupt:
        for process in running:
            process.wait()
        warn("failed: interrupted; what was done so far stands, look before you repeat it")
        return cli.EXIT_FAILED
    return max(codes, default=0) if len(codes) <= 1 else cli.EXIT_FAILED


def _code(code: int) -> int:
    return cli.EXIT_FAILED if code < 0 or code == _CTRL_C else code


# -------------------------------------------------------------------------------------------------- words


def words_of(context: typer.Context, values: Mapping[str, Any], instead: Mapping[str, Any]) -> list[str]:
    """Return the command and what was given to it, as words that can be read in one way only.

    Options come as `--name=value` and arguments behind `--`: none can be taken for the other, whatever is in it.
    What was not given is left out: the pod's release has the defaults of its own.

    Args:
        context: of the command.
        values: its parameters.
        instead: values to be told in the place of those given.

    """
    options: list[str] = []
    arguments: list[str] = []
    for parameter in context.command.params:
        name = str(parameter.name)
        value = instead.get(name, values.get(name))
        if name not in values or value is None or not (_given(context, name) or name in (*instead, _BY)):
            continue
        if parameter.param_type_name == "argument":
            arguments += _texts(value)
        else:
            options += _option(parameter.opts, parameter.secondary_opts, value)
    return [*_path(context), *options, *(["--", *arguments] if arguments else [])]


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _option(names: Sequence[str], opposites: Sequence[str], value: Any) -> list[str]:  # noqa: ANN401 - any option's
    long = max(names, key=len)
    if value is True:
        return [long]
    if value is False:
        return [max(opposites, key=len)] if opposites else []
    return [f"{long}={text}" for text in _texts(value)]


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - any option's
    items = value if isinstance(value, list | tuple) else [value]
    return [str(item.value if isinstance(item, Enum) else item) for item in items]


def _path(context: typer.Context) -> list[str]:
    """Return the command's name, behind those of the groups that it is in."""
    names: list[str] = []
    at: Any = context
    while at.parent is not None:
        names.insert(0, str(at.info_name))
        at = at.parent
    return names


# --------------------------------------------------------------------------------------------------- logs


def _logs(_context: typer.Context, values: dict[str, Any], kubectl: Kubectl) -> None:
    words = plugin_logs.words(plugin_logs.Asked(**values), kubectl)
    process = kubectl.started(words)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the way to end --follow
        process.wait()
        raise
    if code:
        raise typer.Exit(_code(code))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: that of the command in the pod, where it ran there."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return cli.guarded(lambda: plugin_of(cli.app)(words, standalone_mode=False, prog_name=PROGRAM))
