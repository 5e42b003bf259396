r"""The formulas of the memo in LaTeX (`engine.report.notation` reads it), by the names of the registries.

R return of an event's share, x the regressors (benchmark, factors), M estimation days, L days of the window W, N events,
nu degrees of freedom, q quantile. What the symbols of one formula mean beyond that is in the words beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BEYOND = r"|Y^*| \ge |Y|"

MODELS: dict[str, str] = {
    "market": r"R_t = \alpha + \beta R_{m,t} + e_t, \quad E[R_t] = \hat{\alpha} + \hat{\beta} R_{m,t}",
    "market_adjusted": r"E[R_t] = R_{m,t}, \quad \hat{\sigma}^2 = \frac{1}{M - 1} \sum_t \left(A_t - \bar{A}\right)^2",
    "mean_adjusted": r"E[R_t] = \bar{R}",
    "factor": r"R_t = \alpha + \sum_j \beta_j F_{j,t} + e_t, \quad E[R_t] = \hat{\alpha} + "
    r"\sum_j \hat{\beta}_j F_{j,t}",
    "raw": r"E[R_t] = 0, \quad \hat{\sigma}^2 = \frac{1}{M - 1} \sum_t \left(A_t - \bar{A}\right)^2",
    "matched": r"E[R_t] = R_{p,t}, \quad \hat{\sigma}^2 = \frac{1}{M - 1} \sum_t \left(A_t - \bar{A}\right)^2",
    "scholes_williams": r"\hat{\beta} = \frac{b_{-1} + b_0 + b_{+1}}{1 + 2 \rho}, \quad "
    r"\hat{\alpha} = \bar{R} - \hat{\beta} \bar{R}_m",
    "dimson": r"R_t = c + \sum_{j=-k}^{k} b_j R_{m,t+j} + e_t, \quad \hat{\beta} = \sum_{j=-k}^{k} b_j, \quad "
    r"\hat{\alpha} = \bar{R} - \hat{\beta} \bar{R}_m",
    "rolling": r"R_t = \alpha + \beta R_{m,t} + e_t, \quad t \in \text{the last window of returns}",
    "exponential": r"\min_{\alpha, \beta} \sum_t 2^{-a_t / h} \left(R_t - \alpha - \beta R_{m,t}\right)^2",
    "garch": r"R_t = \alpha + \beta R_{m,t} + e_t, \quad "
    r"\sigma_t^2 = \omega + \alpha_1 e_{t-1}^2 + \beta_1 \sigma_{t-1}^2 \\ \hat{\sigma}^2 = "
    r"\frac{\omega}{1 - \alpha_1 - \beta_1}",
    "egarch": r"R_t = \alpha + \beta R_{m,t} + e_t \\ \log \sigma_t^2 = \omega + \alpha_1 "
    r"\left(|z_{t-1}| - \sqrt{2 / \pi}\right) + \gamma z_{t-1} + \beta_1 \log \sigma_{t-1}^2",
    "gjr": r"R_t = \alpha + \beta R_{m,t} + e_t, \quad \sigma_t^2 = \omega + "
    r"\left(\alpha_1 + \gamma [e_{t-1} < 0]\right) e_{t-1}^2 + \beta_1 \sigma_{t-1}^2 \\ \hat{\sigma}^2 = "
    r"\frac{\omega}{1 - \alpha_1 - \gamma / 2 - \beta_1}",
    "lad": r"\min_{\alpha, \beta} \sum_t \left|R_t - \alpha - \beta R_{m,t}\right|",
    "huber": r"\min_{\alpha, \beta} \sum_t \rho\left(\frac{R_t - \alpha - \beta R_{m,t}}{s}\right), \quad "
    r"\rho(u) = u^2 / 2 \text{ for } |u| \le 1.345, \quad 1.345 |u| - 1.345^2 / 2 \text{ beyond}",
    "theil_sen": r"\hat{\beta} = \median_{s < t} \frac{R_t - R_s}{R_{m,t} - R_{m,s}}, \quad \hat{\alpha} = \median_t "
    r"\left(R_t - \hat{\beta} R_{m,t}\right)",
    "custom": r"E[R_t] = f(R, x)_t",
}

TESTS: dict[str, str] = {
    "cross_sectional_t": r"t = \frac{\sqrt{N} \, \bar{X}}{s_X}, \quad s_X^2 = \frac{1}{N - 1} \sum_i "
    r"\left(X_i - \bar{X}\right)^2, \quad t \sim t(N - 1), \quad X_i = \CAR_i",
    "crude_dependence_t": r"t = \frac{\bar{\CAR}}{\sqrt{L} \, s_{\bar{A}}}, \quad s_{\bar{A}} "
    r"\text{ the standard deviation of the daily mean AR of the estimation window}",
    "patell": r"z = \frac{\sum_i \SCAR_i}{\sqrt{\sum_i \nu_i / (\nu_i - 2)}}",
    "adjusted_patell": r"z = \frac{\sum_i \SCAR_i}{\sqrt{\sum_i \nu_i / (\nu_i - 2)}} "
    r"\frac{1}{\sqrt{1 + (N - 1) \bar{r}}}",
    "bmp": r"t = \frac{\sqrt{N} \, \bar{\SCAR}}{s_{\SCAR}}",
    "kolari_pynnonen": r"t = \frac{\sqrt{N} \, \bar{\SCAR}}{s_{\SCAR}} \sqrt{\frac{1 - \bar{r}}{1 + (N - 1) \bar{r}}}",
    "kolari_pape_pynnonen": r"t = \frac{\sqrt{N} \, \bar{\SCAR}}{s_{\SCAR}} \sqrt{\frac{1 - "
    r"\bar{r}}{1 + (N - 1) \bar{r}}}, \quad "
    r"\bar{r} = \text{mean of } r_{ij} \tau_{ij}",
    "skewness_adjusted_t": r"t = \sqrt{N} \left(S + \frac{g S^2}{3} + \frac{g^2 S^3}{27} + \frac{g}{6 N}\right), \quad "
    r"S = \bar{\CAR} / s_{\CAR}",
    "jackknife": r"t = \frac{\sqrt{N} \, \bar{P}}{s_P}, \quad P_i = N q - (N - 1) q_{(i)}, \quad "
    r"q = \bar{\SCAR} / s_{\SCAR}",
    "corrado": r"T = \frac{\sum_{t \in W} z_t}{\sqrt{L} \, S}, \quad S^2 = \frac{1}{D} \sum_t z_t^2 \\ z_t = "
    r"\frac{1}{n_t} \sum_i \left(K_{i,t} - \frac{M_i + 1}{2}\right)",
    "corrado_zivney": r"T = \frac{\sum_{t \in W} z_t}{\sqrt{L} \, S}, \quad S^2 = \frac{1}{D} \sum_t z_t^2 \\ z_t = "
    r"\frac{1}{\sqrt{n_t}} \sum_i \left(\frac{K_{i,t}}{1 + M_i} - \frac{1}{2}\right)",
    "corrado_zivney_adjusted": r"T = \frac{\sum_{t \in W} z_t}{\sqrt{L} \, S}, \quad "
    r"S^2 = \frac{1}{D} \sum_t z_t^2 \\ z_t = "
    r"\frac{1}{\sqrt{n_t}} \sum_i \left(\frac{K_{i,t}}{1 + M_i} - \frac{1}{2}\right) \\ K_{i,t} "
    r"\text{ the rank of } \frac{A_{i,t}}{\hat{\sigma}_i s_t} \text{ for } t \in W",
    "grank_t": r"t = Z \sqrt{\frac{T - 2}{T - 1 - Z^2}}, \quad Z = \frac{\bar{U}_0}{S}, \quad S^2 = \frac{1}{T} "
    r"\sum_t \frac{n_t}{N} \bar{U}_t^2",
    "grank_z": r"z = \bar{U}_0 \sqrt{\frac{12 N (T + 1)}{T - 1}}",
    "sign": r"z = \frac{w - N / 2}{\sqrt{N / 4}}",
    "generalized_sign": r"z = \frac{w - N \hat{p}}{\sqrt{N \hat{p} (1 - \hat{p})}}",
    "wilcoxon": r"z = \frac{W_+ - n (n + 1) / 4}{\sd(W_+)}",
    "sur_f": r"F = \frac{\nu - N + 1}{\nu N} "
    r"\frac{\mathbf{c}' \mathbf{S}^{-1} \mathbf{c}}{\mathbf{1}' \mathbf{V} \mathbf{1}}, \quad "
    r"\mathbf{c} = (\CAR_1, \ldots, \CAR_N)'",
    "variance_rank": r"T = \frac{\sum_{t \in W} z_t}{\sqrt{L} \, S}, \quad S^2 = \frac{1}{D} \sum_t z_t^2 \\ z_t = "
    r"\frac{1}{\sqrt{n_t}} \sum_i \left(\frac{K_{i,t}}{1 + M_i} - \frac{1}{2}\right), \quad K_{i,t} "
    r"\text{ the rank of } |A_{i,t}|",
    "variance_bmp": r"t = \frac{\sqrt{N} \, \bar{P}}{s_P}, \quad P_i = N q - (N - 1) q_{(i)}, \quad "
    r"q = \log \Var\left(\SCAR_i \sqrt{(\nu_i - 2) / \nu_i}\right)",
    "permutation": r"p = \frac{1 + b}{1 + B}, \quad b = "
    r"\text{number of pseudo-dates with } |\bar{\CAR}^*| \ge |\bar{\CAR}|",
    "firm_permutation": r"p = \frac{1 + b}{1 + B}, \quad b = \text{number of draws with } |D^*| \ge |D|, \quad "
    r"D = \bar{\CAR} - \bar{\CAR}_{\text{pool}}",
    "portfolio_t": r"t = \frac{\CAR_p}{\se(\CAR_p)}, \quad R_{p,t} = \frac{1}{n_t} \sum_i R_{i,t}",
    "wild_bootstrap": r"p = \frac{1 + b}{1 + B}, \quad S_g^* = v_g S_g, \quad v_g = \pm 1",
    "block_bootstrap": r"p = \frac{1 + b}{1 + B}, \quad b = \text{number of draws with } |t^*| \ge |t|",
    "forecast_error_t": r"t = \frac{\CAR}{\se(\CAR)} \sim t(\nu)",
    "sq": r"p = \frac{1 + \text{estimation ARs at least as extreme}}{1 + M}, \quad "
    r"\text{two-sided twice the smaller}",
    "clustered_t_date": r"t = \frac{\bar{X}}{\se}, \quad \se^2 = \frac{G}{G - 1} \frac{1}{N^2} \sum_g "
    r"\left(\sum_{i \in g} e_i\right)^2, \quad e_i = X_i - \bar{X}, \quad X_i = \CAR_i",
    "clustered_t_firm": r"t = \frac{\bar{X}}{\se}, \quad \se^2 = \frac{G}{G - 1} \frac{1}{N^2} \sum_g "
    r"\left(\sum_{i \in g} e_i\right)^2, \quad e_i = X_i - \bar{X}, \quad X_i = \CAR_i",
    "clustered_t_both": r"t = \frac{\bar{X}}{\se}, \quad "
    r"\se^2 = \se_{\text{date}}^2 + \se_{\text{firm}}^2 - \se_{\text{date} \cap \text{firm}}^2",
    "hac_t": r"t = \frac{\bar{X}}{\se}, \quad \se^2 = \frac{G}{G - 1} \frac{1}{N^2} "
    r"\sum_{i,j} w_{ij} e_i e_j, \quad e_i = X_i - \bar{X}, \quad X_i = \CAR_i",
    "bhar_t": r"t = \frac{\sqrt{N} \, \bar{X}}{s_X}, \quad s_X^2 = \frac{1}{N - 1} \sum_i "
    r"\left(X_i - \bar{X}\right)^2, \quad t \sim t(N - 1), \quad X_i = \BHAR_i",
    "bhar_skewness_t": r"t = \sqrt{N} \left(S + \frac{g S^2}{3} + \frac{g^2 S^3}{27} + \frac{g}{6 N}\right), \quad "
    r"S = \bar{\BHAR} / s_{\BHAR}",
    "bhar_bootstrap": r"p = \frac{1 + b}{1 + B}, \quad "
    r"b = \text{number of resamples with } t^* \text{ at or beyond } t",
    "conformal": r"p = \frac{\text{shifts with a sum at least as extreme}}{M + L}",
}

COVARIANCES: dict[str, str] = {
    "classical": r"\Var(\hat{\mathbf{b}}) = s^2 (\mathbf{X}'\mathbf{X})^{-1}",
    "HC1": r"\Var(\hat{\mathbf{b}}) = \frac{n}{n - k} (\mathbf{X}'\mathbf{X})^{-1} "
    r"\left(\sum_i e_i^2 \mathbf{x}_i \mathbf{x}_i'\right) (\mathbf{X}'\mathbf{X})^{-1}",
    "HC3": r"\Var(\hat{\mathbf{b}}) = (\mathbf{X}'\mathbf{X})^{-1} \left(\sum_i "
    r"\frac{e_i^2}{(1 - h_i)^2} \mathbf{x}_i \mathbf{x}_i'\right) (\mathbf{X}'\mathbf{X})^{-1}",
    "clustered_date": r"\Var(\hat{\mathbf{b}}) = \frac{G}{G - 1} \frac{n - 1}{n - k} (\mathbf{X}'\mathbf{X})^{-1} "
    r"\left(\sum_g \mathbf{s}_g \mathbf{s}_g'\right) (\mathbf{X}'\mathbf{X})^{-1}, \quad \mathbf{s}_g = "
    r"\sum_{i \in g} e_i \mathbf{x}_i",
    "clustered_firm": r"\Var(\hat{\mathbf{b}}) = \frac{G}{G - 1} \frac{n - 1}{n - k} (\mathbf{X}'\mathbf{X})^{-1} "
    r"\left(\sum_g \mathbf{s}_g \mathbf{s}_g'\right) (\mathbf{X}'\mathbf{X})^{-1}, \quad \mathbf{s}_g = "
    r"\sum_{i \in g} e_i \mathbf{x}_i",
    "clustered_both": r"\Var(\hat{\mathbf{b}}) = \mathbf{V}_{\text{date}} + \mathbf{V}_{\text{firm}} - "
    r"\mathbf{V}_{\text{date} \cap "
    r"\text{firm}}",
    "benchmarked_t": r"t = \frac{\hat{b}}{\sqrt{\frac{1}{M} \sum_m \hat{b}_m^2}} \sim t(M)",
    "benchmarked_rank": r"p = \frac{1 + b}{1 + M}, \quad b = \text{number of } |\hat{b}_m| \ge |\hat{b}|",
}

ONE_SIDED = {"greater": r"Y^* \ge Y", "less": r"Y^* \le Y"}
# Models of which the estimate adds nothing to the forecast error, and those that know no forecast error.
WITHOUT_ESTIMATE = ("raw", "market_adjusted", "matched")
WITHOUT_ERROR = ("lad", "huber", "theil_sen", "custom")
WEIGHTED = r"(\mathbf{X}'\mathbf{W}\mathbf{X})^{-1}"


def formula_of(test: str, alternative: str) -> str:
    """The formula of a test, one-sided where the study is; "" for one that has none here."""
    latex = TESTS.get(test, "")
    for symbol in (r"\bar{\CAR}", "D", "t") if alternative in ONE_SIDED else ():
        latex = latex.replace(BEYOND.replace("Y", symbol), ONE_SIDED[alternative].replace("Y", symbol))
    if test == "sq" and alternative in ONE_SIDED:
        latex = latex.partition(r", \quad")[0]
    return latex


def abnormal_formulas(settings: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, words, formula) of what lies between the model and the tests, in the variants that the study uses."""
    model, log = settings["model"]["name"], settings["prices"]["returns"] == "log"
    made = [
        ("abnormal return", "Actual less expected return.", r"A_{i,t} = R_{i,t} - E[R_{i,t}]"),
        ("CAR", "Sum of the abnormal returns over the days of the window W.", r"\CAR_i = \sum_{t \in W} A_{i,t}"),
    ]
    if model not in WITHOUT_ERROR:
        made.append(_standard_error(model))
    growth = r"\prod_{t \in W} (1 + R_{i,t}) - \prod_{t \in W} (1 + E[R_{i,t}])"
    if log:
        growth = r"\exp\left(\sum_{t \in W} R_{i,t}\right) - \exp\left(\sum_{t \in W} E[R_{i,t}]\right)"
    if (settings.get("outcome") or {}).get("name", "return") == "return":
        words = "What an investor earns beyond the expected return. Barber & Lyon (1997), eq. 2."
        made.append(("BHAR", words, rf"\BHAR_i = {growth}"))
    return made


