"""A person asks about real orders, over real Kafka and Redis: one filled, refused, in doubt, and stuck; and how all is."""

import asyncio
import json
import sys
from typing import Any

import pytest

from alpha_panda.contracts.enums import EntryState
from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.broker import faults
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.children import child_environment
from alpha_panda.testing.processes.platform import Platform
from alpha_panda.testing.processes.quick import as_environment

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SECONDS = 60.0


async def panda(platform: Platform, *words: str) -> tuple[int, str, str]:
    """Type a command of `alpha-panda`, in a process of its own."""
    settings = platform.settings
    given = as_environment(
        {
            "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
            "redis_url": settings.redis_url.get_secret_value(),
            "topic_prefix": settings.topic_prefix,
            "order_partitions": settings.order_partitions,
        }
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alpha_panda.cli",
        *words,
        env=child_environment(**given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def story(platform: Platform, order: str) -> dict[str, Any]:
    code, out, err = await panda(platform, "explain", order, "-o", "json")
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


async def test_a_filled_order_is_told_by_its_tag_and_by_a_piece_of_its_id(platform: Platform) -> None:
    sent = await platform.signal()
    await platform.outcomes([sent])
    for words in (sent, sent[:13], broker_tag(sent)):
        told = await story(platform, words)
        assert (told["ending"], told["order"]["signal_id"]) == ("FILLED", sent)
    assert [hop["name"] for hop in told["hops"]][:3] == [
        "signal → decision",
        "decision → order",
        "order → answer",
    ]
    assert told["price"]["price"]
    assert told["steps"][-1]["by"].startswith(("engine/", "order-tracker/"))


async def test_an_order_that_the_broker_refuses_says_why_and_what_to_do(platform: Platform) -> None:
    platform.broker.core.plan(faults.reject())
    sent = await platform.signal()
    await platform.outcomes([sent])
    told = await story(platform, sent)
    assert told["ending"] == "FAILED"
    assert told["why"]["code"] == "BROKER_REJECTED"
    assert told["why"]["remedy"]
    assert told["steps"][0]["what"].startswith("BEGIN")
    assert told["hops"][-1]["span_ns"] > 0


async def test_an_order_that_is_refused_before_it_is_sent_says_that_the_broker_was_not_called(
    platform: Platform,
) -> None:
    await platform.end("engine")
    sent = await platform.signal(ttl=1.0)
    await asyncio.sleep(1.2)  # the signal's own time, on the services' clocks
    await platform.start("engine")
    await platform.outcomes([sent])
    told = await story(platform, sent)
    assert (told["ending"], told["why"]["code"]) == ("FAILED", "SIGNAL_EXPIRED")
    assert "not called" in told["steps"][0]["what"]
    assert platform.broker.core.placed()[broker_tag(sent)] == 0


async def test_an_order_in_doubt_is_told_and_is_a_line_of_the_status(platform: Platform) -> None:
    _, out, _ = await panda(platform, "status", "-o", "json")
    before = {item["what"] for item in json.loads(out)["findings"] if not item["well"]}
    assert before == {"strategy hand", "strategy scripted"}  # which have no processes here
    await platform.end("order-tracker")
    platform.broker.core.plan(faults.drop_reply())
    sent = await platform.signal()

    async def unknown() -> bool:
        entry = await platform.journal.get(sent)
        return entry is not None and entry.state is EntryState.UNKNOWN

    await platform.until(unknown, "the order is in doubt")
    told = await story(platform, sent)
    assert (told["ending"], told["why"]["code"]) == ("IN DOUBT", "IN_DOUBT")
    code, out, _ = await panda(platform, "status")
    assert code == 1
    assert f"order {sent}" in out
    assert f"alpha-panda orders resolve {manifests.ACCOUNT} {sent}" in out
    assert "order-tracker" in out
    await platform.start("order-tracker")
    await platform.outcomes([sent])
    steps = [step["what"] for step in (await story(platform, sent))["steps"]]
    assert any("in doubt until the order-tracker found out" in step for step in steps)


async def test_an_id_that_nobody_knows_ends_with_two_and_what_was_searched(platform: Platform) -> None:
    code, out, err = await panda(platform, "explain", "00000000-none")
    assert (code, out) == (2, "")
    assert "searched the journal and risk's decisions" in err
    assert f"{platform.topics.signals_raw}" in err


async def test_events_are_tailed_and_their_lines_can_be_explained(platform: Platform, tmp_path: Any) -> None:
    sent = await platform.signal()
    await platform.outcomes([sent])
    code, out, err = await panda(
        platform, "events", "tail", "--since", "5m", "--no-follow", "--id", sent, "-o", "json"
    )
    assert code == 0, err
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert kinds[:2] == ["TRADING_SIGNAL", "VALIDATED_SIGNAL"]
    file = tmp_path / "tail.jsonl"
    file.write_text(out, encoding="utf-8")
    code, out, err = await panda(platform, "explain", sent, "--events", str(file))
    assert (code, out[:6]) == (0, "FILLED"), err
