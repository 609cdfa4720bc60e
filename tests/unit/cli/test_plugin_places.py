"""Every command says where it runs; the plugin has no list of its own."""

import pytest
import typer
from typer.main import get_command

from alpha_panda.cli import app as cli
from alpha_panda.cli.plugin_app import KUBE_OPTIONS, plugin_of
from alpha_panda.cli.plugin_places import Here, InPod, place_of, runs
from unit.cli.plugin_kit import commands

ALL = dict(commands(cli.app))


def test_the_commands_are_found() -> None:
    assert {"run", "halt", "resume", "orders list", "orders resolve", "dlq purge", "version"} <= ALL.keys()


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_command_says_where_it_runs(name: str) -> None:
    place = place_of(ALL[name].callback)
    assert place is not None, (
        f"{name!r} does not say where `kubectl alpha-panda {name}` runs: mark its function with "
        "@runs(Here()) or @runs(InPod(…)) of cli/plugin_places.py"
    )


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_place_names_parameters_that_the_command_has(name: str) -> None:
    callback = ALL[name].callback
    place = place_of(callback)
    assert callback is not None
    if isinstance(place, InPod):
        assert set(place.parameters) <= set(callback.__annotations__)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_command_that_runs_in_a_pod_can_be_told_to_it(name: str) -> None:
    """Its options don't look like kubectl's, and each value is one word."""
    if not isinstance(place_of(ALL[name].callback), InPod):
        return
    taken = {"--context", "--namespace", "-n", "--kubeconfig"}
    single = typer.Typer()
    single.registered_commands = [ALL[name]]
    for parameter in get_command(single).params:
        assert parameter.name not in KUBE_OPTIONS
        assert not taken & set(parameter.opts)
        assert parameter.nargs in (1, -1)
        assert not getattr(parameter, "count", False)


def test_the_plugin_has_every_command_of_the_command_line_and_logs() -> None:
    assert {name for name, _ in commands(plugin_of(cli.app))} == ALL.keys() | {"logs"}


def test_a_new_command_comes_by_itself_and_the_command_line_stays_as_it_was() -> None:
    app = typer.Typer()
    group = typer.Typer(name="news")

    @app.command()
    @runs(Here())
    def local() -> None: ...

    @group.command()
    @runs(InPod(account="account"))
    def remote(account: str) -> None: ...

    app.add_typer(group)
    plugin = dict(commands(plugin_of(app)))
    assert plugin.keys() == {"local", "news remote", "logs"}
    assert plugin["local"].callback is local
    assert plugin["news remote"].callback is not remote
    assert dict(commands(app))["news remote"].callback is remote


def test_a_command_that_says_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def forgotten() -> None:
        raise AssertionError

    plugin = plugin_of(app)
    assert cli.guarded(lambda: plugin(["forgotten"], standalone_mode=False)) == 1
    assert "nobody has said where 'forgotten' runs" in capsys.readouterr().err


def test_a_mark_of_another_kind_is_none() -> None:
    def command() -> None: ...

    command.__dict__["__alpha_panda_place__"] = "here"
    assert place_of(command) is None
