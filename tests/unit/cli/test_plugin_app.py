"""`kubectl alpha-panda …` against a kubectl that writes down its words."""

import getpass
import inspect
import os
import pty
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda import __version__
from alpha_panda.cli import app as cli
from alpha_panda.cli import plugin, plugin_app
from alpha_panda.cli.plugin_places import InPod, runs
from unit import story_kit
from unit.cli.kit import platform
from unit.cli.plugin_kit import HOME, FakeCluster, Plugin, a_pod, commands

SECONDS = 60
"""Longest wait for a process on a busy machine; they take one or two."""
ME = getpass.getuser()


class TestWhereItRuns:
    def test_local_commands_need_no_cluster(
        self, panda: Plugin, cluster: FakeCluster, tmp_path: Path
    ) -> None:
        assert panda("version").out == f"alpha-panda {__version__}\n"
        assert panda("--version").out == f"alpha-panda {__version__}\n"
        assert panda("schema", "Strategy").json["title"] == "Strategy"
        manifests = tmp_path / "all.yaml"
        manifests.write_text(yaml.safe_dump_all(platform()), encoding="utf-8")
        assert panda("validate", manifests).out.count(": ok") == 3
        assert cluster.calls == []

    def test_a_halt_is_executed_in_the_account_s_risk_pod(self, panda: Plugin, paper: FakeCluster) -> None:
        paper.answers(out="account/paper is Halted: latch by-hand-1 is in force\n")
        called = panda("halt", "paper", "--reason", "odd fills")
        assert called == (0, "account/paper is Halted: latch by-hand-1 is in force\n", "")
        assert paper.only.own == [
            "exec", f"--namespace={HOME}", "--quiet", "paper-risk-1", "--container=risk",
        ]  # fmt: skip
        assert paper.only.remote == [
            "alpha-panda", "halt", "--reason=odd fills", f"--by={ME}", "--", "paper",
        ]  # fmt: skip

    def test_an_order_is_explained_in_a_pod_but_from_a_file_of_one_s_own_here(
        self, panda: Plugin, paper: FakeCluster, tmp_path: Path
    ) -> None:
        file = story_kit.write(tmp_path / "events.jsonl", [story_kit.raw(), story_kit.rejected()])
        assert panda("explain", story_kit.A, "--events", file).out.startswith("REJECTED")
        assert paper.calls == []
        panda("explain", story_kit.A, "--account", "paper")
        assert paper.only.remote == ["alpha-panda", "explain", "--account=paper", "--", story_kit.A]

    def test_the_status_and_its_exit_code_come_from_a_pod(self, panda: Plugin, paper: FakeCluster) -> None:
        paper.answers(out="1 of 7 need a person\n", code=1)
        assert panda("status", "paper") == (1, "1 of 7 need a person\n", "")
        assert paper.only.remote == ["alpha-panda", "status", "--", "paper"]

    def test_events_are_tailed_in_the_pod_of_their_account(self, panda: Plugin, paper: FakeCluster) -> None:
        panda(
            "events", "tail", "--account", "paper", "--type", "ORDER_FILLED", "--no-follow", "--since", "5m"
        )
        assert paper.only.own[-2] == "paper-risk-1"
        assert paper.only.remote == [
            "alpha-panda", "events", "tail", "--account=paper", "--type=ORDER_FILLED", "--since=5m", "--no-follow",
        ]  # fmt: skip

    def test_who_gives_the_command_is_known_here(self, panda: Plugin, paper: FakeCluster) -> None:
        panda("resume", "paper", "--by", "asha")
        assert paper.only.remote == ["alpha-panda", "resume", "--by=asha", "--", "paper"]

    @pytest.mark.parametrize(
        ("words", "remote"),
        [
            (["orders", "list", "paper", "--in-doubt", "-o", "json"],
             ["orders", "list", "--in-doubt", "--output=json", "--", "paper"]),
            (["orders", "show", "ap123", "--account", "paper"],
             ["orders", "show", "--account=paper", "--", "ap123"]),
            (["orders", "resolve", "paper", "X", "--as", "filled", "--price", "2500.05", "--reason", "r", "--yes"],
             ["orders", "resolve", "--as=filled", "--reason=r", "--price=2500.05", "--yes", f"--by={ME}", "--", "paper",
              "X"]),
            (["dlq", "replay", "paper.signals.raw", "--offset", "3", "--offset", "5"],
             ["dlq", "replay", "--offset=3", "--offset=5", f"--by={ME}", "--", "paper.signals.raw"]),
        ],
    )  # fmt: skip
    def test_groups_and_every_kind_of_option(
        self, panda: Plugin, paper: FakeCluster, words: list[str], remote: list[str]
    ) -> None:
        assert panda(*words).code == 0
        command = paper.only.remote
        assert command[0] == "alpha-panda"
        split = command.index("--")
        assert command[split:] == remote[remote.index("--") :]
        assert command[1:3] == remote[:2]
        assert sorted(command[3:split]) == sorted(remote[2 : remote.index("--")])

    def test_the_pod_that_is_ready_is_taken(self, panda: Plugin, cluster: FakeCluster) -> None:
        cluster.has("pods", a_pod("BrokerAccount", "paper", "risk", name="old", leaving=True))
        cluster.account("paper", name="new", containers=("mesh", "risk"))
        panda("orders", "list", "paper")
        assert cluster.only.own[-2:] == ["new", "--container=risk"]

    def test_only_risk_pods_of_accounts_are_meant(self, panda: Plugin, cluster: FakeCluster) -> None:
        cluster.has("pods", a_pod("BrokerAccount", "paper", "engine"), a_pod("Strategy", "paper", "risk"))
        cluster.has("pods", a_pod("BrokerAccount", "paper", "risk", namespace="elsewhere"))
        cluster.account("paper", name="zz")
        panda("orders", "list", "paper")
        assert "zz" in cluster.only.own


