"""The calendar as signals: each event's expected sign is a position, entered after its stamp, hedged, and paid for."""

from engine.backtest.results import Trials, backtest_tables, traded, trial_rows

__all__ = ["Trials", "backtest_tables", "traded", "trial_rows"]
