"""The specification grid is what its studies would find one by one; influence is what the study would find without an event."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import make_study, rows_of, run, simulated, texts, weekdays

from engine.errors import DataError, SpecError
from engine.report import memo_html, memo_markdown, render_chart
from engine.report.findings import read_findings
from engine.report.influence import flagged_table, in_window_lines, influence_table
from engine.report.specifications import read_curve
from engine.results import StudyResult, read_result, write_result

DAYS = weekdays(400)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
NUMBERS = ("n", "estimate", "se", "ci_low", "ci_high", "statistic", "distribution", "p_value", "unavailable", "note")


def events(at: tuple[int, ...] = (200, 200, 230, 260, 300, 340), **more: list[str]) -> list[dict[str, Any]]:
    """One event a symbol on the given days; the first two share theirs."""
    rows = [
        {"event_id": f"e{i}", "symbol": s, "announced_at": DAYS[d]}
        for i, (s, d) in enumerate(zip(SYMBOLS, at, strict=True))
    ]
    return [row | {name: cells[i] for name, cells in more.items()} for i, row in enumerate(rows)]


def series(seed: int = 7) -> dict[str, Any]:
    made = simulated(seed, [*SYMBOLS, "ALT"], len(DAYS))
    return made | {"OTHER": simulated(seed + 1, [], len(DAYS))["MKT"]}


GRID = {
    "model": ["market_adjusted", "mean_adjusted", "dimson"],
    "estimation_window": [[-100, -11], [-60, -21]],
    "car": [[0, 2], [-5, 5]],
    "benchmark": ["OTHER"],
    "test": ["bmp", "corrado_zivney", "kolari_pape_pynnonen", "permutation"],
    "returns": ["log"],
}
SMALL = {"model": ["market_adjusted"], "car": [[0, 2]], "test": ["bmp", "permutation"], "returns": ["log"]}
RESAMPLING = {"seed": 3, "draws": 199}
EXCHANGE = {"calendar": "exchange"}


def prices(seed: int = 7) -> dict[str, Any]:
    """The same series as prices, so that simple and log returns differ."""
    made = {}
    for symbol, columns in series(seed).items():
        level = 50 * np.cumprod(1 + np.array(columns["return"]))
        made[symbol] = {"date": columns["date"], "close": level.tolist()}
    return made


def alone(folder: Path, row: dict[str, Any], **options: Any) -> StudyResult:
    """The study with the choices of one row of the grid written in its study.toml."""
    window = [row["window_start"], row["window_end"]]
    settings: dict[str, Any] = {
        "model": {"name": row["model"], "estimation_window": [row["estimation_start"], row["estimation_end"]]},
        "prices": {"returns": row["returns"]},
        "windows": {"car": [window]},
        "significance": {"tests": [row["test"]]},
        "benchmark": {"default": row["benchmark"] or "MKT"},
    }
    return run(make_study(folder, events(), prices(), resampling=RESAMPLING, **(settings | options)))


def test_every_specification_is_the_study_of_its_own_choices(tmp_path: Path) -> None:
    result = run(make_study(tmp_path / "grid", events(), prices(), grid=GRID, resampling=RESAMPLING))
    rows = result.tables["grid"].to_dicts()
    assert len(rows) == 4 * 3 * 2 * 2 * 3 * 5
    assert [r["spec"] for r in rows] == list(range(1, len(rows) + 1))
    primary = rows[0]
    assert [r["primary"] for r in rows] == [1] + [0] * (len(rows) - 1)
    assert (primary["model"], primary["test"], primary["window_start"]) == ("market", "cross_sectional_t", 0)
    rng = np.random.default_rng(5)
    for i in [0, *rng.choice(len(rows), 24, replace=False).tolist()]:
        own = alone(tmp_path / f"alone{i}", rows[i]).tables["significance"]
        assert own.select(NUMBERS).row(0) == tuple(rows[i][c] for c in NUMBERS), rows[i]


def test_a_model_without_benchmark_is_tried_once(tmp_path: Path) -> None:
    grid = {"model": ["mean_adjusted"], "benchmark": ["OTHER"]}
    result = run(make_study(tmp_path, events(), prices(), grid=grid, sessions=EXCHANGE, benchmark={"default": "MKT"}))
    found = result.tables["grid"].select("model", "benchmark").rows()
    assert found == [("market", "MKT"), ("market", "OTHER"), ("mean_adjusted", None)]


def test_benchmarks_by_exchange(tmp_path: Path) -> None:
    grid = {"benchmark": [{"XNYS": "OTHER"}]}
    own = {"sessions": EXCHANGE, "benchmark": {"default": "MKT"}}
    result = run(make_study(tmp_path / "a", events(), prices(), grid=grid, **own))
    other = run(make_study(tmp_path / "b", events(), prices(), sessions=EXCHANGE, benchmark={"default": "OTHER"}))
    rows = result.tables["grid"].to_dicts()
    assert [r["benchmark"] for r in rows] == ["MKT", "XNYS=OTHER"]
    assert rows[1]["statistic"] == rows_of(other, "significance", window_start=0, window_end=0)["statistic"].item()


def test_a_model_without_factors_needs_no_closing_time_of_theirs(tmp_path: Path) -> None:
    """Factors of no exchange say when they are taken; the market model of the grid has none and is the study's without."""
    made = prices() | {"OIL": prices(11)["MKT"]}
    options = {"sessions": EXCHANGE | {"closes": {"OIL": "16:30 Europe/London"}}, "factors": {"columns": ["OIL"]}}
    common = {"resampling": RESAMPLING, "significance": {"tests": ["cross_sectional_t"]}}
    folder = make_study(
        tmp_path / "grid", events(), made, grid={"model": ["market"]}, model={"name": "factor"}, **options, **common
    )
    row = run(folder).tables["grid"].filter(pl.col("model") == "market").row(0, named=True)
    assert not row["unavailable"]
    plain = run(make_study(tmp_path / "own", events(), made, sessions=EXCHANGE, **common))
    first = rows_of(plain, "significance", window_start=0, window_end=0).row(0, named=True)
    assert (row["estimate"], row["p_value"]) == (first["estimate"], first["p_value"])


