"""An account's order journal in Redis: each operation that checks or writes is one script of `lua/journal/`."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from alpha_panda.adapters.redis.database import Argument, RedisDatabase, Reply
from alpha_panda.adapters.redis.records import entry_of, latch_body, packed_entry, packed_outcome
from alpha_panda.adapters.redis.scripts import Script, script
from alpha_panda.adapters.redis.units import span_us
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.stored import (
    AdoptionRequest,
    BeginVerdict,
    BrokerFacts,
    JournalEntry,
    Latch,
    Outcome,
)
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import MisuseError
from alpha_panda.ports import BeginRequest, OpenPage


def _script(name: str, *uses: str) -> Script:
    return script(f"journal/{name}", uses=("common", "journal/entries", *uses))


BEGIN: Final = _script("begin", "journal/fresh", "journal/trading")
REFUSE: Final = _script("refuse", "journal/fresh")
SETTLE: Final = _script("settle")
FILL: Final = _script("fill")
ACKNOWLEDGE: Final = _script("acknowledge")
RESOLVE: Final = _script("resolve", "fencing")
CORRECT: Final = _script("correct", "fencing", "latches")
ORPHAN: Final = _script("orphan", "fencing", "latches")
ADOPT: Final = _script("adopt", "fencing")
WRITE_EPOCH: Final = _script("write_epoch", "fencing")
FIND: Final = script("journal/find", writes=False)
LIST: Final = script("journal/list", writes=False)
EPOCH: Final = script("journal/epoch", writes=False)
PUT_FACTS: Final = script("journal/put_facts", uses=("common", "fencing"))

_json: Final = msgspec.json.Encoder().encode
_facts: Final = msgspec.json.Decoder(BrokerFacts)
_adoptions: Final = msgspec.json.Decoder(AdoptionRequest)

FACTS: Final = "facts"
ADOPT_FIELD: Final = "adopt:"
"""Fields of the hash of facts: the order-tracker's word, and a person's of each difference."""

ADOPTED_AT_ONCE: Final = 100
"""Entries of one `adopt` script: no script should hold the store for more than some milliseconds."""

PAGE: Final = 500
"""Entries that one script or command reads or acknowledges at most: some milliseconds of the store's time."""

_ENGINES: Final = frozenset(EntryState) - {EntryState.SENDING, EntryState.LOST}
"""What the engine can find out about an order."""

_RESTING_ORDERS: Final = _ENGINES - {EntryState.UNKNOWN}
"""What can become of an order that rests."""


