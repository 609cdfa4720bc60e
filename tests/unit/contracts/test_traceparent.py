import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.contracts.traceparent import HEADER, TraceContext, context_of, root_of, trace_id_of
from alpha_panda.domain.ids import signal_id

LINEAGE = "00000000-0000-4000-8000-000000000000"
SIGNAL = signal_id(LINEAGE, "paper", 1)

ids = st.builds(
    TraceContext,
    st.integers(min_value=1, max_value=2**128 - 1),
    st.integers(min_value=1, max_value=2**64 - 1),
    st.booleans(),
)


def said(value: bytes) -> TraceContext | None:
    return context_of([("other", b"x"), (HEADER, value)])


@given(ids)
def test_what_is_written_is_read_back(context: TraceContext) -> None:
    assert context_of(context.headers) == context
    assert len(context.traceparent) == 55


def test_the_example_of_the_specification() -> None:
    text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    context = said(text.encode())
    assert context == TraceContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, sampled=True)
    assert context.traceparent == text


def test_a_later_version_may_say_more() -> None:
    later = said(b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-comes")
    assert later is not None
    assert not later.sampled


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"\xff\xfe",
    ],
)
def test_what_is_no_context_is_none(value: bytes) -> None:
    assert said(value) is None


@given(st.binary(max_size=80))
def test_no_header_raises(value: bytes) -> None:
    said(value)


def test_without_the_header_there_is_none() -> None:
    assert context_of([]) is None
    assert context_of([("dlq.code", b"x")]) is None


def test_the_trace_of_a_signal_is_its_id() -> None:
    assert trace_id_of(SIGNAL) == SIGNAL.replace("-", "")
    root = root_of(SIGNAL)
    assert root is not None
    assert f"{root.trace_id:032x}" == trace_id_of(SIGNAL)
    assert root == root_of(SIGNAL)
    assert root.span_id == int(SIGNAL.replace("-", "")[16:], 16)
    assert root != root_of(signal_id(LINEAGE, "paper", 2))


def test_ids_of_other_events_are_traces_too() -> None:
    assert root_of(RandomIds().new_id()) is not None


@pytest.mark.parametrize("text", ["", "external:4711", "demo.market.ticks/0/7", "0" * 32])
def test_what_has_no_128_bits_has_no_trace(text: str) -> None:
    assert trace_id_of(text) is None
    assert root_of(text) is None


def test_a_root_is_never_0() -> None:
    root = root_of("ffffffff-0000-0000-0000-000000000000")
    assert root is not None
    assert root.span_id == 1