class TestStrategies:
    def test_any_of_its_accounts_will_do_a_ready_one_first(self, panda: Plugin, cluster: FakeCluster) -> None:
        cluster.account("bold", ready=False)
        cluster.account("cautious")
        cluster.account("alien")
        cluster.strategy("momentum", "bold", "cautious")
        assert panda("halt", "Strategy/momentum", "--reason", "r").code == 0
        assert "cautious-risk-1" in cluster.only.own
        assert cluster.only.remote[-1] == "Strategy/momentum"

    def test_it_goes_along_with_an_account_that_is_halted_too(
        self, panda: Plugin, cluster: FakeCluster
    ) -> None:
        cluster.account("a")
        cluster.account("b")
        cluster.strategy("momentum", "a", "b")
        panda("halt", "Strategy/momentum", "b", "--reason", "r")
        assert cluster.only.remote[-2:] == ["b", "Strategy/momentum"]

    def test_one_that_is_not_there_is_a_wrong_word(self, panda: Plugin, paper: FakeCluster) -> None:
        called = panda("halt", "Strategy/nobody", "--reason", "r", "-n", HOME)
        assert (called.code, paper.executed) == (2, [])
        assert f"there is no Strategy nobody in namespace {HOME}" in called.err


class TestSeveralScopes:
    def test_each_account_s_own_pod_gets_its_scopes(self, panda: Plugin, cluster: FakeCluster) -> None:
        """The Redis user of one account's risk may not halt another account."""
        cluster.account("a")
        cluster.account("b")
        assert panda("halt", "a", "BrokerAccount/b", "a", "--reason", "r").code == 0
        sent = {call.own[-2]: call.remote[-1] for call in cluster.executed}
        assert sent == {"a-risk-1": "a", "b-risk-1": "BrokerAccount/b"}
        assert all(call.remote[-2] == "--" for call in cluster.executed)

    def test_one_that_can_t_be_reached_keeps_no_other_waiting(
        self, panda: Plugin, cluster: FakeCluster
    ) -> None:
        cluster.account("a", waiting="CrashLoopBackOff")
        cluster.account("b")
        called = panda("halt", "a", "b", "--reason", "r")
        assert called.code == 1
        assert cluster.only.remote[-1] == "b"
        assert "a-risk-1 (CrashLoopBackOff)" in called.err
        assert "kubectl patch brokeraccount a" in called.err

    @pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((2, 2), 2), ((0, 2), 1), ((1, 1), 1)])
    def test_the_code_is_theirs_and_1_where_they_differ(
        self, panda: Plugin, cluster: FakeCluster, codes: tuple[int, int], code: int
    ) -> None:
        for name, own in zip("ab", codes, strict=True):
            cluster.account(name)
            cluster.answers(pod=f"{name}-risk-1", code=own)
        assert panda("halt", "a", "b", "--reason", "r").code == code


