"""What else fell in the window of each result, and how much the result hangs on single events."""

from __future__ import annotations

from collections.abc import Sequence

from engine.report.document import Heading, Section, Table, Text, points, section
from engine.report.findings import Findings, Row
from engine.report.formats import NOTHING, listed, one_line, p_text, percent, shortened
from engine.sessions import Window
from engine.ties import ordered

MOST_LISTED = 6
WORDS = {
    "any": "any of these", "event_window": "another event of the firm", "limit_locked": "a close at the price limit",
    "suspended": "no price", "stale": "stale prices", "confounded": "confounded, by the calendar",
}  # fmt: skip


def influence_rows(found: Findings, window: Window) -> list[Row]:
    """The rows of ``influence`` of one window."""
    table = found.result.tables.get("influence")
    if table is None:
        return []
    return [r for r in table.to_dicts() if (r["window_start"], r["window_end"]) == (window.start, window.end)]


def influence_table(found: Findings) -> Table | None:
    """For every window the extremes of leaving out one pair and one cluster of dates; None without that table."""
    rows = []
    for window in found.windows:
        every = influence_rows(found, window)
        for kind, noun in (("pair", found.noun), ("cluster", "cluster of dates")):
            alone = [r for r in every if r["kind"] == kind and r["change"] is not None]
            whole = next((r for r in every if alone and r["kind"] == "whole" and r["test"] == alone[0]["test"]), None)
            if whole is None:
                continue
            most = ordered(alone, lambda r: abs(r["change"]), lambda r: r["left_out"])[-1]
            low, high = (f(r["estimate"] for r in alone) for f in (min, max))
            p_values = [r["p_value"] for r in alone if r["p_value"] is not None]
            rows.append(
                (str(window), one_line(whole["test"]), noun, percent(whole["estimate"]), f"{percent(low)} to {percent(high)}",
                 _range(p_values), shortened(_name(most), 30), percent(most["estimate"]),
                 str(sum(r["sign_change"] for r in alone)), str(sum(r["turned"] or 0 for r in alone)), str(len(alone)))
            )  # fmt: skip
    if not rows:
        return None
    columns = (
        "Window", "Test", "Left out", "All, %", "Without one, %", "p without one", "Most influential", "Without it, %",
        "Sign turns", "Verdict turns", "Subsamples",
    )  # fmt: skip
    note = (
        "Mean CAR and p-value when one is left out at a time. Verdict turns: how often p crosses "
        f"{found.alpha:g}. A cluster holds all pairs that share an event or a day 0, so that they cannot be told apart."
    )
    unavailable = sorted({r["unavailable"] for w in found.windows for r in influence_rows(found, w) if _counted(r)})
    return Table(
        columns, (False, False, False, *[True] * 3, False, *[True] * 4), tuple(rows), notes=(note, *unavailable)
    )


def _counted(row: Row) -> bool:
    return row["kind"] in ("pair", "cluster") and bool(row["unavailable"]) and not row["left_out"]


def _name(row: Row) -> str:
    return f"{row['event_id']} {row['symbol']}" if row["kind"] == "pair" else f"{row['left_out']} ({row['n_left_out']})"


def _range(values: Sequence[float]) -> str:
    return f"{p_text(min(values))} to {p_text(max(values))}" if values else NOTHING


def flagged_table(found: Findings) -> Table | None:
    """The results with and without flagged pairs, by the first test and window; None where nothing is flagged."""
    rows = []
    for window in found.windows:
        every = influence_rows(found, window)
        whole = {r["test"]: r for r in every if r["kind"] == "whole"}
        tests = [t for t in found.settings["significance"]["tests"] if t in whole][:1]
        flagged = [r for r in every if r["kind"] == "flagged" and r["test"] in tests]
        for r in sorted(flagged, key=lambda r: list(WORDS).index(r["left_out"])):
            if r["left_out"] == "any" and sum(f["left_out"] not in ("any", "confounded") for f in flagged) == 1:
                continue  # the one kind there is
            full = whole[r["test"]]
            rows.append(
                (str(window), one_line(r["test"]), WORDS[r["left_out"]], str(r["n_left_out"]), str(full["n"]),
                 percent(full["estimate"]), p_text(full["p_value"]), str(r["n"]), percent(r["estimate"]), p_text(r["p_value"]))
            )  # fmt: skip
    if not rows:
        return None
    columns = (
        "Window",
        "Test",
        "Flag in the window",
        "Flagged",
        "N all",
        "All, %",
        "p",
        "N without",
        "Without, %",
        "p",
    )
    note = "The other tests that need no draws are in influence.csv."
    return Table(columns, (False, False, False, *[True] * 7), tuple(rows), notes=(note,))


def in_window_lines(found: Findings) -> list[str]:
    """For every window the events of the calendar that fall in it besides the event measured, one line a window."""
    table = found.result.tables.get("contamination")
    days = found.result.tables.get("abnormal_returns")
    if table is None or days is None:
        return []
    spans: dict[tuple[str, str], dict[int, object]] = {}
    for event_id, symbol, day, date in days.select("event_id", "symbol", "relative_day", "date").rows():
        spans.setdefault((event_id, symbol), {})[day] = date
    others = [r for r in table.to_dicts() if r["kind"] == "event_window"]
    lines = []
    for window in found.windows:
        inside: dict[tuple[str, str], list[str]] = {}
        for r in others:
            key = (r["event_id"], r["symbol"])
            within = [d for d, date in spans.get(key, {}).items() if date == r["first"]]
            if within and window.start <= within[0] <= window.end:
                inside.setdefault(key, []).append(f"{r['other_event_id']} on day {within[0]}")
        if inside:
            named = [f"{shortened(e, 24)} {shortened(s, 14)} ({listed(o)})" for (e, s), o in sorted(inside.items())]
            more = f" and {len(named) - MOST_LISTED} more" if len(named) > MOST_LISTED else ""
            lines.append(
                f"{window}: {len(inside)} with another event of the firm: {'; '.join(named[:MOST_LISTED])}{more}."
            )
        else:
            lines.append(f"{window}: no other event of the calendar's firms.")
    return lines if others else []


def influence_section(found: Findings) -> Section | None:
    """Other events in each window, the extremes of leaving one out, and the result without flagged pairs."""
    lines, influence, flagged = in_window_lines(found), influence_table(found), flagged_table(found)
    return section(
        "What the result hangs on",
        Text("Other events of the calendar in each window", "label") if lines else None,
        points(lines),
        influence.shown("influence", "The result when one is left out at a time", "dense") if influence else None,
        Heading("With and without flagged pairs") if flagged else None,
        flagged.shown("flagged", "The result with and without flagged pairs", "dense") if flagged else None,
    )
