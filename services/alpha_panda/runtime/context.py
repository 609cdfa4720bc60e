"""What a service is given: the chosen adapters, the settings, the manifests and its own name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alpha_panda.errors import StrategyError
from alpha_panda.ports import (
    CheckpointStore,
    Clock,
    ControlStore,
    DecisionStore,
    EventBus,
    IdSource,
    InstrumentLists,
    InstrumentStore,
    Lease,
    MarketSource,
    OrderJournal,
    OrderPace,
    PriceCache,
    StatusStore,
    TraderFactory,
)
from alpha_panda.runtime.health import Probe
from alpha_panda.runtime.manifests import Manifests
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.tracing.tracing import NO_TRACING, Tracer, Tracing

if TYPE_CHECKING:
    from alpha_panda.contracts.manifests import ResourceSet


@dataclass(frozen=True, slots=True)
class Ports:
    """The adapters, chosen by a composition root. The callables take an account's or a feed's name.

    `probes` by what they ask: a service is ready only while each answers (stores of this process have none).
    `operated`: whether an operator may read the statuses and ask for something; nobody does in a run of one process.
    `durable` asks whether the journal's store keeps what it has answered; None: it won't say. Without the callable
    nobody can be asked. `instruments`: what brokers' daily lists say of feeds' symbols; None: manifests say all; `lists` asks them, for a
    feed. `pace` counts
    calls to brokers; None: no account has one. `close` ends what traders and sources have open; whoever made them calls it.
    """

    clock: Clock
    ids: IdSource
    bus: EventBus
    prices: PriceCache
    journal: Callable[[str], OrderJournal]
    decisions: Callable[[str], DecisionStore]
    checkpoints: CheckpointStore
    control: ControlStore
    lease: Lease
    statuses: StatusStore
    traders: TraderFactory
    source: Callable[[str], MarketSource]
    probes: Mapping[str, Probe] = field(default_factory=dict)
    operated: bool = True
    durable: Callable[[], Awaitable[bool | None]] | None = None
    instruments: InstrumentStore | None = None
    lists: Callable[[str], InstrumentLists] | None = None
    pace: OrderPace | None = None
    close: Callable[[], Awaitable[None]] | None = None


def _ignore(_: StrategyError) -> None:
    """Tell nobody: where no one asks, the log has it."""


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """Everything a service's `build` gets.

    `manifests` may change while the service runs (`Derived` follows them). `resource` is the name of the MarketFeed, BrokerAccount or Strategy that it serves; `instance` is the pod's or
    task's name, unique per replica (leases are held under it). `on_strategy_stopped` hears of a strategy that crashed
    and stays stopped while the service goes on with its others. `metrics` and `tracing` are those of the
    whole process.
    """

    settings: Settings
    ports: Ports
    manifests: Manifests
    resource: str
    instance: str
    on_strategy_stopped: Callable[[StrategyError], None] = _ignore
    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = NO_TRACING

    @property
    def resources(self) -> "ResourceSet":
        """The manifests' resources as they are now: who keeps any of them keeps what was."""
        return self.manifests.resources

    def tracer(self, service: str) -> Tracer:
        """Return what makes the spans of the service of that name."""
        return self.tracing.tracer(service, self.instance, self.ports.clock)
