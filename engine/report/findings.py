"""What a result says at its primary window: `Findings`, read once from the tables and the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from engine.report.formats import one_line
from engine.results import StudyResult
from engine.sessions import Window

Row = dict[str, Any]
KEY = ("event_id", "symbol")


@dataclass(frozen=True)
class EventCar:
    """One event and listing at the primary window.

    car, se, low, high: as fractions; low and high bound the 1 - alpha interval, Student t with the fit's degrees of
    freedom. All None for an event that is not complete in the window. tests: the row of each single-event test.
    group: its value of the first group column, None for none. session_known: the stamp is a clock time, or a date of which
    the calendar says before the open or after the close.
    """

    event_id: str
    symbol: str
    name: str
    name_zh: str
    event_day: date | None
    hours_to_open: float | None
    flags: tuple[str, ...]
    session_known: bool = False
    car: float | None = None
    se: float | None = None
    t: float | None = None
    p_value: float | None = None
    low: float | None = None
    high: float | None = None
    group: str | None = None
    tests: Mapping[str, Row] | None = None


@dataclass(frozen=True)
class Findings:
    """A result as charts and memo read it.

    window, test: the primary ones, the first of the study. single: the primary test answers event by event only.
    groups: ``all`` first, then in the order of the study's columns. tests: the rows of ``significance`` by group, window
    and test. events: every pair of the calendar, by event_id and symbol. column: the first group column, "" for none.
    """

    result: StudyResult
    settings: Mapping[str, Any]
    window: Window
    test: str
    single: bool
    alpha: float
    alternative: str
    column: str
    groups: tuple[str, ...]
    tests: Mapping[tuple[str, Window, str], Row]
    events: tuple[EventCar, ...]

    @property
    def windows(self) -> tuple[Window, ...]:
        """The CAR windows in the order of the study."""
        return tuple(Window(*w) for w in self.settings["windows"]["car"])

    @cached_property
    def measured(self) -> tuple[EventCar, ...]:
        """The events that are complete in the primary window."""
        return tuple(e for e in self.events if e.car is not None)

    @cached_property
    def noun(self) -> str:
        """What is counted: events, or event-listing pairs where one event has several listings."""
        ids = [e.event_id for e in self.events]
        return "event" if len(set(ids)) == len(ids) else "event-listing pair"

    @property
    def p_word(self) -> str:
        """Put before a p-value that is not two-sided."""
        return "" if self.alternative == "two-sided" else "one-sided "

    def row(self, group: str, test: str, window: Window | None = None) -> Row | None:
        """The answer of one test, None where it was not asked."""
        return self.tests.get((group, self.window if window is None else window, test))

    def group_rows(self, group: str = "all", window: Window | None = None) -> list[Row]:
        """The answers of all group tests, in the order of the study."""
        rows = (self.row(group, test, window) for test in self.settings["significance"]["tests"])
        return [r for r in rows if r is not None]

    def p_values(self, test: str) -> list[tuple[EventCar, float]]:
        """The measured events for which the single-event ``test`` has an answer, with their p-values."""
        rows = [(e, (e.tests or {}).get(test)) for e in self.measured]
        return [(e, r["p_value"]) for e, r in rows if r is not None and r["p_value"] is not None]


def count(n: int, noun: str) -> str:
    """``1 event``, ``85 events``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def span_text(window: Window) -> str:
    """``over [-1, 1]``, or ``on day 0`` for a window of one day."""
    return f"on day {window.start}" if len(window) == 1 else f"over {window}"


def read_findings(result: StudyResult) -> Findings:
    """The primary window, the primary test and all events of ``result``, none where these are not in memory.

    Read once, and kept with the result: its answer, its headline and its memo ask one after another.
    """
    kept = vars(result)
    if "findings" not in kept:
        kept["findings"] = _findings(result)
    found: Findings = kept["findings"]
    return found


