"""Results turn back into tables here: one function for each result table, in its schema (`engine.schemas`).

Floats carry 15 significant digits from the moment a table is made, so what is written is what is read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import AbnormalReturns, Averages, Cars, average
from engine.announcements import Announcements, Reaction
from engine.announcements.contamination import Contamination
from engine.calendar_time import InCalendarTime
from engine.market.prices import PriceSeries
from engine.models import NormalFits
from engine.panel import EventPanel, Exclusion
from engine.schemas import DAY, DIGITS, DRY_RUN, KEYS, NUMBER, SCHEMAS, TEXT, WHOLE
from engine.sessions import NO_DAY, Window
from engine.significance import CarSample, EventSignificance, Significance, multiplicity, romano_wolf

Ints = npt.NDArray[np.int64]


def table(name: str, columns: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """A result table in its schema: typed, NaN as null, "" as null, floats at 15 digits, sorted by its key.

    extra: further columns after the schema's, name -> polars type.
    """
    schema = SCHEMAS[name] | dict(extra or {})
    made = {column: _typed(values, schema[column]) for column, values in columns.items()}
    frame = pl.DataFrame(made, schema=schema, strict=False)
    return frame.sort(KEYS[name], maintain_order=True, nulls_last=True)


def rows_table(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """A result table from its rows; a column that a row does not name is empty there."""
    return table(name, {column: [row.get(column) for row in rows] for column in SCHEMAS[name]})


def _typed(values: Any, kind: Any) -> list[Any] | pl.Series:
    if kind == NUMBER:
        return numbers(np.asarray(values, dtype=np.float64))
    if kind == DAY:
        days = np.asarray(values, dtype="datetime64[D]")
        return pl.Series(days.astype(np.int32), dtype=pl.Int32).set(pl.Series(np.isnat(days)), None).cast(pl.Date)
    if kind == WHOLE and isinstance(values, list) and None in values:
        return [None if v is None else int(v) for v in values]
    if kind == WHOLE:
        return list(np.asarray(values, dtype=np.int64).tolist())
    return [v if v else None for v in values]


def numbers(values: npt.NDArray[np.float64]) -> pl.Series:
    """A column of `canonical` floats; null where there is no finite number."""
    return pl.Series(canonical(np.where(np.isfinite(values), values, np.nan)), dtype=pl.Float64, nan_to_null=True)


def canonical(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The floats that 15 significant digits name, as ``float(f"{v:.15g}")`` gives them one by one; -0 is 0.

    With s = 10^k the power that brings a value to 15 digits before the point, v s is rounded to a whole number r: v s and
    what its product rounds away are known exactly (Dekker 1971), and r / s is the float nearest to the decimal as long as s is
    exact, k <= 22 (Clinger 1990). What is too small or too large for that is formatted.
    """
    made, size = values + 0.0, np.abs(values)
    plain = (size >= SMALLEST_EXACT) & (size < 10.0 ** (DIGITS - 1))
    rare = np.flatnonzero(~plain & np.isfinite(values) & (size > 0))
    v = size[plain]
    k = DIGITS - 1 - np.floor(np.log10(v)).astype(np.int64)
    k += (v * POWERS[np.minimum(k, 22)] < POWERS[DIGITS - 1]).astype(np.int64)  # the logarithm may be one off
    k -= (v * POWERS[np.minimum(k, 22)] >= POWERS[DIGITS]).astype(np.int64)
    k = np.minimum(k, 22)
    s = POWERS[k]
    product, rest = _two_product(v, s)
    whole = np.rint(product)
    half = product - whole  # exact; only a half can be turned by the rest
    whole += (half == 0.5) & (rest > 0)
    whole -= (half == -0.5) & (rest < 0)
    made[plain] = np.copysign(whole / s, values[plain])
    made[rare] = formatted(values[rare])
    return made


def formatted(values: npt.NDArray[np.float64]) -> list[float]:
    """The floats that 15 significant digits name, one by one."""
    return [float(f"{x:.{DIGITS}g}") for x in values.tolist()]


POWERS: npt.NDArray[np.float64] = 10.0 ** np.arange(23, dtype=np.float64)
SMALLEST_EXACT = 1e-7


