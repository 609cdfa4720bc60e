"""Made-up prices that look like a market's. Knows nothing of services and manifests."""

from alpha_panda.adapters.simulated.model import SimulatedOptions
from alpha_panda.adapters.simulated.source import SimulatedSource

__all__ = ["SimulatedOptions", "SimulatedSource"]
