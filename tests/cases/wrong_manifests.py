"""Manifests that are wrong within one object, and what is said of each: by our loader and by a real API server.

One table, two tests: `tests/unit/contracts/test_wrong_manifests.py` loads each, `tests/cluster/test_crds.py` applies it.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

DROP: Final = object()
"""Stands for a field that is taken out."""

Manifest = dict[str, Any]

FEED: Final[Manifest] = {
    "apiVersion": "alphapanda.io/v1alpha1",
    "kind": "MarketFeed",
    "metadata": {"name": "demo"},
    "spec": {
        "source": {"simulated": {"seed": 7, "ticksPerSecond": 200}},
        "calendar": "24/7",
        "instruments": [
            {"symbol": "NSE:RELIANCE", "token": 738561, "tickSize": "0.05", "referencePrice": "2500"},
            {"symbol": "NSE:INFY", "token": 408065, "tickSize": 0.05, "referencePrice": 1500.5},
        ],
    },
}
REPLAY: Final[Manifest] = {
    "apiVersion": "alphapanda.io/v1alpha1",
    "kind": "MarketFeed",
    "metadata": {"name": "recorded"},
    "spec": {
        "source": {"replay": {"path": "prices.csv"}},
        "instruments": [{"symbol": "CME:ES", "token": 1001, "kind": "FUT", "tickSize": "0.25"}],
    },
}
ACCOUNT: Final[Manifest] = {
    "apiVersion": "alphapanda.io/v1alpha1",
    "kind": "BrokerAccount",
    "metadata": {"name": "paper"},
    "spec": {"marketFeed": "demo", "paper": {"cash": "1000000"}, "risk": {"maxOrdersPerSecond": 10}},
}
STRATEGY: Final[Manifest] = {
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
}
CODE: Final[Manifest] = {
    **STRATEGY,
    "metadata": {"name": "own"},
    "spec": {
        **{key: value for key, value in STRATEGY["spec"].items() if key != "type"},
        "code": {"file": "own.py", "configMap": "own-code"},
    },
}
KITE_FEED: Final[Manifest] = {
    "apiVersion": "alphapanda.io/v1alpha1",
    "kind": "MarketFeed",
    "metadata": {"name": "nse"},
    "spec": {
        "source": {"zerodha": {"account": "kite"}},
        "calendar": "XBOM",
        "instruments": [
            {"symbol": "NSE:RELIANCE"},
            {"symbol": "NSE:INFY", "token": 408065},
            {"symbol": "NSE:M&M", "freezeQuantity": 5000},
        ],
    },
}
KITE: Final[Manifest] = {
    "apiVersion": "alphapanda.io/v1alpha1",
    "kind": "BrokerAccount",
    "metadata": {"name": "kite"},
    "spec": {
        "marketFeed": "nse",
        "zerodha": {"live": True, "userId": "AB1234", "product": "MIS", "limits": {"ordersPerDay": 100}},
    },
}
DRY: Final[Manifest] = {
    "apiVersion": "alphapanda.io/v1alpha1",
    "kind": "BrokerAccount",
    "metadata": {"name": "dry"},
    "spec": {
        "marketFeed": "nse",
        "zerodha": {
            "dryRun": True,
            "userId": "CD5678",
            "product": "CNC",
            "keysSecret": "my.keys",
            "marketProtection": 2.5,
            "algoId": "ALGO-1",
            "egressIp": "203.0.113.7",
            "postbacks": True,
        },
    },
}
GOOD: Final = (FEED, REPLAY, ACCOUNT, STRATEGY, CODE, KITE_FEED, KITE, DRY)


class Wrong(NamedTuple):
    """One wrong manifest.

    `changes`: what is put into `base`, by path; numbers in a path are positions. `field`: what the loader points to.
    `words`: what it says. `server`: what the API server says, the field included.
    """

    name: str
    base: Manifest
    changes: Mapping[str, object]
    field: str
    words: tuple[str, ...]
    server: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        """The wrong manifest."""
        return changed(self.base, self.changes)


def changed(base: Manifest, changes: Mapping[str, object]) -> Manifest:
    """Return a copy of the manifest with the changes."""
    document = copy.deepcopy(base)
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
        place: Any = document
        for step in steps:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        if value is DROP:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return document


CASES: Final = (
    Wrong("name too long", FEED, {"metadata/name": "a" * 41}, "metadata.name", ("has 41 characters", "at most 40"), ("metadata.name:", "the name must be one DNS label: lower-case letters, digits")),
    Wrong("name with a dot", ACCOUNT, {"metadata/name": "a.b"}, "metadata.name", ("'a.b' is not well formed", "one DNS label: lower-case"), ("metadata.name:", "the name must be one DNS label: lower-case letters, digits")),
    Wrong("name in capitals", STRATEGY, {"metadata/name": "Momentum"}, "metadata.name", ("'Momentum' is not well formed", "one DNS label: lower-case"), ("metadata.name:", "the name must be one DNS label: lower-case letters, digits")),
    Wrong("no spec", STRATEGY, {"spec": DROP}, "spec", ("is missing", "the field is required"), ("spec:", "Required value")),
    Wrong("spec is text", STRATEGY, {"spec": "momentum"}, "spec", ("'momentum' does not fit", "a mapping"), ("spec:", 'must be of type object: "string"')),
    Wrong("unknown field", STRATEGY, {"spec/tradingSate": "Halted"}, "spec.tradingSate", ("unknown field; did you mean tradingState?", "type, class, code, image"), ('unknown field "spec.tradingSate"',)),
    Wrong("unknown nested field", ACCOUNT, {"spec/risk/maxOrderQuantty": "5"}, "spec.risk.maxOrderQuantty", ("unknown field; did you mean maxOrderQuantity?", "maxOrderQuantity"), ('unknown field "spec.risk.maxOrderQuantty"',)),
    Wrong("unknown field beside spec", FEED, {"sepc": {}}, "sepc", ("unknown field; did you mean spec?", "apiVersion, kind, metadata, spec"), ('unknown field "sepc"',)),
    Wrong("two sources", FEED, {"spec/source/replay": {"path": "a.csv"}}, "spec.source", ("more than one source is given: simulated, replay", "exactly one of simulated, replay, zerodha"), ("spec.source:", "source: give exactly one of simulated, replay, zerodha")),
    Wrong("no source", FEED, {"spec/source": {}}, "spec.source", ("no source is given", "exactly one of simulated, replay, zerodha"), ("spec.source:", "source: give exactly one of simulated, replay, zerodha")),
    Wrong("source missing", FEED, {"spec/source": DROP}, "spec.source", ("is missing", "the field is required"), ("spec.source:", "Required value")),
    Wrong("simulated without a price to start at", FEED, {"spec/instruments/1/referencePrice": DROP}, "spec.instruments[1].referencePrice", ("is missing", "a price at which the simulated prices start"), ("spec.instruments:", "each instrument of a simulated source needs referencePrice")),
    Wrong("replay of a symbol that is no instrument", REPLAY, {"spec/source/replay/symbol": "CME:NQ"}, "spec.source.replay.symbol", ("'CME:NQ' is not among the instruments", "CME:ES"), ("spec.source.replay.symbol:", "source.replay.symbol must be the symbol of one of the")),
    Wrong("files from two places", REPLAY, {"spec/source/replay/configMap": "ticks", "spec/source/replay/volumeClaim": "ticks"}, "spec.source.replay", ("more than one place of the files is given: configMap, volumeClaim", "at most one of configMap, volumeClaim"), ("spec.source.replay:", "place of the files: give at most one of configMap")),
    Wrong("claim that is no name", REPLAY, {"spec/source/replay/volumeClaim": "My_Claim"}, "spec.source.replay.volumeClaim", ("'My_Claim' is not well formed", "the name of an object:"), ("spec.source.replay.volumeClaim:", "must be the name of an object: lower-case letters, digits")),
    Wrong("replay without a path", REPLAY, {"spec/source/replay": {"speed": 1}}, "spec.source.replay.path", ("is missing", "the field is required"), ("spec.source.replay.path:", "Required value")),
    Wrong("format of a replay", REPLAY, {"spec/source/replay/format": "xml"}, "spec.source.replay.format", ("'xml' is unknown", "auto, csv, parquet"), ("spec.source.replay.format:", 'Unsupported value: "xml": supported values: "auto", "csv"')),
    Wrong("delimiter of two characters", REPLAY, {"spec/source/replay/delimiter": "||"}, "spec.source.replay.delimiter", ("has 2 characters", "at most 1"), ("spec.source.replay.delimiter:", "Too long: may not be more than 1 byte")),
    Wrong("negative speed", REPLAY, {"spec/source/replay/speed": -1}, "spec.source.replay.speed", ("-1 is out of range", "at least 0"), ("spec.source.replay.speed:", "should be greater than or equal to 0")),
    Wrong("speed in quotes", REPLAY, {"spec/source/replay/speed": "1"}, "spec.source.replay.speed", ("'1' does not fit", "a number, without quotes"), ("spec.source.replay.speed:", 'must be of type number: "string"')),
    Wrong("correlation above one", FEED, {"spec/source/simulated/correlation": 1.5}, "spec.source.simulated.correlation", ("1.5 is out of range", "at most 1"), ("spec.source.simulated.correlation:", "should be less than or equal to 1")),
    Wrong("no ticks at all", FEED, {"spec/source/simulated/ticksPerSecond": 0}, "spec.source.simulated.ticksPerSecond", ("0 is out of range", "above 0"), ("spec.source.simulated.ticksPerSecond:", "should be greater than 0")),
    Wrong("seed with a fraction", FEED, {"spec/source/simulated/seed": 1.5}, "spec.source.simulated.seed", ("1.5 does not fit", "a whole number, without quotes"), ("spec.source.simulated.seed:", 'must be of type integer: "number"')),
    Wrong("no instruments", FEED, {"spec/instruments": []}, "spec.instruments", ("has 0 entries", "at least 1"), ("spec.instruments:", "should have at least 1 items")),
    Wrong("symbol twice", FEED, {"spec/instruments/1/symbol": "NSE:RELIANCE"}, "spec.instruments[1].symbol", ("symbol 'NSE:RELIANCE' is already that of [0]", "each symbol once"), ("spec:", "insert failed: key NSE:RELIANCE already exists evaluating")),
    Wrong("symbol without an exchange", FEED, {"spec/instruments/0/symbol": "RELIANCE"}, "spec.instruments[0].symbol", ("'RELIANCE' is not well formed", 'EXCHANGE:NAME, for example "NSE:RELIANCE"'), ("spec.instruments[0].symbol:", 'must be EXCHANGE:NAME, for example "NSE:RELIANCE"')),
    Wrong("symbol missing", FEED, {"spec/instruments/0/symbol": DROP}, "spec.instruments[0].symbol", ("is missing", "the field is required"), ("spec.instruments[0].symbol:", "Required value")),
    Wrong("token of zero", FEED, {"spec/instruments/0/token": 0}, "spec.instruments[0].token", ("0 is out of range", "at least 1"), ("spec.instruments[0].token:", "should be greater than or equal to 1")),
    Wrong("token in quotes", FEED, {"spec/instruments/0/token": "738561"}, "spec.instruments[0].token", ("'738561' does not fit", "a whole number, without quotes"), ("spec.instruments[0].token:", 'must be of type integer: "string"')),
    Wrong("tick size that is no number", FEED, {"spec/instruments/0/tickSize": "5 paise"}, "spec.instruments[0].tickSize", ("'5 paise' is not such a number", "a number above 0 up to"), ("spec.instruments[0].tickSize:", "should match")),
    Wrong("tick size of zero as text", FEED, {"spec/instruments/0/tickSize": "0.00"}, "spec.instruments[0].tickSize", ("0.00 is out of range", "a number above 0 up to"), ("spec.instruments[0].tickSize:", "should match")),
    Wrong("tick size of zero as a number", FEED, {"spec/instruments/0/tickSize": 0}, "spec.instruments[0].tickSize", ("0 is out of range", "a number above 0 up to"), ("spec.instruments[0].tickSize:", "should be greater than 0")),
    Wrong("negative tick size", FEED, {"spec/instruments/0/tickSize": -0.05}, "spec.instruments[0].tickSize", ("-0.05 is not such a number", "a number above 0 up to"), ("spec.instruments[0].tickSize:", "should be greater than 0")),
    Wrong("lot size true", FEED, {"spec/instruments/0/lotSize": True}, "spec.instruments[0].lotSize", ("True is not such a number", "a number above 0 up to"), ('"spec.instruments[0].lotSize" must not validate the schema (not)',)),
    Wrong("token twice", FEED, {"spec/instruments/1/token": 738561}, "spec.instruments[1].token", ("token 738561 is already that of [0]", "each token once"), ("spec:", "insert failed: key 738561 already exists evaluating rule:")),
    Wrong("price a list", FEED, {"spec/instruments/0/referencePrice": [2500]}, "spec.instruments[0].referencePrice", ("[2500] is not such a number", "a number above 0 up to"), ("spec.instruments[0].referencePrice:", "Too many: 1: must have at most 0 items")),
    Wrong("price a mapping", FEED, {"spec/instruments/0/referencePrice": {"inr": 2500}}, "spec.instruments[0].referencePrice", ("{'inr': 2500} is not such a number", "a number above 0 up to"), ("spec.instruments[0].referencePrice:", "Too many: 1: must have at most 0 items")),
    Wrong("kind of an instrument", FEED, {"spec/instruments/0/kind": "equity"}, "spec.instruments[0].kind", ("'equity' is not well formed", "upper-case letters, digits"), ("spec.instruments[0].kind:", "must be upper-case letters, digits and '_', for example EQ")),
    Wrong("day that is none", FEED, {"spec/instruments/0/expiry": "2026-02-30"}, "spec.instruments[0].expiry", ("'2026-02-30' is not a day of the calendar", 'a date as "2026-01-26"'), ("spec.instruments[0].expiry:", 'must be of type date: "2026-02-30"')),
    Wrong("holiday twice", FEED, {"spec/extraHolidays": ["2026-01-26", "2026-01-26"]}, "spec.extraHolidays[1]", ("date '2026-01-26' is already that of [0]", "each date once"), ("spec.extraHolidays[1]:", 'Duplicate value: "2026-01-26"')),
    Wrong("time of day in words", FEED, {"spec/sessions": [{"open": "9.15", "close": "15:30"}]}, "spec.sessions[0].open", ("'9.15' is not a time of day", 'a time as "09:15" or "09:15:00", in quotes'), ("spec.sessions[0].open:", 'must be a time of day as "09:15" or "09:15:00"')),
    Wrong("session without an end", FEED, {"spec/sessions": [{"open": "09:15"}]}, "spec.sessions[0].close", ("is missing", "the field is required"), ("spec.sessions[0].close:", "Required value")),
    Wrong("staleness above a day", FEED, {"spec/staleAfterSeconds": 86401}, "spec.staleAfterSeconds", ("86401 is out of range", "at most 86400"), ("spec.staleAfterSeconds:", "should be less than or equal to 86400")),
    Wrong("too many partitions", FEED, {"spec/partitions": 65}, "spec.partitions", ("65 is out of range", "at most 64"), ("spec.partitions:", "should be less than or equal to 64")),
    Wrong("seventeen cachers", FEED, {"spec/feedCacher/replicas": 17}, "spec.feedCacher.replicas", ("17 is out of range", "at most 16"), ("spec.feedCacher.replicas:", "should be less than or equal to 16")),
    Wrong("no broker", ACCOUNT, {"spec/paper": DROP}, "spec", ("no broker is given", "exactly one of paper, zerodha"), ("spec:", "broker: give exactly one of paper, zerodha")),
    Wrong("account without a feed", ACCOUNT, {"spec/marketFeed": DROP}, "spec.marketFeed", ("is missing", "the field is required"), ("spec.marketFeed:", "Required value")),
    Wrong("feed of another namespace", ACCOUNT, {"spec/marketFeed": "other/demo"}, "spec.marketFeed", ("'other/demo' is not well formed", "one DNS label: lower-case"), ("spec.marketFeed:", "must be one DNS label: lower-case letters, digits and '-'")),
    Wrong("two brokers", ACCOUNT, {"spec/zerodha": KITE["spec"]["zerodha"]}, "spec", ("more than one broker is given: paper, zerodha",), ("spec:", "broker: give exactly one of paper, zerodha")),
    Wrong("neither live nor a dry run", KITE, {"spec/zerodha/live": DROP}, "spec.zerodha", ("neither live nor dryRun is true", "exactly one of live: true (orders go to the broker"), ("spec.zerodha:", "give exactly one of live: true")),
    Wrong("not live and no dry run", KITE, {"spec/zerodha/live": False}, "spec.zerodha", ("neither live nor dryRun is true",), ("spec.zerodha:", "give exactly one of live: true")),
    Wrong("live and a dry run", KITE, {"spec/zerodha/dryRun": True}, "spec.zerodha", ("both live and dryRun are true", "real money"), ("spec.zerodha:", "give exactly one of live: true")),
    Wrong("live in words", KITE, {"spec/zerodha/live": "yes"}, "spec.zerodha.live", ("'yes' does not fit",), ("spec.zerodha.live:", "must be of type boolean")),
    Wrong("no user", KITE, {"spec/zerodha/userId": DROP}, "spec.zerodha.userId", ("is missing",), ("spec.zerodha.userId:", "Required value")),
    Wrong("user in small letters", KITE, {"spec/zerodha/userId": "ab1234"}, "spec.zerodha.userId", ("'ab1234' is not well formed", "for example AB1234"), ("spec.zerodha.userId:", "must be the user's id at the broker")),
    Wrong("no product", KITE, {"spec/zerodha/product": DROP}, "spec.zerodha.product", ("is missing",), ("spec.zerodha.product:", "Required value")),
    Wrong("unknown product", KITE, {"spec/zerodha/product": "MTF"}, "spec.zerodha.product", ("'MTF' is unknown", "MIS, CNC, NRML"), ("spec.zerodha.product:", 'Unsupported value: "MTF"')),
    Wrong("no market protection", KITE, {"spec/zerodha/marketProtection": 0}, "spec.zerodha.marketProtection", ("0 is no market protection", "-1 (automatic), or percent from 0.01 to 100"), ("spec.zerodha.marketProtection:", "market protection is -1 (automatic)")),
    Wrong("market protection above all", KITE, {"spec/zerodha/marketProtection": 100.5}, "spec.zerodha.marketProtection", ("100.5 is out of range", "at most 100"), ("spec.zerodha.marketProtection:", "should be less than or equal to 100")),
    Wrong("address with a mask", KITE, {"spec/zerodha/egressIp": "203.0.113.7/32"}, "spec.zerodha.egressIp", ("is not well formed", 'an IP address as "203.0.113.7"'), ("spec.zerodha.egressIp:", "must be an IP address")),
    Wrong("no orders a second", KITE, {"spec/zerodha/limits/ordersPerSecond": 0}, "spec.zerodha.limits.ordersPerSecond", ("0 is out of range", "at least 1"), ("spec.zerodha.limits.ordersPerSecond:", "should be greater than or equal to 1")),
    Wrong("unknown mode of prices", KITE_FEED, {"spec/source/zerodha/mode": "depth"}, "spec.source.zerodha.mode", ("'depth' is unknown", "full, quote, ltp"), ("spec.source.zerodha.mode:", 'Unsupported value: "depth"')),
    Wrong("prices by nobody's login", KITE_FEED, {"spec/source/zerodha": {}}, "spec.source.zerodha.account", ("is missing",), ("spec.source.zerodha.account:", "Required value")),
    Wrong("tokens that only a broker's list says", REPLAY, {"spec/instruments/0/token": DROP}, "spec.instruments[0].token", ("is missing", "the field is required"), ("spec.instruments:", "each instrument needs token and tickSize")),
    Wrong("one token twice where others have none", KITE_FEED, {"spec/instruments/0/token": 408065}, "spec.instruments[1].token", ("is already that of [0]",), ("spec:", "insert failed: key 408065 already exists evaluating rule:")),
    Wrong("cash below zero", ACCOUNT, {"spec/paper/cash": "-5"}, "spec.paper.cash", ("'-5' is not such a number", "a number from 0 up to"), ("spec.paper.cash:", "should match")),
    Wrong("cash in words", ACCOUNT, {"spec/paper/cash": "1e6"}, "spec.paper.cash", ("'1e6' is not such a number", "a number from 0 up to"), ("spec.paper.cash:", "should match")),
    Wrong("ratio above one as text", ACCOUNT, {"spec/paper/partialFillRatio": "1.5"}, "spec.paper.partialFillRatio", ("1.5 is out of range", "a number from 0 up to 1, as"), ("spec.paper.partialFillRatio:", "should match")),
    Wrong("ratio above one as a number", ACCOUNT, {"spec/paper/partialFillRatio": 1.5}, "spec.paper.partialFillRatio", ("1.5 is out of range", "a number from 0 up to 1, as"), ("spec.paper.partialFillRatio:", "should be less than or equal to 1")),
    Wrong("slippage above 100 %", ACCOUNT, {"spec/paper/slippageBps": "10000.5"}, "spec.paper.slippageBps", ("10000.5 is out of range", "a number from 0 up to 10000"), ("spec.paper.slippageBps:", "should match")),
    Wrong("quantity of more digits than any", ACCOUNT, {"spec/risk/maxPosition": "1234567890123456789012345678"}, "spec.risk.maxPosition", ("'1234567890123456789012345678' is not such a number", "a number above 0 up to"), ("spec.risk.maxPosition:", "Too long: may not be more than 26 bytes")),
    Wrong("orders a second with a fraction", ACCOUNT, {"spec/risk/maxOrdersPerSecond": 2.5}, "spec.risk.maxOrdersPerSecond", ("2.5 does not fit", "a whole number, without quotes"), ("spec.risk.maxOrdersPerSecond:", 'must be of type integer: "number"')),
    Wrong("no orders a day", ACCOUNT, {"spec/risk/maxOrdersPerDay": 0}, "spec.risk.maxOrdersPerDay", ("0 is out of range", "at least 1"), ("spec.risk.maxOrdersPerDay:", "should be greater than or equal to 1")),
    Wrong("flag in quotes", ACCOUNT, {"spec/risk/allowShort": "yes"}, "spec.risk.allowShort", ("'yes' does not fit", "true or false, without quotes"), ("spec.risk.allowShort:", 'must be of type boolean: "string"')),
    Wrong("runaway without a time", ACCOUNT, {"spec/risk/runaway": {"signals": 20}}, "spec.risk.runaway.seconds", ("is missing", "the field is required"), ("spec.risk.runaway.seconds:", "Required value")),
    Wrong("trading state", ACCOUNT, {"spec/tradingState": "Paused"}, "spec.tradingState", ("'Paused' is unknown", "Active, Reducing, Halted"), ("spec.tradingState:", 'Unsupported value: "Paused": supported values: "Active"')),
    Wrong("order type", ACCOUNT, {"spec/orderTypes": ["MARKET", "ICEBERG"]}, "spec.orderTypes[1]", ("'ICEBERG' is unknown", "MARKET, LIMIT, STOP, STOP_LIMIT"), ("spec.orderTypes[1]:", 'Unsupported value: "ICEBERG": supported values: "MARKET"')),
    Wrong("no order types", ACCOUNT, {"spec/orderTypes": []}, "spec.orderTypes", ("has 0 entries", "at least 1"), ("spec.orderTypes:", "should have at least 1 items")),
    Wrong("strategy accepted twice", ACCOUNT, {"spec/acceptStrategies": ["a", "b", "a"]}, "spec.acceptStrategies[2]", ("strategy 'a' is already that of [0]", "each strategy once"), ("spec.acceptStrategies:", "insert failed: key a already exists evaluating rule: each")),
    Wrong("cut-off", ACCOUNT, {"spec/productCutOff": "25:00"}, "spec.productCutOff", ("'25:00' is not a time of day", 'a time as "09:15" or "09:15:00", in quotes'), ("spec.productCutOff:", 'must be a time of day as "09:15" or "09:15:00"')),
    Wrong("no engines", ACCOUNT, {"spec/engine/replicas": 0}, "spec.engine.replicas", ("0 is out of range", "at least 1"), ("spec.engine.replicas:", "should be greater than or equal to 1")),
    Wrong("21 latches", ACCOUNT, {"spec/clearLatch": [f"l{n}" for n in range(21)]}, "spec.clearLatch", ("has 21 entries", "at most 20"), ("spec.clearLatch:", "Too many: 21: must have at most 20 items")),
    Wrong("latch twice", STRATEGY, {"spec/clearLatch": ["daily-loss", "daily-loss"]}, "spec.clearLatch[1]", ("latch 'daily-loss' is already that of [0]", "each latch once"), ("spec.clearLatch[1]:", 'Duplicate value: "daily-loss"')),
    Wrong("type and class", STRATEGY, {"spec/class": "a.b:C"}, "spec", ("more than one strategy class is given: type, class", "exactly one of type, class, code"), ("spec:", "strategy class: give exactly one of type, class, code")),
    Wrong("no class", STRATEGY, {"spec/type": DROP}, "spec", ("no strategy class is given", "exactly one of type, class, code"), ("spec:", "strategy class: give exactly one of type, class, code")),
    Wrong("type and code", CODE, {"spec/type": "momentum"}, "spec", ("more than one strategy class is given: type, code", "exactly one of type, class, code"), ("spec:", "strategy class: give exactly one of type, class, code")),
    Wrong("class without a module", STRATEGY, {"spec/type": DROP, "spec/class": "Momentum"}, "spec.class", ("'Momentum' is not well formed", '"package.module:Class"'), ("spec.class:", 'must be "package.module:Class"')),
    Wrong("code upwards", CODE, {"spec/code": {"file": "../own.py"}}, "spec.code.file", ("'../own.py' is not well formed", "a .py file in the manifest's"), ("spec.code.file:", "must be a .py file in the manifest's folder or below it")),
    Wrong("code that is no Python", CODE, {"spec/code": {"file": "own.txt"}}, "spec.code.file", ("'own.txt' is not well formed", "a .py file in the manifest's"), ("spec.code.file:", "must be a .py file in the manifest's folder or below it")),
    Wrong("code in a folder of a ConfigMap", CODE, {"spec/code/file": "lib/own.py"}, "spec.code.file", ("'lib/own.py' is in a folder", "a file name without folders:"), ("spec.code.file:", "file is a key of configMap: a file name without folders")),
    Wrong("ConfigMap in capitals", CODE, {"spec/code/configMap": "Own"}, "spec.code.configMap", ("'Own' is not well formed", "the name of an object:"), ("spec.code.configMap:", "must be the name of an object: lower-case letters, digits")),
    Wrong("image with a blank", STRATEGY, {"spec/image": "my image:1"}, "spec.image", ("'my image:1' is not well formed", "an image as REGISTRY/NAME:TAG"), ("spec.image:", "must be an image as REGISTRY/NAME:TAG or")),
    Wrong("image with a bad digest", STRATEGY, {"spec/image": "a/b@sha256:12"}, "spec.image", ("'a/b@sha256:12' is not well formed", "an image as REGISTRY/NAME:TAG"), ("spec.image:", "must be an image as REGISTRY/NAME:TAG or")),
    Wrong("memory in words", STRATEGY, {"spec/resources/limits": {"memory": "1 GB"}}, "spec.resources.limits.memory", ("'1 GB' is not an amount", "a Kubernetes quantity such as"), ("spec.resources.limits.memory:", "should match")),
    Wrong("cpu below zero", STRATEGY, {"spec/resources/requests": {"cpu": -1}}, "spec.resources.requests.cpu", ("-1 is not an amount", "a Kubernetes quantity such as"), ("spec.resources.requests.cpu:", "should be greater than or equal to 0")),
    Wrong("resources of another kind", STRATEGY, {"spec/resources/claims": []}, "spec.resources.claims", ("unknown field; did you mean limits?", "requests, limits"), ('unknown field "spec.resources.claims"',)),
    Wrong("parameters a list", STRATEGY, {"spec/parameters": [1]}, "spec.parameters", ("a list does not fit", "a mapping"), ("spec.parameters:", 'must be of type object: "array"')),
    Wrong("no instruments to trade", STRATEGY, {"spec/instruments": []}, "spec.instruments", ("has 0 entries", "at least 1"), ("spec.instruments:", "should have at least 1 items")),
    Wrong("instruments as text", STRATEGY, {"spec/instruments": "NSE:RELIANCE"}, "spec.instruments", ("'NSE:RELIANCE' does not fit", "a list"), ("spec.instruments:", 'must be of type array: "string"')),
    Wrong("instrument twice", STRATEGY, {"spec/instruments": ["NSE:INFY", "NSE:INFY"]}, "spec.instruments[1]", ("symbol 'NSE:INFY' is already that of [0]", "each symbol once"), ("spec.instruments:", "insert failed: key NSE:INFY already exists evaluating rule:")),
    Wrong("no accounts", STRATEGY, {"spec/accounts": DROP}, "spec.accounts", ("is missing", "the field is required"), ("spec.accounts:", "Required value")),
    Wrong("21 accounts", STRATEGY, {"spec/accounts": [f"a{n}" for n in range(21)]}, "spec.accounts", ("has 21 entries", "at most 20"), ("spec.accounts:", "Too many: 21: must have at most 20 items")),
    Wrong("deletion policy", STRATEGY, {"spec/deletionPolicy": "Delete"}, "spec.deletionPolicy", ("'Delete' is unknown", "Retain, CancelOrders, Flatten"), ("spec.deletionPolicy:", 'Unsupported value: "Delete": supported values: "Retain"')),
    Wrong("limit of an account on a strategy", STRATEGY, {"spec/risk/maxNetExposure": "5"}, "spec.risk.maxNetExposure", ("unknown field", "maxPosition"), ('unknown field "spec.risk.maxNetExposure"',)),
    Wrong("signal that lives for ever", STRATEGY, {"spec/signalTtlSeconds": 0}, "spec.signalTtlSeconds", ("0 is out of range", "above 0"), ("spec.signalTtlSeconds:", "should be greater than 0")),
)  # fmt: skip
