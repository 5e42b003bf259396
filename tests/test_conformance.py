"""The conformance pack: made anew it is the same, the engine passes it, and nothing in the registries is missing from it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import conformance
import numpy as np
import pytest
import second
import second_models
from conftest import OWN_MODEL, closes, make_study, run

from engine.models import MODELS
from engine.results import write_result
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

PACK = conformance.PACK
CASES = sorted(p.parent.name for p in PACK.glob("*/settings.json"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def settings_of(case: str) -> dict[str, Any]:
    return json.loads((PACK / case / "settings.json").read_text(encoding="utf-8"))


def study(case: str, folder: Path) -> Path:
    """The case as a study of the engine."""
    said = settings_of(case)
    prices = table(PACK / "panels" / f"{said['panel']}.csv")
    series = {
        s: closes([r["date"] for r in prices], [float(r[s]) if r[s] else None for r in prices])
        for s in prices[0]
        if s != "date"
    }
    model = said["model"] | {key: said[key] for key in ("estimation_window", "min_estimation_days")}
    peers = model.pop("peers", None)
    if peers:
        model["peers"] = "peers"
    if model["name"] == "custom":
        model = {k: v for k, v in model.items() if k != "expected"} | {
            "file": "own_model.py",
            "function": "half_the_benchmark",
        }
    return make_study(
        folder, table(PACK / case / "events.csv"), series, model=model,
        prices={"returns": said["returns"]},
        benchmark={"default": said["benchmark"]} | ({"baskets": {"peers": peers}} if peers else {}),
        factors={"columns": said["factors"]} if said["factors"] else None,
        windows={"event": said["event_window"], "car": said["windows"]},
        significance={"tests": said["tests"], "group_by": said["group_by"], "alternative": said["alternative"]},
        resampling={"seed": 7, "draws": said["draws"], "controls": said["controls"]},
        limits={"max_excluded_share": 0.9},
    )  # fmt: skip


def checked(answers: Path, *cases: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PACK / "check.py"), str(answers), *cases], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case", CASES)
def test_the_engine_passes(case: str, tmp_path: Path) -> None:
    write_result(run(study(case, tmp_path / "study")), tmp_path / "answers" / case)
    done = checked(tmp_path / "answers", case)
    assert done.returncode == 0, done.stdout
    assert " numbers, 0 not as expected" in done.stdout
    assert int(done.stdout.split()[1]) > 10


@pytest.mark.slow
def test_the_pack_is_what_the_second_implementation_gives(tmp_path: Path) -> None:
    """All but the searches for a maximum, which take a minute: `test_no_step_leads_higher`."""
    conformance.build(tmp_path, searches=False)
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.*"))
    searched = [p for p in PACK.glob("*/*.*") if p.parent.name in conformance.CONDITIONAL]
    beside = {PACK / "check.py", PACK / "README.md"}
    assert made == sorted(
        p.relative_to(PACK) for p in {*PACK.rglob("*.*")} - {*searched} - beside if p.suffix != ".pyc"
    )
    for name in made:
        if name.suffix == ".json":
            assert (tmp_path / name).read_text() == (PACK / name).read_text()
            continue
        for ours, kept in zip(table(tmp_path / name), table(PACK / name), strict=True):
            assert list(ours) == list(kept)
            assert all(same(ours[column], kept[column]) for column in ours), (name, ours, kept)


def same(made: str, kept: str) -> bool:
    try:
        return bool(np.isclose(float(made), float(kept), rtol=1e-9, atol=1e-13))
    except ValueError:
        return made == kept


@pytest.mark.parametrize("model", conformance.CONDITIONAL)
def test_no_step_leads_higher(model: str) -> None:
    """The kept coefficients are at the top of the second implementation's likelihood, and imply the kept sigma."""
    prices = conformance.volatile()
    sessions = second.sessions_of(prices, "MKT")
    market = second.returns_on(prices["MKT"], sessions, False)
    for row in table(PACK / model / "fits.csv"):
        own = second.returns_on(prices[row["symbol"]], sessions, False)
        places = range(415 + conformance.LONG[0], 415 + conformance.LONG[1] + 1)
        y, x = np.array([own[i] for i in places]), np.array([market[i] for i in places])
        beta = np.polyfit(x - x.mean(), y, 1)[0]
        scale = np.sqrt(((y - y.mean() - beta * (x - x.mean())) ** 2).sum() / (len(y) - 2))
        variance = [float(row[name]) for name in conformance.COEFFICIENTS[model]]
        variance[0] = (
            variance[0] / scale**2 if model != "egarch" else variance[0] - 2 * (1 - variance[-1]) * np.log(scale)
        )
        centre = (float(row["alpha"]) - y.mean() + float(row["beta_market"]) * x.mean()) / scale
        p = [centre, float(row["beta_market"]) / scale * x.std(), *variance]
        v, u = (y - y.mean()) / scale, (x - x.mean()) / x.std()
        best = second_models.log_likelihood(model, p, v, u)
        for j in range(len(p)):
            for step in (-1e-3, 1e-3):
                assert second_models.log_likelihood(model, [q + step * (i == j) for i, q in enumerate(p)], v, u) < best
        assert float(row["sigma"]) == pytest.approx(scale * conformance.unconditional(model, variance), rel=1e-9)


@cache
def answered(name: str) -> frozenset[str]:
    return frozenset(
        row["test"]
        for case in CASES
        if (PACK / case / f"{name}.csv").is_file()
        for row in table(PACK / case / f"{name}.csv")
    )


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_in_the_pack(name: str) -> None:
    assert any(settings_of(case)["model"]["name"] == name and (PACK / case / "fits.csv").is_file() for case in CASES)


@pytest.mark.parametrize("name", sorted(SIGNIFICANCE_TESTS))
def test_every_test_is_in_the_pack(name: str) -> None:
    assert name in answered("significance")


@pytest.mark.parametrize("name", sorted(EVENT_TESTS))
def test_every_test_of_one_event_is_in_the_pack(name: str) -> None:
    assert name in answered("event_significance")


def test_the_checker_finds_what_is_wrong_or_missing(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    for case in ("one-date", "raw"):
        shutil.copytree(PACK / case, answers / case)
    assert checked(answers, "one-date", "raw").returncode == 0
    path = answers / "one-date" / "significance.csv"
    kept = path.read_text()
    rows = kept.splitlines()
    assert rows[4].startswith("all,-1,1,firm_permutation,3,")
    cells = rows[4].split(",")
    for column, value, wrong in ((7, 0.49, False), (7, 0.44, True), (6, float(cells[6]) * (1 + 1e-6), True)):
        changed = [*cells[:column], str(value), *cells[column + 1 :]]
        path.write_text("\n".join([*rows[:4], ",".join(changed), *rows[5:]]) + "\n")
        done = checked(answers, "one-date")
        assert done.returncode == wrong, (column, value, done.stdout)
    assert f"significance all -1 1 firm_permutation statistic: {value}, expected {cells[6]}" in done.stdout
    path.write_text("\n".join([*rows[:4], *rows[5:]]) + "\n")
    done = checked(answers, "one-date", "raw")
    assert done.returncode == 1
    assert f"significance all -1 1 firm_permutation p_value: nothing, expected {cells[7]}" in done.stdout
    assert checked(answers, "one-dat").returncode == 2
    assert checked(tmp_path / "nowhere").returncode == 1


def test_the_custom_model_is_the_one_that_the_pack_tells_of() -> None:
    assert "half_the_benchmark" in OWN_MODEL
    assert settings_of("custom")["model"]["expected"] == "mean(R - benchmark / 2) + benchmark / 2"
