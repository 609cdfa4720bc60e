"""Readiness: stores that answer, a clock that agrees, and what a service needs."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.errors import DependencyUnavailableError, SettingsError
from alpha_panda.runtime.health import ClockTerms, HealthChecks
from alpha_panda.testing.virtual_time import START

TERMS = ClockTerms(max_skew_ms=200, timeout_seconds=0.05)
MS = 1_000_000


def answering(offset_ms: float) -> Callable[[], Coroutine[None, None, int | None]]:
    async def probe() -> int | None:
        return START + round(offset_ms * MS)

    return probe


async def silent() -> int | None:
    await asyncio.Event().wait()
    return None


async def refusing() -> int | None:
    raise DependencyUnavailableError("redis", "connection refused")


async def nothing_lacks() -> str | None:
    return None


async def not_reconciled() -> str | None:
    return "account paper is not reconciled"


async def test_nothing_is_ready_before_it_was_asked() -> None:
    checks = HealthChecks(VirtualClock(START), TERMS, {"journal": answering(0)}, {"epoch": nothing_lacks})
    assert checks.reasons() == ["journal: not asked yet", "epoch: not asked yet"]
    await checks.ask()
    assert checks.reasons() == []


async def test_each_reason_names_what_it_comes_from() -> None:
    checks = HealthChecks(
        RealClock(), TERMS, {"kafka": silent, "journal": refusing}, {"reconciled": not_reconciled}
    )
    await checks.ask()
    assert checks.reasons() == [
        "kafka: no answer in 0.05 s",
        "journal: no answer, see the log",
        "reconciled: account paper is not reconciled",
    ]


async def test_who_asks_gets_no_users_and_addresses_and_the_log_has_them() -> None:
    async def refused() -> int | None:
        raise DependencyUnavailableError("kafka", "10.0.0.7:9092 refuses user 'panda'")

    async def broken() -> str | None:
        raise SettingsError("/run/secrets/password can't be read")

    checks = HealthChecks(RealClock(), TERMS, {"kafka": refused}, {"need": broken})
    with structlog.testing.capture_logs() as logs:
        await checks.ask()
        await checks.ask()
    assert checks.reasons() == ["kafka: no answer, see the log", "need: fails, see the log"]
    (line,) = logs
    assert line["lacking"] == [
        "kafka: kafka: 10.0.0.7:9092 refuses user 'panda'",
        "need: /run/secrets/password can't be read",
    ]


async def test_another_reason_is_logged_though_it_shows_alike() -> None:
    reasons = iter(["connection refused", "wrong password"])

    async def refusing_otherwise() -> int | None:
        raise DependencyUnavailableError("redis", next(reasons))

    checks = HealthChecks(RealClock(), TERMS, {"journal": refusing_otherwise}, {})
    with structlog.testing.capture_logs() as logs:
        await checks.ask()
        await checks.ask()
    assert [line["lacking"] for line in logs] == [
        ["journal: redis: connection refused"],
        ["journal: redis: wrong password"],
    ]


async def test_a_clock_within_the_allowed_skew_is_ready_and_one_beyond_is_not() -> None:
    for offset, ready in ((199, True), (-199, True), (201, False), (-201, False)):
        checks = HealthChecks(VirtualClock(START), TERMS, {"journal": answering(offset)}, {})
        await checks.ask()
        assert (checks.reasons() == []) is ready, offset
        assert checks.clock_offset_ms == offset


async def test_of_two_stores_the_clock_that_is_furthest_off_is_told() -> None:
    probes = {"prices": answering(3), "journal": answering(-150), "kafka": answering(20)}
    checks = HealthChecks(VirtualClock(START), TERMS, probes, {})
    assert checks.clock_offset_ms is None
    await checks.ask()
    assert checks.clock_offset_ms == -150


async def test_a_store_that_does_not_answer_says_nothing_of_the_clock_any_more() -> None:
    for away in (refusing, silent):
        clock, probe = RealClock(), [answering(0)]
        checks = HealthChecks(clock, TERMS, {"journal": lambda probe=probe: probe[0]()}, {})  # type: ignore[misc]
        await checks.ask()
        assert checks.clock_offset_ms is not None
        probe[0] = away
        await checks.ask()
        assert checks.clock_offset_ms is None


async def test_the_sign_of_a_wrong_clock_is_told_from_here() -> None:
    """The store is ahead, so the clock here is behind."""
    checks = HealthChecks(VirtualClock(START), TERMS, {"journal": answering(350)}, {})
    await checks.ask()
    assert checks.reasons() == ["journal: the clock here is -350 ms off; 200 are allowed"]


async def test_a_slow_answer_does_not_make_a_good_clock_look_wrong() -> None:
    """The answer may be from any moment of the round trip; only what exceeds that is an offset."""

    class Slow:
        """600 ms pass between question and answer."""

        virtual = False
        times = iter((START, START + 600 * MS))

        def now(self) -> int:
            return next(self.times)

    checks = HealthChecks(Slow(), TERMS, {"journal": answering(0)}, {})  # type: ignore[arg-type]  # all that is asked
    await checks.ask()
    assert checks.reasons() == []


async def test_what_recovers_is_ready_again() -> None:
    well = False

    async def need() -> str | None:
        return None if well else "not yet"

    checks = HealthChecks(VirtualClock(START), TERMS, {}, {"need": need})
    await checks.ask()
    assert checks.reasons() == ["need: not yet"]
    well = True
    await checks.ask()
    assert checks.reasons() == []
