"""What drives the CARs, as tables of the memo: the regressions side by side, differences of groups, quantiles."""

from __future__ import annotations

import polars as pl

from engine.report.document import Section, Table, section
from engine.report.findings import Findings, Row, span_text
from engine.report.formats import (
    FEWEST_FOR_STARS,
    NOTHING,
    fixed,
    is_number,
    one_line,
    p_text,
    percent,
    shortened,
    stars,
)
from engine.report.tables import group_name
from engine.sessions import Window

MOST_DIFFERENCES = 29
# How the standard errors are made, in few words.
COVARIANCE_WORDS: dict[str, str] = {
    "classical": "independent errors of one variance",
    "HC1": "independent errors of any variance (White, n/(n - k))",
    "HC3": "independent errors of any variance (residuals over 1 - leverage)",
    "clustered_date": "clustered by date of day 0",
    "clustered_firm": "clustered by firm",
    "clustered_both": "clustered by date and by firm",
    "benchmarked_t": "root mean square of the same slopes on pre-event windows",
    "benchmarked_rank": "as benchmarked_t; the p-value is the rank among the pre-event slopes",
}


def regression_table(found: Findings) -> Table | None:
    """Terms in rows, specifications by covariance in columns; the first window of the cross-section. None without one."""
    chosen = found.settings.get("crosssection")
    table = found.result.tables.get("crosssection")
    if not chosen or table is None or table.is_empty():
        return None
    window = regression_window(found)
    at = (pl.col("window_start") == window.start) & (pl.col("window_end") == window.end)
    rows = {(r["specification"], r["covariance"], r["term"]): r for r in table.filter(at).to_dicts()}
    places = [(s, c) for s in specifications(found) for c in chosen["covariance"]]
    terms = list(dict.fromkeys(t for s, c in places for (a, b, t) in rows if (a, b) == (s, c) and t))
    cells: list[tuple[str, ...]] = []
    for term in terms:
        shown = [_cell(rows.get((s, c, term))) for s, c in places]
        cells += [(shortened(term, 40), *[top for top, _ in shown]), ("", *[below for _, below in shown])]
    heads = [next((r for (a, b, _), r in rows.items() if (a, b) == place), None) for place in places]
    cells += [
        ("N", *[str(r["n"]) if r else NOTHING for r in heads]),
        ("R²", *[fixed(r["r2"], 3) if r else NOTHING for r in heads]),
        ("Clusters", *[str(r["clusters"]) if r and r["clusters"] else NOTHING for r in heads]),
    ]
    titles = [f"{shortened(s, 20)}: {c}" for s, c in places]
    kinds = ("", "sub") * len(terms) + ("", "", "")
    numeric = (False, *[True] * len(titles))
    return Table(("Term", *titles), numeric, tuple(cells), kinds, tuple(_regression_notes(found, list(rows.values()))))


def regression_window(found: Findings) -> Window:
    """The first window of the cross-section: its own, else the primary one."""
    chosen = found.settings.get("crosssection") or {}
    return Window(*chosen["windows"][0]) if chosen.get("windows") else found.window


def specifications(found: Findings) -> dict[str, str]:
    """Name -> formula, in the order of the study."""
    return {one["name"]: one["formula"] for one in found.result.manifest.get("specifications", [])}


def coefficient(value: float | None) -> str:
    """A coefficient in percentage points: two decimals, more where two would hide a small one."""
    if value is None or not is_number(value):
        return NOTHING
    size = abs(100 * value)
    if size >= 0.1 or size == 0:
        return percent(value)
    return f"{100 * value:.2g}" if size < 1e-4 else f"{100 * value:.{2 if size >= 0.1 else 3 if size >= 0.01 else 5}f}"


