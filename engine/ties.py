"""Comparisons of computed numbers that rounding does not decide: numbers that rounding alone can part count as equal.

The last bit of a sum, a logarithm or a fit differs between processors. So whatever counts, ranks, orders or compares
computed numbers takes those for equal that lie nearer to each other than a tie: `NEAR` for returns, abnormal returns and their
sums, and for what is in units of a standard deviation; `SHARE` of their own size for statistics and p-values. What is
read, a price or a date, is compared as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Item = TypeVar("Item")

NEAR = 1e-12  # a hundred-millionth of a basis point; prices and returns carry rounding of about 1e-16 each
SHARE = 1e-9  # of a statistic's or p-value's own size


def tie_of(statistic: float) -> float:
    """How far a draw of a statistic may lie from it and be equal: `SHARE` of its size, of 1 where it is smaller."""
    return SHARE * max(1.0, abs(statistic))


def at_least(values: Any, bound: Any, tie: Any = NEAR) -> Any:
    """Whether values are above the bound or equal to it."""
    return values >= bound - tie


def at_most(values: Any, bound: Any, tie: Any = NEAR) -> Any:
    """Whether values are below the bound or equal to it."""
    return values <= bound + tie


def above(values: Any, bound: Any, tie: Any = NEAR) -> Any:
    """Whether values are above the bound, and not equal to it."""
    return values > bound + tie


def below(values: Any, bound: Any, tie: Any = NEAR) -> Any:
    """Whether values are below the bound, and not equal to it."""
    return values < bound - tie


def rejects(p: Any, alpha: Any) -> Any:
    """Whether p-values are below a level; one that is the level but for rounding is not."""
    return p < alpha - SHARE * abs(alpha)


def turned(one: float, other: float) -> bool:
    """Whether two numbers have different signs, none of them being zero."""
    return one * other < 0 and min(abs(one), abs(other)) > NEAR


def merged(values: Floats, tie: float = NEAR) -> Floats:
    """Values (..., N), equal ones of the last axis made the same: the smallest of each run; those near zero are 0, NaN stays."""
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    begins = np.ones(values.shape, bool)
    begins[..., 1:] = ~(ordered[..., 1:] <= ordered[..., :-1] + tie)
    first = np.maximum.accumulate(np.where(begins, np.arange(values.shape[-1]), 0), axis=-1)
    made = np.empty(values.shape)
    np.put_along_axis(made, order, np.take_along_axis(ordered, first, axis=-1), axis=-1)
    return np.where(np.abs(values) <= tie, 0.0, made)


def ordered(items: Iterable[Item], size: Callable[[Item], float], name: Callable[[Item], Any]) -> list[Item]:
    """The items by increasing size, those of equal size by name."""
    every = list(items)
    sizes = merged(np.array([size(item) for item in every], dtype=np.float64)).tolist()
    return [every[i] for i in sorted(range(len(every)), key=lambda i: (sizes[i], name(every[i])))]
