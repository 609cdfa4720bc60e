"""The commands beside `run`, and what every command does with wrong arguments."""

import signal
from pathlib import Path
from typing import Any

import pytest

from alpha_panda import __version__
from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli import __main__ as entry
from alpha_panda.cli import app
from alpha_panda.cli.secrets import refuse_password
from alpha_panda.contracts.resources import KINDS
from alpha_panda.errors import DependencyUnavailableError
from unit.cli.kit import Alpha, account, feed, platform, strategy

EXAMPLES = Path(__file__).parents[3] / "examples"
COMMANDS = ("run", "validate", "service", "control", "version", "schema")


class TestHelp:
    @pytest.mark.parametrize("option", ["--help", "-h"])
    def test_it_names_every_command(self, alpha: Alpha, option: str) -> None:
        called = alpha(option)
        assert called.code == 0
        for command in COMMANDS:
            assert f" {command} " in called.out

    def test_no_command_shows_the_help_and_is_a_usage_error(self, alpha: Alpha) -> None:
        called = alpha()
        assert called.code == 2
        assert "Commands" in called.out + called.err
        assert "error:" not in called.err

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_its_own(self, alpha: Alpha, command: str) -> None:
        called = alpha(command, "--help")
        assert called.code == 0
        assert f"alpha-panda {command}" in " ".join(called.out.split())

    @pytest.mark.parametrize("arguments", [("fly",), ("run",), ("validate",), ("schema",), ("version", "x")])
    def test_a_wrong_usage_is_one_message(self, alpha: Alpha, arguments: tuple[str, ...]) -> None:
        called = alpha(*arguments)
        assert (called.code, called.out) == (2, "")
        assert called.err.startswith("error: ")


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_version(alpha: Alpha, asked: str) -> None:
    assert alpha(asked) == (0, f"alpha-panda {__version__}\n", "")


class TestSchema:
    @pytest.mark.parametrize("kind", sorted(KINDS))
    def test_it_is_the_model_s_in_the_words_of_manifests(self, alpha: Alpha, kind: str) -> None:
        called = alpha("schema", kind)
        assert (called.code, called.err) == (0, "")
        schema = called.json
        assert set(schema["required"]) == {"apiVersion", "kind", "metadata", "spec"}
        assert_references_hold(schema, schema)

    def test_every_field_of_the_examples_is_known_to_it(self, alpha: Alpha) -> None:
        """No validator of JSON Schema is among the locked packages: fields, types and constants are checked here."""
        import yaml  # noqa: PLC0415 - for this test alone

        documents = [
            document
            for path in sorted(EXAMPLES.glob("*/*.yaml"))
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        ]
        assert len(documents) > 10
        for document in documents:
            schema = alpha("schema", document["kind"]).json
            assert faults(document, schema, schema) == []

    def test_it_refuses_what_the_model_refuses(self, alpha: Alpha) -> None:
        schema = alpha("schema", "MarketFeed").json
        assert faults(feed(), schema, schema) == []
        for wrong in (feed(colour=1), feed({"simulated": {"sed": 1}}), feed() | {"kind": "Strategy"}):
            assert faults(wrong, schema, schema) != []

    @pytest.mark.parametrize("kind", ["Nope", ""])
    def test_an_unknown_kind_is_refused_with_those_there_are(self, alpha: Alpha, kind: str) -> None:
        called = alpha("schema", kind)
        assert called.code == 2
        assert "'MarketFeed', 'BrokerAccount', 'Strategy'" in called.err


def assert_references_hold(part: Any, schema: dict[str, Any]) -> None:
    if isinstance(part, dict):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/$defs/") in schema["$defs"]
        for item in part.values():
            assert_references_hold(item, schema)
    elif isinstance(part, list):
        for item in part:
            assert_references_hold(item, schema)


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def faults(value: Any, part: dict[str, Any], schema: dict[str, Any], place: str = "") -> list[str]:
    """What of the value the schema refuses: as much of JSON Schema as ours use."""
    if "$ref" in part:
        return faults(value, schema["$defs"][part["$ref"].removeprefix("#/$defs/")], schema, place)
    if "anyOf" in part:
        found = [faults(value, option, schema, place) for option in part["anyOf"]]
        return min(found, key=len)
    if "const" in part and value != part["const"]:
        return [f"{place}: {value!r} is not {part['const']!r}"]
    if "enum" in part and value not in part["enum"]:
        return [f"{place}: {value!r} is not one of {part['enum']}"]
    if "type" in part and not isinstance(value, TYPES[part["type"]]):  # type: ignore[arg-type]
        return [f"{place}: {value!r} is no {part['type']}"]
    return [*_faults_of_fields(value, part, schema, place), *_faults_of_items(value, part, schema, place)]


