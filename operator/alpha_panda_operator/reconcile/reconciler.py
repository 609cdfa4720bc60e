"""One resource, once: what shall be, made so, and told of. Everything it decides is decided by pure functions beside it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog

from alpha_panda.contracts.resources import BrokerAccount, MarketFeed
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.sessions import SessionState
from alpha_panda.errors import ApiRefusedError
from alpha_panda.runtime.venues import rules_of
from alpha_panda_operator.builders.config_map import too_long
from alpha_panda_operator.builders.deployment import deployment, unpin
from alpha_panda_operator.builders.workload import Workload, replicas_of
from alpha_panda_operator.cache import Cache, Place
from alpha_panda_operator.clock import Clock
from alpha_panda_operator.cluster import Cluster
from alpha_panda_operator.conditions import UNKNOWN, Finding
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.control import ControlDesk
from alpha_panda_operator.events import Events
from alpha_panda_operator.facts import ChildFact
from alpha_panda_operator.names import (
    BROKER_ACCOUNT,
    CONFIG_MAP,
    DEPLOYMENT,
    FINALIZER,
    MARKET_FEED,
    PINNED_TEMPLATE,
    RESOURCES,
    STRATEGY,
    TEMPLATE_REVISION,
    Key,
    roles_of,
    workload_name,
)
from alpha_panda_operator.ownership import Ownership
from alpha_panda_operator.reconcile.acceptance import Verdict, World, data_of, judge
from alpha_panda_operator.reconcile.board import StatusBoard
from alpha_panda_operator.reconcile.children import NOT_OURS, Children
from alpha_panda_operator.reconcile.desired import Desired, supporting, workloads_of
from alpha_panda_operator.reconcile.figures import figures, findings, refusal, stale_manifests
from alpha_panda_operator.reconcile.nudge import nudge
from alpha_panda_operator.reconcile.pinning import Roll, broken, roll
from alpha_panda_operator.reconcile.status import StatusWriter
from alpha_panda_operator.reconcile.teardown import Waiting, in_use, pods_left, strategy_waits, users_left
from alpha_panda_operator.reconcile.workload_state import TOO_LARGE, progressing, ready, refused
from alpha_panda_operator.users_code import look
from alpha_panda_operator.view import ResourceView

log = structlog.get_logger()


UNCLAIMED_SECONDS: Final = 2.0
"""Seconds until it is asked again whose a namespace is; nothing is begun in one that may be another installation's."""


@dataclass(slots=True)
class Progress:
    """What the last reconcile of a resource found, kept for the status passes in between."""

    uid: str
    generation: int
    """Of the resource as it was brought last: what a status in between says is said of that one."""
    verdict: Verdict
    held: tuple[str, ...] = ()
    refused: ApiRefusedError | None = None
    waiting: Waiting | None = None
    alone_since: float | None = None
    """Since when (UTC seconds) nobody else needs what is being deleted …"""
    gone_since: float | None = None
    released: bool = False
    """… and since when it has no pods."""


@dataclass(slots=True)
class Parts:
    """What a reconciler works with."""

    config: OperatorConfig
    cluster: Cluster
    cache: Cache
    children: Children
    statuses: StatusWriter
    board: StatusBoard
    desk: ControlDesk
    clock: Clock
    events: Events
    ownership: Ownership
    types: frozenset[str] = frozenset()
    send_within: float = 5.0


