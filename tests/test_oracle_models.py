"""Models against other people's numbers: the oracle `clustered-30`, published fits of public data, and other programs.

Tolerances: closed forms 1e-10. GARCH 1e-3 of the coefficients: two searches stop at different places of a flat likelihood, the
oracle's at its library's default, on returns times 100; what they do to the likelihood is in the 9th digit. Published numbers as
many digits as were printed.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import second_models
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.regression.rolling import RollingOLS
from test_oracle_clustered30 import ORACLE, wide

from engine.models import NormalFits, fit
from engine.sessions import Window

# model -> whose numbers. The registry asks for an entry of every model; each is compared below.
MODELS = {
    "raw": "scipy",
    "matched": "the oracle's market-adjusted fits",
    "scholes_williams": "clustered-30: sw.common_sample_2_to_Tminus1, alpha_mean_over_all",
    "dimson": "clustered-30: dimson1 and dimson2, beta_sum",
    "rolling": "statsmodels RollingOLS",
    "exponential": "statsmodels WLS",
    "garch": "clustered-30: garch_arch.json",
    "egarch": "arch at its defaults, returns times 100",
    "gjr": "arch at its defaults, returns times 100",
    "lad": "R quantreg's fit of Engel's food data; statsmodels QuantReg; scipy linprog",
    "huber": "R MASS's fit of the Belgian phone calls; statsmodels RLM",
    "theil_sen": "scipy, with its joint intercept",
    "custom": "the oracle's market model, written as a user's function",
}
FIRMS = [f"F{i:02d}" for i in range(30)]
ROWS, AHEAD = Window(-260, -11), Window(-10, 10)


def column(name: str, window: Window) -> np.ndarray:
    day_0 = wide()["date"].index("2016-02-25")
    return np.array(wide()[name][day_0 + window.start : day_0 + window.end + 1], dtype=float)


@cache
def fits(model: str, **options: Any) -> NormalFits:
    returns = np.array([column(f, ROWS) for f in FIRMS])
    market, ahead = (np.tile(column("MKT", w), (30, 1, 1)) for w in (ROWS, AHEAD))
    return fit(model, returns, market, ahead, ROWS, np.array([[-260, -11]] * 30), options=options)


def same(actual: Any, wanted: Any, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(wanted, float), rtol=rtol, atol=1e-15)


@cache
def published(name: str) -> Any:
    return json.loads((ORACLE / name).read_text(encoding="utf-8"))


def test_scholes_williams() -> None:
    oracle = [published("scholes_williams_dimson.json")[f]["sw"]["common_sample_2_to_Tminus1"] for f in FIRMS]
    wanted = [[one["alpha_mean_over_all"], one["beta"]] for one in oracle]
    same(fits("scholes_williams").coefficients, wanted)


@pytest.mark.parametrize("k", [1, 2])
def test_dimson(k: int) -> None:
    found = fits("dimson", leads_lags=k)
    same(
        found.coefficients[:, 1],
        [published("scholes_williams_dimson.json")[f][f"dimson{k}"]["beta_sum"] for f in FIRMS],
    )


@pytest.mark.parametrize(("model", "options"), [("scholes_williams", {}), ("dimson", {"leads_lags": 2})])
def test_the_corrected_line_goes_through_the_means_and_keeps_the_market_models_v(model: str, options: Any) -> None:
    found, ols = fits(model, **options), fits("market")
    y, x = np.array([column(f, ROWS) for f in FIRMS]), column("MKT", ROWS)
    alpha, beta = found.coefficients.T
    same(alpha, y.mean(axis=1) - beta * x.mean())
    rss = ((y - alpha[:, None] - beta[:, None] * x) ** 2).sum(axis=1)
    same(found.sigma, np.sqrt(rss / 248))
    same(found.expected, alpha[:, None] + beta[:, None] * column("MKT", AHEAD))
    assert (found.forecast_basis == ols.forecast_basis).all()
    assert found.dof.tolist() == [248] * 30


def test_garch_loosely() -> None:
    found = fits("garch")
    assert found.names == ("alpha", "beta_market", "omega", "arch", "garch")
    for firm, one in published("garch_arch.json").items():
        wanted = [one["params_pct"][n] for n in ("Const", "x0", "omega", "alpha[1]", "beta[1]")]
        i = FIRMS.index(firm)
        np.testing.assert_allclose(found.coefficients[i] * [100, 1, 1e4, 1, 1], wanted, rtol=1e-3, atol=1e-4)
        if not found.degenerate[i]:
            omega, arch, garch = found.coefficients[i, 2:]
            same(found.sigma[i], np.sqrt(omega / (1 - arch - garch)))


@pytest.mark.parametrize(("model", "how"), [("gjr", {"vol": "GARCH", "o": 1}), ("egarch", {"vol": "EGARCH", "o": 1})])
def test_the_other_variance_equations_loosely(model: str, how: dict[str, Any]) -> None:
    """As a user of the library would fit them, on returns times 100; compared where both searches end on the same top."""
    from arch import arch_model

    found, compared = fits(model), 0
    for i in np.flatnonzero(found.degenerate == "")[:20]:
        y, x = 100 * column(FIRMS[i], ROWS), 100 * column("MKT", ROWS)
        direct = arch_model(y, x=x, mean="LS", p=1, q=1, rescale=False, **how).fit(disp="off", show_warning=False)
        ours = found.coefficients[i].copy()
        ours[0] *= 100
        ours[2] = ours[2] * 1e4 if model == "gjr" else ours[2] + (1 - ours[-1]) * 2 * np.log(100)
        height = second_models.log_likelihood(model, ours.tolist(), y, x)
        assert height > sm.OLS(y, sm.add_constant(x)).fit().llf - 1e-3
        if direct.convergence_flag == 0 and abs(height - direct.loglikelihood) < 1e-4:
            np.testing.assert_allclose(ours, direct.params, rtol=0.02, atol=0.02)
            compared += 1
    assert compared >= 8


def test_rolling_betas_are_those_of_statsmodels() -> None:
    """Every one-day forecast from the line of the 60 rows before, and the event window from the last 60."""
    found, x = fits("rolling", window=60), column("MKT", ROWS)
    for i, firm in enumerate(FIRMS[:8]):
        y = column(firm, ROWS)
        params = RollingOLS(y, sm.add_constant(x), window=60).fit().params
        same(found.coefficients[i], params[-1])
        errors = y[60:] - params[59:-1, 0] - params[59:-1, 1] * x[60:]
        same(found.residuals[i, 60:], errors, rtol=1e-9)
        assert np.isnan(found.residuals[i, :60]).all()
        last = sm.OLS(y[-60:], sm.add_constant(x[-60:])).fit()
        ahead = sm.add_constant(column("MKT", AHEAD))
        same((found.forecast_basis[i] ** 2).sum(axis=1), ((ahead @ last.normalized_cov_params) * ahead).sum(axis=1))
    assert found.dof.tolist() == [190] * 30


def test_exponential_weights_in_statsmodels() -> None:
    found, x = fits("exponential", half_life=30.0), column("MKT", ROWS)
    weights = 0.5 ** (np.arange(250)[::-1] / 30)
    ahead = sm.add_constant(column("MKT", AHEAD))
    for i, firm in enumerate(FIRMS[:8]):
        wls = sm.WLS(column(firm, ROWS), sm.add_constant(x), weights=weights).fit()
        same(found.coefficients[i], wls.params)
        same(found.expected[i], wls.predict(ahead))
        design = sm.add_constant(x)
        a = wls.normalized_cov_params @ (design.T * weights**2 @ design) @ wls.normalized_cov_params
        basis = found.forecast_basis[i]
        same(basis @ basis.T, ahead @ a @ ahead.T, rtol=1e-9)


def test_least_absolute_deviations() -> None:
    """A line of the linear programme, and within the reach of statsmodels' reweighting."""
    found, x = fits("lad"), column("MKT", ROWS)
    design = sm.add_constant(x)
    costs, bounds = np.r_[0, 0, np.ones(500)], [(None, None)] * 2 + [(0, None)] * 500
    for i, firm in enumerate(FIRMS[:8]):
        y = column(firm, ROWS)
        wanted = optimize.linprog(
            costs, A_eq=np.c_[design, np.eye(250), -np.eye(250)], b_eq=y, bounds=bounds, method="highs"
        )  # fmt: skip
        np.testing.assert_allclose(found.coefficients[i], wanted.x[:2], rtol=1e-7)
        np.testing.assert_allclose(found.coefficients[i], sm.QuantReg(y, design).fit().params, rtol=1e-3, atol=1e-6)


