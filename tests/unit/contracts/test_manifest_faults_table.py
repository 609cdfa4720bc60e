"""A wrong manifest is refused: each case changes a good set in one place and says which fault must come of it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from alpha_panda.contracts.manifests import ResourceSet, load_manifests
from alpha_panda.contracts.resources import Strategy
from alpha_panda.errors import ManifestError, ManifestFault, StrategyLoadError

GOOD: list[dict[str, Any]] = [
    {
        "apiVersion": "alphapanda.io/v1alpha1",
        "kind": "MarketFeed",
        "metadata": {"name": "demo"},
        "spec": {
            "source": {"simulated": {"seed": 7, "ticksPerSecond": 200, "volatility": 0.3}},
            "calendar": "24/7",
            "instruments": [
                {"symbol": "NSE:RELIANCE", "token": 738561, "tickSize": "0.05", "referencePrice": "2500"},
                {"symbol": "NSE:INFY", "token": 408065, "tickSize": 0.05, "referencePrice": 1500},
            ],
        },
    },
    {
        "apiVersion": "alphapanda.io/v1alpha1",
        "kind": "BrokerAccount",
        "metadata": {"name": "paper"},
        "spec": {
            "marketFeed": "demo",
            "paper": {"cash": "1000000", "slippageBps": "5", "commissionBps": 3},
            "risk": {"maxOrderQuantity": "1000", "maxOrdersPerSecond": 10},
        },
    },
    {
        "apiVersion": "alphapanda.io/v1alpha1",
        "kind": "Strategy",
        "metadata": {"name": "momentum"},
        "spec": {
            "type": "momentum",
            "parameters": {"lookback": 20},
            "marketFeed": "demo",
            "instruments": ["NSE:RELIANCE"],
            "accounts": ["paper"],
        },
    },
]

FEED, ACCOUNT, STRATEGY = 0, 1, 2
REPLAY = {"path": "prices.csv"}
Change = Callable[[list[dict[str, Any]]], object]


class Parameters(BaseModel):
    """Stands for a strategy's own model."""

    model_config = ConfigDict(extra="forbid")

    lookback: int = Field(20, ge=1, le=100)
    mode: str = "fast"


def parameters_of(strategy: Strategy, folder: Path) -> type[BaseModel]:
    if strategy.spec.type not in (None, "momentum"):
        raise StrategyLoadError(f"unknown strategy type {strategy.spec.type!r}; allowed: momentum")
    if strategy.spec.code is not None and not (folder / strategy.spec.code.file).exists():
        raise StrategyLoadError(f"code {strategy.spec.code.file}: no such file")
    return Parameters


def put(document: int, path: str, value: object) -> Change:
    """Set a value; numbers in the path are positions in lists."""

    def change(documents: list[dict[str, Any]]) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        place: Any = documents[document]
        for step in steps:
            place = place[step]
        place[last] = copy.deepcopy(value)

    return change


def drop(document: int, path: str) -> Change:
    def change(documents: list[dict[str, Any]]) -> None:
        *steps, last = path.split("/")
        place: Any = documents[document]
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        del place[last]

    return change


def both(*changes: Change) -> Change:
    def change(documents: list[dict[str, Any]]) -> None:
        for each in changes:
            each(documents)

    return change


def add(document: dict[str, Any], **metadata: object) -> Change:
    return lambda documents: documents.append({**document, "metadata": {**document["metadata"], **metadata}})


class Case(NamedTuple):
    name: str
    change: Change
    document: int
    field: str
    words: tuple[str, ...]


