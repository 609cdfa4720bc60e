"""A story as lines for people: a label, and what happened, in the order in which a trader asks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from alpha_panda.contracts.events import CheckResult
from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.domain.exact import tidy
from alpha_panda.domain.story.model import (
    BookPart,
    DecisionPart,
    FillPart,
    Holding,
    Order,
    SignalPart,
    Step,
    Story,
    TickPart,
    Why,
)

from .output import moment

Line = tuple[str, str]
"""A label, "" where the one before goes on, and a text."""

_NANOSECONDS: Final = re.compile(r"(-?\d+) ns\b")
_BOUND: Final = re.compile(r"\bat most (\d+)\b")
"""What follows a span in the messages of checks, in ns as well."""
_SPAN_CHECKS: Final = frozenset({"price_fresh", "signal_age"})
"""Checks whose numbers are spans in ns."""
_MINUTE: Final = 60
_CLOCK: Final = slice(11, 23)
"""HH:MM:SS.mmm of an ISO time."""


# ------------------------------------------------------------------------------------------------ numbers


def number(value: Decimal | float) -> str:
    """Return a number with thousands apart, and cents where it has any fraction: 2,503.85, 1,000, 0.7512."""
    plain = tidy(Decimal(repr(value)) if isinstance(value, float) else value)
    exponent = plain.as_tuple().exponent
    places = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return f"{plain:,.{max(places, 2) if places else 0}f}"


def money(value: Decimal | float) -> str:
    """Return a price or an amount: two places at least."""
    text = number(value)
    return text if "." in text else f"{text}.00"


def plus(value: Decimal, text: str) -> str:
    """Return a change's text with its sign: +1, -2,504.60."""
    return f"+{text}" if value > 0 else text


