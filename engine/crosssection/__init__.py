"""What drives the CARs: regressions on attributes of the events, differences between groups, quantiles. Arrays only.

To add a covariance: a function of a `Fitted` with its citation in `regression`, and a line in `COVARIANCES`.
"""

from engine.crosssection.benchmark import PreEvent
from engine.crosssection.design import CONSTANT, Attribute, design
from engine.crosssection.groups import QUANTILES, Difference, differences, quantiles
from engine.crosssection.partial import Partial, partial
from engine.crosssection.regression import BENCHMARKED, COVARIANCES, Coefficients, CrossSample, regress

__all__ = [
    "BENCHMARKED", "CONSTANT", "COVARIANCES", "QUANTILES", "Attribute", "Coefficients", "CrossSample", "Difference",
    "Partial", "PreEvent", "design", "differences", "partial", "quantiles", "regress",
]  # fmt: skip
