"""One of several replicas leads, by a Lease of its own making.

Others' clocks are not trusted: a replica takes over when the record has not changed for the lease's whole time on its
own monotonic clock. The leader counts from before its last successful renewal and gives up earlier than that, so that
two never lead, however long an answer is under way; what it then does is end the process.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from alpha_panda.errors import AlphaPandaError, ApiRefusedError, FencedError, TransientError
from alpha_panda_operator.clock import Clock, rfc3339_micro
from alpha_panda_operator.config import LeaderConfig
from alpha_panda_operator.names import LEASE, Kind

log = structlog.get_logger()

_CONFLICT: Final = 409


class Leases(Protocol):
    """What of the API is needed here."""

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """Return the Lease."""

    async def create_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Create it; ApiRefusedError 409 if there is one."""

    async def replace_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Replace what was read; ApiRefusedError 409 if it has changed."""


@dataclass(slots=True)
class _Seen:
    """The record as last read, and since when (monotonic) it has been so."""

    version: str = ""
    since: float = 0.0


class Leadership:
    """One replica's part in it. `identity` is the pod's name, and something random: a restart is somebody else."""

    def __init__(
        self, leases: Leases, clock: Clock, config: LeaderConfig, namespace: str, identity: str
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._config = config
        self._namespace = namespace
        self._identity = identity
        self._held: dict[str, Any] | None = None
        self._renewed_at = 0.0
        self._seen = _Seen()
        self._asked_at = clock.monotonic()

    @property
    def leads(self) -> bool:
        """Whether this replica leads now, by its own clock."""
        return self._held is not None and self._age() < self._config.give_up_seconds

    @property
    def silence(self) -> float:
        """Seconds since the API last answered a question about the Lease."""
        return self._clock.monotonic() - self._asked_at

    def check(self) -> None:
        """Raise FencedError unless this replica leads; asked before each write."""
        if not self.leads:
            raise FencedError(f"{self._identity} does not lead any more")

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[None]:
        """Wait until this replica leads, then lead while the context lasts, and give the Lease up at its end.

        Raises:
            FencedError: a renewal was missed; inside the context by cancelling it.

        """
        await self._win()
        body = asyncio.current_task()
        renewing = asyncio.create_task(self._renew_until_lost(body))
        try:
            yield
        except asyncio.CancelledError:
            if renewing.done() and not renewing.cancelled():
                raise FencedError(
                    "the lease could not be renewed in time; another replica may lead"
                ) from None
            raise
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._release()

    async def _win(self) -> None:
        while not await self.attempt():
            await self._clock.sleep(self._config.renew_seconds)
        log.info("leading", identity=self._identity, lease=self._config.lease_name)

    async def attempt(self) -> bool:
        """Take the Lease if it is free or has run out, or renew ours; say whether it is ours now."""
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._config.call_timeout_seconds):
                won = await self._claim()
        except (TransientError, TimeoutError) as error:
            log.warning("the lease can't be asked", error=str(error) or "no answer in time")
            return self.leads
        except ApiRefusedError as error:
            if error.status != _CONFLICT:
                raise
            won = None  # somebody was faster
        self._asked_at = self._clock.monotonic()
        self._held = won
        if won is not None:
            self._renewed_at = began
        return self.leads

    async def _claim(self) -> dict[str, Any] | None:
        if self._held is not None:
            try:  # one request instead of two, as long as nobody else has written it
                return await self._leases.replace_lease(self._record(self._held, self._transitions()))
            except ApiRefusedError as error:
                if error.status != _CONFLICT:
                    raise
        found = await self._leases.get(LEASE, self._namespace, self._config.lease_name)
        if found is None:
            return await self._leases.create_lease(self._record({}, 0))
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._run_out(found):
            return None
        changes = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
        return await self._leases.replace_lease(self._record(found, changes))

    def _transitions(self) -> int:
        return int(((self._held or {}).get("spec") or {}).get("leaseTransitions") or 0)

    def _run_out(self, found: dict[str, Any]) -> bool:
        version, now = found["metadata"].get("resourceVersion", ""), self._clock.monotonic()
        if version != self._seen.version:
            self._seen = _Seen(version, now)
        # The record's own duration counts: its holder may have another configuration than we.
        lasting = max(
            self._config.lease_seconds, float((found.get("spec") or {}).get("leaseDurationSeconds") or 0)
        )
        return now - self._seen.since >= lasting

    def _record(self, found: dict[str, Any], transitions: int) -> dict[str, Any]:
        now = rfc3339_micro(self._clock.now())
        before = found.get("spec") or {}
        metadata = found.get("metadata") or {"name": self._config.lease_name, "namespace": self._namespace}
        mine = before.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._config.lease_seconds),
                "acquireTime": before.get("acquireTime", now) if mine else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }

    async def _renew_until_lost(self, body: "asyncio.Task[Any] | None") -> None:
        while self.leads:
            await self._clock.sleep(self._config.renew_seconds)
            held = self._held
            try:
                await self.attempt()
            except AlphaPandaError as error:
                log.error("the lease was refused", error=str(error))  # noqa: TRY400 - its words say all
                self._held = held
            except Exception:  # whatever it is, the lease runs out, and who can't renew it has to end
                log.exception("the lease was not renewed")
                self._held = held
        log.error("the lease is lost: ending", identity=self._identity)
        if body is not None:
            body.cancel()

    async def _release(self) -> None:
        """Let the next one lead at once; a failure costs it the lease's time."""
        held, self._held = self._held, None
        if held is None:
            return
        empty = {**held, "spec": {**held["spec"], "holderIdentity": ""}}
        try:
            async with asyncio.timeout(self._config.call_timeout_seconds):
                await self._leases.replace_lease(empty)
        except (AlphaPandaError, TimeoutError) as error:
            log.warning("the lease could not be released", error=str(error) or "no answer in time")
        except Exception:  # it must not hide why this replica ends
            log.exception("the lease could not be released")

    def _age(self) -> float:
        return self._clock.monotonic() - self._renewed_at
