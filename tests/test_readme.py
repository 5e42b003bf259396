"""What the README says is what happens: its commands run, its study loads, its numbers are the golden ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import write_columns

from engine.inputs import known_names
from engine.results import read_result
from engine.sessions import exchange_sessions
from engine.spec import CertificateRule, Claim, parse_spec

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

# DOMAIN reference for the mean CAR over [-1, 1], in percent: group -> published value.
REFERENCE = {
    "all": -1.67, "consideration=stock": -3.76, "consideration=mixed": -3.31, "consideration=cash": -0.07,
    "target_status=public": -2.21, "target_status=private": 0.49, "confounded=no": -1.71,
    "unconfounded_consideration=stock": -4.30, "unconfounded_consideration=mixed": -1.76,
    "unconfounded_consideration=cash": -0.74,
}  # fmt: skip


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def reference_table() -> str:
    """The README's table of us-acquirers, written from the golden result."""
    table = read_result(ROOT / "studies" / "us-acquirers" / "golden", whole=False).tables["significance"]
    rows = table.filter((pl.col("test") == "cross_sectional_t") & (pl.col("window_start") == -1))
    lines = ["| group | n | mean CAR[-1, 1] | t | p | reference |", "|---|---:|---:|---:|---:|---:|"]
    for group, reference in REFERENCE.items():
        row = rows.row(by_predicate=pl.col("group") == group, named=True)
        lines.append(
            f"| {group} | {row['n']} | {100 * row['estimate']:.2f} % | {row['statistic']:.2f} | {row['p_value']:.3f} "
            f"| {reference:.2f} % |"
        )
    return "\n".join(lines)


def test_the_table_is_the_golden_result() -> None:
    shown = re.search(r"<!-- us-acquirers:start -->\n(.*?)\n<!-- us-acquirers:end -->", README, flags=re.DOTALL)
    assert shown is not None
    assert shown.group(1) == reference_table()


