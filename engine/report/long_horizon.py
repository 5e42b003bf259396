"""Long windows and calendar time in the memo: three ways to cumulate side by side, portfolios, and RATS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from engine.abnormal import LONG
from engine.report.document import Heading, Section, Table, paragraph, section
from engine.report.findings import Findings, Row, count
from engine.report.formats import NOTHING, fixed, level_text, one_line, p_text, percent, stars
from engine.report.wording import outcome_of
from engine.sessions import Window

PERIODS_A_YEAR = {"daily": 252, "monthly": 12}
NOUNS = {"daily": "session", "monthly": "month"}
MOST_RATS = 24
STANDARDISED = "standardised_mean"  # the term of Jaffe's and Mandelker's test
FITS = {"jaffe_mandelker": "standardised"}


def long_windows(found: Findings) -> list[Window]:
    """The windows over which the ways to cumulate part; none where the study measures no return."""
    if outcome_of(found.settings):
        return []
    return [w for w in found.windows if len(w) > LONG]


def long_windows_table(found: Findings) -> Table | None:
    """Mean CAR as arithmetic, log and compounded sum beside the mean BHAR, for every long window; else None."""
    rows = []
    for window in long_windows(found):
        at = (pl.col("window_start") == window.start) & (pl.col("window_end") == window.end)
        cars = found.result.tables["cars"].filter(at)
        if not cars.is_empty():
            means = [percent(_mean(cars[c])) for c in ("car_simple", "car_log", "car_compound", "bhar")]
            bhar = cars["bhar"].drop_nulls()
            skew = bhar.skew(bias=False) if len(bhar) > 2 else None
            rows.append((str(window), str(len(cars)), *means, percent(_error(bhar)), fixed(skew)))
    if not rows:
        return None
    kind = "log" if found.settings["prices"]["returns"] == "log" else "simple"
    note = (
        f"Means over the events, in %. Arithmetic: sum of R - E. Log: sum of ln(1 + R) - ln(1 + E). Compound: product of "
        f"1 + R - E, less 1. BHAR: product of 1 + R less product of 1 + E. R return, E expected return, both simple. The CARs "
        f"of this memo are sums of {kind} abnormal returns. s.e.: cross-sectional, of the BHAR."
    )
    columns = ("Window", "N", "Arithmetic", "Log", "Compound", "BHAR", "s.e.", "Skewness")
    return Table(columns, (False, *[True] * 7), tuple(rows), notes=(note,))


def _mean(values: pl.Series) -> float | None:
    known = values.drop_nulls().to_numpy()
    return float(known.mean()) if len(known) else None


def _error(values: pl.Series) -> float | None:
    known = values.to_numpy()
    return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None


def long_window_words(found: Findings) -> list[str]:
    """What a CAR or BHAR over a long window cannot bear."""
    windows = long_windows(found)
    if not windows:
        return []
    longest = max(windows, key=len)
    said = [
        "Over a long window the way to cumulate decides: a sum of simple returns lies above the sum of their logs by about half "
        "their variance, day after day. The BHAR is what an investor earns beyond the expected return; it is bounded below and "
        "not above, so it is skewed: bhar_bootstrap allows for that, bhar_t does not."
    ]
    if any(c == "alpha" for c in found.result.manifest["coefficients"]):
        said.append(
            "The expected return carries the alpha of the estimation window on over the whole window: what a share gained before "
            "the event is expected of it for ever. The model market_adjusted has no alpha."
        )
    shared = _sharing(found, longest)
    if shared is not None and shared[1]:
        said.append(
            f"{shared[0]} of {count(shared[1], 'pair')} of events share sessions of their windows {longest}: their BHARs and "
            "CARs are not independent, and no test of BHARs allows for that. A calendar-time portfolio does."
        )
    return said


def _sharing(found: Findings, window: Window) -> tuple[int, int] | None:
    """How many pairs of events have windows that overlap in real time, of how many; None without daily rows."""
    table = found.result.tables.get("abnormal_returns")
    if table is None:
        return None
    inside = pl.col("relative_day").is_between(window.start, window.end)
    spans = table.filter(inside & pl.col("date").is_not_null()).group_by("event_id", "symbol")
    bounds = spans.agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
    first, last = (np.sort(bounds[c].to_numpy()) for c in ("first", "last"))
    n = len(first)
    apart = int(np.searchsorted(last, first, side="left").sum())  # pairs of which one ends before the other begins
    return n * (n - 1) // 2 - apart, n * (n - 1) // 2


def alpha_rows(found: Findings, terms: Sequence[str] = ("alpha",)) -> list[Row]:
    """The alphas of ``calendar_time``, in the order of the groups, weights as in the study; or the rows of other terms."""
    table = found.result.tables.get("calendar_time")
    if table is None:
        return []
    order = {g: i for i, g in enumerate(found.groups)}
    weights = found.settings["calendar_time"]["weights"]
    rows = table.filter(pl.col("term").is_in(terms)).to_dicts()
    ranks = {term: i for i, term in enumerate(terms)}
    return sorted(
        rows,
        key=lambda r: (
            order.get(r["group"], len(order)), weights.index(r["weighting"]), ranks[r["term"]], r["regression"],
        ),
    )  # fmt: skip


def calendar_time_table(found: Findings) -> Table | None:
    """The alpha of every portfolio a period and a year; None where the study has none."""
    rows = alpha_rows(found, ("alpha", STANDARDISED))
    if not rows:
        return None
    rule = found.settings["calendar_time"]
    a_year = PERIODS_A_YEAR[rule["frequency"]]
    cells = []
    for r in rows:
        alpha = r["estimate"] if r["term"] == "alpha" else None
        year = percent(None if alpha is None else a_year * alpha)
        label = (
            one_line(r["group"])
            if r["group"] == "all"
            else f"{r['group'].partition('=')[0]}: {one_line(r['group'].partition('=')[2])}"
        )
        cells.append(
            (one_line(label), r["weighting"], FITS.get(str(r["regression"]), str(r["regression"])),
             percent(alpha, 3) + ("" if alpha is None else stars(r["p_value"], r["n_periods"])), percent(r["se_hac"], 3),
             fixed(r["t"]), p_text(r["p_value"]), year, _interval(r), str(r["n"]),
             str(r["n_periods"]), fixed(r["mean_firms"], 1), str(r["periods_left_out"]))
        )  # fmt: skip
    noun = NOUNS[rule["frequency"]]
    columns = (
        "Group", "Weights", "Fit", f"alpha % a {noun}", "s.e.", "t", "p", "alpha % a year",
        f"{level_text(1 - found.alpha)} interval, % a {noun}", "Events", f"{noun.capitalize()}s", "Firms", "Left out",
    )  # fmt: skip
    return Table(columns, (False, False, False, *[True] * 10), tuple(cells), notes=tuple(_notes(found, rows)))


def _interval(row: Row) -> str:
    if row["ci_low"] is None or row["term"] == STANDARDISED:
        return NOTHING
    return f"{percent(row['ci_low'], 3)} to {percent(row['ci_high'], 3)}"


def _notes(found: Findings, rows: Sequence[Row]) -> list[str]:
    rule = found.settings["calendar_time"]
    noun, a_year = NOUNS[rule["frequency"]], PERIODS_A_YEAR[rule["frequency"]]
    lags = sorted({r["lags"] for r in rows if r["lags"] is not None})
    without = [r["no_history"] for r in rows if r["no_history"]]
    said = [
        f"A year is {a_year} {noun}s, not compounded. Firms: mean number a {noun}; left out: {noun}s with 1 to "
        f"{rule['min_firms'] - 1} firms." if rule["min_firms"] > 1 else f"A year is {a_year} {noun}s, not compounded.",
        f"s.e., t, p and interval: Newey-West with {_range(lags)} lags ({found.alternative}). ols: every {noun} counts the same; "
        "wls: by its number of firms.",
    ]  # fmt: skip
    said.append(
        f"standardised: mean of the abnormal returns, each over its own standard deviation, that of the same firms with the same "
        f"weights in the {rule['history']} {noun}s before (at least {rule['min_history']}), so that {noun}s with few firms weigh "
        "less; it has no size in %."
        + (
            f" {noun.capitalize()}s without such a past: {_range(sorted({min(without), max(without)}))}."
            if without
            else ""
        )
    )
    missing = sorted({f"{r['group']} {r['weighting']}: {r['unavailable']}" for r in rows if r["unavailable"]})
    return [*said, *[f"Unavailable, {one_line(m)}." for m in missing]]


def _range(lags: Sequence[int]) -> str:
    return str(lags[0]) if lags[0] == lags[-1] else f"{lags[0]} to {lags[-1]}"


def calendar_time_words(found: Findings) -> list[str]:
    """What is held, when, and against what, in words."""
    rule = found.settings.get("calendar_time")
    if not rule:
        return []
    held = (
        f"on its sessions {Window(*rule['hold'])} relative to day 0"
        if rule["hold"] is not None
        else f"in the {count(rule['months'], 'calendar month')} after the one of day 0"
    )
    explained = [c.removeprefix("beta_") for c in _regressors(found)]
    against = f"regressed on a constant and {', '.join(explained)}" if explained else "regressed on a constant alone"
    rate = "in excess of the risk-free rate" if (found.settings.get("factors") or {}).get("excess") else (
        "not in excess of a risk-free rate, which is in the alpha with weight 1 - beta"
    )  # fmt: skip
    return [
        f"In real time, not event time: a firm is held {held}, and the portfolio's {rule['frequency']} return is {against}. "
        f"Returns are simple, {rate}.",
        "A firm whose events overlap is held once. A day without a return leaves it out, a month only if whole; a firm that is "
        "delisted leaves on its last day. What events share in time is in the variance of the portfolio."
        + (" Across a gap its value is not known: weights by value do without it until its next event."
           if "value" in rule["weights"] else ""),
    ]  # fmt: skip


def _regressors(found: Findings) -> list[str]:
    terms = found.result.tables["calendar_time"]["term"].unique(maintain_order=True).to_list()
    return [t for t in terms if t.startswith("beta_")]


def rats_table(found: Findings) -> Table | None:
    """RATS of the whole sample, of many periods every so many; None where the study has none."""
    table = found.result.tables.get("rats")
    if table is None:
        return None
    rows: list[dict[str, Any]] = table.filter(pl.col("group") == "all").to_dicts()
    step = -(-len(rows) // MOST_RATS)
    shown = rows[step - 1 :: step] if step else []
    cells = tuple(
        (str(r["relative_period"]), str(r["n"]), percent(r["alpha"]), percent(r["se"]), fixed(r["t"]), p_text(r["p_value"]),
         percent(r["cumulated"]), percent(r["se_cumulated"]), fixed(r["t_cumulated"]), p_text(r["p_cumulated"]))
        for r in shown
    )  # fmt: skip
    noun = NOUNS[found.settings["calendar_time"]["frequency"]]
    note = f"All events. In %; the alpha of each {noun} is the intercept of one regression across the events of that {noun}."
    if step > 1:
        note += f" Every {step}th of {len(rows)}; all are in rats.csv."
    reasons = sorted({r["unavailable"] for r in rows if r["unavailable"]})
    columns = (f"Relative {noun}", "N", "alpha", "s.e.", "t", "p", "Cumulated", "s.e.", "t", "p")
    return Table(columns, (True,) * 10, cells, notes=(note, *[f"Unavailable: {one_line(r)}." for r in reasons]))


def long_windows_section(found: Findings) -> Section | None:
    """Three ways to cumulate over long windows, where the study has such."""
    table = long_windows_table(found)
    if table is None:
        return None
    return section(
        "Long windows",
        paragraph(long_window_words(found)),
        table.shown("long-windows", "Ways to cumulate over long windows, %"),
    )


def calendar_time_section(found: Findings) -> Section | None:
    """Portfolios in calendar time and RATS, where the study has them."""
    table, rats = calendar_time_table(found), rats_table(found)
    if table is None:
        return None
    return section(
        "Calendar time",
        paragraph(calendar_time_words(found)),
        table.shown("calendar-time", "Alpha of portfolios in calendar time", "dense"),
        Heading("RATS, returns across time and securities (Ibbotson)") if rats else None,
        rats.shown("rats", "Returns across time and securities", "dense") if rats else None,
    )
