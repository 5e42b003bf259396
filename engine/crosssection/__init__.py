"""What drives the CARs: regressions on attributes of the events, differences between groups, quantiles. Arrays only.

To add a covariance: a function of a `Fitted` with its citation in `covariance`, and a line in `COVARIANCES`.
"""

from engine.crosssection.benchmark import PreEvent
from engine.crosssection.covariance import BENCHMARKED, COVARIANCES
from engine.crosssection.design import CONSTANT, Attribute, Design, design
from engine.crosssection.fitting import CrossSample
from engine.crosssection.groups import QUANTILES, Difference, differences, quantiles
from engine.crosssection.partial import Partial, partial
from engine.crosssection.regression import Coefficients, regress

__all__ = [
    "BENCHMARKED", "CONSTANT", "COVARIANCES", "QUANTILES", "Attribute", "Coefficients", "CrossSample", "Design", "Difference",
    "Partial", "PreEvent", "design", "differences", "partial", "quantiles", "regress",
]  # fmt: skip
