"""The manifest models: defaults, exact numbers, bounds everywhere, shapes that a structural schema can have."""

import re
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from alpha_panda.contracts.enums import FeedMode, OrderType, TradingState, Validity
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import json_schema
from alpha_panda.contracts.resources import (
    API_VERSION,
    KINDS,
    BrokerAccount,
    DeletionPolicy,
    FeedInstrument,
    FeedSource,
    MarketFeed,
    Metadata,
    Resource,
    Strategy,
    fields,
)

INSTRUMENT = {"symbol": "NSE:A", "token": 1, "tickSize": "0.05", "referencePrice": "100"}


def market_feed(**spec: Any) -> MarketFeed:
    base = {"source": {"simulated": {}}, "instruments": [INSTRUMENT]}
    return MarketFeed.model_validate({"metadata": {"name": "demo"}, "spec": {**base, **spec}})


def broker_account(**spec: Any) -> BrokerAccount:
    base = {"marketFeed": "demo", "paper": {"cash": "1000"}}
    return BrokerAccount.model_validate({"metadata": {"name": "paper"}, "spec": {**base, **spec}})


def strategy(**spec: Any) -> Strategy:
    base = {"type": "momentum", "marketFeed": "demo", "instruments": ["NSE:A"], "accounts": ["paper"]}
    return Strategy.model_validate({"metadata": {"name": "mo"}, "spec": {**base, **spec}})


# ------------------------------------------------------------------------------------------------ defaults


def test_a_feed_s_defaults() -> None:
    spec = market_feed().spec
    assert (spec.calendar, spec.stale_after_seconds, spec.partitions) == ("24/7", 5.0, 4)
    assert (spec.extra_holidays, spec.extra_sessions, spec.sessions) == ((), (), ())
    assert spec.source.simulated is not None
    assert (spec.source.simulated.speed, spec.source.simulated.ticks_per_second) == (1.0, 10.0)
    assert (spec.source.simulated.time_scale, spec.source.simulated.correlation) == (120.0, 0.3)
    assert spec.instruments[0].lot_size == Decimal(1)
    assert isinstance(spec.instruments[0].lot_size, Decimal)


def test_a_replay_s_defaults() -> None:
    replay = market_feed(source={"replay": {"path": "x.csv"}}).spec.source.replay
    assert replay is not None
    assert (replay.speed, replay.strict, replay.timezone) == (0.0, False, "UTC")
    assert (replay.timestamp_unit, replay.format, replay.bar_label) == ("auto", "auto", None)
    assert (replay.symbol, replay.delimiter, replay.bar_seconds, replay.columns.close) == (
        None,
        None,
        None,
        None,
    )


def test_a_paper_account_trades_unless_it_is_halted_and_only_its_rate_is_limited() -> None:
    spec = broker_account().spec
    assert spec.paper is not None
    assert spec.trading_state is TradingState.ACTIVE
    costs = [spec.paper.slippage_bps, spec.paper.commission_bps, spec.paper.partial_fill_ratio]
    assert costs == [Decimal(0)] * 3
    assert isinstance(spec.paper.partial_fill_ratio, Decimal)
    assert spec.paper.allow_short
    assert spec.risk.allow_short
    limits = spec.risk.model_dump(exclude={"allow_short"})
    assert {name: value for name, value in limits.items() if value is not None} == {"maxOrdersPerSecond": 10}


def test_a_strategy_s_defaults() -> None:
    spec = strategy().spec
    assert (spec.trading_state, spec.deletion_policy) == (TradingState.ACTIVE, DeletionPolicy.CANCEL_ORDERS)
    assert (spec.max_tick_age_seconds, spec.signal_ttl_seconds, spec.parameters) == (None, None, {})
    assert set(spec.risk.model_dump().values()) == {None}


@pytest.mark.parametrize(
    ("way", "field"),
    [
        ({"type": "momentum"}, "type"),
        ({"type": None, "class": "package.module:Class"}, "class"),
        ({"type": None, "code": {"file": "sub/own.py", "class": "Own"}}, "code"),
    ],
)
def test_a_strategy_says_which_way_leads_to_its_class(way: dict[str, Any], field: str) -> None:
    assert strategy(**way).class_field == field


def test_an_account_accepts_all_strategies_unless_it_names_some() -> None:
    assert broker_account().accepts("anything")
    some = broker_account(acceptStrategies=["a"])
    assert some.accepts("a")
    assert not some.accepts("b")
    assert not broker_account(acceptStrategies=[]).accepts("a")