def _findings(result: StudyResult) -> Findings:
    settings = result.manifest["settings"]
    chosen = settings["significance"]
    window = Window(*settings["windows"]["car"][0])
    test = chosen["tests"][0] if chosen["tests"] else ""
    rows = result.tables["significance"].to_dicts()
    tests = {(r["group"], Window(r["window_start"], r["window_end"]), r["test"]): r for r in rows}
    column = chosen["group_by"][0] if chosen["group_by"] else ""
    return Findings(
        result=result,
        settings=settings,
        window=window,
        test=test,
        single=bool(test) and all(r["test"] != test for r in rows) and _has_test(result, test),
        alpha=chosen["alpha"],
        alternative=chosen["alternative"],
        column=column,
        groups=_groups(result, [*chosen["group_by"], "sample"]),
        tests=tests,
        events=() if result.streamed else _events(result, window, column, chosen["alpha"]),
    )


def _has_test(result: StudyResult, test: str) -> bool:
    return test in result.tables["event_significance"]["test"].to_list()


def _groups(result: StudyResult, columns: list[str]) -> tuple[str, ...]:
    """``all`` and the groups of every column in the order of the study; values in alphabetical order."""
    present = sorted(set(result.tables["averages"]["group"]) | set(result.tables["significance"]["group"]))
    ordered = [g for c in columns for g in present if g.startswith(f"{c}=")]
    return ("all", *dict.fromkeys(ordered))


def _events(result: StudyResult, window: Window, column: str, alpha: float) -> tuple[EventCar, ...]:
    at = (pl.col("window_start") == window.start) & (pl.col("window_end") == window.end)
    inside, told = result.tables["cars"].filter(at), result.tables["events"]
    own_car, own_event = ([pl.col(column).alias("group")] if column in t.columns else [] for t in (inside, told))
    cars = {(r[0], r[1]): r[2:] for r in inside.select(*KEY, "car", "se", "t", "p_value", *own_car).rows()}
    dof = {(e, s): d for e, s, d in result.tables["fits"].select(*KEY, "dof").rows()}
    tests: dict[tuple[str, str], dict[str, Row]] = {}
    for row in result.tables["event_significance"].filter(at).to_dicts():
        tests.setdefault((row["event_id"], row["symbol"]), {})[row["test"]] = row
    half = _half_widths({k: (r[1], dof.get(k)) for k, r in cars.items()}, alpha)
    listings = result.manifest.get("listings", {})
    names = {s: (one_line(k.get("name") or ""), one_line(k.get("name_zh") or "")) for s, k in listings.items()}
    made = []
    for event_id, symbol, day, hours, flags, stamp, *group in told.select(
        *KEY, "event_day", "hours_to_open", "flags", "stamp_used", *own_event
    ).rows():
        key = (event_id, symbol)
        car, se, t, p_value, *own = cars.get(key, (None, None, None, None))
        name, name_zh = names.get(symbol, ("", ""))
        wide = half.get(key) if car is not None else None
        made.append(
            EventCar(
                event_id,
                symbol,
                name,
                name_zh,
                event_day=day,
                hours_to_open=hours,
                flags=tuple(flags.split(";")) if flags else (),
                session_known="T" in (stamp or "") and "T12:00" not in stamp,
                car=car,
                se=se,
                t=t,
                p_value=p_value,
                low=car - wide if wide is not None else None,
                high=car + wide if wide is not None else None,
                group=next(iter(own or group), None),
                tests=tests.get(key, {}),
            )
        )
    return tuple(made)


def _half_widths(
    errors: Mapping[tuple[str, str], tuple[float | None, int | None]], alpha: float
) -> dict[tuple[str, str], float]:
    """Half the 1 - alpha interval of each event that has a standard error."""
    known = {k: (se, dof) for k, (se, dof) in errors.items() if se is not None and dof is not None and dof > 0}
    if not known:
        return {}
    quantiles = student_quantiles([dof for _, dof in known.values()], alpha)
    return {k: q * se for (k, (se, _)), q in zip(known.items(), quantiles, strict=True)}


def student_quantiles(dof: Iterable[int], alpha: float) -> list[float]:
    """The upper alpha/2 quantiles of Student t."""
    from engine.significance.sample import quantiles_of

    return [float(q) for q in quantiles_of(alpha, np.array(list(dof)))]
