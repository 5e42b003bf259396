"""Size and power of every test in the registries: `make size` checks the committed table, `--write` makes its rows.

    python tests/size_power.py --write                                  all rows, half an hour on two cores
    python tests/size_power.py --write --tests bmp sign --n 20          only these rows; the others stay
    python tests/size_power.py                                          what `make size` does: some minutes

A row is one test in one scenario (`simulated_markets.SCENARIOS`), number of events, window and effect: the share of
replications that reject at 5 % two-sided among those with an answer; of events for a test of one event. The band is
Wilson's 95 %, with the replications as independent draws. `first_p` is the mean p-value over the first `FIRST`
replications: any change of a formula moves it, so a row that is out of date is seen without simulating it anew.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from simulated_markets import ALPHA, EFFECTS, SCENARIOS, SEED, samples, without_intervals
from size_power_page import write

from engine.significance import (
    EVENT_TESTS,
    RESAMPLING_TESTS,
    SIGNIFICANCE_TESTS,
    CarSample,
    evaluate,
)

TABLE = Path(__file__).parents[1] / "docs" / "size-power.csv"
SIZES = (8, 20, 50)
FIRST = 10
CHUNK = 50
Z = 1.959963984540054
COLUMNS = (
    "scenario", "n", "kind", "test", "window_start", "window_end", "effect", "replications", "answered",
    "rejection_rate", "band_low", "band_high", "first_p",
)  # fmt: skip
TESTS = {("group", name) for name in SIGNIFICANCE_TESTS} | {("event", name) for name in EVENT_TESTS}

Row = dict[str, str]
Test = tuple[str, str]  # kind ("group" or "event") and name
Key = tuple[str, str, int, int, float]  # the test, its window and the effect
Tally = npt.NDArray[np.float64]  # (4,) events or groups that reject, answer, are asked, and the sum of p


@dataclass(frozen=True)
class Plan:
    """How many replications: of the first window, of the others, with an effect, and of a test that resamples or is of
    one event (each has N answers a replication)."""

    first: int = 2000
    others: int = 500
    effect: int = 250
    resampled: int = 500
    one_event: int = 250

    def count(self, test: Test, one_day: bool, effect: float) -> int:
        kind, name = test
        most = self.one_event if kind == "event" else self.resampled if name in RESAMPLING_TESTS else self.first
        return min(most, self.effect if effect else self.first if one_day else self.others)


FULL = Plan()
REDUCED = Plan(first=60, others=20, effect=20, resampled=20, one_event=12)
REPLAYED = Plan(FIRST, FIRST, FIRST, FIRST, FIRST)
APART = 4.5  # standard errors that an independent simulation may be off


def measure(scenario: str, n: int, numbers: range, tests: set[Test], plan: Plan, seed: int) -> dict[Key, list[Tally]]:
    """The tallies of a stretch of replications, in their order."""
    found: dict[Key, list[Tally]] = {}
    for number in numbers:
        asked = {name for kind, name in tests if number < plan.count((kind, name), True, 0.0)}
        effects = EFFECTS if number < plan.effect else EFFECTS[:1]
        with without_intervals():
            for window, effect, sample in samples(scenario, n, number, effects, asked, seed):
                for test in tests:
                    if number < plan.count(test, len(window) == 1, effect):
                        key = (*test, window.start, window.end, effect)
                        found.setdefault(key, []).append(_tally(test, sample, n))
    return found


def _tally(test: Test, sample: CarSample, n: int) -> Tally:
    kind, name = test
    if kind == "group":
        p, asked = np.array([evaluate(name, sample).p_value]), 1
    else:
        p, asked = EVENT_TESTS[name](sample).p_value, n
    p = p[np.isfinite(p)]
    return np.array([(p <= ALPHA).sum(), len(p), asked, p.sum()])


def row(scenario: str, n: int, key: Key, tallies: Sequence[Tally]) -> Row:
    """One line of the table."""
    kind, name, start, end, effect = key
    all_of_it = np.array(tallies)
    rejected, answered, asked, _ = all_of_it.sum(axis=0)
    line = dict.fromkeys(COLUMNS, "") | {
        "scenario": scenario, "n": str(n), "kind": kind, "test": name, "window_start": str(start),
        "window_end": str(end), "effect": f"{effect:g}", "replications": str(len(tallies)),
        "answered": f"{answered / asked:.4f}",
    }  # fmt: skip
    if answered:
        rate = rejected / answered
        low, high = band(rate, all_of_it[:, 0] - rate * all_of_it[:, 1], answered)
        line |= {"rejection_rate": f"{rate:.4f}", "band_low": f"{low:.4f}", "band_high": f"{high:.4f}"}
    _, known, _, total = all_of_it[:FIRST].sum(axis=0)
    return line | ({"first_p": f"{total / known:.9f}"} if known else {})


def band(rate: float, deviations: npt.NDArray[np.float64], answered: float) -> tuple[float, float]:
    """Wilson's interval for a share whose variance is that of the replications: answers of one are not independent.

    deviations: (replications,) rejections less rate times answers. For one answer a replication it is the binomial band.
    """
    variance = float((deviations**2).sum()) / answered**2
    n = rate * (1 - rate) / variance if variance > 0 else float(len(deviations))
    centre = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * float(np.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2)))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def simulate(
    tests: set[Test], cells: Sequence[tuple[str, int]], plan: Plan, seed: int, workers: int
) -> Iterator[list[Row]]:
    """The rows of the tests, cell (scenario, N) by cell; the same for any number of workers."""
    most = max(plan.count(t, True, 0.0) for t in tests)
    stretches = [range(b, min(b + CHUNK, most)) for b in range(0, most, CHUNK)]
    with ProcessPoolExecutor(workers) as pool:
        parts = {c: [pool.submit(measure, *c, numbers, tests, plan, seed) for numbers in stretches] for c in cells}
        for cell in cells:
            tallies: dict[Key, list[Tally]] = {}
            for part in parts.pop(cell):
                for key, found in part.result().items():
                    tallies.setdefault(key, []).extend(found)
            yield [row(*cell, key, found) for key, found in tallies.items()]


def place(line: Row) -> tuple[object, ...]:
    """Where a row stands in the table; its key."""
    return (
        list(SCENARIOS).index(line["scenario"]), int(line["n"]), line["kind"], line["test"], -int(line["window_start"]),
        float(line["effect"]),
    )  # fmt: skip


def read() -> list[Row]:
    if not TABLE.exists():
        return []
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def merge(new: Sequence[Row]) -> None:
    """Put new rows in the place of old ones; rows of tests and scenarios that no longer exist go."""
    old = [r for r in read() if r["scenario"] in SCENARIOS and (r["kind"], r["test"]) in TESTS]
    rows = {place(r): r for r in (*old, *new)}
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[k] for k in sorted(rows))


def outdated(replayed: Sequence[Row]) -> list[str]:
    """The rows whose first replications, simulated again, have other p-values than the table says."""
    committed = {place(r): r["first_p"] for r in read()}
    return [
        f"{name(r)}: mean p of the first {FIRST} replications is {r['first_p'] or 'none'}, the table has {was}"
        for r in replayed
        if (was := committed.get(place(r), "no row")) != r["first_p"] and not _near(was, r["first_p"])
    ]


def _near(one: str, other: str) -> bool:
    """Whether two mean p-values differ by rounding alone."""
    try:
        return abs(float(one) - float(other)) < 1e-6
    except ValueError:
        return False


def apart(other: Sequence[Row]) -> list[str]:
    """The rows of another seed's simulation whose rate is off by more than both bands explain."""
    committed = {place(r): r for r in read()}
    found = []
    for r in other:
        was = committed[place(r)]
        if not (r["rejection_rate"] and was["rejection_rate"]):
            continue
        rates = [float(x["rejection_rate"]) for x in (r, was)]
        errors = [(float(x["band_high"]) - float(x["band_low"])) / (2 * Z) for x in (r, was)]
        if abs(rates[0] - rates[1]) > APART * float(np.hypot(*errors)):
            found.append(f"{name(r)}: {rates[0]:.1%} of {r['replications']} replications, the table has {rates[1]:.1%}")
    return found


