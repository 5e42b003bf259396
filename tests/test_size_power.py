"""Size and power: the committed table is complete, is that of the engine, and says what theory says, failures included."""

from __future__ import annotations

import math

import pytest
import size_power
import size_power_page
from scipy import stats
from simulated_markets import ALPHA, EFFECTS, SCENARIOS, SEED, WINDOWS
from size_power import FIRST, REPLAYED, SIZES, TESTS, Plan, Row

ROWS = size_power.read()
FEWEST = Plan(first=100, others=25, effect=12, resampled=25, one_event=12)
# Cells that are simulated again here; `make size` does them all.
LIVE = (("variance", 20), ("correlation_0.2", 20), ("staggered", 20), ("unequal", 8), ("missing", 8))


def found(scenario: str, n: int, test: str, kind: str = "group", effect: float = 0.0, start: int = 0) -> Row:
    key = (scenario, str(n), kind, test, f"{effect:g}", str(start))
    (one,) = [r for r in ROWS if (r["scenario"], r["n"], r["kind"], r["test"], r["effect"], r["window_start"]) == key]
    return one


def rate(scenario: str, n: int, test: str, **which: object) -> float:
    return float(found(scenario, n, test, **which)["rejection_rate"])  # type: ignore[arg-type]


def near(scenario: str, n: int, test: str, wanted: float = ALPHA, **which: object) -> None:
    """Within 3.5 binomial standard errors of what is wanted."""
    one = found(scenario, n, test, **which)  # type: ignore[arg-type]
    error = math.sqrt(wanted * (1 - wanted) / (int(one["replications"]) * float(one["answered"])))
    assert abs(float(one["rejection_rate"]) - wanted) <= 3.5 * error, (scenario, n, test, one["rejection_rate"], wanted)


# The table


def test_the_table_has_every_test_in_every_scenario_and_size() -> None:
    wanted = {
        (s, str(n), *test, str(w.start), str(w.end), f"{effect:g}")
        for s in SCENARIOS
        for n in SIZES
        for test in TESTS
        for w in WINDOWS
        for effect in (EFFECTS if w == WINDOWS[0] else EFFECTS[:1])
    }
    keys = [tuple(r[c] for c in size_power.COLUMNS[:7]) for r in ROWS]
    assert set(keys) == wanted
    assert len(keys) == len(wanted)
    assert [size_power.place(r) for r in ROWS] == sorted(size_power.place(r) for r in ROWS)


def test_no_row_rests_on_too_few_replications() -> None:
    for r in ROWS:
        fewest = FEWEST.count((r["kind"], r["test"]), r["window_start"] == r["window_end"], float(r["effect"]))
        assert int(r["replications"]) >= fewest, size_power.name(r)


def test_every_test_answers_somewhere() -> None:
    answered = {(r["kind"], r["test"]) for r in ROWS if float(r["answered"]) > 0.99}
    assert answered == TESTS


def test_the_page_is_that_of_the_table() -> None:
    assert size_power_page.PAGE.read_text(encoding="utf-8") == size_power_page.page(ROWS)


def test_the_table_in_the_readme_is_that_of_the_table() -> None:
    assert size_power_page.in_readme(ROWS) in size_power_page.README.read_text(encoding="utf-8")


def test_bands() -> None:
    """Wilson's band by hand for 10 of 100, and as wide as that of one answer where the events of a sample are one event."""
    ones = [[1.0, 1, 1, 0]] * 10 + [[0.0, 1, 1, 1]] * 90
    row = size_power.row("null", 8, ("group", "bmp", 0, 0, 0.0), ones)
    assert (row["rejection_rate"], row["band_low"], row["band_high"]) == ("0.1000", "0.0552", "0.1744")
    same = size_power.row("null", 8, ("event", "sq", 0, 0, 0.0), [[8 * one[0], 8, 8, one[3]] for one in ones])
    assert [same[c] for c in ("rejection_rate", "band_low", "band_high")] == ["0.1000", "0.0552", "0.1744"]


# The engine as it is


@pytest.mark.parametrize(("scenario", "n"), LIVE)
def test_the_engine_gives_the_p_values_of_the_table(scenario: str, n: int) -> None:
    tallies = size_power.measure(scenario, n, range(FIRST), TESTS, REPLAYED, SEED)
    rows = [size_power.row(scenario, n, key, found) for key, found in tallies.items()]
    assert len(rows) == sum((r["scenario"], r["n"]) == (scenario, str(n)) for r in ROWS)
    assert size_power.outdated(rows) == []


def test_other_p_values_and_rates_are_seen() -> None:
    row = found("null", 20, "bmp", effect=0.01)
    assert size_power.outdated([row]) == size_power.apart([row]) == []
    other = row | {"first_p": f"{float(row['first_p']) + 1e-5:.9f}"}
    assert len(size_power.outdated([other])) == 1
    assert len(size_power.outdated([row | {"first_p": ""}])) == 1
    assert len(size_power.apart([row | {"rejection_rate": "0.0500", "band_low": "0.0400", "band_high": "0.0600"}])) == 1


# What theory says


def size_with_correlation(law: object, n: int, r: float) -> float:
    """The size of a nominal 5 % test of the mean of n standardised values that have correlation r and are taken as free of it.

    Mean over standard error is then sqrt((1 + (n - 1) r)/(1 - r)) times what the law says: for t(n - 1) this is exact.
    """
    return float(2 * law.sf(law.isf(ALPHA / 2) * math.sqrt((1 - r) / (1 + (n - 1) * r))))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("r", "percent"), [(0.02, (6.9, 9.9, 16.8)), (0.1, (15.4, 27.5, 44.4))], ids=["r = 0.02", "r = 0.1"]
)
def test_analytic_sizes_of_the_normal_law(r: float, percent: tuple[float, ...]) -> None:
    assert [round(100 * size_with_correlation(stats.norm, n, r), 1) for n in SIZES] == list(percent)


@pytest.mark.parametrize(("scenario", "r"), [("correlation_0.1", 0.1), ("correlation_0.2", 0.2)])
@pytest.mark.parametrize("n", SIZES)
def test_simulated_sizes_are_the_analytic_ones_of_student(scenario: str, n: int, r: float) -> None:
    """With few events t(N - 1) has heavier tails than the normal law: 12.9, 25.8 and 43.6 % at r = 0.1."""
    for test in ("bmp", "cross_sectional_t"):
        near(scenario, n, test, size_with_correlation(stats.t(n - 1), n, r))
    near(scenario, n, "patell", float(2 * stats.norm.sf(1.96 / math.sqrt(1 + (n - 1) * r))))