SOURCE = "spec/source"
CASES = [
    # ------------------------------------------------------------------------------- header and metadata
    Case("unknown kind", put(FEED, "kind", "MarketFed"), 1, "kind", ("'MarketFed'", "did you mean MarketFeed?", "Strategy")),
    Case("kind missing", drop(FEED, "kind"), 1, "kind", ("is missing", "MarketFeed")),
    Case("kind is a number", put(FEED, "kind", 3), 1, "kind", ("3 is not a kind",)),
    Case("version", put(ACCOUNT, "apiVersion", "alphapanda.io/v1"), 2, "apiVersion", ("'alphapanda.io/v1'", "v1alpha1")),
    Case("version missing", drop(ACCOUNT, "apiVersion"), 2, "apiVersion", ("is missing", "alphapanda.io/v1alpha1")),
    Case("foreign object", put(ACCOUNT, "apiVersion", "v1"), 2, "apiVersion", ("'v1' is unknown",)),
    Case("metadata missing", drop(STRATEGY, "metadata"), 3, "metadata", ("is missing",)),
    Case("spec missing", drop(STRATEGY, "spec"), 3, "spec", ("is missing",)),
    Case("spec empty", put(STRATEGY, "spec", None), 3, "spec", ("is empty", "a mapping")),
    Case("spec a list", put(STRATEGY, "spec", [1]), 3, "spec", ("a list does not fit", "a mapping")),
    Case("unknown top field", put(FEED, "sepc", {}), 1, "sepc", ("unknown field", "did you mean spec?", "metadata")),
    Case("name missing", drop(STRATEGY, "metadata/name"), 3, "metadata.name", ("is missing",)),
    Case("name in capitals", put(STRATEGY, "metadata/name", "Momentum"), 3, "metadata.name", ("'Momentum'", "DNS label")),
    Case("name with an underscore", put(STRATEGY, "metadata/name", "a_b"), 3, "metadata.name", ("'a_b'", "DNS label")),
    Case("name with a newline", put(STRATEGY, "metadata/name", "ab\n"), 3, "metadata.name", ("DNS label",)),
    Case("name too long", put(STRATEGY, "metadata/name", "a" * 41), 3, "metadata.name", ("41 characters", "at most 40")),
    Case("name a number", put(STRATEGY, "metadata/name", 7), 3, "metadata.name", ("7 does not fit", "text", "quotes")),
    Case("name empty", put(STRATEGY, "metadata/name", ""), 3, "metadata.name", ("0 characters", "at least 1")),
    Case("metadata typo", put(FEED, "metadata/lables", {}), 1, "metadata.lables", ("unknown field", "did you mean labels?")),
    Case("label a boolean", put(FEED, "metadata/labels", {"a/b": True}), 1, 'metadata.labels["a/b"]', ("true does not fit", "text")),
    Case("label that is no text", put(FEED, "metadata/labels", {3: "x"}), 1, "metadata.labels[3]", ("3 does not fit", "text")),
    Case("two namespaces", both(put(FEED, "metadata/namespace", "a"), put(STRATEGY, "metadata/namespace", "b")), 3, "metadata.namespace", ("'b'", "'a'", "one namespace")),
    Case("duplicate name", add(GOOD[ACCOUNT]), 4, "metadata.name", ("'paper'", "already", "document 2", "once")),
    # --------------------------------------------------------------------------------------------- sources
    Case("two sources", put(FEED, "spec/source/replay", REPLAY), 1, "spec.source", ("more than one source", "simulated, replay", "exactly one of")),
    Case("no source", put(FEED, SOURCE, {}), 1, "spec.source", ("no source is given", "exactly one of simulated, replay, zerodha")),
    Case("empty source", put(FEED, SOURCE, {"replay": None}), 1, "spec.source", ("no source is given",)),
    Case("source missing", drop(FEED, SOURCE), 1, "spec.source", ("is missing",)),
    Case("unknown source", put(FEED, SOURCE, {"fix": {}}), 1, "spec.source.fix", ("unknown field", "simulated, replay")),
    Case("source as text", put(FEED, SOURCE, "simulated"), 1, "spec.source", ("'simulated' does not fit", "a mapping")),
    Case("unknown field in a source", put(FEED, "spec/source/simulated/sed", 7), 1, "spec.source.simulated.sed", ("unknown field", "did you mean seed?", "volatility")),
    Case("snake case", put(FEED, "spec/source/simulated/ticks_per_second", 7), 1, "spec.source.simulated.ticks_per_second", ("unknown field", "did you mean ticksPerSecond?")),
    Case("snake case alone", put(FEED, SOURCE, {"simulated": {"ticks_per_second": 7}}), 1, "spec.source.simulated.ticks_per_second", ("unknown field",)),
    Case("no ticks", put(FEED, "spec/source/simulated/ticksPerSecond", 0), 1, "spec.source.simulated.ticksPerSecond", ("0 is out of range", "above 0")),
    Case("too many ticks", put(FEED, "spec/source/simulated/ticksPerSecond", 1e9), 1, "spec.source.simulated.ticksPerSecond", ("out of range", "at most 1000000")),
    Case("negative volatility", put(FEED, "spec/source/simulated/volatility", -0.1), 1, "spec.source.simulated.volatility", ("-0.1 is out of range", "at least 0")),
    Case("correlation above 1", put(FEED, "spec/source/simulated/correlation", 1.1), 1, "spec.source.simulated.correlation", ("1.1 is out of range", "at most 1")),
    Case("negative correlation", put(FEED, "spec/source/simulated/correlation", -0.1), 1, "spec.source.simulated.correlation", ("-0.1 is out of range", "at least 0")),
    Case("market that stands still", put(FEED, "spec/source/simulated/timeScale", 0), 1, "spec.source.simulated.timeScale", ("0 is out of range", "above 0")),
    Case("market that flies", put(FEED, "spec/source/simulated/timeScale", 86401), 1, "spec.source.simulated.timeScale", ("86401 is out of range", "at most 86400")),
    Case("infinite drift", put(FEED, "spec/source/simulated/drift", float("inf")), 1, "spec.source.simulated.drift", ("inf", "finite")),
    Case("number as text", put(FEED, "spec/source/simulated/volatility", "0.3"), 1, "spec.source.simulated.volatility", ("'0.3' does not fit", "without quotes")),
    Case("seed with a fraction", put(FEED, "spec/source/simulated/seed", 1.5), 1, "spec.source.simulated.seed", ("1.5 does not fit", "whole number")),
    Case("negative speed", put(FEED, "spec/source/simulated/speed", -1), 1, "spec.source.simulated.speed", ("-1 is out of range", "at least 0")),
    Case("replay without path", put(FEED, SOURCE, {"replay": {}}), 1, "spec.source.replay.path", ("is missing",)),
    Case("replay path empty", put(FEED, SOURCE, {"replay": {"path": ""}}), 1, "spec.source.replay.path", ("0 characters", "at least 1")),
    Case("unknown column", put(FEED, SOURCE, {"replay": {**REPLAY, "columns": {"price": "P"}}}), 1, "spec.source.replay.columns.price", ("unknown field", "lastPrice")),
    Case("time unit", put(FEED, SOURCE, {"replay": {**REPLAY, "timestampUnit": "min"}}), 1, "spec.source.replay.timestampUnit", ("'min' is unknown", "auto, s, ms, us, ns")),
    Case("format", put(FEED, SOURCE, {"replay": {**REPLAY, "format": "CSV"}}), 1, "spec.source.replay.format", ("did you mean csv?", "parquet")),
    Case("long delimiter", put(FEED, SOURCE, {"replay": {**REPLAY, "delimiter": "||"}}), 1, "spec.source.replay.delimiter", ("2 characters", "at most 1")),
    Case("time zone", put(FEED, SOURCE, {"replay": {**REPLAY, "timezone": "India"}}), 1, "spec.source.replay.timezone", ("'India' is not a time zone", "Asia/Kolkata")),
    Case("time zone upwards", put(FEED, SOURCE, {"replay": {**REPLAY, "timezone": "../etc"}}), 1, "spec.source.replay.timezone", ("is not a time zone",)),
    Case("bar label", put(FEED, SOURCE, {"replay": {**REPLAY, "barLabel": "begin"}}), 1, "spec.source.replay.barLabel", ("'begin' is unknown", "start, end")),
    Case("replay of a foreign symbol", put(FEED, SOURCE, {"replay": {**REPLAY, "symbol": "NSE:TCS"}}), 1, "spec.source.replay.symbol", ("'NSE:TCS'", "NSE:RELIANCE, NSE:INFY")),
    Case("strict as text", put(FEED, SOURCE, {"replay": {**REPLAY, "strict": "yes"}}), 1, "spec.source.replay.strict", ("'yes' does not fit", "true or false")),
    # ---------------------------------------------------------------------------- calendar and instruments
    Case("calendar", put(FEED, "spec/calendar", "XBOMB"), 1, "spec.calendar", ("'XBOMB'", "did you mean XBOM?", "24/7", "XNYS")),
    Case("holiday", put(FEED, "spec/extraHolidays", ["2026-02-30"]), 1, "spec.extraHolidays[0]", ("'2026-02-30'", "2026-01-26")),
    Case("holiday twice", put(FEED, "spec/extraHolidays", ["2026-01-26", "2026-01-26"]), 1, "spec.extraHolidays[1]", ("already that of [0]",)),
    Case("session time", put(FEED, "spec/sessions", [{"open": "9:15", "close": "15:30"}]), 1, "spec.sessions[0].open", ("'9:15' is not a time of day", '"09:15"')),
    Case("session time as a number", put(FEED, "spec/sessions", [{"open": 915, "close": "15:30"}]), 1, "spec.sessions[0].open", ("915 is not a time of day",)),
    Case("session end missing", put(FEED, "spec/sessions", [{"open": "09:15"}]), 1, "spec.sessions[0].close", ("is missing",)),
    Case("extra session without date", put(FEED, "spec/extraSessions", [{"open": "18:00", "close": "19:00"}]), 1, "spec.extraSessions[0].date", ("is missing",)),
    Case("stale after", put(FEED, "spec/staleAfterSeconds", 0), 1, "spec.staleAfterSeconds", ("0 is out of range", "above 0")),
    Case("partitions", put(FEED, "spec/partitions", 65), 1, "spec.partitions", ("65 is out of range", "at most 64")),
    Case("partitions true", put(FEED, "spec/partitions", True), 1, "spec.partitions", ("true does not fit", "whole number")),
    Case("no instruments", put(FEED, "spec/instruments", []), 1, "spec.instruments", ("0 entries", "at least 1")),
    Case("instruments a mapping", put(FEED, "spec/instruments", {}), 1, "spec.instruments", ("a mapping does not fit", "a list")),
    Case("symbol without exchange", put(FEED, "spec/instruments/0/symbol", "RELIANCE"), 1, "spec.instruments[0].symbol", ("'RELIANCE'", "EXCHANGE:NAME")),
    Case("token twice", put(FEED, "spec/instruments/1/token", 738561), 1, "spec.instruments[1].token", ("738561", "already that of [0]", "once")),
    Case("symbol twice", put(FEED, "spec/instruments/1/symbol", "NSE:RELIANCE"), 1, "spec.instruments[1].symbol", ("'NSE:RELIANCE'", "already that of [0]")),
    Case("token zero", put(FEED, "spec/instruments/0/token", 0), 1, "spec.instruments[0].token", ("0 is out of range", "at least 1")),
    Case("token as text", put(FEED, "spec/instruments/0/token", "738561"), 1, "spec.instruments[0].token", ("'738561' does not fit", "without quotes")),
    Case("tick size zero", put(FEED, "spec/instruments/0/tickSize", "0"), 1, "spec.instruments[0].tickSize", ("0 is out of range", "above 0")),
    Case("tick size negative", put(FEED, "spec/instruments/0/tickSize", "-0.05"), 1, "spec.instruments[0].tickSize", ("'-0.05' is not such a number", "above 0")),
    Case("tick size a word", put(FEED, "spec/instruments/0/tickSize", "five"), 1, "spec.instruments[0].tickSize", ("'five'", '"12.5" or 12.5')),
    Case("tick size not a number", put(FEED, "spec/instruments/0/tickSize", float("nan")), 1, "spec.instruments[0].tickSize", ("nan", '"12.5" or 12.5')),
    Case("tick size too fine", put(FEED, "spec/instruments/0/tickSize", "0.00000000001"), 1, "spec.instruments[0].tickSize", ("at most 10 decimals",)),
    Case("tick size missing", drop(FEED, "spec/instruments/0/tickSize"), 1, "spec.instruments[0].tickSize", ("is missing",)),
    Case("tick size misspelt", put(FEED, "spec/instruments/0/ticksize", "1"), 1, "spec.instruments[0].ticksize", ("unknown field", "did you mean tickSize?")),
    Case("no start of a simulated price", drop(FEED, "spec/instruments/1/referencePrice"), 1, "spec.instruments[1].referencePrice", ("is missing", "simulated prices start")),
    Case("expiry", put(FEED, "spec/instruments/0/expiry", "26 March"), 1, "spec.instruments[0].expiry", ("'26 March' is not a date",)),
    Case("kind of instrument", put(FEED, "spec/instruments/0/kind", "eq"), 1, "spec.instruments[0].kind", ("'eq'", "upper-case")),
    Case("band upside down", put(FEED, "spec/instruments/0/priceBand", {"low": "110", "high": "90"}), 1, "spec.instruments[0].priceBand.low", ("110 is not below high, 90",)),
    Case("empty band", put(FEED, "spec/instruments/0/priceBand", {"low": "90", "high": 90}), 1, "spec.instruments[0].priceBand.low", ("90 is not below high, 90",)),
    Case("half a band", put(FEED, "spec/instruments/0/priceBand", {"low": "110"}), 1, "spec.instruments[0].priceBand.high", ("is missing",)),
    # -------------------------------------------------------------------------------------------- accounts
    Case("account on an unknown feed", put(ACCOUNT, "spec/marketFeed", "dmo"), 2, "spec.marketFeed", ("there is no MarketFeed 'dmo'", "did you mean demo?")),
    Case("feed missing", drop(ACCOUNT, "spec/marketFeed"), 2, "spec.marketFeed", ("is missing",)),
    Case("no broker", drop(ACCOUNT, "spec/paper"), 2, "spec", ("no broker is given", "allowed: exactly one of paper, zerodha")),
    Case("unknown broker", put(ACCOUNT, "spec/ibkr", {}), 2, "spec.ibkr", ("unknown field", "paper")),
    Case("cash missing", put(ACCOUNT, "spec/paper", {}), 2, "spec.paper.cash", ("is missing",)),
    Case("cash with a currency", put(ACCOUNT, "spec/paper/cash", "100 INR"), 2, "spec.paper.cash", ("'100 INR' is not such a number",)),
    Case("cash with separators", put(ACCOUNT, "spec/paper/cash", "1_000_000"), 2, "spec.paper.cash", ("'1_000_000'",)),
    Case("cash of sixteen digits", put(ACCOUNT, "spec/paper/cash", 123456789012.3456), 2, "spec.paper.cash", ("more digits than a YAML number keeps", "in quotes")),
    Case("cash too large", put(ACCOUNT, "spec/paper/cash", "1" + "0" * 15), 2, "spec.paper.cash", ("999999999999999",)),
    Case("slippage above all", put(ACCOUNT, "spec/paper/slippageBps", 10001), 2, "spec.paper.slippageBps", ("10001 is out of range", "10000")),
    Case("margin of shorts", put(ACCOUNT, "spec/paper/shortMarginRatio", "10.5"), 2, "spec.paper.shortMarginRatio", ("10.5 is out of range", "up to 10")),
    Case("partial fills", put(ACCOUNT, "spec/paper/partialFillRatio", "1.5"), 2, "spec.paper.partialFillRatio", ("1.5 is out of range", "up to 1")),
    Case("trading state", put(ACCOUNT, "spec/tradingState", "active"), 2, "spec.tradingState", ("'active' is unknown", "did you mean Active?", "Reducing, Halted")),
    Case("quantity zero", put(ACCOUNT, "spec/risk/maxOrderQuantity", 0), 2, "spec.risk.maxOrderQuantity", ("0 is out of range", "above 0")),
    Case("limit misspelt", put(ACCOUNT, "spec/risk/maxOrderQty", 1), 2, "spec.risk.maxOrderQty", ("unknown field", "did you mean maxOrder")),
    Case("rate zero", put(ACCOUNT, "spec/risk/maxOrdersPerSecond", 0), 2, "spec.risk.maxOrdersPerSecond", ("at least 1",)),
    Case("runaway of one", put(ACCOUNT, "spec/risk/runaway", {"signals": 1, "seconds": 1}), 2, "spec.risk.runaway.signals", ("at least 2",)),
    Case("short as a number", put(ACCOUNT, "spec/risk/allowShort", 1), 2, "spec.risk.allowShort", ("1 does not fit", "true or false")),
    Case("order type", put(ACCOUNT, "spec/orderTypes", ["MKT"]), 2, "spec.orderTypes[0]", ("'MKT' is unknown", "MARKET, LIMIT, STOP, STOP_LIMIT")),
    Case("no order type", put(ACCOUNT, "spec/orderTypes", []), 2, "spec.orderTypes", ("0 entries", "at least 1")),
    Case("validity twice", put(ACCOUNT, "spec/validities", ["DAY", "DAY"]), 2, "spec.validities[1]", ("already that of [0]",)),
    Case("cut-off", put(ACCOUNT, "spec/productCutOff", "25:00"), 2, "spec.productCutOff", ("'25:00' is not a time of day",)),
    Case("accepts as text", put(ACCOUNT, "spec/acceptStrategies", "momentum"), 2, "spec.acceptStrategies", ("'momentum' does not fit", "a list")),
    # ------------------------------------------------------------------------------------------ strategies
    Case("two classes", put(STRATEGY, "spec/class", "a.b:C"), 3, "spec", ("more than one strategy class", "type, class", "exactly one of type, class, code")),
    Case("no class", drop(STRATEGY, "spec/type"), 3, "spec", ("no strategy class is given", "exactly one of type, class, code")),
    Case("class without module", both(drop(STRATEGY, "spec/type"), put(STRATEGY, "spec/class", "Momentum")), 3, "spec.class", ("'Momentum'", "package.module:Class")),
    Case("code upwards", both(drop(STRATEGY, "spec/type"), put(STRATEGY, "spec/code", {"file": "../x.py", "class": "X"})), 3, "spec.code.file", ("'../x.py'", "without '..'")),
    Case("code from the root", both(drop(STRATEGY, "spec/type"), put(STRATEGY, "spec/code", {"file": "/x.py", "class": "X"})), 3, "spec.code.file", ("relative",)),
    Case("code that is missing", both(drop(STRATEGY, "spec/type"), put(STRATEGY, "spec/code", {"file": "x.py", "class": "X"})), 3, "spec.code", ("x.py: no such file",)),
    Case("unknown type", put(STRATEGY, "spec/type", "momentun"), 3, "spec.type", ("unknown strategy type 'momentun'", "momentum")),
    Case("unknown feed", put(STRATEGY, "spec/marketFeed", "other"), 3, "spec.marketFeed", ("there is no MarketFeed 'other'", "demo")),
    Case("unknown account", put(STRATEGY, "spec/accounts", ["papr"]), 3, "spec.accounts[0]", ("there is no BrokerAccount 'papr'", "did you mean paper?")),
    Case("unknown symbol", put(STRATEGY, "spec/instruments", ["NSE:INFY", "NSE:RELIANC"]), 3, "spec.instruments[1]", ("'NSE:RELIANC'", "feed 'demo'", "did you mean NSE:RELIANCE?", "NSE:INFY")),
    Case("instruments as text", put(STRATEGY, "spec/instruments", "NSE:RELIANCE"), 3, "spec.instruments", ("does not fit", "a list")),
    Case("symbol again", put(STRATEGY, "spec/instruments", ["NSE:INFY", "NSE:INFY"]), 3, "spec.instruments[1]", ("already that of [0]",)),
    Case("no accounts", put(STRATEGY, "spec/accounts", []), 3, "spec.accounts", ("0 entries", "at least 1")),
    Case("21 accounts", put(STRATEGY, "spec/accounts", [f"a{n}" for n in range(21)]), 3, "spec.accounts", ("21 entries", "at most 20")),
    Case("account twice", put(STRATEGY, "spec/accounts", ["paper", "paper"]), 3, "spec.accounts[1]", ("'paper'", "already that of [0]")),
    Case("accounts empty", put(STRATEGY, "spec/accounts", None), 3, "spec.accounts", ("is empty", "a list")),
    Case("deletion policy", put(STRATEGY, "spec/deletionPolicy", "Delete"), 3, "spec.deletionPolicy", ("'Delete' is unknown", "Retain, CancelOrders, Flatten")),
    Case("account's limit on a strategy", put(STRATEGY, "spec/risk", {"maxNetExposure": 1}), 3, "spec.risk.maxNetExposure", ("unknown field", "maxPosition")),
    Case("time to live", put(STRATEGY, "spec/signalTtlSeconds", 86401), 3, "spec.signalTtlSeconds", ("at most 86400",)),
    Case("parameters a list", put(STRATEGY, "spec/parameters", []), 3, "spec.parameters", ("a list does not fit", "a mapping")),
    Case("unknown parameter", put(STRATEGY, "spec/parameters", {"lokback": 1}), 3, "spec.parameters.lokback", ("unknown field", "did you mean lookback?", "mode")),
    Case("parameter out of range", put(STRATEGY, "spec/parameters", {"lookback": 0}), 3, "spec.parameters.lookback", ("0 is out of range", "at least 1")),
    Case("parameter of another type", put(STRATEGY, "spec/parameters", {"lookback": "many"}), 3, "spec.parameters.lookback", ("'many' does not fit", "whole number")),
    Case("infinite parameter", put(STRATEGY, "spec/parameters", {"mode": float("inf")}), 3, "spec.parameters.mode", ("can't be a parameter",)),
]  # fmt: skip


