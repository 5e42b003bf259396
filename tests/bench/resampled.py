"""Resampling and simulation at scale: a wild bootstrap of every event day, and Brown and Warner's thousand samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import kernels
import numpy as np
from baselines import AFTER, ESTIMATION, EVENT, Arrays, Floats
from numpy.typing import NDArray

from engine.kernel import Calendar, Measured, measure
from engine.sessions import Window
from engine.significance import CarSample, Resampling, evaluate, inversion, rank

SAMPLES, SIZE, DRAWS = 1_000, 50, 9_999
TESTS = ("cross_sectional_t", "patell", "bmp", "corrado_zivney", "grank_t")
SEED = 7


def sample(
    ar: Floats, columns: slice, sigma: Floats, se: Floats, dof: NDArray[np.int64], residuals: Floats, dates: NDArray[np.int64]
) -> CarSample:  # fmt: skip
    """What a test looks at, of N events with complete abnormal returns (N, L)."""
    car = ar[:, columns].sum(axis=1)
    n, days = len(car), np.arange(ar.shape[1])
    return CarSample(
        group="all",
        window=Window(int(AFTER[columns][0]), int(AFTER[columns][-1])),
        event_window=Window(*EVENT),
        car=car,
        car_se=se,
        scar=car / se,
        bhar=car,
        sigma=sigma,
        dof=dof,
        ar=ar,
        residuals=residuals,
        residual_days=np.tile(np.arange(residuals.shape[1]), (n, 1)),
        event_days=dates[:, None] + days,
        dates=dates,
        firms=np.arange(n),
        alternative="two-sided",
        alpha=0.05,
    )


def wild_samples(arrays: Arrays, ar: Floats) -> list[CarSample]:
    """One sample a day of the event window, of the events with an abnormal return on each, clustered by date."""
    whole = np.isfinite(ar).all(axis=1)
    kept, day = ar[whole], arrays.day[whole]
    spread, dof = kept.std(axis=1), np.full(len(kept), 248)
    none = np.empty((len(kept), 0))
    plan = Resampling(np.unique(day, return_inverse=True)[1], DRAWS, SEED)
    made = [sample(kept, slice(c, c + 1), spread, spread, dof, none, day) for c in range(kept.shape[1])]
    return [replace(one, resampling=plan) for one in made]


def wild_test(samples: list[CarSample]) -> list[float]:
    return [evaluate("wild_bootstrap", one).p_value for one in samples]


def brown_warner(arrays: Arrays, sessions: Calendar, samples: int = SAMPLES, kernel: str = "numba") -> float:
    """Draw 1,000 times 50 listings and days, fit, and test day 0 with every test: the share of rejections at 5 %.

    Brown & Warner (1985), section 3: each draw is of its own, with the firm's own returns.
    """
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(0, len(arrays.listing), samples * SIZE)
    drawn = replace(arrays, listing=arrays.listing[chosen], day=arrays.day[chosen])
    parts = kernels.pieces(drawn)
    asked = replace(kernels.asked(), windows=(Window(0, 0),), residuals=True)
    rows = len(Window(*ESTIMATION))
    found = [measure(kernel, raw, sessions, events, asked)[0] for _, raw, events in parts]
    ar, residuals = np.empty((len(chosen), len(AFTER))), np.empty((len(chosen), rows))
    sigma, se, dof = np.empty((2, len(chosen))), np.empty(len(chosen)), np.empty(len(chosen), np.int64)
    for (places, _, _), one in zip(parts, found, strict=True):
        _put(places, one, ar, residuals, sigma[0], se, dof)
    day, zero = AFTER.tolist().index(0), []
    with _without_intervals():
        for i in range(samples):
            own = np.arange(i * SIZE, (i + 1) * SIZE)
            own = own[np.isfinite(ar[own]).all(axis=1)]
            one = sample(ar[own], slice(day, day + 1), sigma[0][own], se[own], dof[own], residuals[own], drawn.day[own])
            zero += [evaluate(test, one).p_value < 0.05 for test in TESTS]
    return float(np.mean(zero))


@contextmanager
def _without_intervals() -> Iterator[None]:
    """Tests do not search for the ends of their intervals, which are not looked at here."""
    kept = inversion.DOUBLINGS, rank.MOST_RANKED
    inversion.DOUBLINGS = rank.MOST_RANKED = 0
    try:
        yield
    finally:
        inversion.DOUBLINGS, rank.MOST_RANKED = kept


def _put(
    places: NDArray[np.int64], one: Measured, ar: Floats, residuals: Floats, sigma: Floats, se: Floats, dof: NDArray[np.int64]
) -> None:  # fmt: skip
    ar[places], residuals[places], sigma[places] = one.ar, one.residuals, one.sigma
    se[places], dof[places] = one.se[:, 0], one.dof
