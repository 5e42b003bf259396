"""The run in parts, step by step as `engine.study.run_study`: day 0, parts, who is lost, tests, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import LONG
from engine.announcements.cases import distinct
from engine.errors import DataError
from engine.inputs import Study
from engine.kernel import INFINITE, NUMBA, Asked
from engine.kernel.compiled import loaded
from engine.kernel.layout import coefficient_names
from engine.manifest import Outcome, listings_of, manifest_of
from engine.market import read_series
from engine.market.partitions import PartedFile, Unsorted, series_of, sorted_copy
from engine.panel import Exclusion
from engine.results import StudyResult
from engine.scale.joined import Joined, incomplete, losses
from engine.scale.mapping import Mapper, in_threads
from engine.scale.nearby import Surroundings, leaving, named, nearby
from engine.scale.pairs import Pairs, pairs_of
from engine.scale.samples import Groups, Measures, groups_of, mean_correlation, tested
from engine.scale.tables import (
    Book,
    abnormal_streamed,
    cars_streamed,
    contamination_streamed,
    events_streamed,
    exclusions_frame,
    fits_streamed,
)
from engine.scale.work import Task, tasks_of, work
from engine.sessions import NO_DAY
from engine.supply import without_prices
from engine.tables import averages_of, table

Progress = Callable[[str, int, int], None]
Ints = npt.NDArray[np.int64]
CheckLosses = Callable[[int, Iterable[tuple[str, str]], Sequence[Exclusion]], None]
MANY_LISTINGS = 1_000  # the manifest counts more of them, and does not name each
SHOWN = 20


def run_in_parts(
    study: Study, kernel: str, keep_rows: bool, check_losses: CheckLosses,
    on_progress: Progress, mapper: Mapper = in_threads,
) -> StudyResult:  # fmt: skip
    """Run a study whose prices are `Study.parted`.

    kernel: its name. keep_rows: whether ``abnormal_returns`` is wanted. check_losses: raises if too many pairs are lost, given
    their number, stage and reason of each, and some of them in full. mapper: maps tasks.
    """
    assert study.parted is not None
    spec = study.spec
    with ThreadPoolExecutor(2) as beside:
        compiled = beside.submit(loaded) if kernel == NUMBA else None  # later both threads would wait for it
        hashed = beside.submit(study.snapshot.sha256, study.parted.origin)
        on_progress("day 0 and windows", 0, 4)
        pairs = pairs_of(study)
        groups = groups_of(study).without(leaving(pairs, spec.event_window, spec.contamination.policy))
        measures = Measures.of(spec, len(pairs.case), pairs, keep_rows, kernel)
        if compiled is not None and not compiled.done():
            on_progress("compiling, once for all runs", 0, 4)
            compiled.result()
        joined, file = _measured(study, study.parted, pairs, groups, measures, mapper, on_progress)
        _check_listings(study, joined)
        on_panel = pairs.has_day0 & joined.found[pairs.listing]
        around, left, why = nearby(
            pairs, spec.event_window, on_panel, joined.gaps(), spec.contamination.policy, kernel == NUMBA
        )
        ids = study.announcements.table["event_id"]
        lost, used = losses(
            joined,
            ids,
            spec.event_window,
            spec.model.min_estimation_days,
            study.snapshot.name,
            left,
            named(why, ids),
        )
        examples = [
            Exclusion(ids[i], pairs.symbols[pairs.listing[i]], stage, reason, detail)
            for i, stage, reason, detail in zip(
                lost.row[:3], lost.stage[:3], lost.reason[:3], lost.detail[:3], strict=True
            )
        ]
        check_losses(len(lost.row), zip(lost.stage, lost.reason, strict=True), examples)
        windows = tuple(sorted(spec.car_windows))
        short = incomplete(joined, used, windows, spec.event_window)
        on_progress("tests", 2, 4)
        book = Book(study, joined, np.flatnonzero(used), kernel == NUMBA)
        again = partial(tasks_for, file, pairs, groups, measures.asked, kernel)
        answers = tested(book, groups, windows, measures, again, mapper)
        on_progress("tables", 3, 4)
        tables = answers | {
            "averages": averages_of(
                [(name, joined.moments[code].averages()) for code, name in groups.names if code in joined.moments],
                spec.event_window,
            ),
            "exclusions": exclusions_frame(book, lost, short),
            "quality": _quality(file),
        }
        streamed = {"events": events_streamed(book), "fits": fits_streamed(book), "cars": cars_streamed(book, windows)}
        streamed["contamination"] = contamination_streamed(book, around)
        if keep_rows:
            streamed["abnormal_returns"] = abnormal_streamed(book, spec.event_window)
        study = replace(
            study,
            sha256=study.sha256
            | {"snapshot": dict(sorted({**study.sha256["snapshot"], file.origin.name: hashed.result()}.items()))},
        )
    return StudyResult(tables, manifest_of(study, _outcome(study, book, around, kernel)), streamed)


def _measured(
    study: Study, file: PartedFile, pairs: Pairs, groups: Groups, measures: Measures, mapper: Mapper, on_progress: Progress
) -> tuple[Joined, PartedFile]:  # fmt: skip
    """Every part read and measured, joined in order; a file that turns out not to be sorted is sorted first, once."""
    asked = measures.asked
    names = coefficient_names(asked.model, len(pairs.lines[0].calendar.regressors))
    joined = Joined(pairs, asked, names, any(len(w) > LONG for w in asked.windows), measures.resident)
    tasks = tasks_for(file, pairs, groups, asked, measures.kernel)
    try:
        for done, ((rows, task), found) in enumerate(zip(tasks, mapper(work, [t for _, t in tasks]), strict=True)):
            joined.add(rows, task, found)
            on_progress(f"part {done + 1} of {len(tasks)}", 1, 4)
    except Unsorted:
        if file.copied:
            raise DataError(f"{file.origin}: a symbol stands in it in several places, even sorted.") from None
        on_progress("sorting the price file", 1, 4)
        return _measured(study, sorted_copy(file), pairs, groups, measures, mapper, on_progress)
    wrong = sorted(joined.wrong)
    if wrong and not file.copied and not any(state == INFINITE for _, state in wrong):
        on_progress("sorting the price file", 1, 4)
        if not _twice(study, wrong):
            return _measured(study, sorted_copy(file), pairs, groups, measures, mapper, on_progress)
    if wrong:
        read_series(study.snapshot, [wrong[0][0]])  # says which row, and what to do
        raise AssertionError(f"{wrong[0]} is read without an error")
    return joined, file


def _twice(study: Study, wrong: Sequence[tuple[str, int]]) -> bool:
    """Raises DataError for a date that stands there twice; False where rows are only out of order."""
    for symbol, _ in wrong[:SHOWN]:
        read_series(study.snapshot, [symbol])
    return False


def tasks_for(file: PartedFile, pairs: Pairs, groups: Groups, asked: Asked, kernel: str) -> list[tuple[Ints, Task]]:
    """The tasks of all pairs that have a day 0, and which rows of the calendar are in each."""
    rows = np.flatnonzero(pairs.has_day0)
    made = tasks_of(
        file, pairs.symbols, pairs.listing[rows], pairs.shared[rows], pairs.position[rows], pairs.own[rows],
        groups.codes[:, rows], tuple(line.calendar for line in pairs.lines), asked, kernel,
    )  # fmt: skip
    return [(rows[chosen], task) for chosen, task in made]


def _check_listings(study: Study, joined: Joined) -> None:
    """Raises DataError for listings that the file does not have, unless the study allows that."""
    if study.spec.limits.allow_missing_symbols:
        return
    missing = sorted(s for s, there in zip(joined.pairs.symbols, joined.found.tolist(), strict=True) if not there)
    asked = {joined.pairs.symbols[i] for i in np.unique(joined.pairs.listing[joined.pairs.has_day0]).tolist()}
    missing = [s for s in missing if s in asked or not _there(study, s)]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise without_prices(study.snapshot, [f"listing {', '.join(missing[:SHOWN])}{more}"], True)


def _there(study: Study, symbol: str) -> bool:
    """Whether the file has a listing that no task asked for, because none of its rows has a day 0."""
    assert study.parted is not None
    return not series_of(study.parted, [symbol])[1]


def _quality(file: PartedFile) -> pl.DataFrame:
    """What the quality report would say needs every series beside the others; that is said, and whether a copy was sorted."""
    said = [
        "the quality report compares all series with each other, and is not made of prices that are read part by part"
    ]
    said.append(
        "what the result is without single events and dates is not worked out where not all events are in memory"
    )
    kinds = ["not_checked", "no_influence"]
    if file.copied:
        kinds.append("not_sorted")
        said.append("the file is not sorted by symbol and date: each run sorts a copy; sort it once and for all")
    none = [NO_DAY] * len(kinds)
    symbols = [file.origin.name] * len(kinds)
    return table(
        "quality", {"symbol": symbols, "kind": kinds, "first": none, "last": none, "n": [file.rows] * len(kinds), "detail": said}
    )  # fmt: skip


def _outcome(study: Study, book: Book, around: Surroundings, kernel: str) -> Outcome:
    joined, pairs = book.joined, book.joined.pairs
    listing = pairs.listing[book.used].astype(np.int64)
    clusters = pl.Series(listing << 20 | pairs.position[book.used]).n_unique()
    many = len(pairs.symbols) > MANY_LISTINGS
    series: list[Mapping[str, Any]] = [
        {
            "symbol": symbol, "prices": joined.span(i), "rows_off_session": int(joined.off[i].max()),
            "stale_rows": int(joined.stale[i]),
        }
        for i, symbol in sorted(enumerate(pairs.symbols), key=lambda item: item[1])
        if joined.found[i]
    ] if not many else []  # fmt: skip
    firms = {
        "rows": around.counts,
        "firms": int(np.count_nonzero(np.bincount(listing))),
        "clusters": clusters,
        **_correlation(book),
    }
    homes = {} if many else listings_of(study, _homes(study))
    return Outcome(kernel, joined.measured.names, len(book.used), firms, series, homes)


def _homes(study: Study) -> list[tuple[Any, ...]]:
    """Every listing of the calendar with its exchange and benchmark."""
    home = study.announcements.table.select("symbol").with_columns(
        pl.Series("exchange", study.exchanges, pl.String), pl.Series("benchmark", study.benchmarks, pl.String)
    )
    return home[distinct(home)[1]].rows()


def _correlation(book: Book) -> dict[str, float | None]:
    """As `manifest.run_manifest`: of few events alone."""
    n, r = len(book.used), mean_correlation(book)
    return {"mean_correlation": r, "effective_events": None if r is None else n / (1 + (n - 1) * r)}
