"""Recorded prices from CSV and Parquet files. Knows nothing of services and manifests."""

from alpha_panda.adapters.replay.options import ReplayOptions
from alpha_panda.adapters.replay.source import Inspection, ReplaySource

__all__ = ["Inspection", "ReplayOptions", "ReplaySource"]
