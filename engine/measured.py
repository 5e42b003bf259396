"""From a plan to what the tests look at: the model fitted, abnormal returns, CARs of every window, and who is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from engine.abnormal import AbnormalReturns, Cars, abnormal_returns, cumulate
from engine.errors import DataError, SpecError
from engine.inputs import Study
from engine.joint import part_overlapping
from engine.kernel import NUMBA, NUMPY, compiled_model
from engine.models import DEGENERATE, NormalFits, fit
from engine.panel import EventPanel, Exclusion, usable
from engine.plan import Plan
from engine.sessions import Window
from engine.spec import StudySpec


@dataclass(frozen=True)
class Measured:
    """The N pairs that are used. exclusions: a row for each pair lost, then for each window that a pair lost.

    cars: one a window, in the order of the windows.
    """

    panel: EventPanel
    fits: NormalFits
    abnormal: AbnormalReturns
    cars: list[Cars]
    exclusions: list[Exclusion]


def measure(study: Study, plan: Plan, kernel: str = NUMPY) -> Measured:
    """Fit the study's model and cumulate its abnormal returns. kernel: of `engine.kernel`.

    Raises DataError if more pairs are lost than ``[limits] max_excluded_share`` allows, or none is left.
    """
    spec = study.spec
    panel, fits, exclusions = _fit(plan, spec, model_options(study), kernel)
    check_losses(study, len(exclusions), ((e.stage, e.reason) for e in exclusions), exclusions[:3])
    if panel is None or fits is None:
        raise AssertionError("all pairs are lost and check_losses did not raise")
    abnormal = abnormal_returns(panel.event_returns, fits, spec.event_window)
    cars, lost = _cumulated(plan, spec, panel, fits, abnormal)
    return Measured(panel, fits, abnormal, cars, [*exclusions, *lost])


def model_options(study: Study) -> dict[str, Any]:
    """The options of the model's function. Raises SpecError where it is the study's own and may not run."""
    chosen = study.spec.model
    if chosen.name != "custom":
        return chosen.options
    if study.function is None:
        raise SpecError(
            f'study {study.name}: [model] name = "custom" runs {chosen.function} of {chosen.file}, code that came with the '
            "study. Read the file first; then say --allow-code, for example: eventstudy run STUDY --allow-code."
        )
    return {"function": study.function}


def _fit(
    plan: Plan, spec: StudySpec, options: Mapping[str, Any], kernel: str
) -> tuple[EventPanel | None, NormalFits | None, list[Exclusion]]:
    """Fit the model to the usable pairs; degenerate fits are lost with their reason."""
    if plan.panel is None:
        return None, None, list(plan.exclusions)
    panel, lost = usable(plan.panel, spec.model.min_estimation_days)
    exclusions = [*plan.exclusions, *lost]
    if panel is None:
        return None, None, exclusions
    fits = fit(
        spec.model.name,
        panel.returns,
        panel.regressors,
        panel.event_regressors,
        panel.estimation_rows,
        panel.own,
        plan.regressors,
        options,
        spec.prices.missing == "trade_to_trade",
        partial(compiled_model, spec.model.name) if kernel == NUMBA else None,
    )
    fits = replace(fits, expected=fits.expected + panel.event_riskfree)
    for i in np.flatnonzero(fits.degenerate != ""):
        pair = panel.pairs[i]
        detail = f"{fits.n_obs[i]} returns in {pair.own} of {pair.symbol}: {DEGENERATE[str(fits.degenerate[i])]}"
        exclusions.append(Exclusion(pair.event_id, pair.symbol, "estimation", str(fits.degenerate[i]), detail))
    kept = np.flatnonzero(fits.degenerate == "")
    if not len(kept):
        return None, None, exclusions
    return panel.take(kept), fits.take(kept), exclusions


def check_losses(study: Study, lost: int, why: Iterable[tuple[str, str]], some: Sequence[Exclusion]) -> None:
    """Raises DataError if too many pairs are lost. why: stage and reason of each; some: a few of them."""
    total = len(study.announcements.table)
    share = study.spec.limits.max_excluded_share
    if lost / total <= share and lost < total:
        return
    reasons = "; ".join(f"{n} x {stage}: {reason}" for (stage, reason), n in sorted(Counter(why).items()))
    examples = "\n".join(f"  {e.event_id} {e.symbol}: {e.detail}" for e in some)
    raise DataError(
        f"study {study.name}: {lost} of {total} (event, symbol) pairs are lost, more than [limits] max_excluded_share = "
        f"{share:g} allows or all of them. {reasons}. For example:\n{examples}\n"
        "`eventstudy run STUDY --dry-run` shows every pair; mend the calendar or the prices, or raise the limit."
    )


def _cumulated(
    plan: Plan, spec: StudySpec, panel: EventPanel, fits: NormalFits, abnormal: AbnormalReturns
) -> tuple[list[Cars], list[Exclusion]]:
    """CARs of every window, those of overlapping events from their joint regression, and the windows that are lost."""
    windows = sorted(spec.car_windows)
    cars = [cumulate(abnormal, fits, window, spec.prices.returns == "log") for window in windows]
    if spec.outcome.name != "return":
        none = np.full(len(panel.pairs), np.nan)
        cars = [replace(c, bhar=none, simple=none, log=none, compound=none) for c in cars]
    exclusions = incomplete_windows(panel, abnormal, windows)
    if plan.firms.joint:
        parted = [part_overlapping(c, panel, spec.model.name, plan.firms.joint) for c in cars]
        cars = [c for c, _ in parted]
        exclusions += [row for _, lost in parted for row in lost]
    return cars, exclusions


def incomplete_windows(panel: EventPanel, abnormal: AbnormalReturns, windows: Sequence[Window]) -> list[Exclusion]:
    """One row for each event and window that the event-window returns do not cover day by day."""
    lost = []
    for window in windows:
        columns = window.within(panel.event_window)
        missing = ~np.isfinite(abnormal.by_day[:, columns])
        for i in np.flatnonzero(~abnormal.complete(columns)):
            days = ", ".join(str(d) for d in window.days[missing[i]])
            pair = panel.pairs[i]
            detail = f"{window}: no return on relative day {days}"
            if not days:
                detail = f"{window}: a return over several sessions begins before the window or ends after it"
            lost.append(Exclusion(pair.event_id, pair.symbol, "window", "missing_days", detail))
    return lost
