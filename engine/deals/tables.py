"""``deals.csv``, ``deal_windows.csv`` and ``deal_significance.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from engine.abnormal import Cars
from engine.deals.gains import Deal
from engine.deals.spans import SpanCars
from engine.inputs import Study
from engine.panel import EventPanel
from engine.schemas import SCHEMAS
from engine.sessions import NO_DAY
from engine.significance import Significance, t_p
from engine.tables import adjusted, table

NAN = float("nan")


def deals_table(deals: Sequence[Deal], cars: Sequence[Cars], currency: str, alternative: str) -> pl.DataFrame:
    """``deals.csv``: a row for each side of each deal and window, and one for both together."""
    rows: list[dict[str, Any]] = []
    of_window = {one.window: one for one in cars}
    for deal in deals:
        one, both, entering = of_window[deal.window], deal.combined, -1
        for side, i, reason in zip(deal.sides, deal.members, deal.reasons, strict=True):
            entering += not reason
            car, se, dof = (float(one.car[i]), float(one.se[i]), int(one.dof[i])) if i >= 0 else (NAN, NAN, None)
            weight = float(both.weights[entering]) if both is not None and not reason else NAN
            rows.append(
                _row(deal, side.role, side.symbol, car, se, dof, side.value, alternative)
                | {"weight": weight, "reason": reason}
            )
        if both is None:
            row = _row(deal, "combined", "", NAN, NAN, None, NAN, alternative)
        else:
            row = _row(deal, "combined", "", both.car, both.se, both.dof, both.value, alternative) | {
                "weight": float(both.weights.sum()), "correlation": both.correlation, "common_days": both.common_days,
            }  # fmt: skip
        rows.append(row | {"reason": deal.reason})
    columns = {name: [row.get(name) for row in rows] for name in SCHEMAS["deals"]}
    for name, kind in SCHEMAS["deals"].items():
        if kind == pl.Float64:
            columns[name] = [NAN if v is None else v for v in columns[name]]
    return table("deals", columns | {"currency": [currency if r["market_value"] > 0 else "" for r in rows]})


def _row(
    deal: Deal, role: str, symbol: str, car: float, se: float, dof: int | None, value: float, alternative: str
) -> dict[str, Any]:
    t = car / se
    return {
        "event_id": deal.event_id, "window_start": deal.window.start, "window_end": deal.window.end, "role": role,
        "symbol": symbol, "car": car, "se": se, "t": t, "dof": dof,
        "p_value": float(t_p(t, dof, alternative)) if dof is not None and np.isfinite(t) else NAN,
        "market_value": value, "gain": car * value, "gain_se": se * value,
    }  # fmt: skip


def deal_windows_table(study: Study, panel: EventPanel, named: Sequence[SpanCars], alternative: str) -> pl.DataFrame:
    """``deal_windows.csv``: a row for each pair of the calendar and named window, those without a CAR with the reason."""
    place = {(p.event_id, p.symbol): i for i, p in enumerate(panel.pairs)}
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMAS["deal_windows"]}
    for one in named:
        p_values = t_p(one.scar, np.maximum(one.dof, 1), alternative)
        for event_id, symbol in study.announcements.table.select("event_id", "symbol").rows():
            i = place.get((event_id, symbol))
            window = one.spans[i].window if i is not None else None
            cells: dict[str, Any] = {"event_id": event_id, "symbol": symbol, "name": one.name}
            if window is not None:
                cells |= {"start": window.start, "end": window.end, "n_days": len(window)}
            if i is None:
                cells["reason"] = "excluded: see exclusions.csv"
            else:
                span = one.spans[i]
                cells["reason"] = f"{span.reason}: {span.detail}" if span.reason else ""
                cells |= {"first": one.first[i], "last": one.last[i], "p_value": float(p_values[i])}
                cells |= {c: float(getattr(one, c)[i]) for c in ("car", "se", "scar", "bhar")} | {
                    "t": float(one.scar[i])
                }
            for name, kind in SCHEMAS["deal_windows"].items():
                empty = NAN if kind == pl.Float64 else NO_DAY if kind == pl.Date else None
                columns[name].append(cells.get(name, empty))
    return table("deal_windows", columns)


def deal_significance_table(answers: Sequence[tuple[str, str, Significance]]) -> pl.DataFrame:
    """``deal_significance.csv``: measure, window and answer; adjusted over the windows of one group, measure and test."""
    columns: dict[str, list[Any]] = {
        "group": [a.group for _, _, a in answers],
        "measure": [measure for measure, _, _ in answers],
        "window": [window for _, window, _ in answers],
        "test": [a.name for _, _, a in answers],
        "ci_low": [a.ci[0] for _, _, a in answers],
        "ci_high": [a.ci[1] for _, _, a in answers],
    }
    for name in ("n", "estimate", "statistic", "distribution", "p_value", "unavailable", "se", "note"):
        columns[name] = [getattr(a, name) for _, _, a in answers]
    families = list(zip(columns["group"], columns["measure"], columns["test"], strict=True))
    columns["p_holm"], columns["p_bh"] = adjusted(families, columns["p_value"])
    return table("deal_significance", columns)