def alone(model: str, y: Any, x: Any) -> np.ndarray:
    n = len(y)
    made = fit(
        model, np.array([y], float), np.array([[x]], float), np.ones((1, 1, 1)), Window(-n, -1), np.array([[-n, -1]])
    )
    return made.coefficients[0]


def test_engels_food_data_as_quantreg_has_them() -> None:
    """Koenker & Bassett's example: R's `rq(foodexp ~ income, data = engel)` prints 81.4822474 and 0.5601806."""
    engel = sm.datasets.engel.load_pandas().data
    np.testing.assert_allclose(alone("lad", engel["foodexp"], engel["income"]), [81.4822474, 0.5601806], rtol=1e-7)


# International calls from Belgium, tens of millions, 1950 to 1973: Rousseeuw & Leroy (1987), table 2.
CALLS = [
    0.44, 0.47, 0.47, 0.59, 0.66, 0.73, 0.81, 0.88, 1.06, 1.20, 1.35, 1.49, 1.61, 2.12, 11.90, 12.40, 14.20, 15.90, 18.20,
    21.20, 4.30, 2.40, 2.70, 2.90,
]  # fmt: skip


def test_belgian_phone_calls_as_mass_has_them() -> None:
    """R's `rlm(calls ~ year, phones, maxit = 50)` in Venables & Ripley (2002), section 6.5: -102.62, 2.04; calls in millions.

    R stops where a step changes less than 1e-4 of the residuals, a tenth from the end.
    """
    found = alone("huber", [10 * c for c in CALLS], range(50, 74))
    np.testing.assert_allclose(found, [-102.62, 2.04], rtol=1e-3)