def _faults_of_fields(value: Any, part: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    if not isinstance(value, dict) or "properties" not in part:
        return []
    known = part["properties"]
    found = [f"{place}.{key} is missing" for key in part.get("required", ()) if key not in value]
    if part.get("additionalProperties") is False:
        found += [f"{place}.{key} is unknown" for key in value if key not in known]
    for key in value.keys() & known.keys():
        found += faults(value[key], known[key], schema, f"{place}.{key}")
    return found


def _faults_of_items(value: Any, part: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    if not isinstance(value, list) or "items" not in part:
        return []
    found: list[str] = []
    for position, item in enumerate(value):
        found += faults(item, part["items"], schema, f"{place}[{position}]")
    return found


class TestValidate:
    def test_it_lists_what_is_fine(self, alpha: Alpha) -> None:
        called = alpha("validate", alpha.write("all.yaml", platform()))
        assert called == (0, "MarketFeed/demo: ok\nBrokerAccount/paper: ok\nStrategy/alpha: ok\n", "")

    def test_a_calendar_that_is_about_to_end_is_a_warning_and_no_error(
        self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(RealClock, "now", lambda _: 1_796_112_000 * 1_000_000_000)  # 2026-12-01
        documents = platform(feed=feed({"simulated": {"seed": 7}}, calendar="XBOM"))
        called = alpha("validate", alpha.write("all.yaml", documents))
        assert (called.code, called.out.count(": ok")) == (0, 3)
        assert called.err.count("\n") == 1
        assert called.err.startswith("warning: MarketFeed/demo: ")
        assert "(30 days left)" in called.err
        replay = platform(feed=feed(calendar="XBOM"))  # has a present of its own
        assert alpha("validate", alpha.write("all.yaml", replay)).err == ""

    def test_a_folder_is_read_as_a_whole(self, alpha: Alpha) -> None:
        alpha.write("b.yaml", [account(), strategy()])
        alpha.write("a.yml", [feed()])
        assert alpha("validate", alpha.folder).code == 0

    def test_parameters_are_checked_by_the_strategy_s_own_model(self, alpha: Alpha) -> None:
        called = alpha(
            "validate", alpha.write("all.yaml", platform(strategy=strategy(parameters={"lookback": 0})))
        )
        assert (called.code, called.out) == (2, "")
        assert "spec.parameters.lookback" in called.err

    def test_what_only_a_run_would_meet_is_refused_here_too(self, alpha: Alpha) -> None:
        documents = platform(feed=feed({"replay": {"path": "nowhere.csv"}}))
        called = alpha("validate", alpha.write("all.yaml", documents))
        assert (called.code, called.out) == (2, "")
        assert "spec.source.replay.path: " in called.err
        assert "nowhere.csv: no such file" in called.err

    def test_a_class_that_can_not_be_loaded(self, alpha: Alpha) -> None:
        wrong = strategy(code={"file": "nowhere.py", "class": "Nobody"})
        called = alpha("validate", alpha.write("all.yaml", platform(strategy=wrong)))
        assert called.code == 2
        assert "nowhere.py" in called.err

    def test_no_yaml_at_all(self, alpha: Alpha) -> None:
        called = alpha("validate", alpha.text("all.yaml", "kind: [unclosed"))
        assert called.code == 2
        assert "all.yaml:2, document 1: is not YAML" in called.err

    def test_a_folder_without_manifests(self, alpha: Alpha) -> None:
        assert alpha("validate", alpha.folder).code == 2


class TestService:
    def refused(self, alpha: Alpha, name: str, resource: str) -> str:
        path = alpha.write("all.yaml", platform())
        called = alpha("service", name, "--manifests", path, "--resource", resource)
        assert (called.code, called.out) == (2, "")
        return called.err

    def test_an_unknown_service_is_told_with_those_there_are(self, alpha: Alpha) -> None:
        told = self.refused(alpha, "motor", "BrokerAccount/paper")
        assert told.startswith("error: there is no service 'motor'; allowed: engine, feed-cacher, ")

    @pytest.mark.parametrize("resource", ["BrokerAccount/other", "MarketFeed/demo", "paper", "", "/paper"])
    def test_a_resource_that_it_does_not_serve_is_told_with_those_it_does(
        self, alpha: Alpha, resource: str
    ) -> None:
        told = self.refused(alpha, "engine", resource)
        assert told == (
            f"error: --resource {resource!r} is nothing that engine serves; allowed: BrokerAccount/paper\n"
        )

    def test_no_resource_of_its_kind(self, alpha: Alpha) -> None:
        called = alpha(
            "service",
            "engine",
            "--manifests",
            alpha.write("f.yaml", [feed()]),
            "--resource",
            "BrokerAccount/paper",
        )
        assert called.code == 2
        assert "no BrokerAccount in the manifests" in called.err

    @pytest.mark.parametrize("missing", ["--manifests", "--resource"])
    def test_both_options_are_needed(self, alpha: Alpha, missing: str) -> None:
        options = {"--manifests": "x.yaml", "--resource": "BrokerAccount/paper"}
        del options[missing]
        called = alpha("service", "engine", *(word for pair in options.items() for word in pair))
        assert called.code == 2
        assert missing in called.err

    @pytest.mark.parametrize("service", ["engine", "feed-cacher"])
    def test_manifests_that_are_wrong_are_told_and_nothing_is_served(
        self, alpha: Alpha, service: str
    ) -> None:
        path = alpha.write("all.yaml", [feed(), {**account(), "spec": {"marketFeed": "demo"}}])
        resource = "BrokerAccount/paper" if service == "engine" else "MarketFeed/demo"
        called = alpha("service", service, "--manifests", path, "--resource", resource)
        assert called.code == 2
        assert "broker" in called.err


class TestEntry:
    def test_ctrl_c_while_modules_load_ends_with_0(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted() -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(app, "main", interrupted)
        assert entry.main() == 0

    @pytest.mark.parametrize(
        ("error", "code"), [(KeyboardInterrupt(), 0), (DependencyUnavailableError("redis", "down"), 1)]
    )
    def test_exit_codes(
        self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
    ) -> None:
        def failing(*_: object) -> None:
            raise error

        monkeypatch.setattr(app, "load", failing)
        called = alpha("validate", alpha.folder)
        assert called.code == code
        assert called.err == ("failed: redis: down\n" if code else "")

    def test_a_fault_of_the_program_itself_is_not_hidden(
        self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(app, "load", failing)
        with pytest.raises(ZeroDivisionError):
            alpha("validate", alpha.folder)


def test_every_example_is_valid(alpha: Alpha) -> None:
    folders = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
    assert len(folders) >= 4
    for folder in folders:
        called = alpha("validate", folder)
        assert called.code == 0, called.err
        assert called.out.count(": ok\n") == len(called.out.splitlines())


def test_signals_are_left_as_they_were(alpha: Alpha) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    alpha("run", alpha.write("all.yaml", [feed()]), "--max-ticks", 5, "--output", "json")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


class TestPasswordsInOptions:
    @pytest.mark.parametrize(
        "url",
        [
            "redis://user:hunter2@h:6379/0",
            "redis://:hunter2@h",
            "rediss://user:@h",
            "unix://user:hunter2@/tmp/redis.sock",
            "redis://h:6379/0?password=hunter2",
        ],
    )
    def test_a_password_is_refused_and_not_repeated(self, alpha: Alpha, tmp_path: Path, url: str) -> None:
        called = alpha("run", str(tmp_path), "--kafka", "h:1", "--redis", url)
        assert called.code == 2
        assert "hunter2" not in called.out + called.err
        assert "ALPHAPANDA_REDIS_URL" in called.err
        assert "ALPHAPANDA_REDIS_PASSWORD_FILE" in called.err

    def test_what_is_no_address_is_refused(self, alpha: Alpha, tmp_path: Path) -> None:
        called = alpha("run", str(tmp_path), "--kafka", "h:1", "--redis", "redis://:hunter2@[h")
        assert called.code == 2
        assert "--redis is no address" in called.err
        assert "hunter2" not in called.err

    @pytest.mark.parametrize("url", ["redis://h:6379/0", "redis://user@h", "unix:///tmp/redis.sock"])
    def test_an_address_and_a_user_may_be_said(self, url: str) -> None:
        refuse_password(url)
