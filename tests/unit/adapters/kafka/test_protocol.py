import uuid
from io import BytesIO

from aiokafka.errors import for_code
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.kafka.protocol import (
    NO_ID,
    ClusterInfo,
    InvalidRecordError,
    MetadataResponseV10,
    MetadataWithIds,
    TopicInfo,
    Uuid,
)

ID = uuid.UUID("4743ae71-46f5-4138-8d12-2b62b0000001")


@given(value=st.uuids())
def test_an_id_comes_out_as_it_went_in(value: uuid.UUID) -> None:
    assert Uuid.decode(BytesIO(Uuid.encode(value) + b"more")) == value


def test_the_request_is_the_one_of_the_protocol_s_definition() -> None:
    request = MetadataWithIds(["t"]).prepare({3: (0, 13)})
    assert request.API_VERSION == 10
    # one topic (length + 1): no id, its name, no tags; never create; no authorized operations, twice; no tags
    assert request.encode() == b"\x02" + NO_ID.bytes + b"\x02t" + b"\x00" + b"\x00" + b"\x00\x00" + b"\x00"
    nothing = MetadataWithIds([]).prepare({3: (0, 13)})
    assert nothing.encode()[:1] == b"\x01"  # no topic at all, which is not the same as all there are
    everything = MetadataWithIds(None).prepare({3: (0, 13)})
    assert everything.encode()[:1] == b"\x00"


def test_a_response_tells_brokers_ids_and_leaders() -> None:
    partitions: list[tuple[object, ...]] = [
        (0, 1, 7, 3, [7, 8], [7], [], {}),
        (5, 0, -1, 3, [7], [], [7], {}),
    ]
    response = MetadataResponseV10(
        0, [(7, "host", 9092, None, {})], "cluster", 7, [(0, "t", ID, False, partitions, 0, {})], 0, {}
    )
    decoded = MetadataResponseV10.decode(response.encode())
    assert ClusterInfo.of(decoded) == ClusterInfo((7,), 7, {"t": TopicInfo(0, ID, {1: 7, 0: -1}, 1)})


def test_a_refused_record_is_not_an_unknown_error() -> None:
    assert for_code(87) is InvalidRecordError
    assert not InvalidRecordError.retriable