def test_a_combination_that_does_not_go_together_is_a_row_with_its_reason(tmp_path: Path) -> None:
    grid = {"model": ["factor", "matched"], "estimation_window": [[-25, -11]], "test": ["corrado"]}
    result = run(make_study(tmp_path, events(), series(), grid=grid, model={"min_estimation_days": 20}))
    rows = result.tables["grid"].to_dicts()
    reasons = {(r["model"], r["estimation_start"]): r["unavailable"] for r in rows}
    assert reasons["market", -60] is None
    assert "min_estimation_days = 20 is more than the 15 days" in reasons["market", -25]
    assert "[factors] is required" in reasons["factor", -60]
    assert "no control portfolio" in reasons["matched", -60]
    assert {r["significant"] for r in rows if r["unavailable"]} == {None}
    assert {r["n"] for r in rows if r["unavailable"]} == {None}


def test_too_many_losses_of_a_specification_are_its_reason(tmp_path: Path) -> None:
    grid = {"estimation_window": [[-260, -211]]}
    early = events((100, 100, 230, 260, 300, 340))
    result = run(make_study(tmp_path, early, series(), grid=grid, limits={"max_excluded_share": 0.2}))
    reason = result.tables["grid"]["unavailable"].to_list()[1]
    assert "2 of 6 (event, symbol) pairs are lost" in reason or "pairs are lost, more than" in reason


@pytest.mark.parametrize(
    ("grid", "options", "said"),
    [
        ({"model": ["markte"]}, {}, r'\[grid\] model = "markte" is not a model. Did you mean "market"'),
        ({"test": ["bmq"]}, {}, r'\[grid\] test = "bmq" is not a significance test'),
        ({"test": ["sq"]}, {}, r'\[grid\] test = "sq" answers for one event at a time'),
        ({"test": ["permutation"]}, {}, r"\[resampling\] is required by \[grid\] test"),
        ({"car": [[0, 9]]}, {}, r"\[grid\] car = \[0, 9\] is not inside \[windows\] event = \[-5, 5\]"),
        ({"car": [[2, 0]]}, {}, r"\[grid\] car = \[2, 0\] is reversed"),
        ({"estimation_window": [[-50, -2]]}, {}, r"\[grid\] estimation_window = \[-50, -2\] overlaps or follows"),
        ({"model": ["dimson", "dimson"]}, {}, r'\[grid\] model: "dimson" stands there more than once'),
        ({"returns": ["ln"]}, {}, r"\[grid\] returns"),
        ({}, {}, r"\[grid\] names no alternative"),
        ({"hold": [3]}, {}, r"\[grid\] hold is of the table \[backtest\]"),
        ({"tests": ["bmp"]}, {}, r'\[grid\] unknown key "tests". Did you mean "test"'),
        ({"model": ["raw"]}, {"significance": {"tests": ["sq"]}}, r"\[grid\] needs a test of the whole sample"),
        (None, {"report": {"charts": ["specification_curve"]}}, r"shows the table \[grid\], which is not there"),
    ],
)  # fmt: skip
def test_what_a_grid_may_not_say(
    tmp_path: Path, grid: dict[str, Any] | None, options: dict[str, Any], said: str
) -> None:
    folder = make_study(tmp_path, events(), series(), **({"grid": grid} | options))
    with pytest.raises(SpecError, match=said):
        run(folder)