class TestAll:
    def test_it_goes_to_the_operator_of_the_namespace(self, panda: Plugin, paper: FakeCluster) -> None:
        paper.operator(namespace="system")
        assert panda("halt", "--all", "--reason", "r", "-n", "system").code == 0
        assert paper.only.own[:2] == ["exec", "--namespace=system"]
        assert paper.only.own[-1] == "--container=operator"
        assert paper.only.remote == ["alpha-panda", "halt", "--reason=r", "--all", f"--by={ME}"]

    def test_else_to_the_one_of_the_cluster(self, panda: Plugin, paper: FakeCluster) -> None:
        paper.operator(namespace="system", name="one", ready=False)
        paper.operator(namespace="system", name="two")
        assert panda("resume", "--all").code == 0
        assert paper.only.own[1] == "--namespace=system"
        assert "two" in paper.only.own

    def test_with_several_installations_it_asks_which(self, panda: Plugin, paper: FakeCluster) -> None:
        paper.operator(namespace="blue-system", release="blue")
        paper.operator(namespace="green-system", release="green")
        called = panda("halt", "--all", "--reason", "r")
        assert (called.code, paper.executed) == (2, [])
        assert "-n blue-system (blue), -n green-system (green)" in called.err
        assert panda("halt", "--all", "--reason", "r", "-n", "green-system").code == 0

    def test_two_releases_of_one_namespace_are_two(self, panda: Plugin, paper: FakeCluster) -> None:
        paper.operator(namespace="system", release="blue")
        paper.operator(namespace="system", release="green")
        assert panda("halt", "--all", "--reason", "r").code == 2
        assert paper.executed == []

    def test_without_an_operator_it_says_what_happens(self, panda: Plugin, paper: FakeCluster) -> None:
        called = panda("halt", "--all", "--reason", "r")
        assert called.code == 1
        assert "there is no operator pod" in called.err


class TestAnyAccount:
    def test_a_topic_leads_to_its_account_s_pod(self, panda: Plugin, cluster: FakeCluster) -> None:
        cluster.account("a")
        cluster.account("paper")
        for topic in ("paper.signals.raw.dlq", f"{HOME}.paper.signals.raw.dlq"):
            panda("dlq", "show", topic, 3)
        assert [call.own[-2] for call in cluster.executed] == ["paper-risk-1"] * 2

    @pytest.mark.parametrize(
        "words", [("dlq", "list"), ("dlq", "show", "demo.market.ticks.dlq", 3), ("orders", "show", "apx")]
    )
    def test_without_one_any_does(self, panda: Plugin, paper: FakeCluster, words: tuple[object, ...]) -> None:
        assert panda(*words).code == 0
        assert "paper-risk-1" in paper.only.own

    def test_where_there_is_none_it_says_so(self, panda: Plugin, cluster: FakeCluster) -> None:
        called = panda("dlq", "list")
        assert called.code == 1
        assert "there is no risk pod of any account; apply a BrokerAccount" in called.err