class Reconciler:
    """Brings resources to what they ask for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cache = parts.cache
        self._progress: dict[Key, Progress] = {}

    @property
    def world(self) -> World:
        """What verdicts depend on."""
        return World(self._cache, self._parts.ownership.owners, self._parts.types)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one resource to what it asks for; return in how many seconds to look again, None: when it changes.

        Raises:
            TransientError, ApiRefusedError: try again later.

        """
        view = self._cache.resources.get(key)
        if view is None:
            self.forget(key)
            return None
        await self._prepare(view)
        verdict = judge(view, self.world)
        progress = self._progress.get(key)
        if progress is None or progress.uid != view.uid:
            progress = self._progress[key] = Progress(view.uid, view.generation, verdict)
        again = None
        try:
            again = await self._bring(view, verdict, progress)
            progress.generation, progress.verdict = view.generation, verdict
        except ApiRefusedError as error:
            progress.generation, progress.verdict = view.generation, verdict
            if error.reason != NOT_OURS:
                progress.refused = error
                await self.tell(key)
                raise
            progress.verdict = Verdict("NameConflict", str(error))
            again = self._parts.config.status_seconds
        await self.tell(key)
        return again

    def forget(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._progress.pop(key, None)
        self._parts.statuses.forget(key)

    async def tell(self, key: Key) -> None:
        """Bring one resource's status up to date with what is known."""
        view, progress = self._cache.resources.get(key), self._progress.get(key)
        if view is None or progress is None or progress.released:
            return
        if self._parts.ownership.foreign(key.namespace) and not self._parts.statuses.is_ours(view):
            return  # two installations would write against one another for ever
        seen = self._parts.board.seen(key.namespace)
        found = [*self._own_findings(view, progress), *findings(view, seen)]
        await self._parts.statuses.write(view, found, figures(view, seen), progress.generation)

    async def _prepare(self, view: ResourceView) -> None:
        """See to it that judging waits for nothing: not for a calendar's data, which take seconds, nor for the API."""
        await self._parts.ownership.claim([view.key.namespace])
        feed = self._feed_of(view)
        if feed is not None and not feed.checked:
            await asyncio.to_thread(lambda: feed.model)
        place = Place(view.key.namespace, data_of(view))
        if place.name and place not in self._cache.code:
            await look(self._parts.cluster, self._cache, place)

    def _feed_of(self, view: ResourceView) -> ResourceView | None:
        if view.key.kind == MARKET_FEED:
            return view
        return self._cache.get(MARKET_FEED, view.key.namespace, view.feed)

    # ---------------------------------------------------------------------------------------------- making

    async def _bring(self, view: ResourceView, verdict: Verdict, progress: Progress) -> float | None:
        progress.waiting = None
        if self._parts.ownership.foreign(view.key.namespace):
            return self._parts.config.status_seconds  # whose it is takes it down too, and lets it go
        if view.deleting:
            return await self._tear_down(view, verdict, progress)
        if view.paused or not verdict.accepted:
            return None
        if not self._parts.ownership.ours(view.key.namespace) and not self._cache.children_of(view.key):
            return UNCLAIMED_SECONDS
        if not view.guarded:
            view = await self._guard(view)
        await self._make(view, progress)
        return self._parts.config.status_seconds if progress.held else None

    async def _guard(self, view: ResourceView) -> ResourceView:
        """Hold the resource by our finalizer before anything is made for it."""
        await self._set_finalizers(view, [FINALIZER])
        return self._cache.resources.get(view.key, view)

    async def _set_finalizers(self, view: ResourceView, finalizers: list[str]) -> None:
        metadata = {"name": view.key.name, "namespace": view.key.namespace, "uid": view.uid}
        told = await self._parts.cluster.apply(
            RESOURCES[view.key.kind], {"metadata": {**metadata, "finalizers": finalizers}}
        )
        if not told["metadata"].get("deletionTimestamp"):
            self._cache.put(told)

    async def _make(self, view: ResourceView, progress: Progress) -> None:
        config, children = self._parts.config, self._parts.children
        made = workloads_of(view, self.world, config)
        kept = [
            await self._support(view, wanted, made) for wanted in supporting(view, self.world, config, made)
        ]
        held: list[str] = []
        for workload in made:
            wanted = await self._deployment(view, workload)
            if wanted is None:
                held.append(workload.role.name)
            kept.append(Key(DEPLOYMENT.kind, view.key.namespace, workload.name))
            if wanted is not None:
                await children.bring(view, wanted)
        await children.prune(view, kept)
        progress.held, progress.refused = tuple(held), None

    async def _support(self, view: ResourceView, wanted: Desired, made: tuple[Workload, ...]) -> Key:
        """Make one object that the pods need; of a ConfigMap tell those that have it already."""
        _check_size(wanted)
        cache = self._cache
        key = Key(wanted.kind.kind, view.key.namespace, wanted.manifest["metadata"]["name"])
        before = cache.children.get(key)
        now = await self._parts.children.bring(view, wanted)
        start_hashes = {workload.role.name: workload.start_hash for workload in made}
        await nudge(self._parts.cluster, cache, before, now, start_hashes)
        return key

    async def _deployment(self, view: ResourceView, workload: Workload) -> Desired | None:
        """Return the Deployment to apply; None where an upgrade's change of it is held back (and it is as it was)."""
        live = self._cache.children.get(Key(DEPLOYMENT.kind, view.key.namespace, workload.name))
        fresh = deployment(workload)
        what = roll(
            live,
            workload.start_hash,
            fresh["metadata"]["annotations"][TEMPLATE_REVISION],
            at_once=view.rollout_now or broken(live, self._cache.pods_of(view.key, workload.role.name)),
            session_open=lambda: self._session_open(view),
        )
        if what is not Roll.HOLD or live is None:
            return Desired(DEPLOYMENT, fresh)
        return await self._hold(view, workload, live, fresh)

    async def _hold(
        self, view: ResourceView, workload: Workload, live: ChildFact, fresh: dict[str, Any]
    ) -> Desired | None:
        """Keep what runs as it is: put back what somebody changed of it, scale it, and no more."""
        children = self._parts.children
        if children.untouched(live) and live.wanted == workload.replicas:
            return None
        there = await children.live(live.key)
        notes = (there or {}).get("metadata", {}).get("annotations") or {}
        pinned = unpin(notes.get(PINNED_TEMPLATE, ""))
        if pinned is None:
            log.warning("a held template can't be read: the new one is rolled out", workload=workload.name)
            return Desired(DEPLOYMENT, fresh)
        await children.bring(view, Desired(DEPLOYMENT, deployment(workload, pinned)))
        return None

    def _session_open(self, view: ResourceView) -> bool:
        """Whether the venue may take orders now; where that is not known it may."""
        feed = self._feed_of(view)
        if feed is None or not isinstance(feed.model, MarketFeed):
            return True
        account = view.model if isinstance(view.model, BrokerAccount) else None
        now = round(self._parts.clock.now() * SECOND_NS)
        return rules_of(feed.model, account).status(now).state is SessionState.OPEN

    # ---------------------------------------------------------------------------------------------- taking down

    async def _tear_down(self, view: ResourceView, verdict: Verdict, progress: Progress) -> float | None:
        if not view.guarded:
            return None
        users = self.users(view)
        if users:
            progress.alone_since = None
            progress.waiting = Waiting(f"{in_use(view)} on it: {users_left(users)}")
            if verdict.accepted and not view.paused:
                await self._make(view, progress)  # those still need it, as it is now
            return None
        if progress.alone_since is None:
            progress.alone_since = self._parts.clock.now()
        await self._parts.children.scale_to_zero(view)
        progress.waiting = self._waits(view, progress)
        if not progress.waiting.over:
            return 1.0
        if progress.waiting.timed_out:
            note = f"given up after {self._parts.config.teardown_seconds:g} s, still waiting for {progress.waiting.on}"
            await self._parts.events.tell(view, "Warning", "TeardownTimedOut", note)
        await self._release(view)
        progress.released = True  # whoever writes its status now comes too late
        return None

    def users(self, view: ResourceView) -> list[ResourceView]:
        """Return who needs an account or a feed."""
        if view.key.kind == BROKER_ACCOUNT:
            return self._cache.strategies_on(view.key.namespace, view.key.name)
        return (
            self._cache.users_of_feed(view.key.namespace, view.key.name)
            if view.key.kind == MARKET_FEED
            else []
        )

    def _waits(self, view: ResourceView, progress: Progress) -> Waiting:
        children, now = self._cache.children_of(view.key), self._parts.clock.now()
        left = pods_left(children, self._cache.all_pods_of(view.key))
        progress.gone_since = None if left else progress.gone_since or now
        on = f"pods to end: {left}" if left else ""
        if view.key.kind == STRATEGY and not left:
            accounts = [Key(BROKER_ACCOUNT, view.key.namespace, name) for name in view.accounts]
            there = [key for key in accounts if key in self._cache.resources]
            reports = self._parts.board.seen(view.key.namespace).reports
            on = strategy_waits(view, there, reports, self._quiet_since(view, progress))
        began = progress.alone_since or now
        return Waiting(on, now - began >= self._parts.config.teardown_seconds)

    def _quiet_since(self, view: ResourceView, progress: Progress) -> float | None:
        """Return from when on no new order of a strategy can be on its way (UTC seconds); None: not known yet."""
        tightened = self._parts.desk.tightened_at(view)
        if tightened is None or progress.gone_since is None:
            return None
        more = self._parts.send_within + self._parts.config.teardown_settle_seconds
        return max(tightened, progress.gone_since) + more

    async def _release(self, view: ResourceView) -> None:
        await self._parts.desk.drop(view)
        await self._parts.events.tell(view, "Normal", "Deleted", "nothing is left to do: it goes")
        await self._set_finalizers(view, [])
        log.info("resource released", resource=str(view.key))

    # ---------------------------------------------------------------------------------------------- telling

    def _own_findings(self, view: ResourceView, progress: Progress) -> list[Finding]:
        """Return the conditions that come from the API's side."""
        facts = self._facts(view)
        return [
            self._accepted(view, progress),
            self._progressing(view, progress, facts),
            self._ready(view, progress, facts),
            _update_pending(progress),
            self._drifted(view),
            self._published(view),
        ]

    def _facts(self, view: ResourceView) -> dict[str, ChildFact | None]:
        children = self._cache.children
        return {
            role.name: children.get(
                Key(DEPLOYMENT.kind, view.key.namespace, workload_name(view.key.name, role.name))
            )
            for role in roles_of(view.key.kind)
            if replicas_of(view, role, self._parts.config)
        }

    def _accepted(self, view: ResourceView, progress: Progress) -> Finding:
        verdict = progress.verdict
        if verdict.accepted and view.key.kind == STRATEGY:
            verdict = refusal(view, self._parts.board.seen(view.key.namespace)) or verdict
        return Finding.of("Accepted", verdict.accepted, verdict.reason, verdict.message)

    def _progressing(
        self, view: ResourceView, progress: Progress, facts: Mapping[str, ChildFact | None]
    ) -> Finding:
        if progress.waiting is not None:
            return Finding.of(
                "Progressing", True, "Deleting", f"waits for {progress.waiting.on or 'nothing more'}"
            )
        if view.paused:
            return Finding.of(
                "Progressing",
                False,
                "Paused",
                "its pods are left alone while annotation alphapanda.io/paused is true",
            )
        if not progress.verdict.accepted and not any(facts.values()):
            return Finding.of("Progressing", False, "Settled", "nothing is made for what is not accepted")
        stale = stale_manifests(view, self._parts.board.seen(view.key.namespace))
        if stale:
            return Finding.of(
                "Progressing", True, "RollingOut", f"a pod goes on with older manifests: {stale}"
            )
        return progressing(facts)

    def _ready(
        self, view: ResourceView, progress: Progress, facts: Mapping[str, ChildFact | None]
    ) -> Finding:
        if view.deleting:
            return Finding.of("Ready", False, "Deleting", "it is being deleted")
        if not progress.verdict.accepted:
            going = " What ran before goes on unchanged." if any(facts.values()) else ""
            waits = progress.verdict.reason in ("MissingFeed", "MissingAccount")
            reason = "WaitingForDependency" if waits else "NotAccepted"
            return Finding.of("Ready", False, reason, f"{progress.verdict.message}.{going}")
        if progress.refused is not None:
            return refused(progress.refused)
        pods = {
            role: [pod for pod in self._cache.pods_of(view.key, role) if not pod.ending] for role in facts
        }
        secrets = {role: self._parts.config.role(role).credentials_secret for role in facts}
        return ready(facts, pods, secrets, self._parts.clock.now())

    def _drifted(self, view: ResourceView) -> Finding:
        found: Iterable[str] = (
            f"{fact.key.kind} {fact.key.name}: {text}"
            for fact in self._cache.children_of(view.key)
            for text in fact.foreign
        )
        told = list(found)[:10]
        if told:
            return Finding.of(
                "Drifted", True, "ForeignFields", f"others have set fields of our objects: {'; '.join(told)}"
            )
        return Finding.of("Drifted", False, "InSync", "its objects have no fields of others")

    def _published(self, view: ResourceView) -> Finding:
        problem = self._parts.desk.problem(view.key)
        if problem is None:
            return Finding.pending("ControlPublished")
        if problem:
            return Finding.of(
                "ControlPublished", False, "StoreUnavailable", f"its trading state was not written: {problem}"
            )
        return Finding.of("ControlPublished", True, "Published", "its trading state is in Redis and renewed")


def _check_size(wanted: Desired) -> None:
    """Refuse, in a trader's words, what the API would refuse in its own."""
    if wanted.kind is CONFIG_MAP and (why := too_long(wanted.manifest)):
        raise ApiRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, why)


def _update_pending(progress: Progress) -> Finding:
    if not progress.verdict.accepted:
        return Finding("UpdatePending", UNKNOWN, "Pending", "it is not accepted")
    if progress.held:
        roles = ", ".join(progress.held)
        return Finding.of(
            "UpdatePending",
            True,
            "SessionOpen",
            f"an upgrade's changes of {roles} wait until the session closes; annotation alphapanda.io/rollout: now takes them at once",
        )
    return Finding.of("UpdatePending", False, "UpToDate", "its pods are as this operator makes them")