def certificate_table() -> str:
    """The README's certificate of us-acquirers, written from the golden result."""
    tables = read_result(ROOT / "studies" / "us-acquirers" / "golden", whole=False).tables
    rows = tables["certificate"].filter(pl.col("kind") == "group", pl.col("window_start") == -1)
    by = {(r["test"], r["null"]): r for r in rows.to_dicts()}
    lines = [
        "| test | p | calibrated | size, as they are | size, extra spread | size, like run-up | found |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]

    def size(row: dict[str, Any]) -> str:
        return f"{100 * row['size']:.1f} %" + ("" if row["holds"] == "yes" else " †")

    for test in dict.fromkeys(rows["test"]):
        plain, spread, runup = (by[test, null] for null in ("as_they_are", "scaled", "runup_matched"))
        found = f"{100 * spread['mde']:.2f} ± {100 * spread['mde_error']:.2f} %"
        p, calibrated = (f"{v:.4f}" if v >= 0.0001 else "<0.0001" for v in (plain["p_formula"], spread["p_calibrated"]))
        sizes = " | ".join(size(row) for row in (plain, spread, runup))
        lines.append(f"| {test} | {p} | {calibrated} | {sizes} | {found} |")
    return "\n".join(lines)


def test_the_certificate_is_the_golden_result() -> None:
    pattern = r"<!-- us-acquirers-certificate:start -->\n(.*?)\n<!-- us-acquirers-certificate:end -->"
    shown = re.search(pattern, README, flags=re.DOTALL)
    assert shown is not None
    assert shown.group(1) == certificate_table()


def test_the_tables_of_claims_are_what_can_be_written() -> None:
    raw = tomllib.loads(next(b for b in blocks("toml") if "[certificate]" in b))
    assert CertificateRule(**raw["certificate"]) == CertificateRule()  # the defaults, as the README says
    claims = {name: Claim(**table) for name, table in raw["claims"].items()}
    assert [e.sign for e in claims["C1"].elements()] == ["-", "+"]
    assert claims["C2"].margin == 0.01


@pytest.mark.parametrize("group", REFERENCE)
def test_golden_and_reference_agree(group: str) -> None:
    table = read_result(ROOT / "studies" / "us-acquirers" / "golden", whole=False).tables["significance"]
    row = table.filter(
        (pl.col("test") == "cross_sectional_t") & (pl.col("window_start") == -1) & (pl.col("group") == group)
    )
    assert 100 * row["estimate"].item() == pytest.approx(REFERENCE[group], abs=0.05)


def test_the_study_in_ten_lines_is_a_study() -> None:
    text, world, *rest = blocks("toml")
    drivers, in_calendar_time, of_deals = (
        next(b for b in rest if name in b) for name in ("[crosssection]", "[calendar_time]", "windows.named")
    )
    assert len(text.strip().splitlines()) == 10
    raw = tomllib.loads(text)
    spec = parse_spec(raw, "README.md", _known())
    assert spec.model.name == "market"
    changes = tomllib.loads(world)
    merged = raw | {table: raw.get(table, {}) | keys for table, keys in changes.items()}
    spec = parse_spec(merged, "README.md", _known())
    assert spec.model.name == "factor"
    assert spec.factors is not None
    assert spec.factors.is_world
    assert (spec.factors.us, spec.factors.excess) == ("^GSPC", False)
    spec = parse_spec(raw | tomllib.loads(drivers), "README.md", _known())
    assert spec.crosssection is not None
    assert list(spec.crosssection.formulas) == ["paid", "full"]
    spec = parse_spec(raw | tomllib.loads(in_calendar_time), "README.md", _known())
    assert spec.calendar_time is not None
    assert (spec.calendar_time.months, spec.calendar_time.rats) == (12, True)
    changes = tomllib.loads(of_deals)
    merged = raw | {table: raw.get(table, {}) | keys for table, keys in changes.items()}
    spec = parse_spec(merged, "README.md", _known())
    assert spec.deals is not None
    assert [str(end) for end in spec.named_windows["runup"]] == ["first_public_at", "announced_at - 1"]


def test_the_grid_and_the_backtest_are_tables_of_a_study() -> None:
    text, _, *rest = blocks("toml")
    grid, rule = (tomllib.loads(next(b for b in rest if name in b)) for name in ("[grid]", "[backtest]"))
    spec = parse_spec(tomllib.loads(text) | grid | rule, "README.md", _known())
    assert spec.grid is not None
    assert spec.grid.benchmark == ["^NDX"]
    assert spec.backtest is not None
    assert list(spec.backtest.named_legs) == ["sell", "dip"]


def test_the_scaffold_names_every_key_of_grid_and_backtest() -> None:
    from engine.scaffold import TOML
    from engine.spec.design import Backtest, Grid

    for key in [*Grid.model_fields, *(k for k in Backtest.model_fields if k != "legs")]:
        assert re.search(rf"^# {key} = ", TOML, re.MULTILINE), key
    assert "legs = {{" in TOML


def _known():  # type: ignore[no-untyped-def]
    from engine import report

    return known_names(frozenset(report.CHARTS))


def test_your_own_data_in_five_minutes(tmp_path: Path) -> None:
    """Runs the README's commands to the letter on a made-up price folder."""
    (calendar,) = blocks("csv")
    (tmp_path / "my.csv").write_text(calendar, encoding="utf-8")
    sessions = exchange_sessions("XNYS", 2021)
    dates = [str(d) for d in sessions.dates if "2018-06-01" < str(d) < "2020-12-31"]
    rng = np.random.default_rng(7)
    market = rng.normal(0, 0.01, len(dates))
    for symbol in ("AAA", "BBB", "^GSPC"):
        own = market if symbol == "^GSPC" else market + rng.normal(0, 0.02, len(dates))
        write_columns(
            tmp_path / "my-prices" / f"{symbol}.csv", {"date": dates, "close": (100 * np.cumprod(1 + own)).tolist()}
        )
    commands = next(b for b in blocks("sh") if "eventstudy new" in b)
    for line in commands.strip().splitlines():
        words = line.split("#")[0].split()
        assert words[0] == ".venv/bin/eventstudy"
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli", *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    made = tmp_path / "studies" / "my-study" / "out"
    assert "<html" in (made / "memo.html").read_text(encoding="utf-8")
    assert {p.suffix for p in (made / "charts").iterdir()} == {".png", ".svg"}


def test_new_writes_every_key(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "new", "fresh"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    written = tomllib.loads((tmp_path / "studies" / "fresh" / "study.toml").read_text())
    spec = parse_spec(written, "study.toml", _known())
    missing = {
        f"{table}.{key}"
        for table, keys in spec.settings().items()
        if isinstance(keys, dict)
        for key in keys
        if key not in written.get(table, {})
    }
    shown_as_comments = {"events.calendar", "events.select", "benchmark.by_exchange", "report.event", "report.theme"}
    assert missing == shown_as_comments


def test_the_clone_runs_from_its_fixtures(tmp_path: Path) -> None:
    """The shipped study needs nothing but what is in the repository."""
    for name in ("studies", "fixtures"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("out", "oracles"))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "run", "--all"],
        cwd=tmp_path, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "smic-cnooc-sinopec: left out, its prices are not here" in done.stdout
    assert "EVENTSTUDY_DATA" in done.stdout
    assert (tmp_path / "studies" / "us-acquirers" / "out" / "memo.html").is_file()