class TestWrongWords:
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("halt", "paper"), "Missing option '--reason'"),
            (("halt", "--reason", "r"), "name what is meant"),
            (("halt", "paper", "--all", "--reason", "r"), "not both"),
            (("halt", "Pod/paper", "--reason", "r"), "'Pod/paper' is no scope"),
            (("resume",), "name what is meant"),
            (("orders", "list"), "Missing argument"),
            (("orders", "list", "paper", "--colour"), "No such option"),
            (("dlq", "show", "paper.signals.raw", "x"), "a valid integer"),
            (("fly",), "No such command 'fly'"),
            (("version", "-n", "x"), "No such option: -n"),
        ],
    )
    def test_they_are_found_before_kubectl_is_called(
        self, panda: Plugin, paper: FakeCluster, words: tuple[object, ...], says: str
    ) -> None:
        called = panda(*words)
        assert (called.code, called.out, paper.calls) == (2, "", [])
        assert says in called.err

    @pytest.mark.parametrize("name", ["nobody", "--output=yaml", "a/b", "Ä"])
    def test_an_account_that_is_not_there(self, panda: Plugin, paper: FakeCluster, name: str) -> None:
        called = panda("orders", "list", "--", name)
        assert (called.code, paper.executed) == (2, [])
        assert name in called.err

    def test_an_account_whose_pod_is_not_there_is_a_failure(
        self, panda: Plugin, cluster: FakeCluster
    ) -> None:
        cluster.has("brokeraccounts.alphapanda.io", {"metadata": {"name": "paper", "namespace": HOME}})
        called = panda("orders", "list", "paper")
        assert called.code == 1
        assert (
            "there is no risk pod of account paper; see `kubectl describe brokeraccount paper`" in called.err
        )


