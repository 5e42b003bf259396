"""What is measured about a listing on a day: its return, or a transform of the columns of its price file.

An outcome other than the return is one number a day and stands where the return stood: models, CARs and tests are the
same, and an abnormal return is then an abnormal log volume. A stale row has no outcome, as it has no price, but a turnover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.errors import DataError
from engine.market.prices import PriceSeries
from engine.market.snapshots import Snapshot

Floats = npt.NDArray[np.float64]
NO_TRADE = 0.000255  # per cent of the shares, added so that a day without a trade has a logarithm


@dataclass(frozen=True)
class Outcome:
    """columns: what the price file must hold, the last of them may stand in symbols.csv instead if it is ``shares``.

    of: those columns, (D,) each -> (D,) the outcome, NaN where it cannot be told.
    """

    columns: tuple[str, ...]
    of: Callable[..., Floats]


def log_volume(volume: Floats) -> Floats:
    """ln(shares traded); a day without a trade has none. Ajinkya & Jain (1989): close to normal, unlike the volume."""
    return _log(volume)


def log_turnover(volume: Floats, shares: Floats) -> Floats:
    """ln(100 volume / shares outstanding + 0.000255). Campbell & Wasley (1996), eq. 1."""
    turnover: Floats = 100 * volume / np.where(shares > 0, shares, np.nan)
    return _log(turnover + NO_TRADE)


def range_volatility(high: Floats, low: Floats) -> Floats:
    """ln(high / low) / sqrt(4 ln 2), the day's standard deviation of returns by its range. Parkinson (1980), eq. 6."""
    known = (low > 0) & (high >= low)
    wide: Floats = np.where(known, high, np.nan) / np.where(known, low, 1.0)
    return np.asarray(_log(wide) / np.sqrt(4 * np.log(2)))


def log_range_volatility(high: Floats, low: Floats) -> Floats:
    """ln of `range_volatility`, near normal; a day without a range has none. Alizadeh, Brandt & Diebold (2002)."""
    return _log(range_volatility(high, low))


ABSOLUTE = "absolute_return"  # |return|, of benchmark and factors too: made from two closes, where the lines are built
OUTCOMES: dict[str, Outcome | None] = {
    "return": None,
    ABSOLUTE: None,
    "log_volume": Outcome(("volume",), log_volume),
    "log_turnover": Outcome(("volume", "shares"), log_turnover),
    "range_volatility": Outcome(("high", "low"), range_volatility),
    "log_range_volatility": Outcome(("high", "low"), log_range_volatility),
}


KNOWN_WITHOUT_TRADE = frozenset({"log_turnover"})  # a day without a trade is no price, but it is a turnover of zero


def measured(name: str, series: Mapping[str, PriceSeries], snapshot: Snapshot) -> dict[str, PriceSeries]:
    """Each series with the outcome as its value, the return as it is.

    A column ``shares`` of the snapshot's symbols.csv holds for all days. Raises DataError that names every series without
    the columns that the outcome is made of.
    """
    outcome = OUTCOMES[name]
    if outcome is None:
        return dict(series)
    found, lacking = {}, []
    for symbol, one in series.items():
        columns = dict(one.columns)
        stated = _number(snapshot.listings.get(symbol, {}).get("shares", ""))
        if "shares" not in columns and np.isfinite(stated):
            columns["shares"] = np.full(len(one.dates), stated)
        if any(not np.isfinite(columns.get(c, np.empty(0))).any() for c in outcome.columns):
            lacking.append(symbol)
            continue
        values = outcome.of(*(columns[c] for c in outcome.columns))
        unknown = one.stale & (name not in KNOWN_WITHOUT_TRADE)
        found[symbol] = replace(one, values=np.where(unknown, np.nan, values), is_return=True)
    if lacking:
        raise DataError(
            f'{snapshot.name}: [outcome] name = "{name}" is made of the columns {" and ".join(outcome.columns)}, '
            f"which hold nothing for {', '.join(sorted(lacking))}. Leave these out, give another benchmark, a basket of "
            'listings, or the model "mean_adjusted", which needs none.'
        )
    return found


def _log(values: Floats) -> Floats:
    logs: Floats = np.log(np.where(values > 0, values, np.nan))
    return logs


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