def test_a_benchmark_of_the_grid_without_prices_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prices for benchmark NOWHERE"):
        run(make_study(tmp_path, events(), series(), grid={"benchmark": ["NOWHERE"]}))


def test_the_curve_counts_and_ranks(tmp_path: Path) -> None:
    charts = {"charts": ["specification_curve"]}
    grid = SMALL | {"car": [[-1, 1], [0, 2], [-5, 5], [1, 3]]}
    result = run(make_study(tmp_path, events(), prices(), grid=grid, resampling=RESAMPLING, report=charts))
    curve = read_curve(read_findings(result))
    assert curve is not None
    assert curve.primary is not None
    table = result.tables["grid"].filter(pl.col("unavailable").is_null())
    estimate, p = table["estimate"].to_numpy(), table["p_value"].to_numpy()
    assert curve.rank == 1 + (estimate < estimate[0]).sum()
    assert 1 < curve.rank < len(curve.rows)  # so that no other order gives it
    assert curve.p_rank == 1 + (p < p[0]).sum()
    assert curve.significant == (p < 0.05).sum()
    assert curve.same_sign == (np.sign(estimate) == np.sign(estimate[0])).sum()
    assert list(estimate[np.argsort(estimate, kind="stable")]) == [r["estimate"] for r in curve.rows]
    for text in (memo_markdown(result), memo_html(result)):
        assert "Other specifications" in text
        assert f"number {curve.rank} of {len(curve.rows)} from the lowest" in text
    assert render_chart(result, "specification_curve", "png")[:4] == b"\x89PNG"
    write_result(result, tmp_path / "out")
    assert read_result(tmp_path / "out") == result


# --- influence ------------------------------------------------------------------------------------------------------

CLOSED = {"tests": ["kolari_pape_pynnonen", "cross_sectional_t", "corrado_zivney", "generalized_sign"]}


def test_leaving_out_a_pair_is_the_study_without_its_event(tmp_path: Path) -> None:
    result = run(make_study(tmp_path / "whole", events(), series(), significance=CLOSED))
    found = rows_of(result, "influence", kind="pair")
    assert len(found) == 6 * 3
    for i in range(6):
        left = [row for j, row in enumerate(events()) if j != i]
        without = run(make_study(tmp_path / f"without{i}", left, series(), significance=CLOSED))
        for row in rows_of(result, "influence", kind="pair", event_id=f"e{i}").to_dicts():
            place = {"window_start": row["window_start"], "window_end": row["window_end"]}
            own = rows_of(without, "significance", test=row["test"], **place).row(0, named=True)
            whole = rows_of(result, "significance", test=row["test"], **place).row(0, named=True)
            for name in ("n", "estimate", "statistic", "p_value"):
                assert row[name] == own[name]
            assert row["change"] == pytest.approx(own["estimate"] - whole["estimate"], rel=1e-12)
            assert row["sign_change"] == int(own["estimate"] * whole["estimate"] < 0)
            assert row["turned"] == int((own["p_value"] < 0.05) != (whole["p_value"] < 0.05))


def test_leaving_out_a_cluster_leaves_out_its_date(tmp_path: Path) -> None:
    result = run(make_study(tmp_path / "whole", events(), series(), significance=CLOSED))
    without = run(make_study(tmp_path / "without", events()[2:], series(), significance=CLOSED))
    row = rows_of(result, "influence", kind="cluster", left_out=DAYS[200], window_start=0, window_end=0)
    own = rows_of(without, "significance", test="kolari_pape_pynnonen", window_start=0, window_end=0)
    assert row["n_left_out"].item() == 2
    assert row["p_value"].item() == own["p_value"].item()
    assert row["statistic"].item() == own["statistic"].item()
    assert len(rows_of(result, "influence", kind="cluster", window_start=0, window_end=0)) == 5


