"""The same decisions on every processor: models fitted in fresh processes under other vector kernels and another kernel of the
linear algebra, and to returns moved by one unit in the last place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MODEL_KEYS

from engine.models import ITERATIVE, MODELS

DAYS, AHEAD = 120, 3
SEARCHED = ("garch", "gjr", "egarch")
KEYS: dict[str, Any] = {"window": 40, "half_life": 15.0, "leads_lags": 1}


def found_features() -> str:
    """The vector kernels of numpy that this processor has."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])


SETTINGS = {
    "as it is": {},
    "without vector kernels": {
        "NPY_DISABLE_CPU_FEATURES": found_features(), "OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "generic",
    },
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "the last digit": {"LAST_DIGIT": "1"},
}  # fmt: skip


def series() -> tuple[np.ndarray, np.ndarray]:
    """(N, DAYS) returns and their benchmark: ordinary, of a moving variance, spiky, with gaps, short, in steps, constant."""
    rng = np.random.default_rng(18)
    x = rng.normal(0, 0.01, DAYS)
    rows = [b * x + rng.normal(0, 0.02, DAYS) for b in (0.2, 1.0, 2.0)]
    for arch, garch in ((0.15, 0.8), (0.4, 0.4), (0.05, 0.9)):
        variance, row = 4e-4, np.empty(DAYS)
        for t in range(DAYS):
            row[t] = np.sqrt(variance) * rng.standard_normal()
            variance = 4e-4 * (1 - arch - garch) + arch * row[t] ** 2 + garch * variance
        rows.append(x + row)
    spiky, gaps, short = (x + rng.normal(0, 0.01, DAYS) for _ in range(3))
    spiky[[30, 80]] += [0.5, -0.4]
    gaps[rng.random(DAYS) < 0.3] = np.nan
    short[:-30] = np.nan
    prices = np.round(5 * np.exp(np.cumsum(rng.normal(0, 0.01, DAYS + 1))), 1)
    growth = 1.00001 ** np.arange(DAYS + 1)
    few = np.zeros(DAYS)
    few[[20, 70]] = 0.05
    rows += [spiky, gaps, short, prices[1:] / prices[:-1] - 1, np.zeros(DAYS), np.full(DAYS, 0.3), few]
    rows += [growth[1:] / growth[:-1] - 1, x.copy(), x / 3, x + 1e-14 * rng.standard_normal(DAYS)]
    return np.array(rows), x


def moved(values: np.ndarray) -> np.ndarray:
    """Every value one unit in the last place up or down, equal ones alike; zero stays."""
    up = np.array([hash(v) % 2 for v in values.ravel().tolist()]).reshape(values.shape) == 1
    beside = np.where(up, np.nextafter(values, np.inf), np.nextafter(values, -np.inf))
    return np.where((values == 0) | np.isnan(values), values, beside)


def answers() -> dict[str, Any]:
    """Reasons, coefficients, sigma and expected returns of every model; residuals by sign."""
    returns, benchmark = series()
    ahead = np.random.default_rng(1).normal(0, 0.01, (1, 1, AHEAD))
    if os.environ.get("LAST_DIGIT"):
        returns, benchmark = moved(returns), moved(benchmark)
    n, made = len(returns), {}
    for name in sorted(set(MODELS) - {"custom"}):
        keys = {key: value for key, value in KEYS.items() if key in MODEL_KEYS.get(name, {})}
        fits = MODELS[name](returns, np.tile(benchmark, (n, 1, 1)), np.tile(ahead, (n, 1, 1)), **keys)
        good = fits.degenerate == ""
        numbers = [fits.sigma[good], fits.expected[good].ravel(), fits.coefficients[good].ravel()]
        made[name] = {
            "reasons": fits.degenerate.tolist(),
            "numbers": np.concatenate(numbers).tolist(),
            "zeros": (fits.residuals[good] == 0).sum(axis=1).tolist() if name in ("lad", "huber", "theil_sen") else [],
        }
    return made


@cache
def under(setting: str) -> dict[str, Any]:
    """The answers of a fresh process."""
    folders = os.pathsep.join(str(Path(__file__).parents[i]) for i in (0, 1))
    kept = {
        key: value for key, value in os.environ.items() if key not in ("NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE")
    }
    found = subprocess.run(
        [sys.executable, "-c", "import json, test_machines; print(json.dumps(test_machines.answers()))"],
        capture_output=True, text=True, env=kept | SETTINGS[setting] | {"PYTHONPATH": folders}, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("setting", list(SETTINGS)[1:])
def test_models_answer_alike_whatever_the_processor_and_the_last_digit(setting: str) -> None:
    """The same reasons, and numbers within the tolerance of a golden: 1e-9, or 1e-5 after a search."""
    plain, other = under("as it is"), under(setting)
    for name, answer in plain.items():
        assert other[name]["reasons"] == answer["reasons"], name
        assert other[name]["zeros"] == answer["zeros"], name
        rtol = 1e-5 if name in ITERATIVE else 1e-9
        np.testing.assert_allclose(other[name]["numbers"], answer["numbers"], rtol=rtol, atol=1e-12, err_msg=name)


def test_the_series_bring_out_what_a_search_may_answer() -> None:
    found = {reason for name in SEARCHED for reason in under("as it is")[name]["reasons"]}
    assert {"", "not_converged", "no_unconditional_sigma", "constant_returns", "exact_fit"} <= found


def test_returns_that_only_rounding_parts_do_not_vary() -> None:
    """A listing that grows alike every day, and one that is its benchmark but for 1e-14."""
    of = under("as it is")
    returns, _ = series()
    n = len(returns)
    assert np.ptp(returns[n - 4]) > 0
    assert of["market"]["reasons"][n - 4] == of["mean_adjusted"]["reasons"][n - 4] == "constant_returns"
    assert of["market_adjusted"]["reasons"][n - 1] == of["market"]["reasons"][n - 1] == "exact_fit"
