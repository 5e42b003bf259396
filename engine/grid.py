"""The specification grid: every combination of ``[grid]`` measured and tested as a study of its own would be.

A model is fitted once for each combination of model, estimation window, benchmark and returns; every CAR window and test
comes out of that one fit. The study's own choices are in the grid, and the declared primary specification is its first.
Simonsohn, Simmons & Nelson (2020) for the specification curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from engine.errors import EngineError
from engine.inputs import Study
from engine.measured import Measured, measure, model_options
from engine.models import WITHOUT_BENCHMARK
from engine.plan import Plan, plan_study
from engine.samples import Draws, draws_of, firm_codes, sample_of
from engine.sessions import Window
from engine.significance import RESAMPLING_TESTS, SIGNIFICANCE_TESTS, Significance, evaluate
from engine.spec.alternatives import Choice, choices, grid_tests, grid_windows
from engine.tables import rows_table
from engine.ties import rejects
from engine.variants import variant_of


@dataclass(frozen=True)
class Variant:
    """One combination of the grid: what was measured, or the reason why nothing can be. benchmark: in words."""

    choice: Choice
    benchmark: str
    made: tuple[Study, Plan, Measured] | None = None
    reason: str = ""


def tried(study: Study) -> list[Choice]:
    """Every combination of the grid in order, the study's own first."""
    return [c for c in choices(study.spec) if c.benchmark is None or c.model not in _blind(study)]


def _blind(study: Study) -> frozenset[str]:
    """The models whose numbers no other benchmark changes."""
    return WITHOUT_BENCHMARK if study.spec.sessions.calendar == "exchange" else frozenset()


def measured_by(study: Study, choice: Choice) -> Variant:
    """The study with one combination, measured."""
    tests = grid_tests(study.spec, frozenset(SIGNIFICANCE_TESTS))
    own = ", ".join(sorted({*study.benchmarks} - {""}))
    said = "" if choice.model in _blind(study) else choice.benchmark_words or own
    try:
        variant = variant_of(study, choice, tests)
        plan = plan_study(variant)
        return Variant(choice, said, (variant, plan, measure(variant, plan)))
    except EngineError as error:
        return Variant(choice, said, reason=str(error).splitlines()[0])


def design_columns(variant: Variant) -> dict[str, Any]:
    """The columns that name a combination."""
    choice = variant.choice
    return {
        "model": choice.model, "estimation_start": choice.estimation_window.start,
        "estimation_end": choice.estimation_window.end, "benchmark": variant.benchmark, "returns": choice.returns,
    }  # fmt: skip


def grid_rows(study: Study, variant: Variant) -> Iterator[dict[str, Any]]:
    """The rows of ``grid.csv`` of one combination, window by window, without their numbers ``spec``."""
    windows, tests = grid_windows(study.spec), grid_tests(study.spec, frozenset(SIGNIFICANCE_TESTS))
    same, alpha = design_columns(variant), study.spec.significance.alpha
    answers = _answers(*variant.made, windows, tests) if variant.made is not None else {}
    for window, test in product(windows, tests):
        place = {"window_start": window.start, "window_end": window.end, "test": test}
        answer = answers.get((window, test))
        yield same | place | ({"unavailable": variant.reason} if answer is None else _numbers(answer, alpha))


def grid_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """``grid.csv``: the specifications numbered in the order of the grid; number 1 is the declared primary one."""
    return rows_table("grid", [row | {"spec": i, "primary": int(i == 1)} for i, row in enumerate(rows, 1)])


def _answers(
    study: Study, plan: Plan, used: Measured, windows: list[Window], tests: list[str]
) -> dict[tuple[Window, str], Significance]:
    draws = Draws()
    if RESAMPLING_TESTS & set(tests):
        draws = draws_of(
            study, plan, used.panel, used.fits, used.cars, model_options(study), lambda done, total: None
        )  # fmt: skip
    everyone, firms = np.arange(len(used.panel.pairs)), firm_codes(plan, used.panel)
    found: dict[tuple[Window, str], Significance] = {}
    for cars in used.cars:
        if cars.window in windows:
            sample = sample_of(
                "all", everyone, cars, used.panel, used.abnormal, used.fits, study.spec, firms, draws
            )  # fmt: skip
            found |= {(cars.window, test): evaluate(test, sample) for test in tests}
    return found


def _numbers(answer: Significance, alpha: float) -> dict[str, Any]:
    return {
        "n": answer.n, "estimate": answer.estimate, "se": answer.se, "ci_low": answer.ci[0], "ci_high": answer.ci[1],
        "statistic": answer.statistic, "distribution": answer.distribution, "p_value": answer.p_value,
        "significant": None if answer.unavailable else int(rejects(answer.p_value, alpha)), "unavailable": answer.unavailable,
        "note": answer.note,
    }  # fmt: skip
