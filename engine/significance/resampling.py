"""Tests whose null distribution comes from the data: pseudo-dates, and other listings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.inversion import REJECTED, crossing, of_draws
from engine.significance.sample import (
    CarSample,
    EventSignificance,
    Significance,
    empirical_p,
    noise,
    quantile_of,
    unavailable,
    with_interval,
)
from engine.ties import at_least, at_most

NULL_DATES = "the event dates are like any other dates of the same listings"
NULL_FIRMS = "the listings with the event are like the study's other listings on the same dates"
JOINT = "shares days with another event: its CAR of the joint regression has no counterpart"


def permutation(sample: CarSample) -> Significance:
    """Date permutation: the mean CAR against the mean CARs at pseudo-dates, the model re-estimated at each.

    p = (1 + b)/(1 + B); two-sided by absolute value. All listings of a date move together, so cross-correlation is
    kept. With one date all its pseudo-dates are used, with several B joint draws.
    Gelbach, Helland & Klick (2013), section 3, for several firms; Abadie, Diamond & Hainmueller (2010), section 2.4.
    """
    pseudo = sample.pseudo
    if pseudo is None or not len(pseudo.group):
        return unavailable(sample, "permutation", "no pseudo-date is free of real events and missing days", NULL_DATES)
    if sample.shared is not None and sample.shared.any():
        reason = f"{int(sample.shared.sum())} of {sample.n} events: the window {JOINT} at pseudo-dates"
        return unavailable(sample, "permutation", reason, NULL_DATES)
    mean, draws = float(sample.car.mean()), pseudo.group
    p = _p(draws, mean, sample.alternative)
    fewest = int(pseudo.non_overlapping.min())
    answer = Significance(
        "permutation", sample.group, sample.window, NULL_DATES, sample.n, mean, mean, f"permutation({len(draws)})", p,
        note=f"{fewest} non-overlapping pseudo-windows at the event that has fewest",
        draws=pseudo.joint, across=pseudo.across,
    )  # fmt: skip
    return with_interval(answer, of_draws(mean, draws, sample.alpha), quantile_of(sample.alpha))


def firm_permutation(sample: CarSample) -> Significance:
    """Firm permutation: the mean CAR less that of the pools, among its values for listings drawn from the pools.

    A pool: the listings with the event on that day, and the study's others free of events there, of one exchange and
    benchmark (`engine.firm_placebo`). p = (1 + b)/(1 + B); two-sided by absolute value. What moves every listing of the
    day cancels; who has the event must be as good as drawn by lot. The interval is of the effect beyond the others.
    Fisher (1935), randomisation; Abadie, Diamond & Hainmueller (2010), section 2.4, placebos across units.
    """
    name, firms = "firm_permutation", sample.pseudo_firms
    if sample.shared is not None and sample.shared.any():
        reason = f"{int(sample.shared.sum())} of {sample.n} events: the window {JOINT} among other listings"
        return unavailable(sample, name, reason, NULL_FIRMS)
    lonely = sample.n if firms is None else int((firms.others == 0).sum())
    if firms is None or lonely:
        reason = f"for {lonely} of {sample.n} events no other listing can stand in: name some in [resampling] controls"
        return unavailable(sample, name, reason, NULL_FIRMS)
    if firms.lines:
        reason = (
            f"{firms.lines} of {sample.n} are further lines of a firm for the same news, which no draw keeps together"
        )
        return unavailable(sample, name, reason, NULL_FIRMS)
    if not float(np.ptp(firms.draws)) > noise(sample.car):
        return unavailable(sample, name, "the CARs of the stand-ins do not vary", NULL_FIRMS)
    mean = float(sample.car.mean())
    value, size = mean - firms.centre, 1 - firms.share
    p = _p(firms.draws, value, sample.alternative)

    def kept(tau: float) -> float:
        return _p(firms.draws - tau * firms.shares, value - tau * size, "two-sided") - REJECTED * sample.alpha

    middle, step = value / size, float(firms.draws.std(ddof=1))
    ends = -crossing(lambda tau: kept(-tau), -middle, step), crossing(kept, middle, step)
    answer = Significance(
        name, sample.group, sample.window, NULL_FIRMS, sample.n, mean, value, f"permutation({len(firms.draws)})", p,
        note=f"{int(firms.others.min())} to {int(firms.others.max())} other listings can stand in for an event",
        draws=firms.draws, across=firms.draws,
    )  # fmt: skip
    return with_interval(answer, ends, quantile_of(sample.alpha))


def event_permutation(sample: CarSample) -> EventSignificance:
    """`permutation` for each event alone: its CAR against its CARs at all its own pseudo-dates."""
    n = sample.n
    nothing = np.full(n, np.nan)
    p, distribution, note, missing = nothing.copy(), [""] * n, [""] * n, [""] * n
    ends = np.full((n, 2), np.nan)
    under_null = [np.empty(0)] * n
    for i in range(n):
        if sample.shared is not None and sample.shared[i]:
            missing[i] = f"the window {JOINT} at pseudo-dates"
            continue
        draws = sample.pseudo.events[i] if sample.pseudo is not None else np.empty(0)
        if sample.pseudo is None or not len(draws):
            missing[i] = "no pseudo-date is free of real events and missing days"
            continue
        p[i] = _p(draws, float(sample.car[i]), sample.alternative)
        distribution[i], under_null[i] = f"permutation({len(draws)})", draws
        ends[i] = of_draws(float(sample.car[i]), draws, sample.alpha)
        note[i] = f"{sample.pseudo.non_overlapping[i]} non-overlapping pseudo-windows"
    statistic = np.where(np.isfinite(p), sample.car, np.nan)
    return EventSignificance(
        "permutation", sample.window, NULL_DATES, statistic, distribution, p,
        (ends[:, 1] - ends[:, 0]) / (2 * quantile_of(sample.alpha)), ends[:, 0], ends[:, 1], note, missing,
        tuple(under_null),
    )  # fmt: skip


def _p(draws: npt.NDArray[np.float64], value: float, alternative: str) -> float:
    """The share of draws at least as extreme as ``value``, which counts as one of them.

    A draw that is ``value`` but for rounding is as extreme: stand-ins that are the very listings with the event.
    """
    lower, upper, beyond = at_most(draws, value), at_least(draws, value), at_least(np.abs(draws), abs(value))
    return float(empirical_p(lower.sum(), upper.sum(), beyond.sum(), len(draws), alternative))
