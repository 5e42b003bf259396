"""Do groups of events differ? Differences of mean CARs with their tests, and the quantiles of each group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from engine.crosssection.design import CONSTANT, Design
from engine.crosssection.fitting import CrossSample
from engine.crosssection.regression import regress
from engine.significance.sample import interval, noise, t_p
from engine.ties import merged

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Group = tuple[str, Ints]
MOST_VALUES = 8
QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "max": 1.0}


@dataclass(frozen=True)
class Difference:
    """Whether two groups differ, or all groups of a column; ``first`` and ``second`` are "" for all.

    n: events in the groups compared. estimate: mean CAR of the first less that of the second, NaN for all.
    """

    test: str
    first: str
    second: str
    n: int
    estimate: float = float("nan")
    se: float = float("nan")
    statistic: float = float("nan")
    distribution: str = ""
    p_value: float = float("nan")
    ci: tuple[float, float] = (float("nan"), float("nan"))
    note: str = ""
    unavailable: str = ""


def differences(sample: CrossSample, groups: Sequence[Group], covariances: Sequence[str]) -> list[Difference]:
    """Every test of every pair of up to 8 groups, and of all together.

    groups: value and members of each, no event in two. covariances: of `COVARIANCES`, asked for besides Welch's.
    """
    clustered = [c for c in covariances if c.startswith("clustered_")]
    pairs = list(combinations(groups, 2)) if len(groups) <= MOST_VALUES else []
    made = []
    for (first, a), (second, b) in pairs:
        made += [test(sample.car[a], sample.car[b], sample.alpha, first, second) for test in PAIR_TESTS.values()]
        made += [by_regression(sample, (first, a), (second, b), c) for c in clustered]
    note = f"{len(groups)} groups: pairs are compared up to {MOST_VALUES}" if not pairs and len(groups) > 1 else ""
    cars = [sample.car[members] for _, members in groups]
    return made + [test(cars, note) for test in JOINT_TESTS.values()]


def welch_t(a: Floats, b: Floats, alpha: float, first: str, second: str) -> Difference:
    """(mean a - mean b) / sqrt(va/na + vb/nb), variances with ddof 1; t with the dof of Welch (1947).

    dof = (va/na + vb/nb)^2 / ((va/na)^2/(na - 1) + (vb/nb)^2/(nb - 1)).
    """
    n, estimate = len(a) + len(b), _difference(a, b)
    if min(len(a), len(b)) < 2:
        reason = f"needs at least 2 events in each group, has {len(a)} and {len(b)}"
        return Difference("welch_t", first, second, n, estimate, unavailable=reason)
    shares = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    se = float(np.sqrt(shares.sum()))
    if not se > noise(np.concatenate([a, b])):
        return Difference("welch_t", first, second, n, estimate, unavailable="the CARs of each group do not vary")
    dof = float(shares.sum() ** 2 / (shares**2 / (np.array([len(a), len(b)]) - 1)).sum())
    t = estimate / se
    return Difference(
        "welch_t", first, second, n, estimate, se, t, f"t({dof:.4g})", float(t_p(t, np.asarray(dof), "two-sided")),
        interval(estimate, se, alpha, dof),
    )  # fmt: skip


def rank_sum(a: Floats, b: Floats, alpha: float, first: str, second: str) -> Difference:
    """U of Mann & Whitney (1947), the pairs in which a is above b, half for ties; exact up to 8 events without ties, else
    normal with the variance for ties and a continuity correction. Null: either group is above as often as the other."""
    from scipy import stats

    n, estimate = len(a) + len(b), _difference(a, b)
    if min(len(a), len(b)) < 2:
        reason = f"needs at least 2 events in each group, has {len(a)} and {len(b)}"
        return Difference("rank_sum", first, second, n, estimate, unavailable=reason)
    joined = merged(np.concatenate([a, b]))
    if (joined == joined[0]).all():
        return Difference("rank_sum", first, second, n, estimate, unavailable="all CARs are equal")
    exact = min(len(a), len(b)) <= 8 and len(np.unique(joined)) == n
    found = stats.mannwhitneyu(joined[: len(a)], joined[len(a) :], method="exact" if exact else "asymptotic")
    return Difference(
        "rank_sum", first, second, n, estimate, statistic=float(found.statistic),
        distribution="exact" if exact else "normal", p_value=float(found.pvalue),
    )  # fmt: skip


def welch_f(groups: Sequence[Floats], note: str) -> Difference:
    """F of equal means of k groups without equal variances; Welch (1951).

    w = n/v, m = sum(w mean)/sum(w), F = [sum w (mean - m)^2/(k - 1)] / [1 + 2(k - 2)/(k^2 - 1) L], with
    L = sum (1 - w/sum(w))^2/(n - 1); F(k - 1, (k^2 - 1)/(3 L)).
    """
    from scipy import special

    k, n = len(groups), sum(map(len, groups))
    reason = _joint_reason(groups)
    if not reason and any(not g.std(ddof=1) > noise(g) for g in groups):
        reason = "the CARs of a group do not vary"
    if reason:
        return Difference("welch_f", "", "", n, note=note, unavailable=reason)
    sizes = np.array([len(g) for g in groups])
    means = np.array([g.mean() for g in groups])
    weights = sizes / np.array([g.var(ddof=1) for g in groups])
    centre = (weights * means).sum() / weights.sum()
    spread = ((1 - weights / weights.sum()) ** 2 / (sizes - 1)).sum()
    between = (weights * (means - centre) ** 2).sum() / (k - 1)
    statistic = float(between / (1 + 2 * (k - 2) / (k**2 - 1) * spread))
    dof = float((k**2 - 1) / (3 * spread))
    p = float(special.fdtrc(k - 1, dof, statistic))
    return Difference(
        "welch_f", "", "", n, statistic=statistic, distribution=f"F({k - 1},{dof:.4g})", p_value=p, note=note
    )


def kruskal_wallis(groups: Sequence[Floats], note: str) -> Difference:
    """H of Kruskal & Wallis (1952) on the ranks of all CARs, corrected for ties; chi2(k - 1)."""
    from scipy import stats

    n = sum(map(len, groups))
    reason = _joint_reason(groups)
    cars = np.split(merged(np.concatenate(groups)), np.cumsum([len(g) for g in groups])[:-1]) if groups else []
    if not reason and len(np.unique(np.concatenate(cars))) == 1:
        reason = "all CARs are equal"
    if reason:
        return Difference("kruskal_wallis", "", "", n, note=note, unavailable=reason)
    found = stats.kruskal(*cars)
    return Difference(
        "kruskal_wallis", "", "", n, statistic=float(found.statistic), distribution=f"chi2({len(groups) - 1})",
        p_value=float(found.pvalue), note=note,
    )  # fmt: skip


PAIR_TESTS: dict[str, Callable[[Floats, Floats, float, str, str], Difference]] = {
    "welch_t": welch_t,
    "rank_sum": rank_sum,
}
JOINT_TESTS: dict[str, Callable[[Sequence[Floats], str], Difference]] = {
    "welch_f": welch_f,
    "kruskal_wallis": kruskal_wallis,
}


def by_regression(sample: CrossSample, first: Group, second: Group, covariance: str) -> Difference:
    """The difference of two means as the slope on a dummy for the first group, with a covariance of `COVARIANCES`.

    Cameron & Miller (2015). Differs from the mean CAR's own clustered test by the factor (n - 1)/(n - 2).
    """
    members = np.sort(np.concatenate([first[1], second[1]]))
    estimate = _difference(sample.car[first[1]], sample.car[second[1]])
    dummy = np.isin(members, first[1]).astype(float)
    design = Design(
        (CONSTANT, first[0]), np.stack([np.ones(len(members)), dummy], axis=1), np.ones(len(members), bool), ()
    )
    chosen = CrossSample(
        sample.car[members], sample.car_se[members], sample.dates[members], sample.firms[members], False, sample.alpha
    )
    (found,) = regress(chosen, design, [covariance])
    reason = found.unavailable[-1]
    if reason:
        return Difference(covariance, first[0], second[0], len(members), estimate, note=found.note, unavailable=reason)
    return Difference(
        covariance, first[0], second[0], len(members), estimate, float(found.se[1]), float(found.t[1]),
        found.distribution, float(found.p_value[1]), (float(found.ci_low[1]), float(found.ci_high[1])), found.note,
    )  # fmt: skip


def quantiles(car: Floats) -> dict[str, float]:
    """Mean, standard deviation (ddof 1) and `QUANTILES` of at least one CAR, linear between the order statistics.

    Hyndman & Fan (1996), type 7.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of CARs beyond 1e150 there is no number for some of these
        spread = float(car.std(ddof=1)) if len(car) > 1 else float("nan")
        values, mean = np.quantile(car, [*QUANTILES.values()]), float(car.mean())
    return {"mean": mean, "sd": spread} | dict(zip(QUANTILES, values.tolist(), strict=True))


def _difference(a: Floats, b: Floats) -> float:
    return float(a.mean() - b.mean()) if len(a) and len(b) else float("nan")


def _joint_reason(groups: Sequence[Floats]) -> str:
    if len(groups) < 2:
        return f"needs at least 2 groups, has {len(groups)}"
    small = min(map(len, groups))
    return f"needs at least 2 events in each group, has {small} in one" if small < 2 else ""
