"""The experiment of Brown & Warner (1985) on the shipped prices: 1,000 samples of 50 events that never happened.

    python tests/brown_warner.py --write        docs/brown-warner.csv and .md: a minute
    python tests/brown_warner.py                simulate again with another seed and compare: the same

A sample is 50 draws of a listing and a date, day 0 any session with enough history; the models are fitted on [-244, -6] as in
the paper, and 0, 0.5, 1 and 2 % are put on day 0. A test of the size 5 % against gains must reject in 5 % of samples without
an effect. `first_p` is the mean p of the first `CHUNK` samples, by which a row that is out of date is seen at once.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_study

from engine import load_study
from engine.abnormal import cumulate
from engine.placebo import pseudo_dates
from engine.plan import plan_study
from engine.pseudo_samples import Subject, pseudo_samples
from engine.samples import design_of
from engine.sessions import Window
from engine.significance.batch import BATCHED, Batch
from engine.significance.batch.sample import Compared

ROOT = Path(__file__).parents[1]
TABLE, PAGE = ROOT / "docs" / "brown-warner.csv", ROOT / "docs" / "brown-warner.md"
SAMPLES, N, CHUNK, SEED, ALPHA = 1000, 50, 100, 19850314, 0.05
MODELS = ("mean_adjusted", "market_adjusted", "market")
TESTS = (
    "cross_sectional_t", "crude_dependence_t", "patell", "bmp", "skewness_adjusted_t", "jackknife", "corrado", "corrado_zivney",
    "grank_t", "sign", "generalized_sign", "wilcoxon",
)  # fmt: skip
EVENT, WINDOWS = Window(-5, 5), (Window(0, 0), Window(-5, 5))
EFFECTS = np.array([0.0, 0.005, 0.01, 0.02])
COLUMNS = ("model", "test", "window_start", "window_end", "effect", "samples", "rejection_rate", "first_p")
APART = 4.0  # standard errors that another seed may be off

Row = dict[str, str]


def subject_of(model: str, folder: Path) -> Subject:
    """One pair for every shipped listing, day 0 far from where its pseudo-dates are wanted."""
    prices = ROOT / "fixtures" / "prices" / "us-large-caps"
    with (prices / "symbols.csv").open(encoding="utf-8", newline="") as file:
        symbols = [row["symbol"] for row in csv.DictReader(file) if not row["symbol"].startswith("^")]
    events = [{"event_id": s, "symbol": s, "announced_at": "2021-12-15"} for s in symbols]
    make_study(
        folder, events, {}, prices={"snapshot": str(prices)}, benchmark={"default": "^GSPC"},
        model={"name": model, "estimation_window": [-244, -6], "min_estimation_days": 200},
        windows={"event": [EVENT.start, EVENT.end], "car": [[w.start, w.end] for w in WINDOWS]},
    )  # fmt: skip
    study = load_study(folder, data_path=())
    plan = plan_study(study)
    assert plan.panel is not None
    none = {line.symbol: np.empty(0, "datetime64[D]") for line in plan.lines}
    dates = pseudo_dates(plan.panel, none, design_of(study, plan, {}))
    missing = np.zeros((len(events), len(EVENT)), bool)
    return Subject(plan.panel, dates, missing, np.arange(len(events)))


def batches(subject: Subject, chunk: int, seed: int) -> Iterator[Batch]:
    """`CHUNK` samples of both windows: a listing is drawn, then one of its dates."""
    rng = np.random.default_rng([seed, chunk])
    lines = rng.integers(subject.n, size=CHUNK * N)
    share = rng.random(CHUNK * N)
    most = int(np.bincount(lines, minlength=subject.n).max())
    position = np.stack([np.resize(places[:1], most) for places in subject.dates.places], axis=1)
    seat = np.empty(CHUNK * N, np.int64)
    for i, places in enumerate(subject.dates.places):
        mine = np.flatnonzero(lines == i)
        seat[mine] = np.arange(len(mine)) * subject.n + i
        position[: len(mine), i] = places[(share[mine] * len(places)).astype(np.int64)]
    samples = pseudo_samples(subject, position)
    days = samples.days(EVENT).reshape(-1, len(EVENT))[seat].reshape(CHUNK, N, -1)
    shape = (CHUNK, N)
    for window in WINDOWS:
        cars = cumulate(samples.abnormal, samples.fits, window, False)
        yield Batch(
            window=window, event_window=EVENT, taus=EFFECTS, on=0,
            car=cars.car[seat].reshape(shape), car_se=cars.se[seat].reshape(shape), scar=cars.scar[seat].reshape(shape),
            sigma=samples.fits.sigma[seat].reshape(shape), dof=cars.dof[seat].reshape(shape),
            ar=samples.abnormal.ar[seat].reshape(*shape, -1),
            residuals=samples.fits.residuals[seat].reshape(*shape, -1),
            dates=days[:, :, -EVENT.start], window_days=days[:, :, window.within(EVENT)],
            firms=np.arange(N), r=np.zeros(CHUNK), shared_r=np.zeros(CHUNK), reference=Compared.of(np.zeros(1)),
        )  # fmt: skip


def simulate(model: str, folder: Path, chunks: Sequence[int], seed: int) -> list[Row]:
    """The rows of a model."""
    subject = subject_of(model, folder)
    found: dict[tuple[str, Window], list[Any]] = {}
    for chunk in chunks:
        for batch in batches(subject, chunk, seed):
            for test in TESTS:
                found.setdefault((test, batch.window), []).append(BATCHED[test](batch).p("greater"))
    rows = []
    for (test, window), parts in found.items():
        p = np.concatenate(parts, axis=1)
        for k, effect in enumerate(EFFECTS):
            rows.append(
                {
                    "model": model, "test": test, "window_start": str(window.start), "window_end": str(window.end),
                    "effect": f"{effect:g}", "samples": str(p.shape[1]),
                    "rejection_rate": f"{(p[k] <= ALPHA).mean():.4f}", "first_p": f"{p[k, :CHUNK].mean():.9f}",
                }
            )  # fmt: skip
    return rows


def read() -> list[Row]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def place(row: Row) -> tuple[str, ...]:
    return tuple(row[c] for c in COLUMNS[:5])


def outdated(rows: Sequence[Row]) -> list[str]:
    """The rows whose first samples have other p-values than the table says."""
    committed = {place(r): r["first_p"] for r in read()}
    return [
        f"{' '.join(place(r))}: {r['first_p']}, the table has {committed.get(place(r), 'no row')}"
        for r in rows
        if place(r) not in committed or abs(float(committed[place(r)]) - float(r["first_p"])) > 1e-6
    ]


def apart(rows: Sequence[Row]) -> list[str]:
    """The rows of another seed that are off by more than chance."""
    committed = {place(r): r for r in read()}
    said = []
    for r in rows:
        one, other = float(r["rejection_rate"]), float(committed[place(r)]["rejection_rate"])
        both = (one + other) / 2
        error = math.sqrt(max(both * (1 - both), 0.001) * 2 / int(r["samples"]))
        if abs(one - other) > APART * error:
            said.append(f"{' '.join(place(r))}: {one:.1%}, the table has {other:.1%}")
    return said


def page(rows: Sequence[Row]) -> str:
    """The page: rejections in percent on day 0 and over the window, a block a model."""
    by = {place(r): 100 * float(r["rejection_rate"]) for r in rows}
    lines = [
        "# Brown and Warner's experiment", "",
        f"{SAMPLES:,} samples of {N} events that never happened: a listing and a date drawn at random from the shipped prices "
        "(20 US large caps, 1990 to 2022), fitted on [-244, -6], as in Brown & Warner (1985). In percent, how often a test of "
        "size 5 % against gains rejects; the effect is put on day 0. Two standard errors at 5 % are 1.4 points. "
        "`python tests/brown_warner.py --write` makes the page.", "",
    ]  # fmt: skip
    for model in MODELS:
        lines += [f"## `{model}`", "", "| test | nothing | 0.5 % | 1 % | 2 % | nothing, [-5, 5] | 1 %, [-5, 5] |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        for test in TESTS:
            day = [by[model, test, "0", "0", f"{e:g}"] for e in EFFECTS]
            wide = [by[model, test, "-5", "5", e] for e in ("0", "0.01")]
            lines.append(f"| {test} | " + " | ".join(f"{v:.1f}" for v in (*day, *wide)) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place_:
        for model in MODELS:
            seed = SEED if asked.write else SEED + 1
            rows += simulate(model, Path(place_) / model, range(SAMPLES // CHUNK), seed)
    if not asked.write:
        said = apart(rows)
        print("\n".join(said) or f"{len(rows)} rates of another seed are those of the table")
        sys.exit(bool(said))
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=place))
    PAGE.write_text(page(read()), encoding="utf-8")


if __name__ == "__main__":
    main()
