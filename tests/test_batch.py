"""Tests asked with many samples at once answer what they answer one sample at a time, with every effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_study, simulated
from simulated_markets import without_intervals

from engine import load_study
from engine.abnormal import Cars, cumulate
from engine.certificate.asking import Asked, _Chunk, _own, _references, _regressions, _with_effect
from engine.certificate.draws import drawn
from engine.certificate.single import one_sample
from engine.models import fit
from engine.placebo import pseudo_dates
from engine.plan import plan_study, real_days
from engine.pseudo_samples import PseudoSamples, Subject, pseudo_samples
from engine.samples import design_of
from engine.sessions import Window
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS, PseudoCars, evaluate
from engine.significance.batch import BATCHED, BATCHED_EVENTS, Batch

TAUS = np.array([-0.03, 0.0, 0.006, 0.08])
DRAWS = 2
SIDES = ("two-sided", "greater", "less")


WINDOWS = {"event": [-5, 5], "car": [[0, 0], [-1, 1], [-5, 5], [2, 5]]}


def subject_of(folder: Path, days: list[str], symbols: list[str]) -> Subject:
    """The pairs of a made-up study, ready to be moved: histories with gaps, one event with a missing day."""
    series = simulated(5, sorted(set(symbols)), 320)
    rng = np.random.default_rng(6)
    for symbol in sorted(set(symbols)):
        values = series[symbol]["return"]
        for gap in rng.choice(320, 9, replace=False):
            values[gap] = None
    events = [
        {"event_id": f"e{k}", "symbol": s, "announced_at": d}
        for k, (d, s) in enumerate(zip(days, symbols, strict=True))
    ]
    folder = make_study(folder, events, series, windows=WINDOWS)
    study = load_study(folder, data_path=())
    plan = plan_study(study)
    panel = plan.panel
    assert panel is not None
    design = design_of(study, plan, study.spec.model.options)
    dates = pseudo_dates(panel, real_days(plan), design)
    missing = ~np.isfinite(panel.event_returns)
    firms = np.unique([p.symbol for p in panel.pairs], return_inverse=True)[1]
    return Subject(panel, dates, missing, firms)


LAYOUTS = {
    "one date": (["2015-08-10"] * 7, list("ABCDEFG")),
    "many dates, firms again": (
        ["2015-05-04", "2015-05-06", "2015-08-10", "2015-08-10", "2015-09-15", "2016-01-05"],
        list("ABCADB"),
    ),
}


@pytest.fixture(params=list(LAYOUTS))
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    days, symbols = LAYOUTS[request.param]
    return subject_of(tmp_path / "s", days, symbols)


def made(subject: Subject, window: Window) -> tuple[Batch, PseudoSamples, Cars]:
    inside = np.flatnonzero(~subject.missing[:, window.within(subject.panel.event_window)].any(axis=1))
    subject = subject.take(inside)
    draws = drawn(subject, 50, np.random.default_rng(3))
    every = tuple(SIGNIFICANCE_TESTS)
    asked = Asked(window, tuple(t for t in every if t in BATCHED), tuple(BATCHED_EVENTS), (), 1.0, TAUS, TAUS, SIDES)
    chunk = _Chunk(
        subject, (asked,), False, _references(subject, draws, [asked]), {window: _own(subject, window)},
        lambda *_: float("nan"),
    )  # fmt: skip
    samples = pseudo_samples(subject, draws.position[:DRAWS], keep_regressors=True)
    cars = cumulate(samples.abnormal, samples.fits, window, False)
    days = samples.days(subject.panel.event_window)
    batch = replace(
        chunk._batch(asked, samples, chunk._related(samples, days), days, _regressions(samples), {}, {}), taus=TAUS
    )
    return batch, samples, cars


def single(samples: PseudoSamples, batch: Batch, number: int, tau: float, test: str, side: str) -> Any:
    """The sample as the tests of the registry see it, with an effect on the day of the batch."""
    moved = _with_effect(samples.abnormal, samples, batch.on, tau)
    cars = cumulate(moved, samples.fits, batch.window, False)
    sample = one_sample(samples, moved, cars, number, test, side, 0.05, None)
    reference = batch.reference.ordered
    own = tuple(one.ordered for one in batch.own)
    pseudo = PseudoCars(reference, reference, reference, own, np.full(batch.n, 9))
    object.__setattr__(sample, "pseudo", pseudo)
    return sample


@pytest.mark.parametrize("window", [Window(0, 0), Window(-1, 1), Window(-5, 5), Window(2, 5)], ids=str)
def test_a_batch_answers_as_its_samples_do_alone(subject: Subject, window: Window) -> None:
    batch, samples, _ = made(subject, window)
    for test in BATCHED:
        with np.errstate(invalid="ignore", divide="ignore"):
            answers = BATCHED[test](batch)
        for k, tau in enumerate(TAUS):
            if tau and test.startswith("variance"):
                continue
            for number in range(DRAWS):
                for side in SIDES:
                    with without_intervals():
                        alone = evaluate(test, single(samples, batch, number, tau, test, side))
                    found = answers.p(side)[k, number], answers.statistic[k, number]
                    wanted = alone.p_value, alone.statistic
                    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True), (test, tau, number, side)


@pytest.mark.parametrize("window", [Window(0, 0), Window(-1, 1)], ids=str)
def test_tests_of_one_event_too(subject: Subject, window: Window) -> None:
    assert set(BATCHED_EVENTS) == set(EVENT_TESTS)
    batch, samples, _ = made(subject, window)
    for test in BATCHED_EVENTS:
        answers = BATCHED_EVENTS[test](batch)
        for k, tau in enumerate(TAUS):
            for number in range(DRAWS):
                for side in SIDES:
                    alone = EVENT_TESTS[test](single(samples, batch, number, tau, test, side))
                    assert answers.p(side)[k, number] == pytest.approx(alone.p_value, rel=1e-9, nan_ok=True), (
                        test,
                        tau,
                    )


def test_the_spread_is_put_on_the_days_of_the_window_alone(subject: Subject) -> None:
    samples = pseudo_samples(subject, drawn(subject, 50, np.random.default_rng(3)).position[:3])
    centre = np.stack(subject.dates.means)
    window = Window(-1, 1).within(samples.abnormal.window)
    found = samples.other(centre, 2.5, window).reshape(3, subject.n, -1)
    plain = samples.abnormal.ar.reshape(3, subject.n, -1) - centre
    plain[:, :, window] *= 2.5
    assert np.allclose(found, plain, rtol=0, atol=1e-15, equal_nan=True)


def test_pseudo_samples_are_fitted_as_the_study_would_be(subject: Subject) -> None:
    """A pair put at another session has the fit and the abnormal returns of a panel built there."""
    draws = drawn(subject, 50, np.random.default_rng(3))
    samples = pseudo_samples(subject, draws.position[:2])
    panel = subject.panel
    for number in range(2):
        for i, pair in enumerate(panel.pairs):
            line, at = panel.lines[panel.line[i]], draws.position[number, i]
            rows = np.arange(at + pair.own.start, at + pair.own.end + 1)
            there = (rows >= 0) & (rows < len(line.dates))
            y = np.where(there, line.returns[np.clip(rows, 0, len(line.dates) - 1)], np.nan)
            x = np.where(there, line.regressors[0][np.clip(rows, 0, len(line.dates) - 1)], np.nan)
            ahead = at + panel.event_window.days
            fits = fit(
                "market", y[None], x[None, None], line.regressors[None][:, :, ahead], pair.own,
                np.array([[pair.own.start, pair.own.end]]),
            )  # fmt: skip
            row = number * len(panel.pairs) + i
            assert samples.fits.sigma[row] == fits.sigma[0]
            expected = line.returns[ahead] - fits.expected[0]
            expected[subject.missing[i]] = np.nan
            assert samples.abnormal.ar[row].tolist() == pytest.approx(expected.tolist(), nan_ok=True, abs=1e-16)
            day = samples.days(Window(0, 0))[number, i, 0]
            assert line.dates[at].astype(np.int64) == day


def plain_series(rows: list[dict[int, float]], days: int, scored: Any) -> list[float]:
    """The daily sums of scores, of ranks that are counted one by one."""
    series = [0.0] * days
    for own in rows:
        for day, value in own.items():
            rank = 1 + sum(v < value for v in own.values()) + 0.5 * (sum(v == value for v in own.values()) - 1)
            series[day] += scored(rank, len(own))
    return series


def test_rows_are_in_order_to_the_last_bit() -> None:
    """Also those that differ in no more than that, zeros of both signs, numbers of any size, and days without a value."""
    from engine.significance.batch.rank import in_order

    rng = np.random.default_rng(4)
    rows = rng.normal(size=(3, 4, 250)) * 10.0 ** rng.integers(-300, 300, (3, 4, 250))
    rows[0, 0] = 0.01 + rng.permutation(250) * np.spacing(0.01)
    rows[0, 1] = rng.choice([0.0, -0.0, 5e-324, -5e-324], 250)
    rows[1, 1, rng.permutation(250)[:40]] = np.nan
    rows[1, 2] = np.nan
    rows[1, 3, 3:] = np.inf
    known = np.isfinite(rows).sum(axis=2)
    found = in_order(rows, known)
    for d, i in np.ndindex(3, 4):
        n = known[d, i]
        wanted = np.sort(rows[d, i][np.isfinite(rows[d, i])])
        np.testing.assert_array_equal(found.values[d, i, :n], wanted)
        np.testing.assert_array_equal(rows[d, i][found.columns[d, i, :n]], wanted)
        assert len(set(found.columns[d, i, :n].tolist())) == n
        assert np.isnan(found.values[d, i, n:]).all()


def test_ranks_with_ties_gaps_and_effects_in_any_order() -> None:
    """Daily series of made-up rows of few whole numbers, against ranks counted one by one."""
    from engine.significance.batch.compiled import score_one_more, score_residuals, score_rows
    from engine.significance.batch.rank import in_order

    rng = np.random.default_rng(3)
    draws, n, before, late, column = 3, 4, 9, 5, 2
    residuals = rng.integers(-3, 4, (draws, n, before)).astype(float)
    ar = rng.integers(-3, 4, (draws, n, late)).astype(float)
    residuals[0, 1, 3] = residuals[0, 1, 4] = residuals[2, 0, 0] = ar[1, 2, 4] = ar[2, 0, 0] = np.nan
    inserted = rng.integers(-4, 5, (6, draws, n)).astype(float)
    known, many = np.isfinite(residuals).sum(axis=2), np.isfinite(ar).sum(axis=2)
    rows = in_order(residuals, known)
    values, columns = rows.values, rows.columns
    np.testing.assert_array_equal(values, np.sort(residuals, axis=2))

    def scores(of: Any, k: int, d: int, put: bool) -> list[float]:
        rows = []
        for i in range(n):
            own = {t: v for t, v in enumerate([*residuals[d, i], *(ar[d, i] if put else [])]) if np.isfinite(v)}
            rows.append(own | {before + (column if put else 0): inserted[k, d, i]})
        return plain_series(rows, before + (late if put else 1), of)

    ways = (lambda rank, m: rank - (m + 1) / 2, lambda rank, m: rank / (1 + m) - 0.5)
    count = known + many
    slope, centre = np.stack([np.ones(count.shape), 1 / (1 + count)]), (count + 1) / 2
    divisor, weight = rng.uniform(1, 2, (2, draws, before + late)), rng.uniform(0, 1, (draws, before + late))
    base = np.zeros((2, draws, before))
    score_residuals(values, columns, known, slope, centre, base)
    out, squares = np.empty((2, 6, draws, late)), np.empty((2, 6, draws))
    turn, where = np.argsort(ar, axis=2), np.full(count.shape, column)
    score_rows(
        values, columns, known, base, ar, turn, many, where, inserted, slope, centre, divisor, weight, out, squares
    )
    for s, of in enumerate(ways):
        for k, d in np.ndindex(6, draws):
            wanted = np.array(scores(of, k, d, True)) / divisor[s, d]
            assert out[s, k, d] == pytest.approx(wanted[before:], abs=1e-12)
            assert squares[s, k, d] == pytest.approx(float((weight[d] * wanted**2).sum()), abs=1e-12)
    alone, last, total = np.zeros((1, draws, before)), np.empty((6, draws, 1)), np.empty((6, draws))
    score_residuals(values, columns, known, 1 / (2 + known)[None], (known + 2) / 2, alone)
    divisor, weight = divisor[0, :, : before + 1], weight[:, : before + 1]
    score_one_more(
        values, columns, known, alone[0], inserted, 1 / (2 + known), (known + 2) / 2, divisor, weight, last, total
    )
    for k, d in np.ndindex(6, draws):
        wanted = np.array(scores(ways[1], k, d, False)) / divisor[d]
        assert last[k, d, 0] == pytest.approx(wanted[-1], abs=1e-12)
        assert total[k, d] == pytest.approx(float((weight[d] * wanted**2).sum()), abs=1e-12)