class TestKubectl:
    @pytest.mark.parametrize(
        "words",
        [
            ["halt", "paper", "--reason", "r", "--context", "prod", "-n", "desk", "--kubeconfig", "/k"],
            ["--context", "prod", "-n", "desk", "--kubeconfig", "/k", "halt", "paper", "--reason", "r"],
            ["--context", "test", "-n", "desk", "halt", "paper", "--reason", "r", "--kubeconfig", "/k",
             "--context", "prod"],
        ],
    )  # fmt: skip
    def test_its_options_are_taken_before_and_behind_the_command(
        self, panda: Plugin, cluster: FakeCluster, words: list[str]
    ) -> None:
        cluster.account("paper", namespace="desk")
        assert panda(*words).code == 0
        asked, executed = cluster.calls
        for call in (asked, executed):
            assert call.own[:2] == ["--kubeconfig=/k", "--context=prod"]
            assert "--namespace=desk" in call.own
        assert executed.remote[-3:] == [f"--by={ME}", "--", "paper"]

    def test_without_them_the_choice_is_kubectl_s(self, panda: Plugin, paper: FakeCluster) -> None:
        panda("orders", "list", "paper")
        asked = paper.calls[0].own
        assert not [word for word in asked if word.startswith(("--namespace", "--context", "--kubeconfig"))]

    def test_asking_is_given_up_after_the_time_of_a_command(
        self, panda: Plugin, paper: FakeCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ALPHAPANDA_COMMAND_TIMEOUT_SECONDS", "2.5")
        panda("orders", "list", "paper")
        assert "--request-timeout=2.5s" in paper.calls[0].own
        assert not [word for word in paper.only.own if "timeout" in word]

    def test_without_kubectl_it_says_so(
        self, panda: Plugin, paper: FakeCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        called = panda("orders", "list", "paper")
        assert called.code == 2
        assert "kubectl is not on the PATH" in called.err

    def test_a_refusal_is_kubectl_s_own_words_and_where_the_rights_are(
        self, panda: Plugin, paper: FakeCluster
    ) -> None:
        paper.refuses("pods")
        called = panda("halt", "paper", "other", "--reason", "r")
        assert (called.code, paper.executed) == (1, [])
        assert called.err.count("Error from server (Forbidden): pods is forbidden") == 1
        assert "docs/kubernetes/security.md" in called.err

    def test_a_person_who_may_not_read_strategies_can_still_halt_accounts(
        self, panda: Plugin, paper: FakeCluster
    ) -> None:
        paper.refuses("strategies.alphapanda.io")
        called = panda("halt", "paper", "Strategy/x", "--reason", "r")
        assert called.code == 1
        assert paper.only.remote[-1] == "paper"

    @pytest.mark.parametrize(
        ("remote", "code"), [(0, 0), (1, 1), (2, 2), (7, 7), (137, 137), (130, 1), (-9, 1)]
    )
    def test_the_command_s_exit_code_is_passed_on(
        self, panda: Plugin, paper: FakeCluster, remote: int, code: int
    ) -> None:
        paper.answers(out="half\n", err="failed: redis\n", code=remote)
        assert panda("orders", "list", "paper") == (code, "half\n", "failed: redis\n")


class TestWords:
    def test_no_shell_reads_them(self, panda: Plugin, paper: FakeCluster) -> None:
        reason = "a 'b' \"c\" $(touch x) ; `id` * \\ \n -n evil"
        panda("halt", "paper", "--reason", reason)
        assert f"--reason={reason}" in paper.only.remote

    def test_an_argument_is_never_taken_for_an_option(self, panda: Plugin, paper: FakeCluster) -> None:
        panda("orders", "show", "--account", "paper", "--", "--output=json")
        assert paper.only.remote[-2:] == ["--", "--output=json"]

    def test_a_value_is_never_taken_for_an_option(self, panda: Plugin, paper: FakeCluster) -> None:
        panda("halt", "paper", "--reason=--all")
        assert paper.only.remote[2:] == ["--reason=--all", f"--by={ME}", "--", "paper"]

    @given(
        reason=st.text(st.characters(codec="utf-8"), min_size=1),
        latch=st.text(st.characters(codec="utf-8")),
        scopes=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=3),
        everything=st.booleans(),
        reducing=st.booleans(),
        output=st.sampled_from(["text", "json"]),
    )
    def test_the_pod_reads_what_was_typed(  # noqa: PLR0917 - the options of halt
        self,
        reason: str,
        latch: str,
        scopes: list[str],
        everything: bool,
        reducing: bool,
        output: str,
    ) -> None:
        typed = ["halt", f"--reason={reason}", f"--latch={latch}", "-o", output, "--by=me"]
        typed += ["--all"] * everything + ["--reducing"] * reducing + ["--", *scopes]
        assert parsed(cli.app, told(typed)) == parsed(cli.app, typed)

    def test_a_flag_s_no_is_told_and_a_default_is_not(self) -> None:
        app = typer.Typer()
        app.command("other")(lambda: None)

        @app.command()
        @runs(InPod(account="account"))
        def close(account: str, cancel: bool = True, price: float = 1.0) -> None: ...

        assert told(["close", "paper", "--no-cancel"], app) == ["close", "--no-cancel", "--", "paper"]
        assert told(["close", "paper", "--cancel", "--price", "2.50"], app) == [
            "close", "--cancel", "--price=2.5", "--", "paper",
        ]  # fmt: skip
        assert told(["close", "paper"], app) == ["close", "--", "paper"]


def told(typed: list[str], app: typer.Typer = cli.app) -> list[str]:
    """The words for the pod, behind the program's name."""
    words: list[list[str]] = []

    def record(_place: InPod, context: typer.Context, values: dict[str, Any], _kubectl: object) -> None:
        words.append(plugin_app.words_of(context, values, {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugin_app, "_execute", record)
        plugin_app.plugin_of(app)(typed, standalone_mode=False)
    (found,) = words
    return found


def parsed(app: typer.Typer, words: list[str]) -> dict[str, Any]:
    """The values that a command of the command line itself reads from words."""
    seen: list[dict[str, Any]] = []
    mirror = typer.Typer()
    for _, info in commands(app):
        own = info.callback
        assert own is not None

        def record(**values: Any) -> None:
            seen.append(values)

        record.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
        record.__annotations__ = own.__annotations__
        mirror.command(info.name or own.__name__)(record)
    mirror(words, standalone_mode=False)
    (found,) = seen
    return found


@contextmanager
def typed(*words: str, **streams: Any) -> Iterator["subprocess.Popen[str]"]:
    """The plugin as a process in a group of its own; killed at the end if it still runs."""
    process = subprocess.Popen(  # noqa: S603 - the project's own program
        [sys.executable, "-m", "alpha_panda.cli.plugin", *words], start_new_session=True, text=True, **streams
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class TestStreams:
    def test_a_terminal_is_passed_on(self, paper: FakeCluster) -> None:
        ours, theirs = pty.openpty()
        with typed("orders", "list", "paper", stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            assert process.wait(SECONDS) == 0
        os.close(ours)
        assert {"--stdin", "--tty"} <= set(paper.only.own)

    @pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
    def test_where_one_of_the_three_is_none_there_is_none(self, paper: FakeCluster, stream: str) -> None:
        ours, theirs = pty.openpty()
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        streams[stream] = subprocess.DEVNULL
        with typed("orders", "list", "paper", **streams) as process:
            os.close(theirs)
            assert process.wait(SECONDS) == 0
        os.close(ours)
        assert not {"--stdin", "--tty"} & set(paper.only.own)

    def test_several_pods_share_none(self, cluster: FakeCluster) -> None:
        cluster.account("a")
        cluster.account("b")
        ours, theirs = pty.openpty()
        with typed("halt", "a", "b", "--reason", "r", stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            assert process.wait(SECONDS) == 0
        os.close(ours)
        assert [set(call.own) & {"--stdin", "--tty"} for call in cluster.executed] == [set(), set()]

    def test_stdin_stays_for_what_comes_after(self, paper: FakeCluster) -> None:
        """`while read name; do kubectl alpha-panda halt $name …; done` must not lose its list to the first one."""
        with typed("orders", "list", "paper", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            process.communicate("next\n", SECONDS)
        assert (process.returncode, paper.only.stdin) == (0, "")

    def test_a_command_that_reads_stdin_gets_it(
        self, paper: FakeCluster, capfd: pytest.CaptureFixture[str]
    ) -> None:
        app = typer.Typer()
        app.command("other")(lambda: None)

        @app.command()
        @runs(InPod(account="account", reads_stdin=True))
        def ask(account: str) -> None: ...

        with (paper.folder / "answers").open("w+") as answers:
            answers.write("yes\n")
            answers.seek(0)
            kept = os.dup(0)
            os.dup2(answers.fileno(), 0)
            try:
                plugin_app.plugin_of(app)(["ask", "paper"], standalone_mode=False)
            finally:
                os.dup2(kept, 0)
                os.close(kept)
        assert paper.only.stdin == "yes\n"

    def test_ctrl_c_is_a_failure_for_what_may_be_half_done(self, paper: FakeCluster) -> None:
        paper.answers(waits=True)
        with typed("halt", "paper", "--reason", "r", stderr=subprocess.PIPE) as process:
            wait_for(paper.folder / "waiting")
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
        assert "interrupted; what was done so far stands" in err

    def test_ctrl_c_is_how_a_followed_log_ends(self, cluster: FakeCluster) -> None:
        cluster.has("pods", a_pod("Strategy", "momentum", "strategy"))
        cluster.answers(waits=True)
        with typed("logs", "momentum", "-f", stderr=subprocess.PIPE) as process:
            wait_for(cluster.folder / "waiting")
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=SECONDS)
        assert process.returncode == 0


def wait_for(path: Path) -> None:
    """Wait until another process has made the file; the file system tells nobody, so it is asked."""
    until = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


class TestInstalled:
    def test_the_script_has_the_name_that_kubectl_looks_for(self) -> None:
        project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
        assert project["project"]["scripts"]["kubectl-alpha_panda"] == "alpha_panda.cli.plugin:main"
        assert callable(plugin.main)

    def test_its_help_speaks_of_kubectl(self, panda: Plugin) -> None:
        called = panda("halt", "--help")
        assert called.code == 0
        text = " ".join(called.out.split())
        assert "Usage: kubectl alpha-panda halt" in text
        assert {"--context", "--namespace", "-n", "--kubeconfig", "--reason"} <= set(text.split())

    def test_without_a_command_it_shows_its_help(self, panda: Plugin) -> None:
        called = panda()
        assert called.code == 2
        assert "logs" in called.out + called.err

    def test_ctrl_c_while_it_loads_is_no_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted() -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(plugin_app, "main", interrupted)
        assert plugin.main() == 0
