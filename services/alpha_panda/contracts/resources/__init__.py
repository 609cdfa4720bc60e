"""The custom resources as pydantic models: the one source of manifests, CRDs and `alpha-panda schema`.

Shapes stay such that a structural schema can be made of them: no tuples of mixed types, no unions but "exactly
one of several optional objects", bounds on every list, text and number.
"""

from alpha_panda.contracts.resources.broker_account import (
    AccountRisk,
    BrokerAccount,
    BrokerAccountSpec,
    Engine,
    PaperBroker,
    Runaway,
)
from alpha_panda.contracts.resources.common import API_VERSION, Metadata, Resource
from alpha_panda.contracts.resources.feed_source import (
    DATA_DIRECTORY,
    FeedSource,
    ReplayColumns,
    ReplaySource,
    SimulatedSource,
)
from alpha_panda.contracts.resources.market_feed import (
    ExtraSession,
    FeedCacher,
    FeedInstrument,
    MarketFeed,
    MarketFeedSpec,
    PriceBand,
    SessionHours,
)
from alpha_panda.contracts.resources.status import (
    STATUSES,
    AccountStatus,
    Condition,
    FeedStatus,
    LatchStatus,
    StrategyStatus,
)
from alpha_panda.contracts.resources.strategy import (
    CODE_DIRECTORY,
    ComputeResources,
    DeletionPolicy,
    Strategy,
    StrategyCode,
    StrategyRisk,
    StrategySpec,
)
from alpha_panda.contracts.resources.zerodha import ZerodhaBroker, ZerodhaLimits, ZerodhaSource

KINDS: dict[str, type[Resource]] = {
    "MarketFeed": MarketFeed,
    "BrokerAccount": BrokerAccount,
    "Strategy": Strategy,
}
"""Every kind by its name in manifests."""

__all__ = [
    "API_VERSION",
    "CODE_DIRECTORY",
    "DATA_DIRECTORY",
    "KINDS",
    "STATUSES",
    "AccountRisk",
    "AccountStatus",
    "BrokerAccount",
    "BrokerAccountSpec",
    "ComputeResources",
    "Condition",
    "DeletionPolicy",
    "Engine",
    "ExtraSession",
    "FeedCacher",
    "FeedInstrument",
    "FeedSource",
    "FeedStatus",
    "LatchStatus",
    "MarketFeed",
    "MarketFeedSpec",
    "Metadata",
    "PaperBroker",
    "PriceBand",
    "ReplayColumns",
    "ReplaySource",
    "Resource",
    "Runaway",
    "SessionHours",
    "SimulatedSource",
    "Strategy",
    "StrategyCode",
    "StrategyRisk",
    "StrategySpec",
    "StrategyStatus",
    "ZerodhaBroker",
    "ZerodhaLimits",
    "ZerodhaSource",
]
