"""The two kernels: the same numbers as each other, as the models on a panel, and as long double where it is hard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from engine.errors import SpecError
from engine.kernel import (
    KERNELS,
    LINEAR,
    MANY_EVENTS,
    NUMBA,
    NUMPY,
    OUT_OF_ORDER,
    REASONS,
    TWICE,
    Asked,
    Calendar,
    Measured,
    RawEvents,
    RawRows,
    compiled_model,
    kernel_for,
    measure,
)
from engine.models import MODELS
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
ROWS, EVENT = Window(-60, -11), Window(-5, 5)
SESSIONS = 400


def asked(model: str, log_returns: bool = False, residuals: bool = True) -> Asked:
    windows = (Window(-5, 5), Window(-1, 1), Window(0, 0))
    return Asked(model, ROWS, EVENT, windows, 20, log_returns, days=True, residuals=residuals)


def market(k: int, seed: int = 1, skip: int = 0) -> Calendar:
    """Sessions with gaps between their days, and k regressors that miss some of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0003, 0.01, (k, SESSIONS - skip))
    x[:, rng.random(SESSIONS - skip) < 0.01] = np.nan
    days = 10_000 + np.cumsum(rng.integers(1, 4, SESSIONS)).astype(np.int32)
    riskfree = np.full(SESSIONS - skip, 0.0001) if k > 1 else np.zeros(SESSIONS - skip)
    return Calendar(days, x, riskfree, skip)