def test_huber_in_statsmodels() -> None:
    found, design = fits("huber"), sm.add_constant(column("MKT", ROWS))
    for i, firm in enumerate(FIRMS):
        model = sm.RLM(column(firm, ROWS), design, M=sm.robust.norms.HuberT(1.345))
        same(found.coefficients[i], model.fit(tol=1e-13, conv="coefs", maxiter=1000).params, rtol=1e-8)


def test_theil_sen() -> None:
    found, x = fits("theil_sen"), column("MKT", ROWS)
    for i, firm in enumerate(FIRMS[:8]):
        y = column(firm, ROWS)
        wanted = stats.theilslopes(y, x, method="joint")
        same(found.coefficients[i], [wanted.intercept, wanted.slope])


def test_models_without_coefficients() -> None:
    raw, matched = fits("raw"), fits("matched")
    same(raw.sigma, [stats.tstd(column(f, ROWS)) for f in FIRMS])
    assert (raw.expected == 0).all()
    assert raw.dof.tolist() == matched.dof.tolist() == [249] * 30
    oracle = published("expected.json")["mktadj"]["[0,0]"]["event_level"]
    same(matched.sigma, oracle["sigma"])
    same(matched.expected, np.tile(column("MKT", AHEAD), (30, 1)))


def test_a_users_function_that_is_the_market_model() -> None:
    def market_model(returns: Any, regressors: Any, event_regressors: Any) -> tuple[Any, Any]:
        slope, level = np.polyfit(regressors[0], returns, 1)
        return level + slope * event_regressors[0], returns - level - slope * regressors[0]

    own, ols = fits("custom", function=market_model), fits("market")
    np.testing.assert_allclose(own.expected, ols.expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(own.residuals, ols.residuals, rtol=1e-9, atol=1e-13)
    event = published("expected.json")["market"]["[-10,10]"]["event_level"]
    actual = np.array([column(f, AHEAD) for f in FIRMS])
    np.testing.assert_allclose((actual - own.expected).sum(axis=1), event["car"], rtol=1e-9)
    assert np.isnan(own.forecast_basis).all()
