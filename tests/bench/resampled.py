"""Resampling and simulation at scale: a wild bootstrap of every event day, and Brown and Warner's thousand samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import kernels
import numpy as np
from baselines import AFTER, ESTIMATION, EVENT, Arrays, Floats
from numpy.typing import NDArray

from engine.kernel import Calendar, measure
from engine.sessions import Window
from engine.significance import CarSample, Resampling, evaluate
from engine.significance.batch import BATCHED, Batch
from engine.significance.batch.sample import Compared

SAMPLES, SIZE, DRAWS = 1_000, 50, 9_999
TESTS = ("cross_sectional_t", "patell", "bmp", "corrado_zivney", "grank_t")
SEED = 7
CHUNK = 50  # samples at once
DAY = AFTER.tolist().index(0)


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
    rejected = 0
    for batch in batches(drawn(arrays, sessions, samples, kernel), samples):
        rejected += sum(int((BATCHED[test](batch).p("two-sided") < 0.05).sum()) for test in TESTS)
    return rejected / (samples * len(TESTS))


@dataclass(frozen=True)
class Drawn:
    """Pseudo-events, `SIZE` of each sample after those of the one before. ar: (E, L); residuals: (E, R); the others (E,)."""

    ar: Floats
    residuals: Floats
    sigma: Floats
    se: Floats
    dof: NDArray[np.int64]
    day: NDArray[np.int64]


def drawn(arrays: Arrays, sessions: Calendar, samples: int, kernel: str) -> Drawn:
    """The pseudo-events of all samples, fitted."""
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(0, len(arrays.listing), samples * SIZE)
    own = replace(arrays, listing=arrays.listing[chosen], day=arrays.day[chosen])
    asked = replace(kernels.asked(), windows=(Window(0, 0),), residuals=True)
    n, rows = len(chosen), len(Window(*ESTIMATION))
    made = Drawn(
        np.empty((n, len(AFTER))), np.empty((n, rows)), np.empty(n), np.empty(n), np.empty(n, np.int64), own.day
    )
    for places, raw, events in kernels.pieces(own):
        one = measure(kernel, raw, sessions, events, asked)[0]
        made.ar[places], made.residuals[places], made.sigma[places] = one.ar, one.residuals, one.sigma
        made.se[places], made.dof[places] = one.se[:, 0], one.dof
    return made


def batches(made: Drawn, samples: int) -> Iterator[Batch]:
    """The samples, those of as many events with every abnormal return together, some at a time."""
    whole = np.isfinite(made.ar).all(axis=1).reshape(samples, SIZE)
    events = whole.sum(axis=1)
    for n in np.unique(events).tolist():
        alike = np.flatnonzero(events == n)
        for some in np.array_split(alike, -(-len(alike) // CHUNK)):
            at = SIZE * some[:, None] + np.nonzero(whole[some])[1].reshape(-1, n)
            car, se, day = made.ar[at, DAY], made.se[at], made.day[at]
            yield Batch(
                window=Window(0, 0), event_window=Window(*EVENT), taus=np.zeros(1), on=0, car=car, car_se=se, scar=car / se,
                sigma=made.sigma[at], dof=made.dof[at], ar=made.ar[at], residuals=made.residuals[at], dates=day,
                window_days=day[:, :, None], firms=np.arange(n), r=np.zeros(len(at)), shared_r=np.zeros(len(at)),
                reference=Compared.of(np.zeros(1)),
            )  # fmt: skip