def test_the_issue_s_shapes_are_read() -> None:
    account = broker_account(
        risk={"maxOrderQuantity": "1000", "runaway": {"signals": 5, "seconds": 1}},
        orderTypes=["MARKET", "STOP_LIMIT"],
        validities=["IOC"],
        productCutOff="15:15",
        tradingState="Reducing",
    )
    assert account.spec.order_types == (OrderType.MARKET, OrderType.STOP_LIMIT)
    assert account.spec.validities == (Validity.IOC,)
    assert account.spec.product_cut_off == time(15, 15)
    assert account.spec.trading_state is TradingState.REDUCING
    assert account.spec.risk.runaway is not None
    assert account.spec.risk.runaway.signals == 5
    assert account.ref == "BrokerAccount/paper"


# ---------------------------------------------------------------------------------------- feed and calendar


def test_a_feed_gives_its_instruments_as_services_use_them() -> None:
    feed = market_feed(
        instruments=[
            INSTRUMENT,
            {
                "symbol": "NFO:NIFTY26JANFUT",
                "token": 2,
                "tickSize": 0.05,
                "lotSize": 75,
                "referencePrice": 25000,
                "kind": "FUT",
                "freezeQuantity": "1800",
                "expiry": "2026-01-27",
                "staleAfterSeconds": 1.5,
                "priceBand": {"low": "22500", "high": "27500"},
            },
        ]
    )
    assert feed.instruments.token(1) == Instrument(1, "NSE:A", Decimal("0.05"), reference_price=Decimal(100))
    assert feed.instruments.symbol("NFO:NIFTY26JANFUT") == Instrument(
        token=2,
        symbol="NFO:NIFTY26JANFUT",
        tick_size=Decimal("0.05"),
        lot_size=Decimal(75),
        kind="FUT",
        freeze_quantity=Decimal(1800),
        expiry=date(2026, 1, 27),
        price_band=(Decimal(22500), Decimal(27500)),
        reference_price=Decimal(25000),
        stale_after_ns=1_500_000_000,
    )
    assert feed.instruments is feed.instruments
    assert feed.stale_after_ns == 5_000_000_000


@pytest.mark.parametrize(
    ("source", "mode", "speed", "virtual"),
    [
        ({"simulated": {}}, FeedMode.SIMULATED, 1.0, False),
        ({"simulated": {"speed": 0}}, FeedMode.SIMULATED, 0.0, True),
        ({"replay": {"path": "x"}}, FeedMode.REPLAY, 0.0, True),
        ({"replay": {"path": "x", "speed": 2}}, FeedMode.REPLAY, 2.0, False),
    ],
)
def test_a_source_says_its_mode_and_time(
    source: dict[str, Any], mode: FeedMode, speed: float, virtual: bool
) -> None:
    feed = market_feed(source=source)
    assert (feed.mode, feed.spec.source.speed, feed.virtual_time) == (mode, speed, virtual)


def test_hours_are_times_of_day_over_midnight_too() -> None:
    feed = market_feed(
        sessions=[{"open": "17:00", "close": "16:00"}, {"open": "09:15:30", "close": "00:00"}],
        extraSessions=[{"date": "2026-11-08", "open": "18:00", "close": "19:00"}],
        extraHolidays=["2026-01-26"],
    )
    assert [(item.open, item.close) for item in feed.spec.sessions] == [
        (time(17), time(16)),
        (time(9, 15, 30), time(0)),
    ]
    assert feed.spec.extra_sessions[0].date == date(2026, 11, 8)
    assert feed.spec.extra_holidays == (date(2026, 1, 26),)


@pytest.mark.parametrize(
    "symbol", ["NSE:M&M", "NSE:NIFTY 50", "NSE:BAJAJ-AUTO", "BINANCE:BTC/USDT", "CME:ES", "X:brk.b"]
)
def test_symbols_of_many_venues_fit(symbol: str) -> None:
    assert FeedInstrument.model_validate({**INSTRUMENT, "symbol": symbol}).symbol == symbol


@pytest.mark.parametrize(
    "symbol", ["NSE", "nse:A", "NSE:", ":A", "NSE:A:B", "NSE: A", "NSE:A\n", "NSE:" + "A" * 60]
)
def test_what_is_no_symbol_does_not_fit(symbol: str) -> None:
    with pytest.raises(ValidationError):
        FeedInstrument.model_validate({**INSTRUMENT, "symbol": symbol})