def _standard_error(model: str) -> tuple[str, str, str]:
    """The standard error of a CAR under a model: name, words and formula."""
    words, variance = "Forecast error of the L days of the window.", r"\Var(\CAR_i) = \hat{\sigma}_i^2 L"
    if model not in WITHOUT_ESTIMATE:
        words = "Forecast error of the window: its L days and what the estimate of the model adds."
        inside = r"\mathbf{A}" if model == "exponential" else r"(\mathbf{X}'\mathbf{X})^{-1}"
        variance = r"\Var(\CAR_i) = \hat{\sigma}_i^2 \, \mathbf{1}' \mathbf{V}_i \mathbf{1}, \quad \mathbf{V}_i = \mathbf{I} + "
        variance += rf"\mathbf{{X}}_W {inside} \mathbf{{X}}_W'"
    if model == "exponential":
        variance += rf", \quad \mathbf{{A}} = {WEIGHTED} \mathbf{{X}}'\mathbf{{W}}^2\mathbf{{X}} {WEIGHTED}"
    words += " Campbell, Lo & MacKinlay (1997), eq. 4.4.9-4.4.12; Salinger (1992), eq. 6."
    return "standard error of a CAR", words, rf"{variance}, \quad \SCAR_i = \frac{{\CAR_i}}{{\se(\CAR_i)}}"
