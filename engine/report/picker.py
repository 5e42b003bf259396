"""Every pair of the calendar for the event picker of the page: its path, why its day 0 is where it is, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from engine.report.document import EventPath, Picker
from engine.report.findings import EventCar, Findings
from engine.report.formats import fixed, one_line, p_text, percent, shortened, typeset
from engine.report.surroundings import KINDS
from engine.report.wording import FLAGS

MOST_PICKED = 500
READ = ("events", "exclusions", "contamination", "cars", "abnormal_returns")

Key = tuple[str, str]


def picker(found: Findings) -> Picker | None:
    """The events to choose from, at most 500; None where there is none."""
    first = pl.Series([e.event_id for e in found.events[:MOST_PICKED]], dtype=pl.String).unique().implode()
    tables = {n: t.filter(pl.col("event_id").is_in(first)) for n, t in found.result.tables.items() if n in READ}
    told = {(r["event_id"], r["symbol"]): r for r in tables["events"].to_dicts()}
    lost = _by_pair(tables["exclusions"].to_dicts())
    beside = _by_pair(tables["contamination"].to_dicts() if "contamination" in tables else [])
    order = {(w.start, w.end): i for i, w in enumerate(found.windows)}
    every = tables["cars"].to_dicts()
    cars = _by_pair(sorted(every, key=lambda r: order.get((r["window_start"], r["window_end"]), len(order))))
    paths = _paths(tables.get("abnormal_returns"))
    shown = []
    for event in found.events[:MOST_PICKED]:
        key = (event.event_id, event.symbol)
        rows = (told.get(key, {}), cars.get(key, []), lost.get(key, []), beside.get(key, []))
        label = one_line(f"{event.event_id} · {event.symbol} {event.name} {event.name_zh}")
        shown.append(EventPath(shortened(label, 90), _facts(event, *rows), paths.get(key, ())))
    return Picker(tuple(shown)) if shown else None


def _by_pair(rows: Sequence[Mapping[str, Any]]) -> dict[Key, list[Mapping[str, Any]]]:
    made: dict[Key, list[Mapping[str, Any]]] = {}
    for row in rows:
        made.setdefault((row["event_id"], row["symbol"]), []).append(row)
    return made


def _facts(
    event: EventCar, told: Mapping[str, Any], cars: Sequence[Mapping[str, Any]], lost: Sequence[Mapping[str, Any]],
    beside: Sequence[Mapping[str, Any]],
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """What there is to know of a pair, as (name, text)."""
    made = [
        ("Announced", told.get("announced_at")),
        ("Stamp used", told.get("stamp_used")),
        ("At the exchange", " ".join(str(told.get(k) or "") for k in ("exchange", "venue_time"))),
        ("Day 0", event.event_day),
        ("Why", told.get("reason")),
    ]
    if event.hours_to_open is not None:
        made.append(("Hours to the open", fixed(event.hours_to_open, 1)))
    made += [("Flag", f"{flag}: {FLAGS.get(flag, '')}") for flag in event.flags]
    made += [
        (
            typeset(f"CAR [{r['window_start']}, {r['window_end']}]"),
            typeset(f"{percent(r['car'])} % (t {fixed(r['t'])}, p {p_text(r['p_value'])})"),
        )
        for r in cars
    ]
    made += [("Excluded", f"{r['stage']}, {r['reason']}: {r['detail'] or ''}") for r in lost]
    made += [("Also", _beside(r)) for r in beside]
    return tuple((name, one_line(value)) for name, value in made if value is not None and one_line(value))


def _beside(row: Mapping[str, Any]) -> str:
    """What else happened, in words: ``another event of the firm in the event window, A24: flagged; its day 0 is ...``."""
    words = KINDS.get(row["kind"], row["kind"])
    other = f", {row['other_event_id']}" if row["other_event_id"] else ""
    return f"{words}{other}: {str(row['consequence'] or '').removeprefix('none: ')}"


def _paths(table: pl.DataFrame | None) -> dict[Key, tuple[tuple[int, float | None, float | None], ...]]:
    """(relative day, AR, CAR so far) of each pair; the CAR ends at the first missing day."""
    if table is None:
        return {}
    made: dict[Key, list[tuple[int, float | None, float | None]]] = {}
    for event_id, symbol, day, ar in table.select("event_id", "symbol", "relative_day", "ar").rows():
        path = made.setdefault((event_id, symbol), [])
        before = path[-1][2] if path else 0.0
        path.append((day, ar, None if ar is None or before is None else before + ar))
    return {key: tuple(path) for key, path in made.items()}
