"""Oracle `nist-longley`: the certified regression of the National Institute of Standards and Technology on six factors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from engine.models import fit
from engine.models.fits import NormalFits
from engine.sessions import Window

ORACLE = Path(__file__).parents[1] / "fixtures" / "oracles" / "nist-longley"
MODELS = ("factor",)
CERTIFIED = json.loads((ORACLE / "expected.json").read_text(encoding="utf-8"))


def fitted(ahead: np.ndarray) -> NormalFits:
    """The regression as one event: 16 estimation rows, ``ahead`` (6, L) as its event rows."""
    with (ORACLE / "longley.csv").open(encoding="utf-8", newline="") as file:
        rows = np.array([list(map(float, row)) for row in list(csv.reader(file))[1:]])
    own = np.array([[-16, -1]])
    return fit("factor", rows[:, :1].T, rows[:, 1:].T[None], ahead[None], Window(-16, -1), own, list("abcdef"))


def test_coefficients_spread_and_fit() -> None:
    fits = fitted(np.zeros((6, 1)))
    assert fits.names == ("alpha", *(f"beta_{c}" for c in "abcdef"))
    assert fits.degenerate[0] == ""
    np.testing.assert_allclose(fits.coefficients[0], CERTIFIED["coefficients"], rtol=1e-12)
    np.testing.assert_allclose(fits.sigma[0], CERTIFIED["residual_sd"], rtol=1e-12)
    np.testing.assert_allclose(fits.r2[0], CERTIFIED["r_squared"], rtol=1e-12)
    assert fits.dof[0] == CERTIFIED["dof"]


def test_the_forecast_basis_carries_the_standard_errors() -> None:
    """|B(x)| sigma is the error of the fitted mean at x: at 0 that of the constant, from 0 to s e_j s times that of beta j."""
    wanted = CERTIFIED["standard_errors"]
    steps = wanted[0] / np.array(wanted[1:])  # long ones, so that the difference loses no digits
    fits = fitted(np.hstack([np.zeros((6, 1)), np.diag(steps)]))
    basis = fits.forecast_basis[0] * fits.sigma[0]
    errors = [np.linalg.norm(basis[0]), *np.linalg.norm(basis[1:] - basis[0], axis=1) / steps]
    np.testing.assert_allclose(errors, wanted, rtol=1e-12)
