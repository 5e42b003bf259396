"""The alternatives of ``[grid]``: each combination is the study's own design with some choices changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from engine.errors import hint
from engine.sessions import Window
from engine.spec.design import MODEL_KEYS, Known, StudySpec

# What a variant leaves out: tables that add results of their own, and cannot change the numbers of a test.
ASIDE: dict[str, Any] = {
    "deals": None, "calendar_time": None, "crosssection": None, "grid": None, "backtest": None, "claims": {},
    "certificate": None,
}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """One design of the grid. benchmark: None for the study's own, a symbol for every listing, or symbols by exchange."""

    model: str
    estimation_window: Window
    benchmark: str | Mapping[str, str] | None
    returns: str

    @property
    def benchmark_words(self) -> str:
        """The benchmark of the grid as text; "" for the study's own."""
        if self.benchmark is None or isinstance(self.benchmark, str):
            return self.benchmark or ""
        return "; ".join(f"{exchange}={symbol}" for exchange, symbol in sorted(self.benchmark.items()))


def choices(spec: StudySpec) -> list[Choice]:
    """Every combination of model, estimation window, benchmark and returns; the study's own first."""
    grid = spec.grid
    assert grid is not None
    models = dict.fromkeys([spec.model.name, *grid.model])
    windows = dict.fromkeys([spec.estimation_window, *(Window(*w) for w in grid.estimation_window)])
    returns = dict.fromkeys([spec.prices.returns, *grid.returns])
    return [Choice(m, w, b, r) for m, w, b, r in product(models, windows, [None, *grid.benchmark], returns)]


def grid_windows(spec: StudySpec) -> list[Window]:
    """The CAR windows of the grid, the study's primary one first."""
    further = spec.grid.car if spec.grid is not None else []
    return list(dict.fromkeys([spec.car_windows[0], *(Window(*w) for w in further)]))


def grid_tests(spec: StudySpec, known: frozenset[str]) -> list[str]:
    """The tests of the grid, the first test of the study that answers for a whole sample first. known: those that do."""
    own = [t for t in spec.significance.tests if t in known][:1]
    return list(dict.fromkeys([*own, *(spec.grid.test if spec.grid is not None else [])]))


def design_of(spec: StudySpec, choice: Choice, tests: list[str]) -> StudySpec:
    """The study's design with one combination of the grid; the keys of its own model and its factors go with that model.

    A benchmark of the grid takes the place of every other, an exchange's that of ``by_exchange``.
    """
    made = spec.model_dump() | ASIDE
    own = choice.model == spec.model.name
    kept = made["model"] if own else {"min_estimation_days": spec.model.min_estimation_days}
    window = [choice.estimation_window.start, choice.estimation_window.end]
    made["model"] = kept | {"name": choice.model, "estimation_window": window}
    made["factors"] = made["factors"] if own or choice.model == "factor" else None
    made["prices"]["returns"] = choice.returns
    if isinstance(choice.benchmark, str):
        made["benchmark"] |= {"default": choice.benchmark, "by_exchange": {}, "own_weight": {}}
    elif choice.benchmark is not None:
        made["benchmark"]["by_exchange"] |= choice.benchmark
    made["windows"] |= {"car": [[w.start, w.end] for w in grid_windows(spec)], "named": {}}
    made["significance"] |= {"tests": tests, "group_by": [], "samples": {}}
    made["report"]["charts"] = []
    if "firm_permutation" not in tests and made["resampling"] is not None:
        made["resampling"]["controls"] = []
    made["model"] = {k: v for k, v in made["model"].items() if v is not None or k not in _foreign(choice.model)}
    return StudySpec.model_validate(made)


def _foreign(model: str) -> set[str]:
    """The keys of ``[model]`` that the model does not take."""
    return {key for keys in MODEL_KEYS.values() for key in keys} - set(MODEL_KEYS.get(model, {}))


def grid_problems(spec: StudySpec, known: Known) -> Iterator[str]:
    """Names that must exist and windows that must fit; a combination that does not go together is a row with its reason."""
    grid = spec.grid
    if grid is None:
        if "specification_curve" in spec.report.charts:
            yield '[report] charts = "specification_curve" shows the table [grid], which is not there.'
        return
    lists = {key: getattr(grid, key) for key in type(grid).model_fields}
    if not any(lists.values()):
        yield f"[grid] names no alternative. Write one of the lists {', '.join(lists)}, or remove the table."
    for key, values in lists.items():
        for value in {str(v): v for v in values if values.count(v) > 1}.values():
            yield f"[grid] {key}: {_quoted(value)} stands there more than once."
    for name in grid.model:
        if name not in known.models:
            yield f'[grid] model = "{name}" is not a model. {hint(name, known.models)}'
    for name in grid.test:
        if name not in known.tests:
            yield f'[grid] test = "{name}" is not a significance test. {hint(name, known.group_tests)}'
        elif name not in known.group_tests:
            yield f'[grid] test = "{name}" answers for one event at a time; the grid is of the whole sample. Remove it.'
        elif name in known.resampling and spec.resampling is None:
            yield f'[resampling] is required by [grid] test = "{name}": write seed and draws.'
    if not grid_tests(spec, known.group_tests):
        yield "[grid] needs a test of the whole sample: name one in [significance] tests, which is then the primary one."
    if grid.hold and spec.backtest is None:
        yield "[grid] hold is of the table [backtest], which is not there."
    elif grid.hold and spec.backtest is not None and spec.backtest.legs:
        yield "[grid] hold changes the one hold of [backtest], which has legs of their own. Remove one of them."
    yield from _window_problems(spec)


def _window_problems(spec: StudySpec) -> Iterator[str]:
    grid = spec.grid
    assert grid is not None
    for key, pairs in (("estimation_window", grid.estimation_window), ("car", grid.car)):
        for start, end in (pair for pair in pairs if pair[0] > pair[1]):
            yield f"[grid] {key} = [{start}, {end}] is reversed: the first day must not be after the last."
    if len(spec.windows.event) != 2 or spec.windows.event[0] > spec.windows.event[1]:
        return
    for start, end in (pair for pair in grid.estimation_window if pair[0] <= pair[1]):
        if end >= spec.event_window.start:
            yield (
                f"[grid] estimation_window = [{start}, {end}] overlaps or follows [windows] event = {spec.event_window}: it "
                "must end before the event window starts."
            )
    for start, end in (pair for pair in grid.car if pair[0] <= pair[1]):
        if Window(start, end) not in spec.event_window:
            yield f"[grid] car = [{start}, {end}] is not inside [windows] event = {spec.event_window}."


def backtest_problems(spec: StudySpec) -> Iterator[str]:
    """Keys of ``[backtest]`` that exclude each other, and designs that give no position a price."""
    rule = spec.backtest
    if rule is None:
        if "equity_curve" in spec.report.charts:
            yield '[report] charts = "equity_curve" shows the table [backtest], which is not there.'
        return
    if (rule.hold is None) == (not rule.legs):
        yield (
            '[backtest] needs exactly one of hold = 20, sessions, and legs = {sell = {hold = 2}, dip = {side = "opposite", '
            "delay = 2, hold = 19}}."
        )
    if spec.outcome.name != "return":
        yield f'[backtest] trades prices, and [outcome] name = "{spec.outcome.name}" is none. Remove one of them.'


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
