"""The source of a running feed falls silent while its socket lives: a real Prometheus sees it and alerts."""

import asyncio
from pathlib import Path

import pytest

from alpha_panda.testing.servers.ports import LOOPBACK
from harness.prometheus import Prometheus
from integration.conftest import quiet
from integration.test_metrics import FAST, STALE, watched
from unit.monitoring.expressions import RULES, alerts

SECONDS = 90.0
NAME = "AlphaPandaFeedSilent"

__all__ = ["quiet"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("quiet")
async def test_silence_alerts_within_its_limit(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    async with watched(tmp_path, feed={"staleAfterSeconds": STALE, "source": FAST}) as one:
        target = f"{LOOPBACK}:{one.settings.metrics_port}"
        prometheus = Prometheus(tmp_path / "data", {target: {}}, RULES, every=0.5)

        async def state(*wanted: str) -> str:
            async with asyncio.timeout(SECONDS):
                while True:
                    found = (await asyncio.to_thread(prometheus.rules))[NAME]["state"]
                    if found in wanted:
                        return str(found)
                    await asyncio.sleep(0.2)  # for the next evaluation

        try:
            await asyncio.to_thread(prometheus.start)
            await one.priced()
            assert await state("inactive", "pending", "firing") == "inactive"
            for faucet in one.faucets:
                faucet.open = False
            before = asyncio.get_running_loop().time()
            await state("pending")
            # The feed's limit, its heartbeat's step, a scrape, an evaluation; the rest is a busy machine.
            assert asyncio.get_running_loop().time() - before < STALE + 1 + 0.5 + 0.5 + 10
            assert await asyncio.to_thread(prometheus.query, alerts()[NAME]["expr"])
            await state("firing")
        finally:
            await asyncio.to_thread(prometheus.close)