def _two_product(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[Any, Any]:
    """a b rounded, and what rounding took: Dekker (1971)."""
    product = a * b

    def split(x: npt.NDArray[np.float64]) -> tuple[Any, Any]:
        high = x * 134217729.0
        high = high - (high - x)
        return high, x - high

    (a1, a2), (b1, b2) = split(a), split(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def events_table(
    announcements: Announcements, exchanges: Sequence[str | None], reactions: Sequence[Reaction]
) -> pl.DataFrame:
    """``events.csv``: the stamp, day 0 and why, of every pair of the calendar."""
    calendar = announcements.table
    return table(
        "events",
        {
            "event_id": calendar["event_id"],
            "symbol": calendar["symbol"],
            "exchange": [e or "" for e in exchanges],
            "announced_at": calendar["announced_at"],
            "stamp_used": [r.stamp.text for r in reactions],
            "event_day": [NO_DAY if r.event_day is None else r.event_day for r in reactions],
            "hours_to_open": [np.nan if r.hours_to_open is None else r.hours_to_open for r in reactions],
            "reason": [r.reason for r in reactions],
            "flags": [";".join(r.flags) for r in reactions],
            "venue_time": [r.venue_time for r in reactions],
        },
    )


def _ids(panel: EventPanel, members: Ints | None = None) -> dict[str, list[str]]:
    pairs = panel.pairs if members is None else [panel.pairs[i] for i in members]
    return {"event_id": [p.event_id for p in pairs], "symbol": [p.symbol for p in pairs]}


def fits_table(panel: EventPanel, fits: NormalFits, model: str) -> pl.DataFrame:
    """``fits.csv``, one column a coefficient."""
    columns = _ids(panel) | {
        "model": [model] * len(panel.pairs), "n_obs": fits.n_obs, "dof": fits.dof, "sigma": fits.sigma, "r2": fits.r2,
    }  # fmt: skip
    columns |= {name: fits.coefficients[:, k] for k, name in enumerate(fits.names)}
    return table("fits", columns, dict.fromkeys(fits.names, NUMBER))


def abnormal_table(panel: EventPanel, abnormal: AbnormalReturns) -> pl.DataFrame:
    """``abnormal_returns.csv``: one row for each event and relative day; trade to trade also the sessions that it covers."""
    n, days = abnormal.ar.shape
    ids = {name: np.repeat(values, days).tolist() for name, values in _ids(panel).items()}
    return table(
        "abnormal_returns",
        ids
        | {
            "relative_day": np.tile(abnormal.window.days, n),
            "date": panel.event_dates.ravel(),
            "actual": abnormal.actual.ravel(),
            "expected": abnormal.expected.ravel(),
            "ar": abnormal.ar.ravel(),
            "sar": abnormal.sar.ravel(),
        }
        | ({"sessions": abnormal.spans.ravel()} if abnormal.spans is not None else {}),
        {"sessions": NUMBER} if abnormal.spans is not None else None,
    )


def trading_table(panel: EventPanel, series: Mapping[str, PriceSeries]) -> pl.DataFrame:
    """``trading.csv``: close and volume of the price file on every day of the event window, empty where it has none."""
    n, days = panel.event_dates.shape
    ids = {name: np.repeat(values, days).tolist() for name, values in _ids(panel).items()}
    found = {c: np.full((n, days), np.nan) for c in ("close", "volume")}
    for i, pair in enumerate(panel.pairs):
        one = series[pair.symbol]
        at = np.searchsorted(one.dates, panel.event_dates[i])
        held = at < len(one.dates)
        held[held] = one.dates[at[held]] == panel.event_dates[i][held]
        for name in found:
            if name in one.columns:
                found[name][i, held] = one.columns[name][at[held]]
    relative = np.tile(panel.event_window.days, n)
    flat = {name: values.ravel() for name, values in found.items()}
    return table("trading", ids | {"relative_day": relative, "date": panel.event_dates.ravel()} | flat)


def cars_table(
    announcements: Announcements, panel: EventPanel, cars: Sequence[Cars], p_values: Sequence[npt.NDArray[np.float64]]
) -> pl.DataFrame:
    """``cars.csv``: one row for each complete event and window, with the calendar's attributes."""
    attributes = announcements.attributes
    names = attributes.columns[2:]
    row_of = {key: i for i, key in enumerate(attributes.select("event_id", "symbol").rows())}
    rows = [row_of[p.event_id, p.symbol] for p in panel.pairs]
    columns: dict[str, list[Any]] = {c: [] for c in (*SCHEMAS["cars"], *names)}
    for c, p in zip(cars, p_values, strict=True):
        inside = np.flatnonzero(c.complete)
        ids = _ids(panel, inside)
        columns["event_id"] += ids["event_id"]
        columns["symbol"] += ids["symbol"]
        columns["window_start"] += [c.window.start] * len(inside)
        columns["window_end"] += [c.window.end] * len(inside)
        numbers = {
            "car": c.car, "se": c.se, "t": c.scar, "p_value": p, "scar": c.scar, "bhar": c.bhar, "car_simple": c.simple,
            "car_log": c.log, "car_compound": c.compound,
        }  # fmt: skip
        for name, values in numbers.items():
            columns[name] += values[inside].tolist()
        for name in names:
            cells = attributes[name].to_list()
            columns[name] += [cells[rows[i]] for i in inside]
    return table("cars", columns, dict.fromkeys(names, TEXT))


def averages_table(groups: Sequence[tuple[str, Ints]], abnormal: AbnormalReturns) -> pl.DataFrame:
    """``averages.csv``: AAR and CAAR of every group."""
    return averages_of([(name, average(abnormal.by_day[members])) for name, members in groups], abnormal.window)


def averages_of(groups: Sequence[tuple[str, Averages]], window: Window) -> pl.DataFrame:
    """The same of averages that are made already."""
    columns: dict[str, list[Any]] = {c: [] for c in SCHEMAS["averages"]}
    for name, averages in groups:
        columns["group"] += [name] * len(window)
        columns["relative_day"] += window.days.tolist()
        for column in ("n", "aar", "caar", "se_aar", "se_caar", "share_positive"):
            columns[column] += getattr(averages, column).tolist()
    return table("averages", columns)


def significance_table(answers: Sequence[Significance], alternative: str) -> pl.DataFrame:
    """``significance.csv``: one row for each group, window and test; adjusted over the windows of a test and group, and over
    the windows and groups of one group column."""
    columns: dict[str, list[Any]] = {
        "group": [a.group for a in answers],
        "window_start": [a.window.start for a in answers],
        "window_end": [a.window.end for a in answers],
        "test": [a.name for a in answers],
        "ci_low": [a.ci[0] for a in answers],
        "ci_high": [a.ci[1] for a in answers],
    }
    for name in ("n", "estimate", "statistic", "distribution", "p_value", "unavailable", "se", "note"):
        columns[name] = [getattr(a, name) for a in answers]
    families = [(a.group, a.name) for a in answers]
    columns["p_holm"], columns["p_bh"] = adjusted(families, columns["p_value"])
    columns["p_romano_wolf"] = _stepped_down(families, columns["statistic"], [a.draws for a in answers], alternative)
    wider = [(a.group.partition("=")[0], a.name) for a in answers]  # all groups of one column, as claims are
    columns["p_holm_groups"], columns["p_bh_groups"] = adjusted(wider, columns["p_value"])
    across = _stepped_down(wider, columns["statistic"], [a.across for a in answers], alternative)
    columns["p_romano_wolf_groups"] = across
    return table("significance", columns)


def event_significance_table(
    panel: EventPanel, answers: Sequence[tuple[Ints, CarSample, EventSignificance]]
) -> pl.DataFrame:
    """``event_significance.csv``: one row for each event, window and single-event test."""
    ids = _ids(panel)
    return single_event_table(ids["event_id"], ids["symbol"], answers)


def single_event_table(
    event_ids: Sequence[str], symbols: Sequence[str], answers: Sequence[tuple[Ints, CarSample, EventSignificance]]
) -> pl.DataFrame:
    """The same for pairs given by name."""
    columns: dict[str, list[Any]] = {c: [] for c in SCHEMAS["event_significance"]}
    draws: list[npt.NDArray[np.float64]] = []
    for members, sample, answer in answers:
        k = len(members)
        missing = [bool(reason) for reason in answer.unavailable]
        columns["event_id"] += [event_ids[i] for i in members]
        columns["symbol"] += [symbols[i] for i in members]
        columns["window_start"] += [answer.window.start] * k
        columns["window_end"] += [answer.window.end] * k
        columns["test"] += [answer.name] * k
        columns["n"] += [1] * k
        columns["estimate"] += sample.car.tolist()
        for name in ("statistic", "p_value", "se", "ci_low", "ci_high"):
            columns[name] += np.where(missing, np.nan, getattr(answer, name)).tolist()
        for name in ("distribution", "note", "unavailable"):
            columns[name] += getattr(answer, name)
        draws += answer.draws or [np.empty(0)] * k
    families = list(zip(columns["event_id"], columns["symbol"], columns["test"], strict=True))
    columns["p_holm"], columns["p_bh"] = adjusted(families, columns["p_value"])
    alternative = answers[0][1].alternative if answers else ""
    columns["p_romano_wolf"] = _stepped_down(families, columns["statistic"], draws, alternative)
    return table("event_significance", columns)


def adjusted(families: Sequence[tuple[str, ...]], p_values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Holm and Benjamini-Hochberg over the windows of one test and group, or event."""
    holm, bh = [np.nan] * len(families), [np.nan] * len(families)
    for positions in _rows_of(families):
        adjusted = multiplicity(p_values[i] for i in positions)
        for i, h, b in zip(positions, *adjusted, strict=True):
            holm[i], bh[i] = h, b
    return holm, bh


def _stepped_down(
    families: Sequence[tuple[str, ...]], values: Sequence[float], draws: Sequence[npt.NDArray[np.float64]],
    alternative: str,
) -> list[float]:  # fmt: skip
    """Romano-Wolf over the same windows, of the answers that have joint draws under the null."""
    made = [np.nan] * len(families)
    for positions in _rows_of(families):
        drawn = [i for i in positions if len(draws[i])]
        if drawn:
            adjusted = romano_wolf(
                np.array([values[i] for i in drawn]), np.stack([draws[i] for i in drawn]), alternative
            )
            for i, p in zip(drawn, adjusted.tolist(), strict=True):
                made[i] = p
    return made


def _rows_of(families: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """The rows of each family."""
    rows: dict[tuple[str, ...], list[int]] = {}
    for i, family in enumerate(families):
        rows.setdefault(family, []).append(i)
    return list(rows.values())


def exclusions_table(exclusions: Sequence[Exclusion]) -> pl.DataFrame:
    """``exclusions.csv``."""
    names = ("event_id", "symbol", "stage", "reason", "detail")
    return table("exclusions", {n: [getattr(e, n) for e in exclusions] for n in names})


def contamination_table(rows: Sequence[Contamination]) -> pl.DataFrame:
    """``contamination.csv``."""
    return table("contamination", {n: [getattr(r, n) for r in rows] for n in SCHEMAS["contamination"]})


def calendar_time_tables(found: InCalendarTime, with_rats: bool) -> dict[str, pl.DataFrame]:
    """``calendar_time.csv``, ``portfolios.csv``, and ``rats.csv`` where it is asked for."""
    rows: dict[str, Sequence[Any]] = {"calendar_time": found.alphas, "portfolios": found.portfolios}
    rows |= {"rats": found.rats} if with_rats else {}
    return {name: table(name, {c: [getattr(r, c) for r in made] for c in SCHEMAS[name]}) for name, made in rows.items()}


def dry_run_table(
    announcements: Announcements,
    reactions: Sequence[Reaction],
    panel: EventPanel | None,
    exclusions: Sequence[Exclusion],
) -> pl.DataFrame:
    """Every pair of the calendar: day 0, returns at hand in its windows, and why it would be lost; null where nothing."""
    rows = {}
    if panel is not None:
        at_hand = zip(np.isfinite(panel.returns).sum(axis=1), np.isfinite(panel.event_returns).sum(axis=1), strict=True)
        rows = {(p.event_id, p.symbol): counts for p, counts in zip(panel.pairs, at_hand, strict=True)}
    lost: dict[tuple[str, str], tuple[str, str, str]] = {}
    for e in exclusions:  # several windows of one pair are one row
        before = lost.get((e.event_id, e.symbol))
        lost[e.event_id, e.symbol] = (e.stage, e.reason, f"{before[2]}; {e.detail}" if before else e.detail)
    made = []
    for key, reaction in zip(announcements.table.select("event_id", "symbol").rows(), reactions, strict=True):
        day = None if reaction.event_day is None else reaction.event_day.item()
        made.append((*key, day, *map(int, rows.get(key, (0, 0))), *lost.get(key, (None, None, None))))
    return pl.DataFrame(made, schema=DRY_RUN, orient="row")
