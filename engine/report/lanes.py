"""One event at every exchange that its listings trade on: what the chart `venue_days` and its title are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from engine.report.findings import Findings
from engine.ties import ordered

CITIES = {
    "XNYS": "New York", "XNAS": "New York", "XHKG": "Hong Kong", "XSHG": "Shanghai", "XTKS": "Tokyo", "XLON": "London",
    "XKRX": "Seoul", "XTSE": "Toronto", "XETR": "Frankfurt", "XPAR": "Paris", "XAMS": "Amsterdam", "XTAI": "Taipei",
}  # fmt: skip


@dataclass(frozen=True)
class Lane:
    """An exchange in the event: its sessions, the local times at which it heard, day 0, and what its listings did then,
    the largest move first."""

    exchange: str
    sessions: frozenset[date]
    heard: tuple[datetime, ...]
    day0: date
    moves: tuple[tuple[str, float | None], ...]

    @property
    def city(self) -> str:
        """Where the exchange is; its code where that is not known here."""
        return CITIES.get(self.exchange, self.exchange)


def widest(found: Findings) -> tuple[str, list[Lane]]:
    """The event with the most different days 0, then the widest span, then the first id; lanes by day 0 and exchange."""
    rows = [r for r in found.result.tables["events"].to_dicts() if r["event_day"] is not None and r["exchange"]]
    by_event: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_event.setdefault(row["event_id"], []).append(row)
    if not by_event:
        return "", []

    def spread(event_id: str) -> tuple[int, int]:
        days = {r["event_day"] for r in by_event[event_id]}
        return len(days), (max(days) - min(days)).days

    chosen = min(sorted(by_event), key=lambda e: tuple(-s for s in spread(e)))
    return chosen, _lanes(found, by_event[chosen])


def _lanes(found: Findings, rows: Sequence[Mapping[str, Any]]) -> list[Lane]:
    table = found.result.tables.get("abnormal_returns")
    made = []
    for exchange in sorted({r["exchange"] for r in rows}):
        own = [r for r in rows if r["exchange"] == exchange]
        symbols = [r["symbol"] for r in own]
        days = pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date, "ar": pl.Float64, "relative_day": pl.Int64})
        if table is not None:
            days = table.filter((pl.col("event_id") == own[0]["event_id"]) & pl.col("symbol").is_in(symbols))
        at_0 = dict(days.filter(pl.col("relative_day") == 0).select("symbol", "ar").rows())
        heard = [datetime.fromisoformat(r["venue_time"]) for r in own if r.get("venue_time")]
        said = [(place, _label(found, s), at_0.get(s)) for place, s in enumerate(symbols)]
        moves = tuple((m[1], m[2]) for m in ordered(said, lambda m: -abs(m[2] or 0.0), lambda m: m[0]))
        sessions = frozenset(days["date"].drop_nulls().to_list())
        made.append(Lane(exchange, sessions, tuple(heard), min(r["event_day"] for r in own), moves))
    return sorted(made, key=lambda lane: (lane.day0, lane.exchange))


def _label(found: Findings, symbol: str) -> str:
    name = found.result.manifest.get("listings", {}).get(symbol, {}).get("name") or ""
    return f"{symbol} {name}".strip()
