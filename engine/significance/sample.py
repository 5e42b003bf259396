"""What a test may look at (`CarSample`) and what it answers (`Significance`, `EventSignificance`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.sessions import Window
from engine.ties import NEAR

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NOISE = 16 * float(np.finfo(np.float64).eps)  # of the largest value: what rounding alone can leave


@dataclass(frozen=True)
class PseudoCars:
    """CARs of one group and window at pseudo-dates, the model re-estimated at each (`permutation`).

    group: (B,) mean CAR of the group at each joint draw of pseudo-dates.
    joint: the same at draws that every window of the group shares, so that element b is one draw in all of them.
    across: the same at draws that all groups share.
    events: per event, its CAR at every pseudo-date of its own, the same dates in every window.
    non_overlapping: (N,) how many of each event's pseudo-windows fit side by side.
    """

    group: Floats
    joint: Floats
    across: Floats
    events: tuple[Floats, ...]
    non_overlapping: Ints


@dataclass(frozen=True)
class PseudoFirms:
    """CARs of one group and window with other listings in the place of its own (`firm_permutation`).

    draws: (B,) mean CAR of the stand-ins less that of the pools they come from. shares: (B,) the share of the group's own
    listings among them, less that in the pools. centre, share: the two means over the pools. others: (N,) how many other
    listings can stand in for each event, 0 where none can. lines: how many of the pairs are further lines of a firm that is in
    the group already, for the same news. Element b is one draw in all groups and windows.
    """

    draws: Floats
    shares: Floats
    centre: float
    share: float
    others: Ints
    lines: int = 0


@dataclass(frozen=True)
class Regressions:
    """What the models of N events regress on, for the tests that fit again; K = 0 for a model without coefficients.

    rows: (N, K, R) the constant and the regressors of the estimation rows. event_rows: (N, K, E) of the event window.
    coefficients: (N, K) of each event's own fit.
    """

    rows: Floats
    event_rows: Floats
    coefficients: Floats


@dataclass(frozen=True)
class Resampling:
    """What a bootstrap draws with. cluster: (N,) label of each event's date cluster; draws, seed: of ``[resampling]``."""

    cluster: Ints
    draws: int
    seed: int

    def generator(self, test: str) -> np.random.Generator:
        """The test's own stream: the same for every group and window, whatever else is asked."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=tuple(test.encode())))


@dataclass(frozen=True)
class CarSample:
    """The N events of one group that are complete in one window of L days; all that a test may look at.

    window: the CAR window; event_window: the window of the columns of ``ar``.
    car, car_se, scar: (N,) cumulative abnormal return, its standard error with the full forecast-error covariance, and
        their ratio. bhar: (N,) buy-and-hold abnormal return.
    sigma: (N,) residual standard deviation of the fit; dof: (N,) degrees of freedom of ``car_se``.
    ar: (N, E) abnormal returns of the whole event window, NaN where missing (never inside ``window``).
    residuals: (N, R) estimation-window abnormal returns by relative day, NaN where missing.
    residual_days: (N, R) the calendar day of each residual, as a day number; event_days: (N, E) of each ``ar``.
    dates: (N,) the day number of day 0. firms: (N,) a code for the firm, equal for all its listings.
    pseudo: the CARs at pseudo-dates, pseudo_firms: those of stand-ins, None unless such a test was asked for.
    regressions: None unless a test asked for fits again (`REGRESSION_TESTS`).
    resampling: the date clusters, draws and seed of a bootstrap, None unless one was asked for.
    shared: (N,) events whose CAR comes from a joint regression because their window shares days with another event's;
        None for none. ``ar`` and ``residuals`` are those of the event's own fit.
    spans: (N, E) sessions that each return covers, which ``ar`` is then divided by the square root of; NaN where there is
        none, also inside ``window`` if a later return covers the day; None where it is one session for all.
    spread: of the residuals, where these are not in memory.
    shared_r: gives `dependence.mean_shared_correlation` where that is found for many samples at once; None: from the residuals.
    lacks: what the model does not give, and why (`NormalFits.lacks`): tests that need it are unavailable.
    """

    group: str
    window: Window
    event_window: Window
    car: Floats
    car_se: Floats
    scar: Floats
    bhar: Floats
    sigma: Floats
    dof: Ints
    ar: Floats
    residuals: Floats
    residual_days: Ints
    event_days: Ints
    dates: Ints
    firms: Ints
    alternative: str
    alpha: float
    pseudo: PseudoCars | None = None
    shared: npt.NDArray[np.bool_] | None = None
    regressions: Regressions | None = None
    resampling: Resampling | None = None
    pseudo_firms: PseudoFirms | None = None
    spans: Floats | None = None
    spread: float | None = None
    shared_r: Callable[[], float] | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.car)

    @property
    def columns(self) -> slice:
        """The columns of ``ar`` that are the tested window."""
        return self.window.within(self.event_window)

    @property
    def rough_error(self) -> float:
        """About the standard error of the mean CAR: sd of the residuals times sqrt(L/N). Where to look, not what to report."""
        spread = float(np.sqrt(np.nanmean(self.residuals**2))) if self.spread is None else self.spread
        return spread * float(np.sqrt(len(self.window) / self.n))

    @property
    def window_days(self) -> Ints:
        """(N, L) the day number of each day of the tested window."""
        return self.event_days[:, self.columns]


@dataclass(frozen=True)
class Significance:
    """The answer of one test on one group and window: numbers, or the reason why there are none.

    null: the hypothesis tested, in words. estimate: mean CAR of the n events used. ci: the constant effects that the test
    does not reject, two-sided at alpha (`inversion`), NaN at an end without bound and for tests of a variance; se: of the
    effect, the test's own or the one that ci implies. note: what a reader must know to judge the p-value. draws: (B,) the
    statistic under the null, element b one joint draw of all windows of the group; across: one of all groups and windows
    (`romano_wolf`); empty where there are none.
    """

    name: str
    group: str
    window: Window
    null: str
    n: int
    estimate: float = float("nan")
    statistic: float = float("nan")
    distribution: str = ""
    p_value: float = float("nan")
    se: float = float("nan")
    ci: tuple[float, float] = (float("nan"), float("nan"))
    note: str = ""
    unavailable: str = ""
    draws: Floats = field(default_factory=lambda: np.empty(0))
    across: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class EventSignificance:
    """The answers of one single-event test for N events in one window; arrays of shape (N,).

    unavailable: "" or the reason for that event; its numbers are then NaN. draws: as in `Significance`, for each event;
    () where there are none.
    """

    name: str
    window: Window
    null: str
    statistic: Floats
    distribution: list[str]
    p_value: Floats
    se: Floats
    ci_low: Floats
    ci_high: Floats
    note: list[str]
    unavailable: list[str]
    draws: tuple[Floats, ...] = ()


def noise(values: Floats) -> float:
    """The largest spread that rounding alone can leave among equal values of this size; NaN is passed over.

    Values are returns or what is made of them: differences of numbers near 1, which carry the rounding of those.
    """
    return max(NOISE * float(np.nanmax(np.abs(values))), NEAR)


def normal_p(z: float, alternative: str) -> float:
    """p-value of a standard normal statistic."""
    from scipy import special

    return float(_tail(special.ndtr, z, alternative))


def t_p(t: Floats | float, dof: Ints | int, alternative: str) -> Floats:
    """p-values of Student t statistics; broadcasts."""
    from scipy import special

    return np.asarray(_tail(lambda value: special.stdtr(dof, value), t, alternative))


def _tail(below: Callable[[Any], Any], value: Any, alternative: str) -> Any:
    """``below`` is the distribution function of a symmetric law; scipy.stats has the same bytes, a hundred times slower,
    and takes as long to import as everything else together."""
    if alternative == "greater":
        return below(-value)
    if alternative == "less":
        return below(value)
    return 2 * below(-np.abs(value))


def empirical_p(below: Ints, above: Ints, beyond: Ints, draws: Ints | int, alternative: str) -> Floats:
    """(1 + b) / (1 + B), b the draws at least as extreme as the statistic: below, above or in absolute value.

    Davison & Hinkley (1997), eq. 4.11. The statistic itself is one of the 1 + B values.
    """
    b = {"less": below, "greater": above, "two-sided": beyond}[alternative]
    return np.asarray((1 + b) / (1 + np.asarray(draws)), dtype=np.float64)


def quantile_of(alpha: float, dof: float | None = None) -> float:
    """The two-sided quantile at alpha: Student t with ``dof``, normal without."""
    from scipy import special

    return -float(special.ndtri(alpha / 2) if dof is None else special.stdtrit(dof, alpha / 2))


def quantiles_of(alpha: float, dof: Ints) -> Floats:
    """The two-sided quantiles at alpha of Student t with each of ``dof``; shape of ``dof``."""
    from scipy import special

    return np.asarray(-special.stdtrit(dof, alpha / 2))


def interval(estimate: float, se: float, alpha: float, dof: float | None = None) -> tuple[float, float]:
    """The two-sided 1 - alpha interval: Student t with ``dof``, normal without."""
    quantile = quantile_of(alpha, dof)
    return float(estimate - quantile * se), float(estimate + quantile * se)


def with_interval(answer: Significance, ends: tuple[float, float], quantile: float) -> Significance:
    """The answer with an interval, and the standard error that this implies if the test has none of its own."""
    implied = (ends[1] - ends[0]) / (2 * quantile)
    open_ends = [side for side, end in zip(("below", "above"), ends, strict=True) if not np.isfinite(end)]
    said = f"interval without bound {' or '.join(open_ends)}" if open_ends else ""
    note = "; ".join(text for text in (answer.note, said) if text)
    return replace(answer, ci=ends, se=answer.se if np.isfinite(answer.se) else implied, note=note)


def unavailable(sample: CarSample, name: str, reason: str, null: str = "") -> Significance:
    """An answer without numbers; the estimate stands, since it needs no test."""
    estimate = float(sample.car.mean()) if sample.n else float("nan")
    return Significance(name, sample.group, sample.window, null, sample.n, estimate=estimate, unavailable=reason)


def no_answers(sample: CarSample, name: str, reason: str, null: str = "") -> EventSignificance:
    """The answers of a single-event test that none of the events has, for one reason."""
    n, nothing = sample.n, np.full(sample.n, np.nan)
    return EventSignificance(
        name, sample.window, null, nothing, [""] * n, nothing, nothing, nothing, nothing, [""] * n, [reason] * n
    )