def _cell(row: Row | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    return coefficient(row["estimate"]) + stars(row["p_value"], row["n"]), f"({coefficient(row['se'])})"


def _regression_notes(found: Findings, rows: list[Row]) -> list[str]:
    chosen = found.settings["crosssection"]
    weights = "weighted by 1 / se² of the CARs" if chosen["weights"] == "forecast_variance" else "not weighted"
    notes = [
        f"CARs {span_text(regression_window(found))} in percentage points, least squares, {weights}; in parentheses the standard "
        f"error. *, **, ***: two-sided p below 10, 5, 1 %, not adjusted; no stars below {FEWEST_FOR_STARS} events.",
        "; ".join(f"{name}: {one_line(text)}" for name, text in specifications(found).items()) + ".",
        "; ".join(f"{c}: {COVARIANCE_WORDS.get(c, c)}" for c in chosen["covariance"]) + ".",
    ]
    said = dict.fromkeys(f"{r['covariance']}: {r['note']}" for r in rows if r["note"])
    missing = dict.fromkeys(
        f"{r['specification']}, {r['covariance']}{', ' + r['term'] if r['term'] else ''}: {r['unavailable']}"
        for r in rows
        if r["unavailable"]
    )
    return notes + [one_line(f"{line}.") for line in (*said, *missing)]


def differences_table(found: Findings) -> Table | None:
    """The difference of every two groups at the primary window with a p-value a test; None without groups."""
    table = found.result.tables.get("differences")
    if table is None or table.is_empty():
        return None
    at = (pl.col("window_start") == found.window.start) & (pl.col("window_end") == found.window.end)
    pairs: dict[tuple[str, str, str], dict[str, Row]] = {}
    for r in table.filter(at).to_dicts():
        pairs.setdefault((r["column"], r["first"] or "", r["second"] or ""), {})[r["test"]] = r
    clustered = [c for c in COVARIANCE_WORDS if any(c in tests for tests in pairs.values())]
    rows: list[tuple[str, ...]] = []
    kinds: list[str] = []
    for column in found.settings["significance"]["group_by"]:
        rows.append((one_line(column), *[""] * (4 + len(clustered))))
        kinds.append("head")
        own = sorted((key for key in pairs if key[0] == column), key=lambda key: (not key[1], key))
        for key in own[:MOST_DIFFERENCES]:
            rows.append(_difference_row(key[1], key[2], pairs[key], clustered))
            kinds.append("")
    notes = [
        f"Difference of the mean CARs {span_text(found.window)} in percentage points. p-values are two-sided and not adjusted: "
        "Welch's t, ranks by Mann and Whitney; for all groups Welch's F, ranks by Kruskal and Wallis.",
        "Every window, statistic and reason is in differences.csv.",
    ]
    columns = ("Groups", "N", "Difference", "p (Welch)", "p (ranks)", *[f"p ({c})" for c in clustered])
    return Table(columns, (False, *[True] * (4 + len(clustered))), tuple(rows), tuple(kinds), tuple(notes))


def _difference_row(first: str, second: str, tests: dict[str, Row], clustered: list[str]) -> tuple[str, ...]:
    welch, ranks = ("welch_t", "rank_sum") if first else ("welch_f", "kruskal_wallis")
    some = next(iter(tests.values()))
    plain = all(any(c.isalnum() for c in name) for name in (first, second))
    label = (
        f"{shortened(first, 24)} − {shortened(second, 24)}"
        if plain
        else f"{first} less {second}"
        if first
        else "all equal"
    )
    p_values = [p_text(tests[t]["p_value"]) if t in tests else NOTHING for t in (welch, ranks, *clustered)]
    return (label, str(some["n"]), percent(some["estimate"]), *p_values)


def quantiles_table(found: Findings) -> Table | None:
    """The quantiles of the CARs of each group at the primary window."""
    table = found.result.tables.get("quantiles")
    if table is None or table.is_empty():
        return None
    at = (pl.col("window_start") == found.window.start) & (pl.col("window_end") == found.window.end)
    by_group = {r["group"]: r for r in table.filter(at).to_dicts()}
    names = ("mean", "sd", "min", "p10", "p25", "p50", "p75", "p90", "max")
    rows = tuple(
        (shortened(group_name(g), 40), str(by_group[g]["n"]), *[percent(by_group[g][c]) for c in names])
        for g in found.groups
        if g in by_group
    )
    columns = ("Group", "N", "Mean", "s.d.", "Min", "10 %", "25 %", "Median", "75 %", "90 %", "Max")
    note = f"CARs {span_text(found.window)} in %; quantiles are linear between the ordered CARs."
    return Table(columns, (False, *[True] * 10), rows, notes=(note,)) if rows else None


def regression_section(found: Findings) -> Section | None:
    """The cross-section of the CARs, where the study has one."""
    table = regression_table(found)
    return section("What drives the CARs", table.shown("regression", "CARs explained", "dense") if table else None)


def groups_section(found: Findings) -> Section | None:
    """Differences between groups and quantiles within them."""
    differences, quantiles = differences_table(found), quantiles_table(found)
    return section(
        "Between and within groups",
        differences.shown("differences", "Differences between groups", "") if differences else None,
        quantiles.shown("quantiles", "Quantiles of the CARs", "dense") if quantiles else None,
    )
