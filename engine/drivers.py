"""From tables to the arrays of a cross-section and back: attributes of the events, then `crosssection` and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import AbnormalReturns, Cars
from engine.attributes import as_attribute
from engine.crosssection import (
    BENCHMARKED,
    Attribute,
    Coefficients,
    CrossSample,
    Design,
    PreEvent,
    design,
    differences,
    partial,
    quantiles,
    regress,
)
from engine.errors import SpecError, hint
from engine.formula import Formula, parse_formula
from engine.inputs import DERIVED, Study, group_columns
from engine.joint import JOINT_MODELS
from engine.models import NormalFits
from engine.panel import EventPanel, Exclusion
from engine.schemas import SCHEMAS
from engine.sessions import Window
from engine.significance import Regressions
from engine.spec import StudySpec
from engine.tables import table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Groups = Sequence[tuple[str, Ints]]
MANY_EVENTS = 50_000  # above, the partial plots have no table


def needs_regressions(spec: StudySpec) -> bool:
    """Whether the cross-section compares with pre-event windows, and the model can be fitted without one of them."""
    chosen = spec.crosssection
    return chosen is not None and bool(BENCHMARKED & set(chosen.covariance)) and spec.model.name in JOINT_MODELS


@dataclass(frozen=True)
class CrossSection:
    """The tables of a cross-section, none without one, and a row for each event that a specification loses."""

    tables: dict[str, pl.DataFrame]
    exclusions: tuple[Exclusion, ...]


def group_tables(
    study: Study, dates: Ints, cars: Sequence[Cars], groups: Groups, firms: Ints
) -> dict[str, pl.DataFrame]:
    """``differences`` between the groups of each column of ``group_by``, and the ``quantiles`` of every group.

    dates: (N,) the day number of day 0 of each event.
    """
    chosen = study.spec.crosssection
    asked = chosen.covariance if chosen is not None else []
    apart: dict[str, list[Any]] = {c: [] for c in SCHEMAS["differences"]}
    spread: dict[str, list[Any]] = {c: [] for c in SCHEMAS["quantiles"]}
    for one in cars:
        at = {"window_start": one.window.start, "window_end": one.window.end}
        inside = [(name, members[one.complete[members]]) for name, members in groups]
        for name, members in inside:
            if len(members):
                _append(spread, {"group": name, "n": len(members)} | at | quantiles(one.car[members]))
        sample = _sample(study, dates, one, firms)
        for column in study.spec.significance.group_by:
            head = f"{column}="
            own = [(n.removeprefix(head), m) for n, m in inside if n.startswith(head) and len(m)]
            for found in differences(sample, own, asked):
                values = {c: getattr(found, c) for c in SCHEMAS["differences"] if hasattr(found, c)}
                _append(apart, at | values | {"column": column, "ci_low": found.ci[0], "ci_high": found.ci[1]})
    return {"differences": table("differences", apart), "quantiles": table("quantiles", spread)}


def crosssection_tables(
    study: Study, panel: EventPanel, fits: NormalFits, abnormal: AbnormalReturns, cars: Sequence[Cars], firms: Ints,
    regressions: Regressions | None,
) -> CrossSection:  # fmt: skip
    """``crosssection``: every specification of ``[crosssection]``; ``partials`` of the first one in the first window.

    regressions: of every pair of the panel where `needs_regressions`.
    """
    spec = study.spec
    if spec.crosssection is None:
        return CrossSection({}, ())
    lost: dict[Exclusion, None] = {}
    formulas = {name: parse_formula(text) for name, text in spec.crosssection.formulas.items()}
    rows: dict[str, list[Any]] = {c: [] for c in SCHEMAS["crosssection"]}
    points: dict[str, list[Any]] = {c: [] for c in SCHEMAS["partials"]}
    of_window = {one.window: one for one in cars}
    for place, window in enumerate(spec.crosssection_windows):
        one = of_window[window]
        sample = _sample(study, day_numbers(panel), one, firms, _pre_event(study, panel, one, fits, regressions))
        for name, formula in formulas.items():
            columns = event_attributes(study, panel, fits, abnormal, window, formula)
            right = design(formula, columns, one.complete)
            lost |= dict.fromkeys(_losses(name, right, panel))
            for found in regress(sample, right, spec.crosssection.covariance):
                _append_terms(rows, name, window, found)
            if place == 0 and name == next(iter(formulas)) and len(panel.pairs) <= MANY_EVENTS:
                _append_points(points, name, window, sample, right, panel)
    tables = {"crosssection": table("crosssection", rows), "partials": table("partials", points)}
    return CrossSection(tables, tuple(lost))


def _losses(name: str, right: Design, panel: EventPanel) -> list[Exclusion]:
    """One row for each event that a specification cannot use."""
    return [
        Exclusion(pair.event_id, pair.symbol, "crosssection", "no_value", f"{name}: {column} has no value")
        for pair, column in zip(panel.pairs, right.missing, strict=True)
        if column
    ]


def event_attributes(
    study: Study, panel: EventPanel, fits: NormalFits, abnormal: AbnormalReturns, window: Window, formula: Formula
) -> dict[str, Attribute]:
    """The columns that a formula names, for the events of the panel; a column of the calendar goes before one of the run.

    year, decade of day 0 (``1990s``); sigma, r2, n_obs, alpha, beta_... of the fit; runup: the sum of the abnormal returns
    from the start of the event window to the day before the window.
    """
    calendar = group_columns(study)
    keys = study.announcements.table.select("event_id", "symbol").rows()
    row_of = {key: i for i, key in enumerate(keys)}
    rows = [row_of[p.event_id, p.symbol] for p in panel.pairs]
    years = [int(str(p.event_day)[:4]) for p in panel.pairs]
    before = np.ascontiguousarray(abnormal.by_day[:, : window.within(abnormal.window).start])
    made: dict[str, Attribute] = {
        "year": np.array(years, float),
        "decade": [f"{year // 10}0s" for year in years],
        "sigma": fits.sigma,
        "r2": fits.r2,
        "n_obs": fits.n_obs.astype(float),
        "runup": before.sum(axis=1) if before.shape[1] else np.full(len(rows), np.nan),
    } | {name: np.ascontiguousarray(fits.coefficients[:, k]) for k, name in enumerate(fits.names)}
    found = {}
    for column in formula.columns:
        if column in calendar:
            found[column] = as_attribute(calendar[column], rows)
        elif column in made:
            found[column] = made[column]
        else:
            raise SpecError(
                f'study {study.name}: [crosssection] formula: the model "{study.spec.model.name}" makes no "{column}". '
                f"{hint(column, [*DERIVED, *fits.names])}"
            )
    return found


def day_numbers(panel: EventPanel) -> Ints:
    """(N,) the day number of day 0 of each pair."""
    return np.array([p.event_day for p in panel.pairs], "datetime64[D]").astype(np.int64)


def _sample(study: Study, dates: Ints, one: Cars, firms: Ints, pre: PreEvent | None = None) -> CrossSample:
    """The events of a window as the regressions see them."""
    chosen = study.spec.crosssection
    return CrossSample(
        car=one.car,
        car_se=one.se,
        dates=dates,
        firms=firms,
        weighted=chosen is not None and chosen.weights == "forecast_variance",
        alpha=study.spec.significance.alpha,
        pre_event=pre,
    )


def _pre_event(
    study: Study, panel: EventPanel, one: Cars, fits: NormalFits, regressions: Regressions | None
) -> PreEvent | None:
    """The pre-event windows, where a covariance asks for them."""
    if regressions is None or not needs_regressions(study.spec):
        return None
    return PreEvent(fits.residuals, panel.estimation_days, regressions.rows, len(one.window))


def _append_terms(rows: dict[str, list[Any]], name: str, window: Window, found: Coefficients) -> None:
    same = {
        "specification": name, "window_start": window.start, "window_end": window.end, "covariance": found.covariance,
        "n": found.n, "lost": found.lost, "clusters": found.clusters, "r2": found.r2, "note": found.note,
    }  # fmt: skip
    for k, term in enumerate(found.names):
        numbers = {c: getattr(found, c)[k] for c in ("estimate", "se", "t", "p_value", "ci_low", "ci_high")}
        reason = found.unavailable[k]
        said = {
            "position": k,
            "term": term,
            "unavailable": reason,
            "distribution": "" if reason else found.distribution,
        }
        _append(rows, same | numbers | said)


def _append_points(
    points: dict[str, list[Any]], name: str, window: Window, sample: CrossSample, right: Design, panel: EventPanel
) -> None:
    for position, one in enumerate(partial(sample, right)):
        for i, x, y in zip(one.used, one.x, one.y, strict=True):
            pair = panel.pairs[i]
            values = {"specification": name, "window_start": window.start, "window_end": window.end}
            ids = {"event_id": pair.event_id, "symbol": pair.symbol}
            _append(points, values | ids | {"position": position, "term": one.name, "x": x, "y": y})


def _append(columns: dict[str, list[Any]], values: Mapping[str, Any]) -> None:
    for name, cells in columns.items():
        cells.append(values[name])