def messy(calendar: Calendar, is_return: bool = True, seed: int = 2) -> tuple[RawRows, RawEvents]:
    """Forty securities that come and go, with empty cells, rows missing, rows off the sessions, and events near every edge."""
    rng = np.random.default_rng(seed)
    days, values, start = [], [], [0]
    for g in range(40):
        first, last = sorted(rng.integers(0, SESSIONS, 2)) if g % 3 else (0, SESSIONS)
        kept = np.arange(first, last)[rng.random(last - first) > 0.03]
        own = calendar.days[kept]
        if g % 4 == 0 and len(own):  # a row between the sessions, and one before them all
            own = np.unique(np.concatenate([own, [own[0] - 5, own[len(own) // 2] + 1]])).astype(np.int32)
        value = rng.normal(0, 0.02, len(own)) if is_return else 50 * np.exp(np.cumsum(rng.normal(0, 0.02, len(own))))
        value[rng.random(len(own)) < 0.03] = np.nan if g % 2 or is_return else 0.0
        days.append(own)
        values.append(value)
        start.append(start[-1] + len(own))
    raw = RawRows(np.array(start), np.concatenate(days).astype(np.int32), np.concatenate(values), is_return)
    owner = np.sort(rng.integers(0, 40, 1500))
    position = rng.integers(0, SESSIONS - calendar.skip, 1500).astype(np.int32)
    own = np.tile(np.array([ROWS.start, ROWS.end], np.int32), (1500, 1))
    own[::7] = [-40, -20]
    return raw, RawEvents(np.searchsorted(owner, np.arange(41)), position, own)


def alike(one: Measured, other: Measured, tolerance: float = 1e-12) -> None:
    assert one.names == other.names
    for name in ("code", "n_obs", "dof"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in (
        "coefficients",
        "sigma",
        "r2",
        "car",
        "se",
        "bhar",
        "ways",
        "ar",
        "actual",
        "expected",
        "sar",
        "residuals",
    ):
        a, b = getattr(one, name), getattr(other, name)
        scale = np.nanmedian(np.abs(b)) if np.isfinite(b).any() else 1.0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("log_returns", [False, True], ids=["simple", "log"])
@pytest.mark.parametrize("is_return", [True, False], ids=["returns", "prices"])
@pytest.mark.parametrize("model", sorted(LINEAR))
def test_kernels_agree_on_a_messy_panel(model: str, is_return: bool, log_returns: bool) -> None:
    k = {"factor": 3, "market": 1, "market_adjusted": 1}.get(model, 0)
    calendar = market(k, skip=1 if log_returns else 0)
    raw, events = messy(calendar, is_return)
    found = [measure(kernel, raw, calendar, events, asked(model, log_returns)) for kernel in KERNELS]
    assert np.bincount(found[0][0].code, minlength=3)[:3].min() > 20  # good ones, and both ways to be lost
    alike(found[1][0], found[0][0])
    for name in ("state", "first", "last", "off_session", "gaps"):
        np.testing.assert_array_equal(getattr(found[0][1], name), getattr(found[1][1], name), err_msg=name)
    assert len(found[0][1].gaps) > 10
    assert found[0][1].off_session.sum() > 5


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_event_is_alone_what_it_is_among_others(kernel: str) -> None:
    """To the byte: neither the company nor the order of the events changes a digit."""
    calendar = market(1)
    raw, events = messy(calendar)
    every, _ = measure(kernel, raw, calendar, events, asked("market"))
    owner = np.repeat(np.arange(40), np.diff(events.start))
    for i in np.flatnonzero(every.code == 0)[::97]:
        start = (np.arange(41) > owner[i]).astype(np.int64)
        one = RawEvents(start, events.position[i : i + 1], events.own[i : i + 1])
        alone, _ = measure(kernel, raw, calendar, one, asked("market"))
        for name in ("coefficients", "sigma", "car", "se", "bhar", "ar", "sar", "residuals"):
            assert getattr(alone, name)[0].tobytes() == getattr(every, name)[i].tobytes(), name


def test_a_calendar_serves_parts_models_and_windows() -> None:
    """What is kept of a calendar's factors is the same to the byte whoever asked for it first, and for each window its own."""
    raw, events = messy(market(3))
    owner = np.repeat(np.arange(40), np.diff(events.start))
    few = owner < 3
    some = RawEvents(np.searchsorted(owner[few], np.arange(41)), events.position[few], events.own[few])
    wide, shared = asked("factor"), market(3)
    near = replace(wide, rows=Window(-40, -11))
    inside = RawEvents(events.start, events.position, np.maximum(events.own, -40).astype(np.int32))
    measure(NUMBA, raw, shared, some, wide)
    measure(NUMBA, raw, shared, events, asked("raw"))
    for what, given in ((near, inside), (wide, events)):
        afresh, again = (measure(NUMBA, raw, calendar, given, what)[0] for calendar in (market(3), shared))
        assert np.count_nonzero(afresh.code == 0) > 500
        for name in ("code", "coefficients", "sigma", "se", "residuals"):
            assert getattr(afresh, name).tobytes() == getattr(again, name).tobytes(), name
        alike(again, measure(NUMPY, raw, shared, given, what)[0])


def exact_fit(y: npt.NDArray[np.longdouble], x: npt.NDArray[np.longdouble]) -> tuple[list[float], float]:
    """Coefficients and s2 of a regression on a constant and the rows of x in long double, by the normal equations of centred
    columns, refined twice."""
    k, n = x.shape
    dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean()
    gram, beta, left = dx @ dx.T, np.zeros(k, np.longdouble), dy.copy()
    for _ in range(3):
        beta = beta + solved(gram, dx @ left)
        left = dy - beta @ dx
    alpha = y.mean() - beta @ x.mean(axis=1)
    return [float(alpha), *map(float, beta)], float((left @ left) / (n - k - 1))


def solved(matrix: npt.NDArray[np.longdouble], right: npt.NDArray[np.longdouble]) -> npt.NDArray[np.longdouble]:
    """Gauss elimination with pivots; numpy's own solver knows no long double."""
    a = np.column_stack([matrix, right])
    for j in range(len(a)):
        pivot = j + int(np.argmax(np.abs(a[j:, j])))
        a[[j, pivot]] = a[[pivot, j]]
        for i in range(j + 1, len(a)):
            a[i] -= a[i, j] / a[j, j] * a[j]
    made = np.zeros(len(a), np.longdouble)
    for j in reversed(range(len(a))):
        made[j] = (a[j, -1] - a[j, j + 1 : -1] @ made[j + 1 :]) / a[j, j]
    return made


def one_series(y: Floats, x: Floats) -> tuple[RawRows, Calendar, RawEvents]:
    """A security with a value on every session, and one event near the end."""
    days = np.arange(len(y), dtype=np.int32) + 1000
    events = RawEvents(np.array([0, 1]), np.array([len(y) - 20], np.int32), np.array([[-250, -31]], np.int32))
    return RawRows(np.array([0, len(y)]), days, y, True), Calendar(days, x, np.zeros(len(y))), events


def level(size: float) -> Callable[[Floats, Floats], Floats]:
    def shifted(y: Floats, x: Floats) -> Floats:
        return y + size

    return shifted


def bad_print(y: Floats, x: Floats) -> Floats:
    """A price in error long before the window, which sums over the whole series would carry into it."""
    y[10] = 1e8
    return y


def nearly_exact(y: Floats, x: Floats) -> Floats:
    return np.asarray(0.001 + 1.1 * x.sum(axis=0) + 1e-6 * y)


NASTY: dict[str, tuple[Callable[[Floats, Floats], Floats], float, float]] = {
    "ordinary": (level(0.0), 0.01, 1e-12),
    "level 1e4": (level(1e4), 0.01, 1e-9),
    "level 1e6": (level(1e6), 0.01, 1e-9),
    "bad print": (bad_print, 0.01, 1e-12),
    "R2 near 1": (nearly_exact, 0.01, 1e-9),
    "still market": (level(0.0), 1e-9, 1e-9),
}


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", NASTY)
def test_against_long_double(case: str, kernel: str, k: int) -> None:
    make, spread, tolerance = NASTY[case]
    rng = np.random.default_rng(5)
    x = rng.normal(0.0, spread, (k, 400))
    y = make(0.02 * rng.standard_normal(400) + x.sum(axis=0), x)
    raw, calendar, events = one_series(y, x)
    what = Asked("market" if k == 1 else "factor", Window(-250, -31), EVENT, (EVENT,), 100, False, True)
    found, _ = measure(kernel, raw, calendar, events, what)
    assert REASONS[found.code[0]] == ""
    rows = slice(380 - 250, 380 - 30)
    coefficients, s2 = exact_fit(y[rows].astype(np.longdouble), x[:, rows].astype(np.longdouble))
    size = np.abs(y[rows]).max()  # what an error of the data's own last digit is measured by
    noise = tolerance * 0.02 if case.startswith("level") else 0.0
    np.testing.assert_allclose(found.sigma[0] ** 2, s2, rtol=tolerance * max(1.0, size))
    np.testing.assert_allclose(found.coefficients[0, 1:], coefficients[1:], rtol=tolerance * max(1.0, size), atol=noise)
    np.testing.assert_allclose(
        found.coefficients[0, 0], coefficients[0], rtol=1e-12, atol=1e-15 + tolerance * size * 1e-3
    )
    assert found.sigma[0] > 0


@pytest.mark.parametrize("missing", [0, 1, 7])
@pytest.mark.parametrize("case", ["ordinary", "wild day", "level", "alike", "loud and soft"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_several_factors_against_long_double(kernel: str, case: str, missing: int) -> None:
    """Whatever the factors, and whatever days the security lacks: also the one that makes nearly all of a factor's variance."""
    rng = np.random.default_rng(9)
    x = rng.normal(0.0, 0.01, (4, 400))
    if case == "wild day":
        x[1, 200] = 1e5
    if case == "level":
        x += 1e6
    if case == "alike":
        x[3] = x[0] + 1e-5 * x[3]
    if case == "loud and soft":
        x[2] *= 1e-7
    y = 0.02 * rng.standard_normal(400) + (x - x.mean(axis=1, keepdims=True)).sum(axis=0)
    gone = np.array([200, 150, 151, 260, 300, 333, 349][:missing], np.int64)
    y[gone] = np.nan
    raw, calendar, events = one_series(y, x)
    what = Asked("factor", Window(-250, -31), EVENT, (EVENT,), 100, False, True)
    found, _ = measure(kernel, raw, calendar, events, what)
    rows = np.setdiff1d(np.arange(380 - 250, 380 - 30), gone)
    assert (REASONS[found.code[0]], found.n_obs[0]) == ("", len(rows))
    coefficients, s2 = exact_fit(y[rows].astype(np.longdouble), x[:, rows].astype(np.longdouble))
    tolerance = 1e-12 if case == "ordinary" else 1e-9
    np.testing.assert_allclose(found.sigma[0] ** 2, s2, rtol=tolerance)
    np.testing.assert_allclose(found.coefficients[0, 1:], coefficients[1:], rtol=tolerance)


def flat(y: Floats, x: Floats) -> None:
    y[:] = 0.001


def flat_market(y: Floats, x: Floats) -> None:
    x[0] = 0.0003


def exact(y: Floats, x: Floats) -> None:
    y[:] = 0.001 + 0.9 * x.sum(axis=0)


def twins(y: Floats, x: Floats) -> None:
    x[-1] = 2 * x[0]


def flat_factor(y: Floats, x: Floats) -> None:
    x[1] = 0.0003


DEGENERATE: dict[tuple[str, int], Callable[[Floats, Floats], None]] = {
    ("constant_returns", 1): flat,
    ("constant_returns", 3): flat,
    ("constant_benchmark", 1): flat_market,
    ("constant_factor", 3): flat_factor,
    ("exact_fit", 1): exact,
    ("exact_fit", 3): exact,
    ("collinear_factors", 3): twins,
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("reason", "k"), DEGENERATE)
def test_degenerate_fits_have_the_reason_of_the_models(reason: str, k: int, kernel: str) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(0, 0.01, (k, 400))
    y = 0.02 * rng.standard_normal(400)
    DEGENERATE[reason, k](y, x)
    raw, calendar, events = one_series(y, x)
    what = Asked("market" if k == 1 else "factor", Window(-250, -31), EVENT, (EVENT,), 100, False, True)
    found, _ = measure(kernel, raw, calendar, events, what)
    assert REASONS[found.code[0]] == reason
    assert np.isnan(found.car).all()
    assert np.isnan(found.sigma).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("second", "state"), [(0, TWICE), (-1, OUT_OF_ORDER)])
def test_rows_out_of_order_are_seen_and_not_measured(kernel: str, second: int, state: int) -> None:
    rng = np.random.default_rng(7)
    raw, calendar, events = one_series(rng.normal(0, 0.02, 400), rng.normal(0, 0.01, (1, 400)))
    raw.days[200] = raw.days[199] + second
    found, report = measure(
        kernel, raw, calendar, events, Asked("market", Window(-250, -31), EVENT, (EVENT,), 50, False, True)
    )
    assert report.state[0] == state
    assert np.isnan(found.car).all()


@pytest.mark.parametrize("model", sorted(LINEAR))
def test_the_compiled_models_are_the_models(model: str) -> None:
    rng = np.random.default_rng(8)
    k = {"factor": 4, "raw": 0, "mean_adjusted": 0}.get(model, 1)
    returns, x, ahead = (
        rng.normal(0, 0.02, (60, 50)),
        rng.normal(0, 0.01, (60, k, 50)),
        rng.normal(0, 0.01, (60, k, 11)),
    )
    returns[rng.random(returns.shape) < 0.05] = np.nan
    returns[0] = 0.01
    returns[1, 1:] = np.nan
    one, other = compiled_model(model, returns, x, ahead), MODELS[model](returns, x, ahead)
    assert one.names == other.names
    np.testing.assert_array_equal(one.degenerate, other.degenerate)
    np.testing.assert_array_equal(one.n_obs, other.n_obs)
    np.testing.assert_array_equal(one.dof, other.dof)
    good = other.degenerate == ""
    assert 58 <= good.sum() < 60  # the constant returns and the single one are lost
    for name in ("coefficients", "sigma", "r2", "residuals", "expected", "forecast_basis"):
        np.testing.assert_allclose(
            getattr(one, name)[good], getattr(other, name)[good], rtol=1e-11, atol=1e-14, err_msg=name
        )


def test_the_number_of_events_alone_says_the_kernel() -> None:
    assert kernel_for(MANY_EVENTS - 1, "market") == NUMPY
    assert kernel_for(MANY_EVENTS, "market") == NUMBA
    assert kernel_for(MANY_EVENTS, "lad") == NUMPY
    assert kernel_for(2, "market", asked=NUMBA) == NUMBA
    assert kernel_for(MANY_EVENTS, "market", asked=NUMPY) == NUMPY
    with pytest.raises(SpecError, match='does not have the model "lad"'):
        kernel_for(2, "lad", asked=NUMBA)
    with pytest.raises(SpecError, match="not known"):
        kernel_for(2, "market", asked="cuda")