def name(r: Row) -> str:
    """A row in words."""
    window = f"[{r['window_start']}, {r['window_end']}]"
    return f"{r['test']} ({r['kind']}) {r['scenario']} N = {r['n']} {window} effect {r['effect']}"


def check(tests: set[Test], cells: Sequence[tuple[str, int]], workers: int) -> list[str]:
    """What in the table the engine no longer says: the first replications anew, then a smaller run of another seed."""
    again = [r for rows in simulate(tests, cells, REPLAYED, SEED, workers) for r in rows]
    if wrong := outdated(again):
        return wrong
    return apart([r for rows in simulate(tests, cells, REDUCED, SEED + 1, workers) for r in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="simulate and put the rows into the table")
    parser.add_argument("--tests", nargs="+", choices=sorted({name for _, name in TESTS}), help="default: all")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--n", nargs="+", type=int, choices=SIZES, default=list(SIZES))
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    tests = {t for t in TESTS if asked.tests is None or t[1] in asked.tests}
    cells = [(s, n) for n in sorted(asked.n, reverse=True) for s in asked.scenarios]
    if asked.write:
        for cell, rows in zip(cells, simulate(tests, cells, FULL, SEED, asked.workers), strict=True):
            merge(rows)
            print(f"{cell[0]}, {cell[1]} events", file=sys.stderr, flush=True)
        write(read())
        return
    wrong = check(tests, cells, asked.workers)
    print("\n".join(wrong) or f"{len(tests)} tests in {len(cells)} cells are what the table says")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
