"""What the tests look at in a run in parts: groups as codes, CARs as joined, residuals where the events are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import Cars
from engine.announcements.cases import codes_of
from engine.drivers import group_tables
from engine.inputs import Study
from engine.kernel import Asked
from engine.manifest import MANY_CORRELATIONS
from engine.placebo import clusters
from engine.scale.mapping import Mapper
from engine.scale.pairs import Pairs, rows_window
from engine.scale.sweep import Swept, swept
from engine.scale.tables import Book, event_days
from engine.scale.work import Task
from engine.sessions import Window
from engine.significance import (
    EVENT_TESTS,
    SIGNIFICANCE_TESTS,
    CarSample,
    EventSignificance,
    Resampling,
    Significance,
    evaluate,
    evaluate_events,
)
from engine.significance.dependence import mean_shared_correlation
from engine.significance.rank import MOST_RANKED
from engine.significance.sweeps import SWEEPS, answer_of
from engine.spec import StudySpec
from engine.tables import significance_table, single_event_table

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """The groups of the study. names: code and name, ``all`` first. codes: (C, N) by group column, -1 for none."""

    names: tuple[tuple[int, str], ...]
    codes: npt.NDArray[np.int32]

    def without(self, rows: Ints) -> Groups:
        """The same with some rows in no group."""
        codes = self.codes.copy()
        codes[:, rows] = -1
        return Groups(self.names, codes)

    def members(self, code: int, used: Ints) -> Ints:
        """The positions in ``used`` that are in a group."""
        for column in self.codes:
            here = np.flatnonzero(column[used] == code)
            if len(here):
                return here
        return np.empty(0, np.int64)


def groups_of(study: Study) -> Groups:
    """The whole sample and every value of every group column; an empty cell is in no group."""
    table, attributes = study.announcements.table, study.announcements.attributes
    own = {
        "exchange": lambda: pl.Series(study.exchanges, dtype=pl.String),
        "benchmark": lambda: pl.Series(study.benchmarks, dtype=pl.String).replace("", None),
        "precision": lambda: table["precision"].replace("", None),
    }
    names, columns = [(0, "all")], [np.zeros(len(table), np.int32)]
    for name in study.spec.significance.group_by:
        if name in own:
            values = own[name]()
        else:
            values = table[name] if name in ("event_id", "symbol") else attributes[name]
        kinds = values.drop_nulls().unique().sort()
        codes = codes_of(values)
        first = np.full(int(codes.max(initial=0)) + 1, -1, np.int32)
        place = {value: len(names) + i for i, value in enumerate(kinds.to_list())}
        seen, where = np.unique(codes, return_index=True)
        for code, row in zip(seen.tolist(), where.tolist(), strict=True):
            value = values[row]
            first[code] = place[value] if value is not None else -1
        names += [(code, f"{name}={value}") for value, code in place.items()]
        columns.append(first[codes])
    return Groups(tuple(names), np.stack(columns))


@dataclass(frozen=True)
class Measures:
    """How a study is measured. resident: whether residuals and abnormal returns are kept for the tests."""

    asked: Asked
    kernel: str
    resident: bool

    @classmethod
    def of(cls, spec: StudySpec, n: int, pairs: Pairs, keep_rows: bool, kernel: str) -> Measures:
        rows = rows_window(pairs.own)
        resident = n * (len(rows) + len(spec.event_window)) <= MOST_RANKED
        asked = Asked(
            model=spec.model.name,
            rows=rows,
            event_window=spec.event_window,
            windows=tuple(sorted(spec.car_windows)),
            min_days=spec.model.min_estimation_days,
            log_returns=spec.prices.returns == "log",
            days=keep_rows,
            residuals=resident,
        )
        return cls(asked, kernel, resident)


def cars_of(book: Book, windows: Sequence[Window]) -> list[Cars]:
    """The CARs of the pairs used, by window."""
    measured, used = book.joined.measured, book.used
    none, shared = np.full(len(used), np.nan), np.zeros(len(used), bool)
    dof, found = measured.dof[used].astype(np.int64), []
    for w, window in enumerate(windows):
        car, se, bhar = (values[used, w] for values in (measured.car, measured.se, measured.bhar))
        ways = measured.ways[used, w].T if measured.ways.shape[1] else (none, none, none)
        found.append(Cars(window, car, se, car / se, bhar, np.isfinite(car), dof, shared, *ways))
    return found


def tested(
    book: Book, groups: Groups, windows: Sequence[Window], measures: Measures,
    tasks: Callable[[], Sequence[tuple[Ints, Task]]], mapper: Mapper,
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """The tables of the tests, of differences and quantiles. tasks: makes those of all rows again."""
    spec, pairs = book.study.spec, book.joined.pairs
    cars = cars_of(book, windows)
    every_group = [(code, name, groups.members(code, book.used)) for code, name in groups.names]
    every_group = [one for one in every_group if len(one[2]) or one[1] == "all"]
    members = [(name, rows) for _, name, rows in every_group]
    dates = pairs.event_day[book.used].astype("datetime64[D]").astype(np.int64)
    firms = np.cumsum(np.bincount(pairs.listing[book.used]) > 0)[pairs.listing[book.used]] - 1
    plan = _resampling(book)
    asked = spec.significance.tests
    tests = [t for t in asked if t in SIGNIFICANCE_TESTS]
    cells = [(code, w) for code, _, _ in every_group for w in range(len(windows))]
    sums: Swept = {}
    if not measures.resident:
        sums = _sums(book, every_group, cars, tests, tasks, mapper)
    answers: list[Significance] = []
    alone: list[tuple[Ints, CarSample, EventSignificance]] = []
    for code, w in cells:  # a sample at a time: each is as large as the study
        name, rows = next((n, r) for c, n, r in every_group if c == code)
        sample = _sample(book, name, rows, cars[w], dates, firms, plan)
        answers += [_answer(test, sample, (code, w), sums, measures.resident) for test in tests]
        if code == 0:
            single = [t for t in asked if t in EVENT_TESTS]
            alone += [(np.flatnonzero(cars[w].complete), sample, evaluate_events(t, sample)) for t in single]
    ids = book.ids[book.used] if alone else book.ids[:0]
    return {
        "significance": significance_table(answers, spec.significance.alternative),
        "event_significance": single_event_table(
            ids["event_id"].to_list(), ids["symbol"].cast(pl.String).to_list(), alone
        ),
    } | group_tables(book.study, dates, cars, members, firms)


def _answer(test: str, sample: CarSample, at: tuple[int, int], sums: Swept, resident: bool) -> Significance:
    """The answer of a test, from sums where residuals are not in memory."""
    if not resident:
        found = answer_of(test, sample, {n: sums[n, *at] for n in SWEEPS if (n, *at) in sums})
        if found is not None:
            return found
    return evaluate(test, sample)


def _sums(
    book: Book, groups: Sequence[tuple[int, str, Ints]], cars: Sequence[Cars], tests: Sequence[str],
    tasks: Callable[[], Sequence[tuple[Ints, Task]]], mapper: Mapper,
) -> Swept:  # fmt: skip
    """The sums of every group and window."""
    if not any(t in SWEEPS for t in tests):
        return {}
    used = np.zeros(len(book.joined.measured.code), bool)
    used[book.used] = True
    spreads = {}
    for code, _, rows in groups:
        for w, one in enumerate(cars):
            scar = one.scar[rows[one.complete[rows]]]
            spreads[code, w] = float(scar.std(ddof=1)) if len(scar) > 1 else float("nan")
    return swept(tasks(), used, tests, spreads, mapper)


def _resampling(book: Book) -> Resampling | None:
    rule = book.study.spec.resampling
    if rule is None:
        return None
    ids, days = book.ids["event_id"][book.used], book.joined.pairs.event_day[book.used]
    if ids.is_unique().all():
        labels = np.unique(days, return_index=True, return_inverse=True)
        cluster = np.argsort(np.argsort(labels[1]))[labels[2]]
    else:
        cluster = clusters(ids.to_list(), list(days))
    return Resampling(cluster, rule.draws, rule.seed)


def _sample(
    book: Book, group: str, members: Ints, cars: Cars, dates: Ints, firms: Ints, plan: Resampling | None
) -> CarSample:  # fmt: skip
    spec, measured, window = book.study.spec, book.joined.measured, book.study.spec.event_window
    inside = members[cars.complete[members]]
    rows = book.used[inside]
    own = rows_window(book.joined.pairs.own)
    kept = measured.residuals.shape[1] > 0
    days = kept or "hac_t" in spec.significance.tests
    return CarSample(
        group=group,
        window=cars.window,
        event_window=window,
        car=cars.car[inside],
        car_se=cars.se[inside],
        scar=cars.scar[inside],
        bhar=cars.bhar[inside],
        sigma=measured.sigma[rows],
        dof=cars.dof[inside],
        ar=measured.ar[rows],
        residuals=measured.residuals[rows],
        residual_days=event_days(book, rows, own) if kept else np.empty((len(rows), 0), np.int64),
        event_days=event_days(book, rows, window) if days else np.empty((len(rows), 0), np.int64),
        dates=dates[inside],
        firms=firms[inside],
        alternative=spec.significance.alternative,
        alpha=spec.significance.alpha,
        shared=cars.shared[inside],
        spread=None
        if kept
        else float(np.sqrt((measured.sigma[rows] ** 2 * measured.dof[rows]).sum() / measured.n_obs[rows].sum())),
        resampling=Resampling(plan.cluster[inside], plan.draws, plan.seed) if plan is not None else None,
    )


def mean_correlation(book: Book) -> float | None:
    """The r of Kolari, Pape & Pynnonen in the primary window, None for one event or for many."""
    n, spec = len(book.used), book.study.spec
    if not 1 < n <= MANY_CORRELATIONS or not book.joined.measured.residuals.shape[1]:
        return None
    own = rows_window(book.joined.pairs.own)
    days = event_days(book, book.used, spec.car_windows[0])
    residuals = book.joined.measured.residuals[book.used]
    return max(mean_shared_correlation(residuals, event_days(book, book.used, own), days), 0.0)