def faults_of(folder: Path, change: Change) -> tuple[ManifestFault, ...]:
    documents = copy.deepcopy(GOOD)
    change(documents)
    file = folder / "manifest.yaml"
    file.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    with pytest.raises(ManifestError) as caught:
        load_manifests([file], parameters_model=parameters_of)
    return caught.value.faults


def test_the_set_that_the_cases_spoil_is_good() -> None:
    resources = ResourceSet.from_documents(GOOD, parameters_model=parameters_of)
    assert len(resources) == 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_manifest_is_refused_where_it_is_wrong(case: Case, tmp_path: Path) -> None:
    faults = faults_of(tmp_path, case.change)
    fields = [(fault.document, fault.field) for fault in faults]
    assert (case.document, case.field) in fields, [str(fault) for fault in faults]
    text = " ".join(str(fault) for fault in faults if fault.field == case.field)
    missing = [word for word in case.words if word not in text]
    assert not missing, text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_message_names_file_line_document_and_field(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "manifest.yaml"
    for fault in faults_of(tmp_path, case.change):
        assert fault.file == str(file)
        assert 1 <= fault.document <= 4
        assert fault.field
        assert 1 <= fault.line <= len(file.read_text().splitlines())
        assert str(fault).startswith(f"{file}:{fault.line}, document {fault.document}")
        assert f", {fault.field}: {fault.problem}" in str(fault)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_message_speaks_pydantic(case: Case, tmp_path: Path) -> None:
    jargon = (
        "Input should",
        "Extra inputs",
        "Field required",
        "validation error",
        "Tuple",
        "pydantic",
        "Decimal(",
    )
    for fault in faults_of(tmp_path, case.change):
        assert not any(word in str(fault) for word in jargon), str(fault)


MORE_THAN_ONE = {
    "21 accounts": 22,
    "unknown source": 2,
}  # each account is unknown too; no known source is left


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_makes_one_message(case: Case, tmp_path: Path) -> None:
    mine = [fault for fault in faults_of(tmp_path, case.change) if fault.document == case.document]
    assert len(mine) == MORE_THAN_ONE.get(case.name, 1), [str(fault) for fault in mine]