# ------------------------------------------------------------------------------------------- exact numbers


PRICE: TypeAdapter[Decimal] = TypeAdapter(fields.Price)
MONEY: TypeAdapter[Decimal] = TypeAdapter(fields.Money)


@pytest.mark.parametrize(
    ("raw", "exact"),
    [
        ("0.05", "0.05"),
        (0.05, "0.05"),
        (0.1, "0.1"),
        (12, "12"),
        ("007.50", "7.50"),
        (1e-7, "0.0000001"),
        (2500.05, "2500.05"),
        (Decimal("1E+2"), "100"),
    ],
)
def test_a_number_is_what_was_typed(raw: object, exact: str) -> None:
    assert PRICE.validate_python(raw) == Decimal(exact)


@pytest.mark.parametrize(
    "raw",
    [
        "", " 1", "1 ", "1e3", "+1", "-1", "1_0", ".5", "5.", "1,5", "١٢", "NaN", "Infinity", "1\n", "0.000", "1" * 16,
        True, None, [], {}, b"1", 0, 10**13, 1 / 3, float("nan"), float("inf"), Decimal("NaN"),
    ],
)  # fmt: skip
def test_what_is_no_positive_decimal_is_refused_in_words(raw: object) -> None:
    with pytest.raises(ValidationError) as caught:
        PRICE.validate_python(raw)
    (line,) = caught.value.errors()
    assert line["type"] == "manifest_fault"
    assert line["ctx"]["allowed"]


def test_money_may_be_zero_and_ends_below_a_quadrillion() -> None:
    assert MONEY.validate_python("0") == 0
    assert MONEY.validate_python("999999999999999") == Decimal(999999999999999)
    for raw in ("1000000000000000", "999999999999999.5", -1):
        with pytest.raises(ValidationError):
            MONEY.validate_python(raw)


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_money_survives_being_written_and_read(amount: Decimal) -> None:
    account = broker_account(paper={"cash": f"{amount:f}"})
    assert account.spec.paper is not None
    assert account.spec.paper.cash == amount
    again = BrokerAccount.model_validate_json(account.model_dump_json())
    assert again == account


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_an_unquoted_number_is_taken_exactly_or_refused_never_rounded(number: float) -> None:
    try:
        value = PRICE.validate_python(number)
    except ValidationError:
        return
    assert value == Decimal(repr(number))


@given(st.integers(1, 10**12), st.integers(0, 10))
def test_text_is_taken_to_the_last_digit(units: int, places: int) -> None:
    exact = Decimal(units).scaleb(-places)
    assert PRICE.validate_python(f"{exact:f}") == exact


# ------------------------------------------------------------------------------------------------- strictness


@pytest.mark.parametrize(
    ("adapter", "wrong"),
    [
        (TypeAdapter(fields.Integer), ["1", 1.0, True, None]),
        (TypeAdapter(fields.Number), ["1", True, float("nan"), float("inf"), None]),
        (TypeAdapter(fields.Flag), [1, 0, "true", "yes", None]),
        (TypeAdapter(fields.Day), ["2026-1-1", "2026-02-30", 20260101, 1.0, "2026-01-01T00:00:00", None]),
        (TypeAdapter(fields.ClockTime), ["9:15", "24:00", "09:60", 915, "09:15:00Z", "09:15\n", None]),
        (TypeAdapter(fields.Name), ["", "-a", "a-", "A", "a.b", "a" * 41, 1, "a\n", None]),
    ],
)
def test_types_are_as_strict_as_the_api_server(adapter: TypeAdapter[Any], wrong: list[object]) -> None:
    for value in wrong:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_python_values_are_taken_where_manifests_have_text() -> None:
    assert TypeAdapter(fields.Day).validate_python(date(2026, 1, 1)) == date(2026, 1, 1)
    assert TypeAdapter(fields.ClockTime).validate_python(time(9, 15)) == time(9, 15)


def test_models_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        market_feed().spec.partitions = 5  # type: ignore[misc]


def test_python_names_make_models_and_manifest_names_come_out() -> None:
    source = FeedSource(simulated={"ticks_per_second": 5})
    assert source.model_dump(exclude_defaults=True) == {"simulated": {"ticksPerSecond": 5.0}}


@pytest.mark.parametrize(
    "made", [market_feed(sessions=[{"open": "09:15", "close": "15:30"}]), broker_account(), strategy()]
)
def test_a_resource_survives_being_written_and_read(made: Resource) -> None:
    assert type(made).model_validate_json(made.model_dump_json()) == made
    assert type(made).model_validate(made.model_dump(mode="json"), by_alias=True, by_name=False) == made
    assert made.model_dump()["apiVersion"] == API_VERSION


