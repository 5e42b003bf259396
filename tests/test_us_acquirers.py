"""The comparison of models in the README of us-acquirers is what the study gives with each of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from engine.results import StudyResult
from engine.study import load_study, run_study

STUDY = Path(__file__).parents[1] / "studies" / "us-acquirers"
FACTORS = '\n[factors]\nsnapshot = "{snapshot}"\nset = "ff3"\n'
LOST = "\n[limits]\nmax_excluded_share = 0.2\n"  # events whose variance has no mean
GROUPS = ("all", "consideration=stock", "consideration=mixed", "consideration=cash")


def with_model(folder: Path, model: str, more: str) -> StudyResult:
    """The study with another model and only the test of the table."""
    copy = folder / "us-acquirers"
    shutil.copytree(STUDY, copy, ignore=shutil.ignore_patterns("out", "golden"))
    text = (copy / "study.toml").read_text(encoding="utf-8")
    text = text.replace('name = "market"', f'name = "{model}"')
    text = re.sub(r"tests = \[.*?\]", 'tests = ["cross_sectional_t"]', text, flags=re.DOTALL)
    text = re.sub(r"\n\[(certificate|grid)\].*?(?=\n\[)", "\n", text, flags=re.DOTALL)
    text = re.sub(r"charts = \[.*?\]", 'charts = ["caar_path"]', text, flags=re.DOTALL)
    (copy / "study.toml").write_text(text + more, encoding="utf-8")
    return run_study(load_study(copy))


def row_of(result: StudyResult) -> list[str]:
    """n, then mean CAR over [-1, 1] and its t for all and by consideration."""
    rows = result.tables["significance"]
    found = [
        rows.filter(rows["group"] == g, rows["window_start"] == -1, rows["window_end"] == 1).row(0, named=True)
        for g in GROUPS
    ]
    return [str(found[0]["n"]), *(f"{100 * r['estimate']:.2f} ({r['statistic']:.2f})" for r in found)]


def table() -> dict[str, list[str]]:
    text = (STUDY / "README.md").read_text(encoding="utf-8")
    inside = text.split("<!-- models:start -->")[1].split("<!-- models:end -->")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in inside.strip().splitlines()[2:]]
    return {c[0].strip("`"): c[1:] for c in cells}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["market", "market_adjusted", "mean_adjusted", "lad", "garch"])
def test_the_models_of_the_table(tmp_path: Path, model: str) -> None:
    assert table()[model] == row_of(with_model(tmp_path, model, LOST if model == "garch" else ""))


def test_three_factors_where_they_reach(tmp_path: Path, shared_data: Path) -> None:
    assert table()["factor (ff3)"] == row_of(with_model(tmp_path, "factor", FACTORS.format(snapshot=shared_data)))


def test_the_table_has_no_other_model() -> None:
    assert set(table()) == {"market", "market_adjusted", "mean_adjusted", "lad", "garch", "factor (ff3)"}