class RedisOrderJournal:
    """`ports.OrderJournal` of one account; decisions, control and leases are those of the same Redis.

    A revision is the store's time in microseconds, or one more than the last: it never comes again with another
    content, also after the store has lost its tail.
    """

    def __init__(self, database: RedisDatabase, account: str) -> None:
        self._database = database
        keys = database.keys
        self._entries, self._tags = keys.journal(account), keys.journal_tags(account)
        self._open, self._resting = keys.journal_open(account), keys.journal_resting(account)
        self._doubtful, self._epoch = keys.journal_doubtful(account), keys.journal_epoch(account)
        self._decisions, self._facts = keys.decisions(account), keys.journal_facts(account)
        self._lease = keys.lease(tracker_lease(account))
        self._keys = [
            self._entries,
            self._open,
            self._resting,
            self._doubtful,
            self._tags,
            keys.journal_rate(account),
            self._epoch,
            keys.journal_sequence(account),
        ]

    # ------------------------------------------------------------------------------------------- engine

    async def begin(self, request: BeginRequest) -> BeginVerdict:
        """See the port. The reply to an old or missing epoch is `fresh` with an entry in doubt: no event yet."""
        signal, limit = request.signal, request.orders_per_second
        keys = self._database.keys
        checked: list[Argument] = [
            request.payload_hash,
            request.attempt,
            span_us(signal.expires_at),
            signal.expires_at,
            "" if limit is None else limit,
        ]
        scopes = [
            key for scope in request.scopes for key in (keys.control_spec(scope), keys.control_latches(scope))
        ]
        return _verdict(await self._run(BEGIN, *self._fresh(request), *checked, *scopes))

    async def refuse(self, request: BeginRequest, code: Code, message: str) -> BeginVerdict:
        """See the port."""
        return _verdict(await self._run(REFUSE, *self._fresh(request), code.value, message))

    async def settle(
        self, signal_id: str, attempt: str, outcome: Outcome, fallback: JournalEntry
    ) -> JournalEntry:
        """See the port. From SENDING only the attempt that got GO settles; what is UNKNOWN anybody may settle."""
        _require(outcome.state in _ENGINES, signal_id, outcome)
        if (fallback.signal_id, fallback.state, fallback.attempt) != (signal_id, EntryState.SENDING, attempt):
            raise MisuseError(f"settle {signal_id}: the fallback is the entry that came with GO")
        reply = await self._run(
            SETTLE, signal_id, fallback.tag, attempt, packed_outcome(outcome), packed_entry(fallback)
        )
        return entry_of(reply)

    async def fill(self, signal_id: str, revision: int, outcome: Outcome) -> JournalEntry | None:
        """See the port. Quantities never go down."""
        _require(outcome.state in _RESTING_ORDERS, signal_id, outcome)
        return _found(await self._run(FILL, signal_id, revision, packed_outcome(outcome)))

    # ------------------------------------------------------------------------------------ order-tracker

    async def resolve(self, lease_epoch: int, signal_id: str, outcome: Outcome) -> JournalEntry | None:
        """See the port. Also None, as a second line: LOST while the permission to send still lasts."""
        return _found(await self._fenced(RESOLVE, lease_epoch, signal_id, packed_outcome(outcome)))

    async def correct(
        self, lease_epoch: int, signal_id: str, outcome: Outcome, latch: Latch
    ) -> JournalEntry | None:
        """See the port."""
        return await self._latching(CORRECT, lease_epoch, [signal_id, packed_outcome(outcome)], latch)

    async def orphan(self, lease_epoch: int, entry: JournalEntry, latch: Latch | None) -> JournalEntry | None:
        """See the port."""
        return await self._latching(ORPHAN, lease_epoch, [packed_entry(entry)], latch)

    async def adopt(
        self,
        lease_epoch: int,
        run_id: str,
        entries: Sequence[JournalEntry],
        told: Collection[str] = frozenset(),
    ) -> None:
        """See the port. FencedError too when `run_id` is over. What knows more of an order wins.

        Many entries take several scripts, each fenced by itself: what an interrupted call has adopted is true, and
        the next one adopts the rest before anybody writes an epoch.
        """
        for first in range(0, len(entries) or 1, ADOPTED_AT_ONCE):
            part = entries[first : first + ADOPTED_AT_ONCE]
            learnt = list[Argument]()
            for entry in part:
                learnt += (packed_entry(entry), int(entry.signal_id in told))
            await self._fenced(ADOPT, lease_epoch, run_id, *learnt)

    async def write_epoch(self, lease_epoch: int, run_id: str) -> str:
        """See the port. FencedError when the store came back once more: all begins anew."""
        value = f"{run_id}:{self._database.ids.new_id()}"
        return _text(await self._fenced(WRITE_EPOCH, lease_epoch, run_id, value))

    # ---------------------------------------------------------------------------------------- everybody

    async def acknowledge(self, signal_id: str, revision: int) -> bool:
        """See the port. Also True when it was acknowledged before."""
        return bool(await self._run(ACKNOWLEDGE, signal_id, revision))

    async def acknowledge_all(self, told: Sequence[tuple[str, int]]) -> int:
        """See the port. One script for each `PAGE` of them."""
        count = 0
        for first in range(0, len(told), PAGE):
            pairs = list[Argument]()
            for pair in told[first : first + PAGE]:
                pairs += pair
            count += int(await self._run(ACKNOWLEDGE, *pairs))
        return count

    async def get(self, signal_id: str) -> JournalEntry | None:
        """See the port."""
        return _found(await self._database.command("HGET", self._entries, signal_id))

    async def get_many(self, *signal_ids: str) -> dict[str, JournalEntry]:
        """See the port."""
        found = await self._fields(self._entries, signal_ids)
        return {signal_id: entry_of(packed) for signal_id, packed in found.items()}

    async def find_tag(self, tag: str) -> JournalEntry | None:
        """See the port. The signal's entry, where an orphan (a second order of the tag) has it too."""
        return _found(await self._database.run(FIND, [self._entries, self._tags], ["", tag]))

    async def find_tags(self, *tags: str) -> dict[str, JournalEntry]:
        """See the port. Two steps: a tag stays with its id, and no entry goes."""
        ids = {tag: _text(found) for tag, found in (await self._fields(self._tags, tags)).items()}
        entries = await self.get_many(*ids.values())
        return {tag: entries[signal_id] for tag, signal_id in ids.items() if signal_id in entries}

    async def unacknowledged(self) -> list[JournalEntry]:
        """See the port. Oldest change first; entries in doubt are among them."""
        return await self._listed(self._open)

    async def open_page(self, after: int, limit: int) -> OpenPage:
        """See the port. `PAGE` at most, whatever the limit."""
        return await self._page(self._open, after, min(limit, PAGE))

    async def in_doubt(self, key: str | None = None) -> list[JournalEntry]:
        """See the port."""
        return await self._listed(self._doubtful if key is None else f"{self._doubtful}:{key}")

    async def resting(self) -> list[JournalEntry]:
        """See the port. In the order they began to rest."""
        return await self._listed(self._resting)

    async def known(self, *signal_ids: str) -> frozenset[str]:
        """See the port. An orphan of a signal's tag counts."""
        if not signal_ids:
            return frozenset()
        by_id, by_tag = await self._database.pipeline(
            [
                ("HMGET", self._entries, *signal_ids),
                ("HMGET", self._tags, *(broker_tag(signal_id) for signal_id in signal_ids)),
            ]
        )
        found = zip(signal_ids, by_id, by_tag, strict=True)
        return frozenset(signal_id for signal_id, entry, tagged in found if entry or tagged)

    async def epoch(self) -> str | None:
        """See the port."""
        _, epoch = await self._database.run(EPOCH, [self._epoch])
        return None if epoch is None else _text(epoch)

    async def run_id(self) -> str:
        """See the port."""
        run, _ = await self._database.run(EPOCH, [self._epoch])
        return _text(run)

    # -------------------------------------------------------------------------- the account at its broker

    async def put_facts(self, lease_epoch: int, facts: BrokerFacts) -> None:
        """See the port."""
        await self._database.run(PUT_FACTS, [self._facts], [self._lease, lease_epoch, _json(facts)])

    async def facts(self) -> BrokerFacts | None:
        """See the port."""
        stored = await self._database.command("HGET", self._facts, FACTS)
        return None if stored is None else _facts.decode(stored)

    async def ask_adoption(self, request: AdoptionRequest) -> bool:
        """See the port."""
        field = f"{ADOPT_FIELD}{request.difference_id}"
        return bool(await self._database.command("HSETNX", self._facts, field, _json(request)))

    async def adoptions(self, *difference_ids: str) -> dict[str, AdoptionRequest]:
        """See the port."""
        found = await self._fields(self._facts, [f"{ADOPT_FIELD}{item}" for item in difference_ids])
        return {of.removeprefix(ADOPT_FIELD): _adoptions.decode(body) for of, body in found.items()}

    # --------------------------------------------------------------------------------- parts of requests

    async def _run(self, script: Script, *args: Argument) -> Reply:
        return await self._database.run(script, self._keys, args)

    async def _fenced(self, script: Script, lease_epoch: int, *args: Argument) -> Reply:
        return await self._run(script, self._lease, lease_epoch, *args)

    async def _latching(
        self, script: Script, lease_epoch: int, args: Sequence[Argument], latch: Latch | None
    ) -> JournalEntry | None:
        keys, latched = [*self._keys], list[Argument]()
        if latch is not None:
            keys.append(self._database.keys.control_latches(latch.scope))
            latched = [latch.latch_id, latch.state.value, latch_body(latch)]
        return _found(await self._database.run(script, keys, [self._lease, lease_epoch, *args, *latched]))

    async def _listed(self, index: str) -> list[JournalEntry]:
        """Return the entries of an index; what changed between two pages is there once, as it is now."""
        found: dict[str, JournalEntry] = {}
        after: int | None = 0
        while after is not None:
            page = await self._page(index, after, PAGE)
            for entry in page.entries:
                found.pop(entry.signal_id, None)
                found[entry.signal_id] = entry
            after = page.after
        return list(found.values())

    async def _page(self, index: str, after: int, limit: int) -> OpenPage:
        last, packed = await self._database.run(LIST, [self._entries, index], [after, limit])
        return OpenPage([entry_of(one) for one in packed], None if last is None else int(last))

    async def _fields(self, key: str, names: Sequence[str]) -> dict[str, bytes]:
        """Return those fields of a hash that exist."""
        wanted, found = list(dict.fromkeys(names)), dict[str, bytes]()
        for first in range(0, len(wanted), PAGE):
            part = wanted[first : first + PAGE]
            values = await self._database.command("HMGET", key, *part)
            found.update((name, value) for name, value in zip(part, values, strict=True) if value is not None)
        return found

    def _fresh(self, request: BeginRequest) -> list[Argument]:
        """Return what `begin` and `refuse` begin with."""
        signal_id = request.signal.signal_id
        tag = broker_tag(signal_id)
        entry = packed_entry(_unsent(request, tag))
        return [signal_id, tag, entry, request.send_within, request.journal_epoch, self._decisions]


def _unsent(request: BeginRequest, tag: str) -> JournalEntry:
    """Return the new entry as far as the request tells it; the script sets class, times and revision."""
    return JournalEntry(
        signal=request.signal,
        state=EntryState.SENDING,
        signal_class=SignalClass.INCREASING,
        tag=tag,
        revision=0,
        send_by=0,
        updated_at=0,
        correlation_id=request.correlation_id,
        causation_id=request.causation_id,
        quote_price=request.quote_price,
        quote_ts=request.quote_ts,
    )


def _require(allowed: bool, signal_id: str, outcome: Outcome) -> None:
    """Raise MisuseError where an operation was given an outcome that it can't write."""
    if not allowed:
        raise MisuseError(f"{signal_id}: {outcome.state} is not an outcome of this operation")


def _verdict(reply: Reply) -> BeginVerdict:
    go, fresh, packed = reply
    return BeginVerdict(go=bool(go), fresh=bool(fresh), entry=entry_of(packed))


def _found(packed: bytes | None) -> JournalEntry | None:
    return None if packed is None else entry_of(packed)


def _text(reply: bytes) -> str:
    return reply.decode()