def test_rules_over_fields_and_errors_of_fields_come_together() -> None:
    with pytest.raises(ValidationError) as caught:
        market_feed(
            source={"simulated": {"seed": -1}, "replay": {"path": 3}},
            instruments=[INSTRUMENT, {**INSTRUMENT, "tickSize": "x"}],
        )
    places = [".".join(map(str, line["loc"])) for line in caught.value.errors()]
    assert sorted(places) == [
        "spec.instruments.1.symbol",
        "spec.instruments.1.tickSize",
        "spec.instruments.1.token",
        "spec.source",
        "spec.source.replay.path",
        "spec.source.simulated.seed",
    ]


@pytest.mark.parametrize(
    "raw", [None, [], "x", 3, {"spec": None}, {"spec": {"source": 3, "instruments": "x"}}]
)
def test_rules_look_at_any_rubbish_without_failing(raw: object) -> None:
    for model in KINDS.values():
        with pytest.raises(ValidationError):
            model.model_validate(raw)


rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["spec", "source", "simulated", "replay", "instruments", "symbol", "token", "priceBand", "low", "accounts",
         "type", "code", "class", "parameters", "paper", "barLabel", "metadata", "name"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(rubbish)
def test_no_input_makes_a_model_fail_otherwise_than_by_a_validation_error(raw: object) -> None:
    for model in KINDS.values():
        with pytest.raises(ValidationError):
            model.model_validate({"metadata": {"name": "x"}, "spec": raw})


# ------------------------------------------------------------------------------------------------- schemas


def models(model: type[BaseModel], seen: dict[type[BaseModel], None]) -> dict[type[BaseModel], None]:
    """Collect a model with all inside it."""
    if model not in seen:
        seen[model] = None
        for field in model.model_fields.values():
            for inner in _inside(field.annotation):
                models(inner, seen)
    return seen


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _inside(part)


ALL_MODELS = list(models(Strategy, models(BrokerAccount, models(MarketFeed, {}))))


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            yield from nodes(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from nodes(value, f"{path}/{index}")


def test_all_models_are_found() -> None:
    assert len(ALL_MODELS) == 26
    assert Metadata in ALL_MODELS


@pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.__name__)
def test_every_field_is_described_and_written_in_camel_case(model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", "…", ")")), field.description
        assert "_" not in (field.alias or name), name


@pytest.mark.parametrize("kind", KINDS)
def test_every_list_text_and_number_is_bounded(kind: str) -> None:
    for path, node in nodes(json_schema(kind)):
        kind_of_node = node.get("type")
        if kind_of_node == "array":
            assert "maxItems" in node, path
        elif kind_of_node == "string":
            assert {"maxLength", "enum", "const"} & set(node), path
        elif kind_of_node in ("integer", "number"):
            assert "maximum" in node, path
            assert {"minimum", "exclusiveMinimum"} & set(node), path
        elif kind_of_node == "object" and "properties" not in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_have_only_shapes_that_a_structural_schema_can_have(kind: str) -> None:
    for path, node in nodes(json_schema(kind)):
        assert not {"prefixItems", "oneOf", "allOf", "not", "discriminator", "patternProperties"} & set(
            node
        ), path
        if "anyOf" in node:
            shapes = sorted(str(branch.get("type", branch.get("$ref", ""))) for branch in node["anyOf"])
            optional = "null" in shapes
            shapes = [shape for shape in shapes if shape != "null"]
            assert shapes == ["number", "string"] or (optional and len(shapes) == 1), path


def test_the_count_of_partitions_is_marked_as_never_changing() -> None:
    schema = json_schema("MarketFeed")
    assert schema["$defs"]["MarketFeedSpec"]["properties"]["partitions"]["x-alphapanda-immutable"] is True


@pytest.mark.parametrize(
    ("text", "fits"), [("0", True), ("12.5", True), ("-1", False), ("1e3", False), ("", False)]
)
def test_the_pattern_of_a_decimal_says_what_the_model_takes(text: str, fits: bool) -> None:
    schema = MONEY.json_schema()
    pattern = schema["anyOf"][0]["pattern"]
    assert bool(re.search(pattern, text)) is fits
    try:
        MONEY.validate_python(text)
    except ValidationError:
        assert not fits
    else:
        assert fits