def test_the_whole_is_the_result(tmp_path: Path) -> None:
    result = run(make_study(tmp_path, events(), series(), significance=CLOSED))
    whole = rows_of(result, "influence", kind="whole").sort("window_start", "window_end", "test")
    own = rows_of(result, "significance", group="all").sort("window_start", "window_end", "test")
    assert (
        whole.select("test", "n", "estimate", "statistic", "p_value").rows()
        == own.select("test", "n", "estimate", "statistic", "p_value").rows()
    )


def test_flagged_pairs_are_those_with_something_else_in_the_window(tmp_path: Path) -> None:
    """AAA has another event three sessions after e0: in [-5, 5] of both, in [-1, 1] of neither."""
    twice = [*events(), {"event_id": "e9", "symbol": "AAA", "announced_at": DAYS[203]}]
    result = run(make_study(tmp_path / "a", twice, series(), significance=CLOSED))
    flagged = rows_of(result, "influence", kind="flagged")
    assert set(flagged["left_out"]) == {"any", "event_window"}
    assert flagged.select("window_start", "window_end").unique().rows() == [(-5, 5)]
    assert set(flagged["n_left_out"]) == {2}
    assert set(flagged["test"]) == set(CLOSED["tests"])
    without = run(make_study(tmp_path / "b", events()[1:], series(), significance=CLOSED))
    for row in rows_of(result, "influence", kind="flagged", left_out="any").to_dicts():
        own = rows_of(without, "significance", test=row["test"], window_start=-5, window_end=5)
        assert row["p_value"] == own["p_value"].item()
    lines = in_window_lines(read_findings(result))
    assert lines[0] == "[0, 0]: no other event of the calendar's firms."
    assert lines[2] == "[-5, 5]: 2 with another event of the firm: e0 AAA (e9 on day 3); e9 AAA (e0 on day -3)."
    assert flagged_table(read_findings(result)) is not None


def test_the_calendars_own_flag(tmp_path: Path) -> None:
    marked = events(confounded=["yes", "no", "", "merger the same day", "NO", "0"])
    result = run(make_study(tmp_path / "a", marked, series(), significance=CLOSED))
    left = [row for i, row in enumerate(events()) if i not in (0, 3)]
    without = run(make_study(tmp_path / "b", left, series(), significance=CLOSED))
    row = rows_of(result, "influence", kind="flagged", left_out="confounded", test="corrado_zivney")
    assert set(row["n_left_out"]) == {2}
    own = rows_of(without, "significance", test="corrado_zivney")
    assert (
        row.sort("window_start", "window_end")["p_value"].to_list()
        == own.sort("window_start", "window_end")["p_value"].to_list()
    )


def test_many_subsamples_are_a_row_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.influence.MOST", 5)
    result = run(make_study(tmp_path, events(), series(), significance=CLOSED))
    pairs = rows_of(result, "influence", kind="pair")
    assert set(pairs["unavailable"]) == {"6 subsamples, more than 5: not measured one by one"}
    assert len(rows_of(result, "influence", kind="cluster", window_start=0, window_end=0)) == 5
    assert influence_table(read_findings(result)) is not None


def test_without_a_test_of_the_sample_nothing_hangs_on_an_event(tmp_path: Path) -> None:
    result = run(make_study(tmp_path, events(), series(), significance={"tests": ["sq"]}))
    assert result.tables["influence"].is_empty()
    assert not re.search("What the result hangs on", memo_markdown(result))


def test_one_event_leaves_nothing(tmp_path: Path) -> None:
    result = run(make_study(tmp_path, events()[:1], series(), significance=CLOSED))
    assert set(rows_of(result, "influence", kind="pair")["unavailable"]) == {"no event is left"}


def test_rows_and_order_change_no_byte(tmp_path: Path) -> None:
    one = run(make_study(tmp_path / "a", events(), prices(), grid=SMALL, resampling=RESAMPLING))
    two = run(
        make_study(
            tmp_path / "b", events()[::-1], prices() | {"ZZZ": prices(9)["ALT"]}, grid=SMALL, resampling=RESAMPLING
        )
    )
    for name in ("grid", "influence"):
        assert texts(one)[name] == texts(two)[name]
