"""Seeded faults and what `validate` says of each: `python tests/faults.py [--write]` makes docs/faults.md.

The shipped study of US acquirers, with fewer tests, is blessed in a temporary folder beside a copy of its prices; then one
thing is broken in data, calendar or study, and the study is validated. So that dividends can be dropped, the copy has JPM
as closes and dividends, made such that its total returns are those of the shipped adjusted closes.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from fuzz import HEADING

from engine.cli.validating import check_one
from engine.fingerprints import fingerprints
from engine.golden import bless
from engine.inputs import load_study
from engine.study import run_study
from engine.validation import Check

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"
STUDY = "us-acquirers"
DIVIDENDS = {date(2008, 4, 2): 0.38, date(2008, 7, 2): 0.38, date(2008, 10, 2): 0.38}
OF_EVENTS = ("fits", "abnormal_returns", "cars")
WIDEST = 150


@dataclass(frozen=True)
class Fault:
    """One thing that is broken. change: does it to the study's folder. exit_code, says: what must come of it.

    moved: the events whose own numbers move, None for all or where there is no comparison.
    """

    name: str
    change: Callable[[Path], None]
    exit_code: int
    says: str
    moved: frozenset[str] | None


def prices(folder: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = folder / "prices" / "prices.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def line_of(event: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change the calendar's line of one event."""

    def changed(folder: Path) -> None:
        lines = (folder / "events.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        made = [change(line) if line.startswith(f"{event},") else line for line in lines]
        assert made != lines
        (folder / "events.csv").write_text("".join(made), encoding="utf-8")

    return changed


def at(symbol: str, day: date | None = None, before: date | None = None) -> pl.Expr:
    chosen = pl.col("symbol") == symbol
    chosen = chosen & (pl.col("date") == day) if day is not None else chosen
    return chosen & (pl.col("date") < before) if before is not None else chosen


def scaled(column: str, where: pl.Expr, value: pl.Expr) -> Callable[[Path], None]:
    return lambda folder: prices(
        folder, lambda t: t.with_columns(pl.when(where).then(value).otherwise(pl.col(column)).alias(column))
    )


def shuffled(folder: Path) -> None:
    header, *rows = (folder / "events.csv").read_text(encoding="utf-8").splitlines()
    random.Random(1).shuffle(rows)
    (folder / "events.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


CLOSE = pl.col("adj_close")
FAULTS = (
    Fault(
        "day 0 one session later", line_of("msft-github", lambda line: line.replace("2018-06-04", "2018-06-05", 1)), 1,
        "calendar msft-github MSFT: announced_at changed", frozenset({"msft-github"}),
    ),
    Fault(
        "another zone", line_of("hd-hughes", lambda line: line.replace("America/New_York", "Pacific/Honolulu")), 1,
        "calendar hd-hughes HD: zone changed", frozenset({"hd-hughes"}),
    ),
    Fault(
        "before the open becomes after the close", line_of("unh-lhc", lambda line: line.replace("pre_open", "after_close")), 1,
        "calendar unh-lhc UNH: precision changed", frozenset({"unh-lhc"}),
    ),
    Fault(
        "a calendar row deleted", line_of("ko-costa", lambda line: ""), 1, "calendar ko-costa KO: row missing",
        frozenset({"ko-costa"}),
    ),
    Fault(
        "a calendar row twice", line_of("ko-costa", lambda line: line * 2), 3, 'event_id "ko-costa" with symbol "KO"', None,
    ),
    Fault(
        "a symbol renamed", line_of("hd-hdsupply", lambda line: line.replace(",HD,", ",HDX,")), 3,
        "has no prices for listing HDX", None,
    ),
    Fault(
        "one price changed by 1 %", scaled("adj_close", at("KO", date(2010, 2, 25)), CLOSE * 1.01), 1,
        "prices KO: adj_close changed in 2010-02", frozenset({"ko-cce"}),
    ),
    Fault(
        "one day of prices missing",
        lambda folder: prices(folder, lambda t: t.filter(~at("PEP", date(2009, 4, 21)))), 1,
        "prices PEP: 1 row missing in 2009-04", frozenset({"pep-bottlers"}),
    ),
    Fault(
        "one dividend dropped", scaled("dividend", at("JPM", date(2008, 7, 2)), pl.lit(0.0)), 1,
        "prices JPM: dividend changed in 2008-07", frozenset({"jpm-wamu"}),
    ),
    Fault(
        "a split not adjusted for", scaled("adj_close", at("LLY", before=date(2008, 8, 1)), CLOSE * 2), 1,
        "prices LLY: adj_close changed in 223 months from 1990-01 to 2008-07", frozenset({"lly-imclone"}),
    ),
    Fault(
        "a price file of another vintage", scaled("adj_close", at("XOM"), CLOSE.round(1)), 1,
        "prices XOM: adj_close changed in every month", frozenset({"xom-mobil", "xom-xto"}),
    ),
    Fault(
        "the benchmark swapped", rewrite("study.toml", 'default = "^GSPC"', 'default = "GE"'), 1,
        'study.toml benchmark.default: "^GSPC" -> "GE"', None,
    ),
    Fault(
        "the estimation window shortened",
        rewrite("study.toml", "estimation_window = [-250, -11]", "estimation_window = [-200, -11]"), 1,
        "study.toml model.estimation_window: [-250, -11] -> [-200, -11]", None,
    ),
    Fault(
        "simple returns become log returns", rewrite("study.toml", 'returns = "simple"', 'returns = "log"'), 1,
        'study.toml prices.returns: "simple" -> "log"', None,
    ),
    Fault(
        "alpha changed", rewrite("study.toml", "alpha = 0.05", "alpha = 0.10"), 1,
        "study.toml significance.alpha: 0.05 -> 0.1", frozenset(),
    ),
    Fault(
        "nothing but the order of the rows", shuffled, 0, "calendar events.csv: changed, no row of the study differs",
        frozenset(),
    ),
    Fault(
        "nothing but a comment", rewrite("study.toml", "[model]\n", "# as in 2020\n[model]\n"), 0,
        "study.toml text: changed, no setting differs", frozenset(),
    ),
    Fault(
        "the price of a listing without an event in that window", scaled("adj_close", at("KO", date(1995, 6, 1)), CLOSE * 2), 0,
        "prices KO: adj_close changed in 1995-06", frozenset(),
    ),
)  # fmt: skip


def blessed(folder: Path) -> Path:
    """The study with fewer tests and its prices, in ``folder``, with a golden result."""
    study = folder / STUDY
    study.mkdir(parents=True)
    shipped = ROOT / "studies" / STUDY
    shutil.copy(shipped / "events.csv", study)
    text = (shipped / "study.toml").read_text(encoding="utf-8")
    text = re.sub(r"tests = \[.*?\]", 'tests = ["cross_sectional_t", "bmp", "forecast_error_t"]', text, flags=re.DOTALL)
    text = re.sub(r"\n\[crosssection\].*?(?=\n\[report\])", "\n", text, flags=re.DOTALL)
    text = re.sub(r"\n\[certificate\].*?(?=\n\[)", "\n", text, flags=re.DOTALL)
    text = re.sub(r"charts = \[.*?\]", 'charts = ["caar_path"]', text, flags=re.DOTALL)
    text = text.replace('snapshot = "us-large-caps"', 'snapshot = "prices"')
    (study / "study.toml").write_text(text, encoding="utf-8")
    (study / "prices").mkdir()
    table = pl.read_parquet(ROOT / "fixtures" / "prices" / "us-large-caps" / "prices.parquet")
    parted(table).write_parquet(study / "prices" / "prices.parquet")
    shutil.copy(ROOT / "fixtures" / "prices" / "us-large-caps" / "symbols.csv", study / "prices")
    loaded = load_study(study, data_path=())
    bless(run_study(loaded), study / "golden", "first", fingerprints(loaded))
    return study


def parted(table: pl.DataFrame) -> pl.DataFrame:
    """JPM as closes and dividends with the same total returns: P1 = P0 A1 / A0 - D1."""
    rows = table.filter(at("JPM")).sort("date")
    adjusted = rows["adj_close"].to_list()
    closes = adjusted[:1]
    for day, before, now in zip(rows["date"][1:], adjusted[:-1], adjusted[1:], strict=True):
        closes.append(closes[-1] * now / before - DIVIDENDS.get(day, 0.0))
    own = rows.with_columns(
        pl.lit(None, pl.Float64).alias("adj_close"),
        pl.Series("close", closes),
        pl.col("date").replace_strict(DIVIDENDS, default=0.0, return_dtype=pl.Float64).alias("dividend"),
    )
    others = table.filter(~at("JPM")).with_columns(
        pl.lit(None, pl.Float64).alias("close"), pl.lit(None, pl.Float64).alias("dividend")
    )
    return pl.concat([others, own.select(others.columns)])


def seeded(fault: Fault, good: Path, folder: Path) -> Check:
    """What validation says of a copy of the study with the fault in it."""
    study = Path(shutil.copytree(good, folder / good.name))
    fault.change(study)
    return check_one(study, allow_code=False, alone=True)


def moved(check: Check) -> set[str]:
    """The events whose own numbers moved."""
    found = check.comparison
    assert found is not None
    return {d.event.split(" ")[0] for d in found.differences if d.table in OF_EVENTS and d.event}


def row(fault: Fault, check: Check) -> str:
    found = check.comparison
    if found is None:
        said = re.sub(r"/\S*/", "", check.message).split("\n")[0]
        return f"| {fault.name} | {check.exit_code} | {short(said)} | |"
    inputs = "; ".join(map(str, found.changes))
    if found.first is None:
        return f"| {fault.name} | {check.exit_code} | {inputs} | numbers equal |"
    of_events = f" of {len(found.events)} {'pair' if len(found.events) == 1 else 'pairs'}" if found.events else ""
    first = str(found.first).partition(": ")[2]
    return f"| {fault.name} | {check.exit_code} | {inputs} | {len(found.differences)} cells{of_events}; first: {short(first)} |"


def short(text: str) -> str:
    """Text of the table: numbers with six digits, which every machine agrees on."""
    text = re.sub(r"-?\d+\.\d{6,}(e-\d+)?", lambda found: f"{float(found[0]):.6g}", text)
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= WIDEST else text[: WIDEST - 4] + " ..."


def page(rows: list[str]) -> str:
    return "\n".join([
        "# Seeded faults, and what validate says", "",
        "One thing is broken in a copy of `us-acquirers` (with three of its tests) and its prices, then `eventstudy validate`",
        "runs. Exit code 0: every number is the golden one; 1: numbers moved; 3: the data cannot be used. Made by",
        "`python tests/faults.py --write`; a test makes every row again, and holds the events that move against those that",
        "should.", "",
        "| fault | exit | inputs that changed | numbers |", "|---|---:|---|---|", *rows, "",
    ])  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        good = blessed(Path(temporary) / "good")
        rows = []
        for i, fault in enumerate(FAULTS):
            rows.append(row(fault, seeded(fault, good, Path(temporary) / str(i))))
            print(rows[-1], flush=True)
    if "--write" in sys.argv:
        _, heading, others = PAGE.read_text(encoding="utf-8").partition(f"\n{HEADING}")
        PAGE.write_text(page(rows) + heading + others, encoding="utf-8")


if __name__ == "__main__":
    main()
