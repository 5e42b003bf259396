"""The tables of every memo, as `Table`: results by window and group, tests, events, exclusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from engine.report.certificate import MARK, mark_note, marked
from engine.report.document import Table
from engine.report.findings import EventCar, Findings, Row
from engine.report.formats import (
    FEWEST_FOR_STARS,
    NOTHING,
    fixed,
    is_number,
    level_text,
    listed,
    one_line,
    p_text,
    percent,
    shortened,
    stars,
)
from engine.report.wording import FLAGS, NULLS, measured_words
from engine.sessions import Window
from engine.ties import rejects

MOST_EVENTS = 500
FEW_EVENTS = 30
SHORT = {"permutation": "perm."}


# Stages whose rows do not take a pair out of the study.
KEPT = {
    "window": "of the window that its detail begins with",
    "crosssection": "of the specification that its detail begins with",
}


def group_label(group: str) -> str:
    """``consideration=cash`` as ``cash``; a value that says nothing alone with its column; the whole sample as ``all``."""
    column, _, value = group.partition("=")
    plain = any(c.isalpha() for c in value) and value.lower() not in ("yes", "no", "true", "false")
    return one_line(value if plain else f"{column} {value}") if "=" in group else group


def estimates(found: Findings, group: str, window: Window) -> tuple[int, float | None]:
    """N and mean CAR of a group, from its tests, or from the events where the study has no group test."""
    row = found.row(group, found.test, window) or next(iter(found.group_rows(group, window)), None)
    if row is not None:
        return row["n"], row["estimate"]
    column = group.partition("=")[0]
    if group != "all" and column not in ("sample", *found.result.tables["cars"].columns):
        counts = found.result.tables["averages"].filter(pl.col("group") == group)["n"].to_list()
        return max(counts, default=0), None
    cars = [r["car"] for r in car_rows(found, group, window) if r["car"] is not None]
    return len(cars), sum(cars) / len(cars) if cars else None


def car_rows(found: Findings, group: str, window: Window) -> list[Row]:
    """The rows of ``cars`` of one group and window."""
    column, _, value = group.partition("=")
    inside = found.result.tables["cars"].filter(_at(window))
    samples = found.settings["significance"].get("samples") or {}
    wanted = {} if group == "all" else samples.get(value, {}) if column == "sample" else {column: [value]}
    for name, values in wanted.items():
        if name == "exchange":
            there = found.result.tables["events"].filter(pl.col("exchange").is_in(values)).select("event_id", "symbol")
            inside = inside.join(there, on=["event_id", "symbol"], how="semi", maintain_order="left")
        else:
            inside = inside.filter(pl.col(name).is_in(values)) if name in inside.columns else inside.head(0)
    return inside.select("event_id", "symbol", "car").to_dicts()


def _at(window: Window) -> pl.Expr:
    return (pl.col("window_start") == window.start) & (pl.col("window_end") == window.end)


def judge(found: Findings, window: Window) -> str:
    """The primary single-event test, or where it answers in no other window but its own, the next one that does."""
    known = found.result.tables["event_significance"].filter(_at(window) & pl.col("p_value").is_not_null())["test"]
    able = [t for t in found.settings["significance"]["tests"] if t in set(known)]
    return found.test if window == found.window or found.test in able else next(iter(able), found.test)


def moved(found: Findings, group: str, window: Window) -> tuple[int, int]:
    """How many events of a group have p < alpha by the `judge` of the window, and for how many it answers."""
    members = {(r["event_id"], r["symbol"]) for r in car_rows(found, group, window)}
    rows = found.result.tables["event_significance"].filter(_at(window) & (pl.col("test") == judge(found, window)))
    answers = rows.select("event_id", "symbol", "p_value").rows()
    p_values = [p for event_id, symbol, p in answers if (event_id, symbol) in members and p is not None]
    return sum(rejects(p, found.alpha) for p in p_values), len(p_values)


def headline_rows(found: Findings) -> list[dict[str, str]]:
    """One row a group at the primary window, column title -> text."""
    made = []
    for group in found.groups:
        n, mean = estimates(found, group, found.window)
        row = found.row(group, found.test)
        p = row["p_value"] if row else None
        cells = {"group": one_line(group), "n": str(n), f"mean CAR {found.window} %": percent(mean) + stars(p, n)}
        if found.single:
            hits, tested = moved(found, group, found.window)
            cells[f"p < {level_text(found.alpha)} ({found.test})"] = f"{hits} of {tested}" if tested else NOTHING
        else:
            cells[found.test or "test"] = fixed(row["statistic"] if row else None, _digits(found.test))
            cells["p"] = p_text(p)
            known = row is not None and is_number(row["ci_low"]) and is_number(row["ci_high"])
            cells[f"{level_text(1 - found.alpha)} interval"] = (
                f"{percent(row['ci_low'])} to {percent(row['ci_high'])}" if row and known else NOTHING
            )
        made.append(cells)
    return made


def verdicts_table(found: Findings) -> Table:
    """What can be said of every group at the primary window: estimate with its uncertainty, and how many tests reject."""
    level = level_text(found.alpha)
    if found.single:
        title = f"p < {level} ({found.test})"
        columns: tuple[str, ...] = ("Group", "N", "Mean CAR %", title, "By chance", "Verdict")
    else:
        interval = f"{level_text(1 - found.alpha)} interval %"
        columns = (
            "Group",
            "N",
            "Mean CAR %",
            interval,
            f"p ({shortened(found.test or 'none', 24)})",
            "Rejecting",
            "Verdict",
        )
    rows = [(_single_verdict if found.single else _group_verdict)(found, group) for group in found.groups]
    notes = [
        f"Window {found.window}, {found.alternative}, level {level}, not adjusted for the number of groups."
        + (
            ""
            if found.single
            else " Noise: not distinguishable from what such shares do without news, which is not the same as "
            "no effect."
        )
    ]
    if any(MARK in cell for row in rows for cell in row):
        notes.append(mark_note(found))
    return Table(columns, (False, *[True] * (len(columns) - 2), False), tuple(rows), notes=tuple(notes))


def _group_verdict(found: Findings, group: str) -> tuple[str, ...]:
    n, mean = estimates(found, group, found.window)
    row = found.row(group, found.test)
    p = row["p_value"] if row else None
    answers = [r["p_value"] for r in found.group_rows(group) if r["p_value"] is not None]
    hits = sum(rejects(value, found.alpha) for value in answers)
    said = "no answer"
    if answers:
        rejected = p is not None and rejects(p, found.alpha)
        said = "more than noise" if rejected or (p is None and hits) else "noise"
        said += "" if hits in (0, len(answers)) else "; the tests disagree"
    if n < FEWEST_FOR_STARS and answers:
        said += "; few events, a description"
    interval = _effects(row) if row else NOTHING
    primary = f"{p_text(p)}{_mark(found, group, found.test, found.window)}"
    return (group_name(group), str(n), percent(mean), interval, primary, f"{hits} of {len(answers)}", said)


def _single_verdict(found: Findings, group: str) -> tuple[str, ...]:
    n, mean = estimates(found, group, found.window)
    hits, tested = moved(found, group, found.window)
    said = "no answer"
    if tested:
        more = (
            "more events moved than by chance alone" if hits > found.alpha * tested else "no more than by chance alone"
        )
        said = "none moved" if not hits else more
    chance = fixed(found.alpha * tested, 1) if tested else NOTHING
    return (group_name(group), str(n), percent(mean), f"{hits} of {tested}" if tested else NOTHING, chance, said)


def group_name(group: str) -> str:
    """``consideration: cash``; the whole sample as ``all``."""
    return one_line(group) if "=" not in group else ": ".join(one_line(part) for part in group.split("=", 1))


def _digits(test: str) -> int:
    """The statistic of `permutation` is a return, every other one a score."""
    return 4 if test == "permutation" else 2


def main_table(found: Findings) -> Table:
    """Groups in rows, windows in columns: mean CAR in % with stars, below it the statistic in parentheses."""
    rows: list[tuple[str, ...]] = []
    kinds: list[str] = []
    windows = found.windows
    last = ""
    for group in found.groups:
        column = group.partition("=")[0] if group != "all" else ""
        if column != last:
            rows.append((one_line(column), *[""] * (len(windows) + 1)))
            kinds.append("head")
            last = column
        n, _ = estimates(found, group, found.window)
        cells = [window_cell(found, group, w, n) for w in windows]
        rows.append((group_label(group), str(n), *[top for top, _ in cells]))
        rows.append(("", "", *[below for _, below in cells]))
        kinds += ["", "sub"]
    titles = tuple(str(w) for w in windows)
    return Table(("Group", "N", *titles), (False, *[True] * (len(titles) + 1)), tuple(rows), tuple(kinds), foot(found))


def window_cell(found: Findings, group: str, window: Window, n_primary: int) -> tuple[str, str]:
    n, mean = estimates(found, group, window)
    other_n = f"; N {n}" if n != n_primary else ""
    if found.single:
        hits, tested = moved(found, group, window)
        return percent(mean), f"({f'{hits} of {tested}' if tested else NOTHING}{other_n})"
    row = found.row(group, found.test, window)
    p, statistic = (row["p_value"], row["statistic"]) if row else (None, None)
    below = p_text(p) if found.test == "permutation" else fixed(statistic)
    return percent(mean) + stars(p, n), f"({below}{other_n}){_mark(found, group, found.test, window)}"


def foot(found: Findings) -> tuple[str, ...]:
    settings = found.settings
    stated = (str(v["benchmark"]) for v in found.result.manifest["listings"].values())
    benchmarks = sorted({name for several in stated for name in several.split(", ") if name})
    if found.single:
        below = f"events with p < {level_text(found.alpha)} by {found.test} of the events it answers for"
        others: dict[str, list[str]] = {}
        for window in found.windows:
            others.setdefault(judge(found, window), []).append(str(window))
        below += "".join(f", in {listed(names)} by {test}" for test, names in others.items() if test != found.test)
        mark = "No stars: the primary test judges events, not means; a dash where it has no answer."
    else:
        below = f"p of {found.test}" if found.test == "permutation" else f"statistic of {found.test}"
        mark = (
            f"*, **, ***: p below 10, 5, 1 % by {found.test}, not adjusted; no stars below {FEWEST_FOR_STARS} events."
        )
    return (
        f"Mean CAR in %; in parentheses the {below} ({found.alternative}).",
        mark,
        f"Primary window {found.window} (the first of the study), primary test {found.test or 'none'} (the first of the study).",
        f"Model {settings['model']['name']}, estimation window {Window(*settings['model']['estimation_window'])}, "
        f"{measured_words(settings)}, benchmark {', '.join(shortened(b, 24) for b in benchmarks) or 'none'}.",
    )


def all_tests_table(found: Findings, group: str = "all") -> Table:
    """Every test of the whole sample at the primary window."""
    rows = []
    for r in found.group_rows(group):
        said = f"unavailable: {r['unavailable']}" if r["unavailable"] else r["note"] or ""
        null = "; ".join(text for text in (NULLS.get(r["test"], ""), said) if text)
        of = f" {r['distribution']}" if r["distribution"] else ""
        statistic = f"{fixed(r['statistic'], _digits(r['test']))}{of}"
        numbers = (p_text(r["p_value"]), p_text(r["p_holm"]), _effects(r))
        rows.append(
            (
                f"{r['test']}{_mark(found, group, r['test'], found.window)}",
                str(r["n"]),
                statistic,
                *numbers,
                one_line(null),
            )
        )
    interval = f"{level_text(1 - found.alpha)} interval %"
    columns = ("Test", "N", "Statistic", "p", "Holm p", interval, "Null; note")
    return Table(columns, (False, True, True, True, True, True, False), tuple(rows))


def _mark(found: Findings, group: str, test: str, window: Window) -> str:
    """The mark behind a test that does not hold its size on a group of the study; only some groups are certified."""
    return marked(found, test, window, group=group)


def _effects(row: Row) -> str:
    """The effects that a test does not reject; an end without bound as a dash."""
    low, high = row["ci_low"], row["ci_high"]
    if not is_number(low) and not is_number(high):
        return NOTHING
    return f"{percent(low)} to {percent(high)}"


def event_tests(found: Findings) -> list[str]:
    """The single-event tests that answer for any measured event, without `forecast_error_t`, whose p is in ``cars``."""
    asked, there = found.settings["significance"]["tests"], set(found.result.tables["event_significance"]["test"])
    return [t for t in asked if t != "forecast_error_t" and t in there and found.p_values(t)]


def events_table(found: Findings) -> Table:
    """Every pair of the calendar: day 0, CAR at the primary window, its standard error and p-values."""
    further = event_tests(found)
    columns = (
        "Event",
        "Symbol",
        "Name",
        "Day 0",
        "Hours",
        "CAR %",
        "s.e. %",
        "t",
        "p (t)",
        *[f"p ({SHORT.get(t, t)})" for t in further],
    )
    rows = [_event_row(e, further) for e in found.events[:MOST_EVENTS]]
    notes = [
        f"CAR {found.window}. Hours from the news to the open of day 0, negative in session, {NOTHING} without a clock time. "
        "t and p (t): CAR over its forecast-error standard error, Student t. p-values are not adjusted for the number of events."
    ]
    if len(found.events) > MOST_EVENTS:
        notes.append(f"The first {MOST_EVENTS} of {len(found.events)}; all are in cars.csv.")
    numeric = (False, False, False, False, *[True] * (len(columns) - 4))
    return Table(columns, numeric, tuple(rows), notes=tuple(notes))


def _event_row(event: EventCar, further: Sequence[str]) -> tuple[str, ...]:
    name = f"{event.name} {event.name_zh}".strip()
    day = str(event.event_day) if event.event_day else NOTHING
    p_values = [p_text((event.tests or {}).get(t, {}).get("p_value")) for t in further]
    car = percent(event.car) if event.car is not None else NOTHING
    return (
        shortened(event.event_id, 48), shortened(event.symbol, 24), shortened(name, 32), day, fixed(event.hours_to_open, 1),
        car, percent(event.se), fixed(event.t), p_text(event.p_value), *p_values,
    )  # fmt: skip


def windows_table(found: Findings) -> Table | None:
    """The CAR of every event in every window with its t; for small studies with several windows, else None."""
    if len(found.events) > FEW_EVENTS or len(found.windows) < 2:
        return None
    cells = {
        (r["event_id"], r["symbol"], r["window_start"], r["window_end"]): f"{percent(r['car'])} ({fixed(r['t'])})"
        for r in found.result.tables["cars"].to_dicts()
    }
    rows = [
        (shortened(e.event_id, 48), shortened(e.symbol, 24),
         *[cells.get((e.event_id, e.symbol, w.start, w.end), NOTHING) for w in found.windows])
        for e in found.events
    ]  # fmt: skip
    columns = ("Event", "Symbol", *[str(w) for w in found.windows])
    note = "CAR in % with its t in parentheses, CAR over its forecast-error standard error."
    return Table(columns, (False, False, *[True] * len(found.windows)), tuple(rows), notes=(note,))


def exclusions_table(found: Findings) -> Table | None:
    """The losses with their reasons, None where nothing was lost."""
    rows = found.result.tables["exclusions"].rows()
    if not rows:
        return None
    cells = tuple(tuple("" if v is None else one_line(v) for v in row) for row in rows[:MOST_EVENTS])
    stages = {row[2] for row in rows} & set(KEPT)
    notes = [
        f"Stage {stage}: the pair is among those used, and left out {KEPT[stage]} alone." for stage in sorted(stages)
    ]
    if len(rows) > MOST_EVENTS:
        notes.append(f"The first {MOST_EVENTS} of {len(rows)}; all are in exclusions.csv.")
    return Table(("Event", "Symbol", "Stage", "Reason", "Detail"), (False,) * 5, cells, notes=tuple(notes))


def flags_table(found: Findings) -> Table | None:
    """How often each flag of the calendar occurs, None where none does."""
    counted = Counter(flag for e in found.events for flag in e.flags)
    if not counted:
        return None
    rows = tuple((flag, str(n), FLAGS.get(flag, "")) for flag, n in sorted(counted.items()))
    return Table(("Flag", "Events", "Meaning"), (False, True, False), rows)
