"""Market data: snapshots of daily prices or returns, checked while they are read."""

from engine.market.prices import PriceSeries, read_series
from engine.market.snapshots import Snapshot, find_snapshot, open_snapshot

__all__ = ["PriceSeries", "Snapshot", "find_snapshot", "open_snapshot", "read_series"]
