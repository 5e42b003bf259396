"""Deals in the memo: both sides in per cent and money, and the windows between dates of each deal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from engine.report.document import Heading, Section, Table, paragraph, section
from engine.report.findings import Findings, Row, count
from engine.report.formats import FEWEST_FOR_STARS, NOTHING, fixed, is_number, one_line, p_text, percent, shortened
from engine.report.tables import MOST_EVENTS

SIDES = {"acquirer": 0, "target": 1, "combined": 2}
TEST_WORDS = {"cross_sectional_t": "t", "bmp": "bmp", "sign": "sign", "wilcoxon": "wilcoxon"}
UNITS = {"one": "", "thousand": " thousand", "million": " million", "billion": " billion"}


def deal_words(found: Findings) -> list[str]:
    """What the section holds, and what it cannot say."""
    said = []
    rows = _rows(found, "deals")
    if rows:
        both = [r for r in rows if r["role"] == "combined"]
        told = [r for r in both if r["gain"] is not None]
        said.append(
            f"None of {count(len(both), 'deal')} has both sides measured with a market value, so there is no combined CAR and no "
            "combined gain in money."
            if not told
            else f"Both sides of {len(told)} of {count(len(both), 'deal')} are measured and have a market value. The combined "
            "CAR weighs each side by its market value before the window; the gain is CAR times market value, its standard error "
            "allows for the correlation of the sides' residuals on the calendar days that both have (Bradley, Desai & Kim 1988)."
        )
        reasons = Counter(one_line(part) for r in both if r["gain"] is None for part in (r["reason"] or "").split("; "))
        if reasons:
            first = [f"{reason} ({n})" if n > 1 else reason for reason, n in reasons.most_common(4)]
            more = f", and {len(reasons) - 4} more reasons in deals.csv" if len(reasons) > 4 else ""
            said.append(f"{'Not told for the others' if told else 'Why'}: {', '.join(first)}{more}.")
        if told:
            total = sum(r["gain"] for r in told)
            said.append(f"All gains together: {_money(total)} {_unit(found)}.")
    return said


def deals_table(found: Findings) -> Table | None:
    """Acquirer, target and both together of every deal, in the primary window; None without ``[deals]``."""
    rows = sorted(_rows(found, "deals"), key=lambda r: (r["event_id"], SIDES[r["role"]], r["symbol"] or ""))
    if not rows:
        return None
    if all(r["gain"] is None for r in rows):
        return _without_money(found, rows)
    cells, last = [], None
    for r in rows[:MOST_EVENTS]:
        name = shortened(r["event_id"], 32) if r["event_id"] != last else ""
        last = r["event_id"]
        cells.append(
            (name, r["role"], shortened(r["symbol"] or "", 24), percent(r["car"]), percent(r["se"]), fixed(r["t"]),
             p_text(r["p_value"]), _money(r["market_value"]), _money(r["gain"]), _money(r["gain_se"]),
             one_line(r["reason"] or _dependence(r)))
        )  # fmt: skip
    unit = _unit(found)
    columns = (
        "Event", "Side", "Symbol", "CAR %", "s.e. %", "t", "p", "Value", f"Gain, {unit}", "s.e. of gain", "Note",
    )  # fmt: skip
    notes = [
        f"CAR and gain over {found.window}; value, gain and its s.e. in {unit}; t and p of the CAR, Student t with the fewest "
        "degrees of freedom of the sides."
    ]
    notes += _more(rows, "deals.csv")
    return Table(columns, (*[False] * 3, *[True] * 7, False), tuple(cells), notes=tuple(notes))


def _without_money(found: Findings, rows: list[Row]) -> Table:
    """The sides that are measured, or why none is, where no deal has a gain."""
    measured = [r for r in rows if r["car"] is not None]
    if not measured:
        why = [(shortened(r["event_id"], 32), one_line(r["reason"])) for r in rows if r["role"] == "combined"]
        return Table(
            ("Event", "Why not"), (False, False), tuple(why[:MOST_EVENTS]), notes=tuple(_more(why, "deals.csv"))
        )
    cells = [
        (shortened(r["event_id"], 32), r["role"], shortened(r["symbol"] or "", 24), percent(r["car"]), percent(r["se"]),
         fixed(r["t"]), p_text(r["p_value"]))
        for r in measured[:MOST_EVENTS]
    ]  # fmt: skip
    notes = [f"CAR over {found.window}; sides that are not measured are in deals.csv.", *_more(measured, "deals.csv")]
    columns = ("Event", "Side", "Symbol", "CAR %", "s.e. %", "t", "p")
    return Table(columns, (*[False] * 3, *[True] * 4), tuple(cells), notes=tuple(notes))


def named_windows_table(found: Findings) -> Table | None:
    """Every pair that has a named window, with its own days; None where the study has none."""
    table = found.result.tables.get("deal_windows")
    if table is None:
        return None
    none = pl.col("reason").fill_null("")
    shown = table.filter(~none.str.starts_with("no_") & ~none.str.starts_with("excluded")).to_dicts()
    order = {name: i for i, name in enumerate(found.settings["windows"]["named"])}
    shown.sort(key=lambda r: (order.get(r["name"], 0), r["event_id"], r["symbol"]))
    cells = [
        (one_line(r["name"]), shortened(r["event_id"], 32), shortened(r["symbol"], 24), str(r["first"] or NOTHING),
         str(r["last"] or NOTHING), NOTHING if r["n_days"] is None else str(r["n_days"]),
         percent(r["car"]), percent(r["se"]), fixed(r["t"]), p_text(r["p_value"]), percent(r["bhar"]),
         one_line(r["reason"] or ""))
        for r in shown[:MOST_EVENTS]
    ]  # fmt: skip
    columns = ("Window", "Event", "Symbol", "First", "Last", "Days", "CAR %", "s.e. %", "t", "p", "BHAR %", "Note")
    without = len(table) - len(shown)
    notes = ["Each event's own days; the standard error has the full forecast-error covariance of these days."]
    if without:
        notes.append(
            f"{without} of {len(table)} pairs and windows have no such days; deal_windows.csv says why for each."
        )
    notes += _more(shown, "deal_windows.csv")
    return Table(columns, (*[False] * 5, *[True] * 6, False), tuple(cells), notes=tuple(notes))


def deal_tests_table(found: Findings) -> Table | None:
    """The mean of combined CARs and of named windows with the p of each test, a row a group; None where nothing was tested."""
    table = found.result.tables.get("deal_significance")
    if table is None or table.is_empty():
        return None
    answers: dict[tuple[str, str, str], dict[str, Row]] = {}
    for r in table.to_dicts():
        answers.setdefault((r["measure"], r["window"], r["group"]), {})[r["test"]] = r
    order = {group: i for i, group in enumerate(found.groups)}
    cells = []
    for (measure, window, group), row in sorted(answers.items(), key=lambda a: (*a[0][:2], order.get(a[0][2], 0))):
        one = next(iter(row.values()))
        if one["n"] > 1 or (one["n"] and group == "all"):
            what = f"{window} ({measure})" if measure == "combined" else window
            p_values = [p_text(row[t]["p_value"]) if t in row else NOTHING for t in TEST_WORDS]
            label = group if group == "all" else f"{group.partition('=')[0]}: {one_line(group.partition('=')[2])}"
            cells.append((one_line(what), shortened(label, 40), str(one["n"]), percent(one["estimate"]), *p_values))
    columns = ("Window", "Group", "N", "Mean CAR %", *[f"p ({word})" for word in TEST_WORDS.values()])
    notes = (
        f"Tests that allow for windows of unequal length, independent events assumed ({found.alternative}). Fewer than "
        f"{FEWEST_FOR_STARS} events are a description, and overlapping windows or two lines of one firm are not independent.",
    )
    return Table(columns, (False, False, *[True] * 6), tuple(cells), notes=notes) if cells else None


def _rows(found: Findings, name: str) -> list[Row]:
    """The rows of the primary window."""
    table = found.result.tables.get(name)
    if table is None:
        return []
    at = (pl.col("window_start") == found.window.start) & (pl.col("window_end") == found.window.end)
    return table.filter(at).to_dicts()


def _dependence(row: Row) -> str:
    if row["correlation"] is None:
        return ""
    return f"residual correlation {fixed(row['correlation'])} on {count(row['common_days'], 'common day')}"


def _unit(found: Findings) -> str:
    chosen = found.settings["deals"]
    return f"{chosen['currency']}{UNITS[chosen['unit']]}"


def _money(value: float | None) -> str:
    """An amount with commas and one decimal; a dash for none."""
    return f"{value:,.1f}" if value is not None and is_number(value) else NOTHING


def _more(rows: Sequence[object], file: str) -> list[str]:
    return [f"The first {MOST_EVENTS} of {len(rows)}; all are in {file}."] if len(rows) > MOST_EVENTS else []


def deals_section(found: Findings) -> Section | None:
    """Both sides of every deal, the windows between its dates, and averages."""
    deals, named, tests = deals_table(found), named_windows_table(found), deal_tests_table(found)
    if deals is None and named is None:
        return None
    return section(
        "Deals",
        paragraph(deal_words(found)) if deals else None,
        deals.shown("deals", "Acquirer, target and both together", "dense deals") if deals else None,
        Heading("Windows between dates of each deal") if named else None,
        named.shown("named-windows", "Windows between dates of each deal", "dense deals") if named else None,
        Heading("Averages") if tests else None,
        tests.shown("deal-averages", "Averages of combined CARs and of named windows") if tests else None,
    )
