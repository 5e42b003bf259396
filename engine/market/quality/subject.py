"""One series as the checks see it, and a finding as they report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.market.prices import PriceSeries
from engine.sessions import DAY, Days

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
TRADED = ("equity", "fund")
PEERS = 5  # listings of an exchange that must have a day before it speaks for all of them


class Finding(NamedTuple):
    """One row of the report: n sessions or rows from ``first`` to ``last`` (both included)."""

    symbol: str
    kind: str
    first: np.datetime64
    last: np.datetime64
    n: int
    detail: str


@dataclass(frozen=True)
class Subject:
    """A listing under judgement; all arrays (D,), one element a row of its file.

    kind: equity, fund, index, fx or commodity. exchange: its code, None where there is none.
    price: what returns are made of, NaN where the row has none (stale rows keep theirs). returns: simple, from the row
    with a price before. last: position of that row, -1 for none. sessions: (S,) the days it should have, within its span.
    """

    symbol: str
    kind: str
    exchange: str | None
    dates: Days
    price: Floats
    returns: Floats
    last: npt.NDArray[np.int64]
    stale: Flags
    columns: Mapping[str, Floats]
    sessions: Days

    def column(self, name: str) -> Floats:
        """A column of the file, NaN throughout if it is not there."""
        return self.columns[name] if name in self.columns else np.full(len(self.dates), np.nan)

    def find(self, kind: str, first: int, last: int, n: int, detail: str) -> Finding:
        """A finding from row ``first`` to row ``last``."""
        return Finding(self.symbol, kind, self.dates[first], self.dates[last], n, detail)


def subject_of(series: PriceSeries, about: Mapping[str, str], exchange: str | None, sessions: Days | None) -> Subject:
    """Prepare a series. about: its row of ``symbols.csv``. sessions: its exchange's days, None for weekdays."""
    dates, columns = series.dates, series.columns
    if series.is_return:
        priced = np.isfinite(series.values)
        price, returns = np.where(priced, 1.0, np.nan), series.values
    else:
        adjusted = columns.get("adj_close", np.empty(0))
        raw = adjusted if np.isfinite(adjusted).any() else columns["close"]
        price = np.where(raw > 0, raw, np.nan)
        priced = np.isfinite(price)
    rows = np.where(priced, np.arange(len(dates)), -1)
    last = np.concatenate([[-1], np.maximum.accumulate(rows)[:-1]]) if len(dates) else rows
    if not series.is_return:
        returns = np.where(last >= 0, price / price[last] - 1, np.nan)
    if len(dates) and sessions is None:
        every = np.arange(dates[0], dates[-1] + DAY)
        sessions = every[np.is_busday(every)]
    elif sessions is not None and len(dates):
        sessions = sessions[np.searchsorted(sessions, dates[0]) : np.searchsorted(sessions, dates[-1], side="right")]
    own = sessions if sessions is not None and len(dates) else dates[:0]
    return Subject(
        series.symbol, kind_of(series.symbol, about), exchange, dates, price, returns, last, series.stale, columns, own
    )


def kind_of(symbol: str, about: Mapping[str, str]) -> str:
    """As the snapshot states it, else by the way Yahoo writes symbols."""
    if about.get("kind"):
        return about["kind"]
    if symbol.startswith("^"):
        return "index"
    return "fx" if symbol.endswith("=X") else "commodity" if symbol.endswith("=F") else "equity"


def runs(flags: Flags, bridge: int = 0) -> list[tuple[int, int]]:
    """First and last position of every run of true ``flags``; runs at most ``bridge`` positions apart are one."""
    at = np.flatnonzero(flags)
    if not len(at):
        return []
    cuts = np.flatnonzero(np.diff(at) > bridge + 1)
    firsts, lasts = at[np.concatenate([[0], cuts + 1])], at[np.concatenate([cuts, [len(at) - 1]])]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def percent(value: float) -> str:
    """``+77.5 %``: a return as the report writes it."""
    return f"{100 * value:+.1f} %" if abs(value) >= 0.01 else f"{100 * value:+.2f} %"
