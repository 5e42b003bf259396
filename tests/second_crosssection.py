"""A second implementation of the cross-section: normal equations and sandwiches by hand, plain loops; no ``engine``."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

Array = Any


def least_squares(x: Array, y: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Coefficients, (X'WX)^-1, and residuals."""
    inverse = np.linalg.inv(x.T @ (weights[:, None] * x))
    b = inverse @ (x.T @ (weights * y))
    return b, inverse, y - x @ b


def classical(x: Array, y: Array, weights: Array) -> Array:
    _, inverse, e = least_squares(x, y, weights)
    n, k = x.shape
    return np.sqrt(np.diag(inverse) * (weights * e**2).sum() / (n - k))


def hc(x: Array, y: Array, weights: Array, kind: str) -> Array:
    _, inverse, e = least_squares(x, y, weights)
    n, k = x.shape
    meat = np.zeros((k, k))
    for i in range(n):
        row = x[i] * math.sqrt(weights[i])
        leverage = row @ inverse @ row
        residual = e[i] * math.sqrt(weights[i])
        if kind == "HC3":
            residual /= 1 - leverage
        meat += residual**2 * np.outer(row, row)
    factor = n / (n - k) if kind == "HC1" else 1.0
    return np.sqrt(factor * np.diag(inverse @ meat @ inverse))


def cluster_variance(x: Array, y: Array, weights: Array, labels: list[Any]) -> Array:
    _, inverse, e = least_squares(x, y, weights)
    n, k = x.shape
    meat = np.zeros((k, k))
    for label in set(labels):
        score = np.zeros(k)
        for i in range(n):
            if labels[i] == label:
                score += weights[i] * e[i] * x[i]
        meat += np.outer(score, score)
    groups = len(set(labels))
    factor = groups / (groups - 1) * (n - 1) / (n - k)
    return factor * (inverse @ meat @ inverse)


def clustered(x: Array, y: Array, weights: Array, labels: list[Any]) -> Array:
    return np.sqrt(np.diag(cluster_variance(x, y, weights, labels)))


def two_way(x: Array, y: Array, weights: Array, first: list[Any], second: list[Any]) -> Array:
    both = list(zip(first, second, strict=True))
    parts = [cluster_variance(x, y, weights, labels) for labels in (first, second, both)]
    return np.sqrt(np.diag(parts[0] + parts[1] - parts[2]))


def windows_before(days: list[list[int]], returns: list[dict[int, float]], length: int) -> list[list[int]]:
    """Windows of common days, from the last one back."""
    common = sorted(d for d in set().union(*days) if all(d in own for own in returns))
    made = []
    while len(common) >= length:
        made.insert(0, common[-length:])
        common = common[:-length]
    return made


def car_left_out(returns: dict[int, float], regressors: dict[int, list[float]], window: list[int]) -> float:
    """The CAR of a window, the model fitted to all other days."""
    days = [d for d in returns if d not in window]
    x = np.array([regressors[d] for d in days]).reshape(len(days), -1)
    y = np.array([returns[d] for d in days])
    b = np.linalg.lstsq(x, y, rcond=None)[0] if x.shape[1] else np.zeros(0)
    return math.fsum(returns[d] - float(np.dot(regressors[d], b)) for d in window)


def welch_f(groups: list[list[float]]) -> tuple[float, float, float]:
    k = len(groups)
    n = [len(g) for g in groups]
    mean = [math.fsum(g) / len(g) for g in groups]
    variance = [math.fsum((v - m) ** 2 for v in g) / (len(g) - 1) for g, m in zip(groups, mean, strict=True)]
    w = [a / v for a, v in zip(n, variance, strict=True)]
    centre = math.fsum(a * m for a, m in zip(w, mean, strict=True)) / math.fsum(w)
    between = math.fsum(a * (m - centre) ** 2 for a, m in zip(w, mean, strict=True)) / (k - 1)
    lam = math.fsum((1 - a / math.fsum(w)) ** 2 / (b - 1) for a, b in zip(w, n, strict=True))
    f = between / (1 + 2 * (k - 2) / (k**2 - 1) * lam)
    dof = (k**2 - 1) / (3 * lam)
    return f, dof, float(stats.f.sf(f, k - 1, dof))


def rank_sum(a: list[float], b: list[float]) -> tuple[float, float]:
    """U and its two-sided normal p-value with ties and continuity correction."""
    u = sum((v > w) + 0.5 * (v == w) for v in a for w in b)
    n = len(a) + len(b)
    joined = sorted([*a, *b])
    edges = [0, *(i for i, (v, w) in enumerate(pairwise(joined), 1) if v != w), n]
    ties = sum((end - start) ** 3 - (end - start) for start, end in pairwise(edges))
    variance = len(a) * len(b) / 12 * (n + 1 - ties / (n * (n - 1)))
    z = (abs(u - len(a) * len(b) / 2) - 0.5) / math.sqrt(variance)
    return u, float(2 * stats.norm.sf(z))


def kruskal_wallis(groups: list[list[float]]) -> tuple[float, float]:
    joined = [v for g in groups for v in g]
    n = len(joined)
    rank = {v: sum(w < v for w in joined) + (sum(w == v for w in joined) + 1) / 2 for v in joined}
    h = 12 / (n * (n + 1)) * sum(sum(rank[v] for v in g) ** 2 / len(g) for g in groups) - 3 * (n + 1)
    ties = sum(joined.count(v) ** 3 - joined.count(v) for v in set(joined))
    h /= 1 - ties / (n**3 - n)
    return h, float(stats.chi2.sf(h, len(groups) - 1))
