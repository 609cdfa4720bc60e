"""Trading states in Redis: `spec` hashes with the time they expire, hashes of latches that don't."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.records import latch_body, latches_of
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.adapters.redis.units import span_us
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import ClearRequest, ControlReading, Latch, TeardownRequest
from alpha_panda.contracts.units import nanoseconds

_PUT_SPEC: Final = script("control/put_spec")
_SET_LATCH: Final = script("control/set_latch", uses=("common", "latches"))
_CLEAR_LATCH: Final = script("control/clear_latch")
_READ: Final = script("control/read", writes=False)
_REQUEST_CLEARS: Final = script("control/request_clears")
_END_CLEAR: Final = script("control/end_clear")

_json: Final = msgspec.json.Encoder().encode
_teardowns: Final = msgspec.json.Decoder(TeardownRequest)
_clears: Final = msgspec.json.Decoder(ClearRequest)

_SHOWN: Final = 200
"""Bytes of a request that can't be read which its log line shows."""

R = TypeVar("R")

log = structlog.get_logger()


class RedisControlStore:
    """`ports.ControlStore`. The key of an expired spec stays, so that `expired` differs from never written."""

    def __init__(self, database: RedisDatabase) -> None:
        self._database = database
        self._keys = database.keys
        self._unreadable: set[bytes] = set()  # requests that were told of: they are asked for each second

    async def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        """See the port."""
        await self._database.run(
            _PUT_SPEC, [self._keys.control_spec(scope)], [state.value, span_us(nanoseconds(ttl))]
        )

    async def drop_spec(self, scope: str) -> None:
        """See the port."""
        await self._database.command("DEL", self._keys.control_spec(scope), writes=True)

    async def set_latch(self, latch: Latch) -> None:
        """See the port."""
        await self._database.run(
            _SET_LATCH,
            [self._keys.control_latches(latch.scope)],
            [latch.latch_id, latch.state.value, latch_body(latch)],
        )

    async def clear_latch(self, scope: str, latch_id: str, *, set_at: int | None = None) -> bool:
        """See the port."""
        key = self._keys.control_latches(scope)
        if set_at is None:
            return bool(await self._database.command("HDEL", key, latch_id, writes=True))
        packed = await self._database.command("HGET", key, latch_id)
        if packed is None or latches_of([packed])[0].set_at != set_at:
            return False
        return bool(await self._database.run(_CLEAR_LATCH, [key], [latch_id, packed]))

    async def read(self, scopes: Sequence[str]) -> tuple[ControlReading, ...]:
        """See the port."""
        keys = [
            key
            for scope in scopes
            for key in (self._keys.control_spec(scope), self._keys.control_latches(scope))
        ]
        replies = await self._database.run(_READ, keys)
        return tuple(
            ControlReading(
                scope=scope,
                spec=TradingState(spec.decode()) if spec is not None else None,
                expired=bool(expired),
                latches=latches_of(latches),
            )
            for scope, (spec, expired, latches) in zip(scopes, replies, strict=True)
        )

    async def request_teardown(self, request: TeardownRequest) -> None:
        """See the port."""
        field = _field(request.scope, request.uid)
        await self._database.command(
            "HSETNX", self._keys.control_teardowns(), field, _json(request), writes=True
        )

    async def withdraw_teardown(self, scope: str, uid: str) -> None:
        """See the port."""
        field = _field(scope, uid)
        await self._database.command("HDEL", self._keys.control_teardowns(), field, writes=True)

    async def teardowns(self) -> tuple[TeardownRequest, ...]:
        """See the port."""
        found = await self._database.command("HVALS", self._keys.control_teardowns())
        requests = self._readable(_teardowns, found)
        return tuple(sorted(requests, key=lambda item: (item.requested_at, item.scope, item.uid)))

    async def request_clears(self, scope: str, latch_ids: Collection[str], asked_at: int) -> None:
        """See the port."""
        bodies = [
            word
            for latch_id in latch_ids
            for word in (
                _field(scope, latch_id),
                _json(ClearRequest(scope=scope, latch_id=latch_id, asked_at=asked_at)),
            )
        ]
        await self._database.run(
            _REQUEST_CLEARS, [self._keys.control_clears(scope)], [_field(scope, ""), *bodies]
        )

    async def clear_requests(self, scopes: Sequence[str]) -> tuple[ClearRequest, ...]:
        """See the port."""
        if not scopes:
            return ()
        keys = dict.fromkeys(map(self._keys.control_clears, scopes))
        replies = await self._database.pipeline([("HVALS", key) for key in keys])
        wanted = frozenset(scopes)
        found = [item for reply in replies for item in self._readable(_clears, reply) if item.scope in wanted]
        return tuple(sorted(found, key=lambda item: (item.scope, item.latch_id)))

    def _readable(self, decoder: "msgspec.json.Decoder[R]", bodies: Iterable[bytes]) -> Iterator[R]:
        """Yield the requests that can be read; another (a newer operator's, say) asks for nothing and stops nobody."""
        for body in bodies:
            try:
                yield decoder.decode(body)
            except msgspec.DecodeError as error:
                if body not in self._unreadable:
                    self._unreadable.add(body)
                    log.error("control_request_unreadable", body=body[:_SHOWN], error=str(error))  # noqa: TRY400 - its writer is at fault

    async def end_clear(self, request: ClearRequest, outcome: str) -> None:
        """See the port."""
        ended = replace(request, outcome=outcome)
        await self._database.run(
            _END_CLEAR,
            [self._keys.control_clears(request.scope)],
            [_field(request.scope, request.latch_id), _json(request), _json(ended)],
        )


def _field(scope: str, of: str) -> str:
    return f"{scope}/{of}"