def span(ns: int) -> str:
    """Return a span in the unit that suits it: 0.3 ms, 22.6 ms, 1.5 s, 2 min 5 s."""
    size = abs(ns)
    if size < 10 * MS_NS:
        return f"{ns / MS_NS:.2f} ms"
    if size < SECOND_NS:
        return f"{ns / MS_NS:.1f} ms"
    if size < _MINUTE * SECOND_NS:
        return f"{ns / SECOND_NS:.3g} s"
    minutes, seconds = divmod(round(size / SECOND_NS), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    text = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
    return f"-{text}" if ns < 0 else text


def clock(ts: int | None) -> str:
    """Return HH:MM:SS.mmm, UTC."""
    return (moment(ts) or "")[_CLOCK]


def readable(message: str) -> str:
    """Return a message with its nanoseconds as spans."""
    if _NANOSECONDS.search(message) is None:
        return message
    spans = _NANOSECONDS.sub(lambda found: span(int(found[1])), message)
    return _BOUND.sub(lambda found: f"at most {span(int(found[1]))}", spans)


# -------------------------------------------------------------------------------------------------- lines


def lines(story: Story) -> list[Line]:
    """Return the story, headline first."""
    parts: list[tuple[object, Callable[[Any], Iterator[Line]]]] = [
        (story.why, _why),
        (story.tick, _tick),
        (story.signal, lambda part: _signal(part, story)),
        (story.decision, _decision),
        (story.price, lambda part: _price(part.price, part.ts, part.age)),
        (story.steps or None, _steps),
        (story.fill, _fill),
        (story.book, _book),
        (
            story.hops or None,
            lambda hops: iter([("Time", " · ".join(f"{h.name} {span(h.span)}" for h in hops))]),
        ),
    ]
    told = [*_head(story)]
    for part, show in parts:
        if part is not None:
            told += show(part)
    told += [("" if n else "Missing", text) for n, text in enumerate(story.missing)]
    told += [("" if n else "Note", text) for n, text in enumerate(story.notes)]
    return told


def _head(story: Story) -> Iterator[Line]:
    order = story.order
    yield story.ending.value, _wish(order) + _came_to(story)
    at = next((step.ts for step in story.steps), None) or (story.signal.ts if story.signal else None)
    day = f" · {(moment(at) or '')[:10]}, times in UTC" if at else ""
    yield "", f"account {order.account or '?'} · strategy {order.strategy}{day}"
    yield "", f"order {order.order_id} · signal {order.signal_id}"


def _wish(order: Order) -> str:
    limit = f" at {money(order.limit_price)}" if order.limit_price is not None else ""
    trigger = f" from {money(order.trigger_price)}" if order.trigger_price is not None else ""
    return f"{order.side} {number(order.quantity)} {order.symbol} {order.order_type}{limit}{trigger} {order.validity}"


def _came_to(story: Story) -> str:
    fill = story.fill
    if fill is None:
        return ""
    of = f" of {number(story.order.quantity)}" if fill.quantity != story.order.quantity else ""
    return f": {number(fill.quantity)}{of} at {money(fill.price)}"


def _why(why: Why) -> Iterator[Line]:
    yield "Why", f"{why.code}: {readable(why.message)}" if why.message else why.code.value
    yield "", why.meaning
    yield "What to do", why.remedy


def _tick(tick: TickPart) -> Iterator[Line]:
    if tick.price is None:
        yield "Tick", f"{clock(tick.ts)}  {tick.record}".strip()
        return
    sides = [
        f"{name} {money(value)}"
        for name, value in (("bid", tick.bid), ("ask", tick.ask))
        if value is not None
    ]
    quote = f" ({', '.join(sides)})" if sides else ""
    source = f", of {moment(tick.source_ts)}" if tick.source_ts else ""
    yield "Tick", f"{clock(tick.ts)}  {money(tick.price)}{quote} on feed {tick.feed}, {tick.mode}{source}"
    yield "", tick.record


def _signal(signal: SignalPart, story: Story) -> Iterator[Line]:
    age = story.tick.age if story.tick else None
    old = f"; its tick was {span(age)} old" if age is not None else ""
    until = f", good until {clock(signal.expires_at)}"
    yield "Strategy", f"{clock(signal.ts)}  {_wish(story.order)}{until}{old}".strip()
    if signal.reason:
        yield "", f"because: {signal.reason}"
    if signal.cause:
        yield "", f"caused by {signal.cause}"
    if signal.state:
        yield "", " · ".join(f"{name} = {value}" for name, value in signal.state.items())


def _decision(decision: DecisionPart) -> Iterator[Line]:
    kind = f", {decision.signal_class.value}" if decision.signal_class else ""
    failed = [check for check in decision.checks if not check.passed]
    count = f"{len(decision.checks) - len(failed)} of {len(decision.checks)} checks passed"
    yield "Risk", f"{clock(decision.ts)}  {'passed' if decision.passed else 'rejected'}{kind}: {count}"
    for check in failed:
        yield "", f"✗ {_check(check)}"
    numbers = [check for check in decision.checks if check.passed and (check.value or check.limit)]
    for check in numbers:
        yield "", f"✓ {_check(check)}"
    bare = [check.check for check in decision.checks if check.passed and not (check.value or check.limit)]
    if bare:
        yield "", f"✓ {', '.join(bare)}"


def _check(check: CheckResult) -> str:
    shown = [_figure(check, value) for value in (check.value, check.limit)]
    value, limit = shown
    numbers = f"{value} (limit {limit})" if all(shown) else value or limit
    word = "" if check.passed else f"  {check.code or ''} {readable(check.message)}".rstrip()
    return f"{check.check:<28} {numbers}{word}".rstrip()


def _figure(check: CheckResult, text: str) -> str:
    """Return a check's number as people write it; what is no number stays as it is."""
    if check.check in _SPAN_CHECKS and text.lstrip("-").isdigit():
        return span(int(text))
    try:
        return number(Decimal(text))
    except ArithmeticError:
        return text


def _price(price: Decimal, ts: int, age: int | None) -> Iterator[Line]:
    old = f", {span(age)} old when the engine began" if age is not None else ""
    yield "Price", f"{money(price)} of {clock(ts)}{old}"


def _steps(steps: tuple[Step, ...]) -> Iterator[Line]:
    for n, step in enumerate(steps):
        after = f", +{span(step.after)}" if step.after is not None else ""
        code = f" {step.code}" if step.code else ""
        message = f" {readable(step.message)}" if step.message else ""
        yield "" if n else "Order", f"{clock(step.ts)}  {step.what}{code}{message} ({step.by}{after})"


def _fill(fill: FillPart) -> Iterator[Line]:
    fees = f", fees {number(fill.fees)}" if fill.fees else ""
    yield (
        "Fill",
        f"{number(fill.quantity)} at {money(fill.price)} = {money(fill.amount)}{fees}{_slippage(fill.slippage)}",
    )


def _slippage(slippage: Decimal | None) -> str:
    if slippage is None:
        return ""
    if not slippage:
        return ", at the engine's price"
    return f", {money(abs(slippage))} a unit {'worse' if slippage > 0 else 'better'} than the engine's price"


def _book(book: BookPart) -> Iterator[Line]:
    own = (
        f"position {plus(book.position_change, number(book.position_change))}, "
        f"cash {plus(book.cash_change, money(book.cash_change))}"
    )
    if book.before is None or book.after is None:
        yield "Book", f"this order: {own}"
        return
    yield "Book", f"{_held(book.before, book.after)}"
    others = "" if book.alone else "; other orders have moved it in between, too"
    yield "", f"this order: {own}{others}"


def _held(before: Holding, after: Holding) -> str:
    shown = [f"position {number(before.position)} → {number(after.position)}"]
    shown.append(f"cash {money(before.cash)} → {money(after.cash)}")
    if before.realized_pnl != after.realized_pnl:
        shown.append(f"realized {money(before.realized_pnl)} → {money(after.realized_pnl)}")
    return ", ".join(shown)


# ---------------------------------------------------------------------------------------------------- JSON

_TIMES: Final = frozenset({"ts", "expires_at", "source_ts"})
_SPANS: Final = frozenset({"age", "span", "after"})


def story_json(story: Story) -> dict[str, Any]:
    """Return the story as JSON: times both as ISO 8601 and ns, spans in ns (`…_ns`), money and quantities as text."""
    shown: dict[str, Any] = _plain(story)
    return shown


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if is_dataclass(value):
        return _object({item.name: getattr(value, item.name) for item in fields(value)})
    if isinstance(value, CheckResult):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _object(values: dict[str, object]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in values.items():
        if name in _TIMES and (value is None or isinstance(value, int)):
            shown["at" if name == "ts" else f"{name}_iso"] = moment(value)
            shown[name] = value
        elif name in _SPANS and (value is None or isinstance(value, int)):
            shown[f"{name}_ns"] = value
        else:
            shown[name] = _plain(value)
    return shown
