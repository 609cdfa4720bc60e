"""Workers that take keys from the queue and reconcile them; what fails comes back later, and hurts no other."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from alpha_panda.errors import AlphaPandaError, ProcessMustExitError
from alpha_panda.runtime.logging import log_fields
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import Key
from alpha_panda_operator.queue import KeyedQueue

log = structlog.get_logger()

LOUD_AFTER: Final = 3
"""Failures in a row from which on people are told: a conflict with another writer is over by then."""

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Brings a resource to what it asks for; returns in how many seconds to look again, or None."""


async def work(queue: KeyedQueue[Key], reconcile: Reconcile, metrics: Metrics | None, workers: int) -> None:
    """Reconcile until cancelled, `workers` resources at a time. Without `metrics` nothing is counted.

    Raises:
        ProcessMustExitError: this replica may not write any more.

    """
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(_worker(queue, reconcile, metrics))


async def _worker(queue: KeyedQueue[Key], reconcile: Reconcile, metrics: Metrics | None) -> None:
    while True:
        key = await queue.get()
        try:
            with log_fields(resource=f"{key.kind}/{key.name}", namespace=key.namespace):
                await _once(key, queue, reconcile, metrics)
        finally:
            queue.done(key)


async def _once(key: Key, queue: KeyedQueue[Key], reconcile: Reconcile, metrics: Metrics | None) -> None:
    began, result = time.monotonic(), ""
    try:
        again = await reconcile(key)
    except ProcessMustExitError:
        raise
    except AlphaPandaError as error:
        result = "failed"
        _failed(key, queue, str(error))
    except (
        Exception
    ):  # a bug that one resource brings out must not stop the others; counted, logged, tried again
        result = "crashed"
        log.exception("reconcile failed unexpectedly")
        queue.retry(key)
    else:
        result = "done"
        queue.forget(key)
        if again is not None:
            queue.add(key, again)
    finally:
        if metrics is not None and result:  # what was cut off by the process's end came to none
            metrics.reconciles.labels(key.kind, result).inc()
            metrics.seconds.labels(key.kind).observe(time.monotonic() - began)


def _failed(key: Key, queue: KeyedQueue[Key], words: str) -> None:
    delay = queue.retry(key)
    tell = log.warning if queue.failures(key) >= LOUD_AFTER else log.info
    tell("reconcile failed", error=words, again_in_seconds=delay, failures=queue.failures(key))


async def apart(key: Key, call: Callable[[], Awaitable[None]]) -> None:
    """Do something for one resource of many: what goes wrong with it is logged, and the others have their turn.

    Raises:
        ProcessMustExitError: as above.

    """
    try:
        await call()
    except ProcessMustExitError:
        raise
    except AlphaPandaError as error:
        log.warning("one resource failed", resource=str(key), error=str(error))
    except Exception:  # as in `_once`
        log.exception("one resource failed unexpectedly", resource=str(key))
