"""Loading a set: references between resources, parameters, all faults at once, and what the set answers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field, model_validator

from alpha_panda.contracts.manifests import ResourceSet, check_embedded, json_schema, load_manifests
from alpha_panda.contracts.manifests.faults import fields_at, listed, shown, suggestion
from alpha_panda.contracts.resources import MarketFeed, Strategy
from alpha_panda.errors import ManifestError, ManifestFault, StrategyLoadError, UserInputError

VERSION = "alphapanda.io/v1alpha1"


def feed(name: str = "demo", *symbols: str, speed: float | None = None, **spec: Any) -> dict[str, Any]:
    names = symbols or ("NSE:A", "NSE:B")
    source: dict[str, Any] = {"simulated": {} if speed is None else {"speed": speed}}
    instruments = [
        {"symbol": symbol, "token": number, "tickSize": "0.05", "referencePrice": "100"}
        for number, symbol in enumerate(names, 1)
    ]
    return _resource("MarketFeed", name, {"source": source, "instruments": instruments, **spec})


def account(name: str = "paper", on: str = "demo", **spec: Any) -> dict[str, Any]:
    return _resource("BrokerAccount", name, {"marketFeed": on, "paper": {"cash": "1000"}, **spec})


def strategy(
    name: str = "mo", on: str = "demo", accounts: tuple[str, ...] = ("paper",), **spec: Any
) -> dict[str, Any]:
    base = {"type": "momentum", "marketFeed": on, "instruments": ["NSE:A"], "accounts": list(accounts)}
    return _resource("Strategy", name, {**base, **spec})


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def faults(*documents: dict[str, Any], **more: Any) -> list[ManifestFault]:
    with pytest.raises(ManifestError) as caught:
        ResourceSet.from_documents(documents, **more)
    return list(caught.value.faults)


def fields(found: list[ManifestFault]) -> list[tuple[int, str]]:
    return [(fault.document, fault.field) for fault in found]


# ------------------------------------------------------------------------------------------------- the set


def test_a_set_answers_who_belongs_to_whom() -> None:
    resources = ResourceSet.from_documents(
        [
            feed("one"),
            feed("two"),
            account("a", "one"),
            account("b", "one"),
            account("c", "two"),
            strategy("x", "one", ("a", "b")),
            strategy("y", "one", ("b",)),
            strategy("z", "two", ("c",)),
        ]
    )
    assert [item.ref for item in resources] == [
        "MarketFeed/one", "MarketFeed/two",
        "BrokerAccount/a", "BrokerAccount/b", "BrokerAccount/c",
        "Strategy/x", "Strategy/y", "Strategy/z",
    ]  # fmt: skip
    assert [item.name for item in resources.strategies_of("a")] == ["x"]
    assert [item.name for item in resources.strategies_of("b")] == ["x", "y"]
    assert [item.name for item in resources.accounts_of("one")] == ["a", "b"]
    assert [item.name for item in resources.strategies_of_feed("two")] == ["z"]
    assert resources.strategies_of("nobody") == ()
    assert resources.feed_of(resources.accounts["c"]).name == "two"
    assert resources.feed_of(resources.strategies["x"]).name == "one"
    assert len(resources) == 8


def test_a_set_does_not_depend_on_the_order_of_its_documents() -> None:
    documents = [strategy(), account(), feed()]
    assert ResourceSet.from_documents(documents) == ResourceSet.from_documents(documents[::-1])


def test_relative_paths_begin_in_the_manifest_s_own_folder(tmp_path: Path) -> None:
    for name, document in (("feeds/f.yaml", feed()), ("a.yaml", account()), ("s/s.yaml", strategy())):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(document))
    resources = load_manifests([tmp_path])
    folders = {item.ref: resources.directory_of(item) for item in resources}
    assert folders == {
        "MarketFeed/demo": tmp_path / "feeds",
        "BrokerAccount/paper": tmp_path,
        "Strategy/mo": tmp_path / "s",
    }


def test_documents_in_memory_have_the_folder_they_are_given() -> None:
    resources = ResourceSet.from_documents([feed()], directory=Path("/somewhere"))
    assert resources.directory_of(resources.feeds["demo"]) == Path("/somewhere")
    assert faults({"kind": "X"})[0].file == "(documents)"


def test_a_resource_s_fault_can_be_reported_after_loading(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(yaml.safe_dump_all([feed(), account()]))
    resources = load_manifests([file])
    fault = resources.fault(resources.accounts["paper"], ("spec", "paper"), "went wrong", "something else")
    assert (fault.file, fault.document, fault.field) == (str(file), 2, "spec.paper")
    assert fault.resource == "BrokerAccount/paper"


def test_what_kubectl_shows_of_a_stored_resource_is_a_manifest() -> None:
    stored = feed()
    stored["metadata"] |= {
        "uid": "u-1",
        "namespace": "trading",
        "resourceVersion": "81",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "finalizers": ["alphapanda.io/x"],
    }
    stored["status"] = {"conditions": []}
    loaded = ResourceSet.from_documents([stored]).feeds["demo"]
    assert (loaded.metadata.uid, loaded.metadata.namespace) == ("u-1", "trading")


def test_a_loaded_set_does_not_keep_the_parsed_yaml(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(feed()))
    origins = load_manifests([tmp_path]).origins
    assert [origin.node for origin in origins.values()] == [None]


# ---------------------------------------------------------------------------------------------- references


def test_an_account_and_its_strategy_must_be_on_one_feed() -> None:
    found = faults(
        feed("one"), feed("two"), account("a", "one"), account("b", "two"), strategy("s", "one", ("a", "b"))
    )
    assert fields(found) == [(5, "spec.accounts[1]")]
    assert found[0].problem == "account 'b' is on feed 'two', the strategy on 'one'"


def test_references_of_and_to_wrong_resources_are_checked_and_make_no_echo() -> None:
    wrong_feed = feed()
    wrong_feed["spec"]["partitions"] = 0
    wrong_strategy = strategy(accounts=("paper", "papr"), instruments=["NSE:A", "NSE:C"])
    wrong_strategy["spec"]["tradingState"] = "On"
    found = faults(wrong_feed, account(), wrong_strategy)
    assert sorted(fields(found)) == [
        (1, "spec.partitions"),
        (3, "spec.accounts[1]"),
        (3, "spec.instruments[1]"),
        (3, "spec.tradingState"),
    ]


def test_a_feed_whose_symbols_are_unreadable_makes_no_echo_in_its_strategies() -> None:
    wrong = feed()
    wrong["spec"]["instruments"] = [{"symbol": 3}]
    assert {fault.document for fault in faults(wrong, account(), strategy())} == {1}


def test_a_missing_resource_is_said_to_be_none_of_those_that_exist() -> None:
    found = faults(strategy())
    assert [fault.allowed for fault in found] == [
        "none: the manifests hold no MarketFeed",
        "none: the manifests hold no BrokerAccount",
    ]


def test_the_same_name_is_allowed_for_resources_of_other_kinds() -> None:
    assert len(ResourceSet.from_documents([feed("x"), account("x", "x"), strategy("x", "x", ("x",))])) == 3


def test_an_unsaid_namespace_goes_with_any_other() -> None:
    named = feed()
    named["metadata"]["namespace"] = "trading"
    assert len(ResourceSet.from_documents([named, account()])) == 2


def test_a_symbol_of_another_feed_is_unknown() -> None:
    found = faults(
        feed("one", "NSE:A"), feed("two", "NSE:B"), account("p", "two"), strategy("s", "two", ("p",))
    )
    assert fields(found) == [(4, "spec.instruments[0]")]
    assert "on feed 'two'" in found[0].problem
    assert found[0].allowed == "NSE:B"


def test_known_calendars_and_time_zones_pass() -> None:
    replay = feed(calendar="XBOM")
    replay["spec"]["source"] = {"replay": {"path": "x.csv", "timezone": "Asia/Kolkata"}}
    assert ResourceSet.from_documents([replay]).feeds["demo"].spec.calendar == "XBOM"


def test_loading_a_feed_that_never_closes_imports_no_calendar_library() -> None:
    code = (
        "import sys\n"
        "from alpha_panda.contracts.manifests import ResourceSet\n"
        f"ResourceSet.from_documents([{feed()!r}])\n"
        "sys.exit('exchange_calendars' in sys.modules or 'pandas' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0  # noqa: S603 - own code


def test_ten_thousand_symbols_are_not_all_listed_nor_compared() -> None:
    many = feed("demo", *(f"NSE:S{n}" for n in range(10_000)))
    (found,) = faults(many, account(), strategy(instruments=["NSE:X"]))
    assert found.allowed.endswith("NSE:S19 … and 9980 more")
    assert "did you mean" not in found.problem


# ---------------------------------------------------------------------------------------------- parameters


class Parameters(BaseModel):
    fast: int = Field(10, ge=1)
    slow: int = 30

    @model_validator(mode="after")
    def _ordered(self) -> "Parameters":
        if self.fast >= self.slow:
            raise ValueError("fast must be less than slow")
        return self


def parameters_of(wanted: Strategy, folder: Path) -> type[BaseModel]:
    if wanted.spec.type == "unknown":
        raise StrategyLoadError(f"no strategy {wanted.spec.type} near {folder}")
    return Parameters


def test_parameters_are_checked_by_the_strategy_s_own_model() -> None:
    found = faults(feed(), account(), strategy(parameters={"fast": 0}), parameters_model=parameters_of)
    assert fields(found) == [(3, "spec.parameters.fast")]
    assert (found[0].problem, found[0].allowed) == ("0 is out of range", "at least 1")


def test_a_rule_over_several_parameters_speaks_in_its_own_words() -> None:
    found = faults(feed(), account(), strategy(parameters={"fast": 40}), parameters_model=parameters_of)
    assert fields(found) == [(3, "spec.parameters")]
    assert found[0].problem == "fast must be less than slow"


@pytest.mark.parametrize(
    ("way", "field"),
    [
        ({"type": "unknown"}, "spec.type"),
        ({"type": None, "class": "a.b:C"}, "spec.class"),
        ({"type": None, "code": {"file": "x.py", "class": "C"}}, "spec.code"),
        ({"type": None, "code": {"file": "x.py"}}, "spec.code"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_a_fault_of_the_field_that_names_it(
    way: dict[str, Any], field: str
) -> None:
    def refuse(wanted: Strategy, folder: Path) -> type[BaseModel]:
        raise StrategyLoadError(f"nothing in {folder}")

    found = faults(
        feed(),
        account(),
        _resource("Strategy", "mo", {**strategy()["spec"], **way}),
        directory=Path("/here"),
        parameters_model=refuse,
    )
    assert fields(found) == [(3, field)]
    assert found[0].problem == "nothing in /here"


def test_parameters_are_checked_even_when_the_rest_of_the_strategy_is_wrong() -> None:
    wrong = strategy(parameters={"fast": 0}, tradingState="On", accounts=())
    found = faults(feed(), account(), wrong, parameters_model=parameters_of)
    assert sorted(fields(found)) == [
        (3, "spec.accounts"),
        (3, "spec.parameters.fast"),
        (3, "spec.tradingState"),
    ]


def test_a_strategy_whose_class_is_unclear_gets_no_second_message_about_parameters() -> None:
    wrong = strategy(parameters={"fast": 0})
    wrong["spec"]["class"] = "a:B"
    assert fields(faults(feed(), account(), wrong, parameters_model=parameters_of)) == [(3, "spec")]


def test_without_a_model_parameters_are_taken_as_they_are() -> None:
    resources = ResourceSet.from_documents(
        [feed(), account(), strategy(parameters={"anything": [1, {"a": None}]})]
    )
    assert resources.strategies["mo"].spec.parameters == {"anything": [1, {"a": None}]}


@pytest.mark.parametrize(("depth", "fits"), [(16, True), (17, False)])
def test_parameters_nest_sixteen_levels_deep(depth: int, fits: bool) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    documents = [feed(), account(), strategy(parameters={"deep": value})]
    if fits:
        assert len(ResourceSet.from_documents(documents)) == 3
    else:
        assert fields(faults(*documents)) == [(3, "spec.parameters.deep")]


def test_parameters_of_billions_of_values_are_refused_at_once() -> None:
    value: list[Any] = ["x"]
    for _ in range(12):
        value = [value] * 9
    found = faults(feed(), account(), strategy(parameters={"bomb": value}))
    assert fields(found) == [(3, "spec.parameters.bomb")]


# --------------------------------------------------------------------------------------------- all at once


def test_all_faults_of_all_files_come_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: alphapanda.io/v1alpha1\nkind: BrokerAccount\nmetadata: {name: paper}\n"
        "spec:\n  marketFeed: dmo\n  paper: {cash: lots, slipageBps: 5}\n"
    )
    (tmp_path / "b.yaml").write_text("kind: [\n")
    (tmp_path / "c.yaml").write_text("")
    with pytest.raises(ManifestError) as caught:
        load_manifests([tmp_path, tmp_path / "none"])
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    starts = [
        "a.yaml:5, document 1 (BrokerAccount/paper), spec.marketFeed: there is no MarketFeed 'dmo'",
        "a.yaml:6, document 1 (BrokerAccount/paper), spec.paper.cash: 'lots' is not such a number",
        "a.yaml:6, document 1 (BrokerAccount/paper), spec.paper.slipageBps: unknown field; did you mean slippageBps?",
        "b.yaml:2, document 1: is not YAML",
        "c.yaml: the file is empty",
        "none: there is no such file",
    ]
    assert len(lines) == len(starts)
    assert [line for line, start in zip(lines, starts, strict=True) if not line.startswith(start)] == []


def test_a_second_resource_of_a_name_points_to_the_first(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(feed()))
    with pytest.raises(ManifestError) as caught:
        load_manifests([tmp_path])
    (fault,) = caught.value.faults
    assert fault.file == str(tmp_path / "b.yaml")
    assert fault.problem == f"'demo' is already that of {tmp_path / 'a.yaml'}, document 1"


def test_a_fault_prints_only_what_it_knows() -> None:
    assert str(ManifestFault("f", 0, "", "p")) == "f: p"
    assert str(ManifestFault("f", 2, "", "p", line=9)) == "f:9, document 2: p"
    assert (
        str(ManifestFault("f", 2, "spec", "p", "a", "K/n", 9)) == "f:9, document 2 (K/n), spec: p; allowed: a"
    )


# --------------------------------------------------------------------------------------------- one process


def test_feeds_on_virtual_time_do_not_mix_with_feeds_on_the_wall_clock() -> None:
    resources = ResourceSet.from_documents([feed("fast", speed=0), feed("slow", speed=2)])
    with pytest.raises(ManifestError) as caught:
        check_embedded(resources)
    first, second = caught.value.faults
    assert (first.document, first.field) == (1, "spec.source.simulated.speed")
    assert first.problem == "is 0, but other feeds of this run are on the wall clock: slow"
    assert second.problem == "is 2, but other feeds of this run are on speed 0: fast"
    assert first.allowed == "in one run all feeds have speed 0, or none"


@pytest.mark.parametrize("speeds", [(0, 0), (1, 10), (1,), (0,)])
def test_feeds_of_one_kind_of_time_run_together(speeds: tuple[float, ...]) -> None:
    check_embedded(ResourceSet.from_documents([feed(f"f{n}", speed=speed) for n, speed in enumerate(speeds)]))


def test_a_replay_is_on_virtual_time_unless_it_has_a_speed() -> None:
    replay = feed("replay")
    replay["spec"]["source"] = {"replay": {"path": "x.csv"}}
    with pytest.raises(ManifestError, match=r"spec\.source\.replay\.speed: is 0"):
        check_embedded(ResourceSet.from_documents([replay, feed("live")]))


def test_a_strategy_that_its_account_does_not_accept_cannot_run() -> None:
    documents = [
        feed(),
        account("a", acceptStrategies=["x"]),
        account("b"),
        strategy("y", accounts=("b", "a")),
    ]
    resources = ResourceSet.from_documents(documents)  # sound by itself: either side may still change
    with pytest.raises(ManifestError) as caught:
        check_embedded(resources)
    (fault,) = caught.value.faults
    assert (fault.document, fault.field) == (4, "spec.accounts[1]")
    assert str(fault).endswith("account 'a' does not accept this strategy; allowed: it accepts x")


# ------------------------------------------------------------------------------------------ small functions


@pytest.mark.parametrize("kind", ["MarketFeed", "brokeraccount", "STRATEGY"])
def test_a_schema_is_found_in_any_case_and_asks_for_the_outer_fields(kind: str) -> None:
    schema = json_schema(kind)
    assert schema["title"].lower() == kind.lower()
    assert schema["required"] == ["apiVersion", "kind", "metadata", "spec"]


def test_an_unknown_kind_has_no_schema() -> None:
    with pytest.raises(UserInputError, match=r"did you mean Strategy\?.*MarketFeed, BrokerAccount, Strategy"):
        json_schema("strategies")


def test_values_are_shown_as_yaml_and_cut_short() -> None:
    values = (None, True, 1.5, "a", [1], {"a": 1}, "x" * 100)
    assert [shown(value) for value in values] == [
        "an empty value", "true", "1.5", "'a'", "a list", "a mapping", "'" + "x" * 56 + "...",
    ]  # fmt: skip


def test_names_are_listed_and_the_nearest_is_suggested() -> None:
    assert listed([]) == "none"
    assert listed([str(n) for n in range(22)]).endswith("18, 19 … and 2 more")
    assert suggestion("ticksize", ["lotSize", "tickSize"]) == "; did you mean tickSize?"
    assert suggestion("tick_size", ["lotSize", "tickSize"]) == "; did you mean tickSize?"
    assert suggestion("zzz", ["lotSize"]) == ""
    assert suggestion(3, ["3"]) == ""


def test_the_fields_at_a_place_are_those_of_the_model_there() -> None:
    assert fields_at(MarketFeed, ("spec", "instruments", 3, "priceBand")) == ["low", "high"]
    assert fields_at(MarketFeed, ("spec", "source"))[0] == "simulated"
    assert "class" in fields_at(Strategy, ("spec",))
    assert fields_at(Strategy, ("spec", "parameters", "x")) == []
    assert fields_at(Strategy, ("nowhere",)) == []


def test_a_pod_finds_files_in_the_volumes_that_its_manifests_name(tmp_path: Path) -> None:
    code = {"file": "mine.py", "configMap": "mine"}
    documents = [
        feed(),
        feed("claimed", source={"replay": {"path": "a.csv", "volumeClaim": "prices"}}),
        feed("mapped", source={"replay": {"path": "a.csv", "configMap": "prices"}}),
        feed("beside", source={"replay": {"path": "a.csv"}}),
        account(),
        strategy("own", type=None, code=code),
        strategy("plain"),
    ]
    file = tmp_path / "manifests.yaml"
    file.write_text("---\n".join(yaml.safe_dump(_without_none(each)) for each in documents), encoding="utf-8")

    def places(found: ResourceSet) -> dict[str, str]:
        return {resource.metadata.name: str(found.directory_of(resource)) for resource in found}

    beside = str(tmp_path)
    data, own = "/etc/alpha-panda/data", "/etc/alpha-panda/code"
    assert places(load_manifests([file], complete=False)) == {
        **dict.fromkeys(("demo", "beside", "paper", "plain"), beside),
        "claimed": data,
        "mapped": data,
        "own": own,
    }
    assert set(places(load_manifests([file])).values()) == {beside}  # a run in one process has no volumes


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {
        **document,
        "spec": {name: value for name, value in document["spec"].items() if value is not None},
    }
