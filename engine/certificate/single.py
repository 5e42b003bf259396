"""A test without a batched form, asked one pseudo-sample at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.abnormal import AbnormalReturns, Cars, per_session
from engine.pseudo_samples import PseudoSamples
from engine.samples import regressions_of
from engine.sessions import Window
from engine.significance import REGRESSION_TESTS, CarSample, Resampling, evaluate


@dataclass(frozen=True)
class AskOne:
    """A function of samples, abnormal returns, CARs, sample number, test and alternative: the p-value."""

    alpha: float
    resampling: Resampling | None

    def __call__(
        self, samples: PseudoSamples, abnormal: AbnormalReturns, cars: Cars, number: int, test: str, alternative: str
    ) -> float:
        sample = one_sample(samples, abnormal, cars, number, test, alternative, self.alpha, self.resampling)
        return evaluate(test, sample).p_value


def one_sample(
    samples: PseudoSamples, abnormal: AbnormalReturns, cars: Cars, number: int, test: str, alternative: str,
    alpha: float, resampling: Resampling | None,
) -> CarSample:  # fmt: skip
    """The pseudo-sample ``number`` as a test sees it."""
    panel, n = samples.subject.panel, samples.subject.n
    rows = np.arange(number * n, (number + 1) * n)
    fits = samples.fits.take(rows)
    one = replace(samples, position=samples.position[number : number + 1])
    regressions = None
    if test in REGRESSION_TESTS and samples.regressors is not None and samples.event_regressors is not None:
        there = replace(
            panel, regressors=samples.regressors[rows], event_regressors=samples.event_regressors[rows]
        )  # fmt: skip
        regressions = regressions_of(there, fits, np.arange(n))
    return CarSample(
        group="",
        window=cars.window,
        event_window=abnormal.window,
        car=cars.car[rows],
        car_se=cars.se[rows],
        scar=cars.scar[rows],
        bhar=cars.bhar[rows],
        sigma=fits.sigma,
        dof=cars.dof[rows],
        ar=per_session(abnormal, abnormal.ar)[rows],
        spans=None if abnormal.spans is None else abnormal.spans[rows],
        residuals=fits.residuals,
        residual_days=one.days(panel.estimation_rows)[0],
        event_days=one.days(abnormal.window)[0],
        dates=one.days(Window(0, 0))[0, :, 0],
        firms=samples.subject.firms,
        alternative=alternative,
        alpha=alpha,
        shared=np.zeros(n, bool),
        regressions=regressions,
        resampling=resampling,
        lacks=fits.lacks,
    )
