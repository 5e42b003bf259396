"""Validation as a product: what changed in the inputs, the first and the worst cell, and the forms it is handed on in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import closes, make_study, simulated, weekdays

from engine import load_study, run_study
from engine.errors import MissingData, SpecError
from engine.fingerprints import MONTH, changed_rows, changed_series, fingerprints
from engine.golden import Comparison, Difference, InputChange, bless, compare, kept_inputs
from engine.results import read_manifest
from engine.validation import Check, as_html, as_json, as_junit, failed, left_out, lines, without_golden

DATES = weekdays(160)


def write(folder: Path) -> Path:
    series = simulated(3, ["A", "B"], 160)
    paths = {
        s: closes(c["date"], (100 * np.cumprod(1 + np.array(c["return"]))).tolist()) | {"dividend": [0.0] * 160}
        for s, c in series.items()
    }
    events = [
        {"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i], "kind": "x"} for i, s in enumerate("AB")
    ]
    return make_study(folder, events, paths)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = write(tmp_path / "made")
    loaded = load_study(folder, data_path=())
    bless(run_study(loaded), folder / "golden", "first", fingerprints(loaded))
    return folder


def compared(folder: Path) -> Comparison:
    loaded = load_study(folder, data_path=())
    return compare(run_study(loaded), folder / "golden", fingerprints(loaded))


def edit(symbol: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / "data" / f"{symbol}.csv"
        change(pl.read_csv(path)).write_csv(path)

    return changed


def text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        before = (folder / name).read_text()
        assert old in before
        (folder / name).write_text(before.replace(old, new))

    return changed


AT = pl.int_range(pl.len())
CHANGES: list[tuple[Callable[[Path], None], list[str]]] = [
    (text("study.toml", "max_gap_days = 7", "max_gap_days = 6"), ["study.toml events.max_gap_days: 7 -> 6"]),
    (text("study.toml", "[model]", "\n[model]"), ["study.toml text: changed, no setting differs"]),
    (text("events.csv", ",x", ",y"), ["calendar e0 A: kind changed", "calendar e1 B: kind changed"]),
    (
        text("events.csv", "event_id,symbol,announced_at,kind", "event_id,symbol,announced_at,sort"),
        ["calendar e0 A: kind, sort changed", "calendar e1 B: kind, sort changed"],
    ),
    (text("events.csv", "e1,B", "e2,B"), ["calendar e1 B: row missing", "calendar e2 B: row added"]),
    (text("events.csv", "\n", "\n\n"), ["calendar events.csv: changed, no row of the study differs"]),
    (
        edit("B", lambda t: t.with_columns(pl.when(AT == 5).then(0.5).otherwise(pl.col("dividend")).alias("dividend"))),
        ["prices B: dividend changed in 2015-01"],
    ),
    (
        edit("B", lambda t: t.with_columns(pl.when((AT == 5) | (AT == 99)).then(9.0).otherwise(pl.col("close")).alias("close"))),
        ["prices B: close changed in 2 months from 2015-01 to 2015-05"],
    ),
    (
        edit("A", lambda t: t.with_columns(pl.col("close") * 2)),
        ["prices A: close changed in every month from 2015-01 to 2015-08"],
    ),
    (edit("A", lambda t: t.filter(~AT.is_in([3, 150]))), ["prices A: 2 rows missing in 2 months from 2015-01 to 2015-07"]),
    (edit("A", lambda t: t.drop("dividend")), ["prices A: dividend changed in every month from 2015-01 to 2015-08"]),
    (
        edit("A", lambda t: t.sample(fraction=1.0, shuffle=True, seed=1)),
        ["prices A.csv: changed, no value that the study reads differs"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), CHANGES, ids=[wanted[0] for _, wanted in CHANGES])
def test_what_changed_is_named(study: Path, change: Callable[[Path], None], wanted: list[str]) -> None:
    change(study)
    assert [str(c) for c in compared(study).changes] == wanted


def test_nothing_changed(study: Path) -> None:
    found = compared(study)
    assert (found.changes, found.first, found.worst, found.events) == ((), None, None, ())


def test_fingerprints_hold_no_price(study: Path) -> None:
    """A month is its number of rows and 16 bits; 21 sessions of January, 20 of February."""
    kept = json.loads((study / "golden" / "inputs.json").read_text())
    about = kept["prices"]["A"]
    assert set(about) == {"columns", "months"}
    year = about["months"]["2015"]
    assert len(year) == 12 * MONTH
    assert [int(year[i : i + 2], 16) for i in range(0, len(year), MONTH)] == [22, 20, 22, 22, 21, 22, 23, 8, 0, 0, 0, 0]
    assert all(len(digest) == 16 for digest in about["columns"].values())
    assert kept == fingerprints(load_study(study, data_path=()))


def test_fingerprints_of_other_files_are_not_believed(study: Path) -> None:
    """Kept ones that a golden result of other files left behind: then files are named, not months."""
    path = study / "golden" / "inputs.json"
    kept = json.loads(path.read_text())
    kept["files"]["study"] = "0" * 64
    edit("B", lambda t: t.with_columns(pl.col("close") * 2))(study)
    for damaged in (json.dumps(kept), "{", "[]", "{}", "3"):
        path.write_text(damaged)
        assert kept_inputs(study / "golden", read_manifest(study / "golden")) == {}
        assert [str(c) for c in compared(study).changes] == ["prices B.csv: changed"]
    path.unlink()
    assert [str(c) for c in compared(study).changes] == ["prices B.csv: changed"]


def test_a_symbol_that_is_no_longer_read() -> None:
    one = {"columns": {"close": "a"}, "months": {"2015": "15abcd" + "000000" * 11}}
    assert list(changed_series({"A": one}, {"B": one})) == [("A", "no longer read"), ("B", "newly read")]
    more = {"columns": {"close": "b"}, "months": {"2015": "16abce" + "000000" * 11}}
    assert list(changed_series({"A": one}, {"A": more})) == [("A", "1 row added in 2015-01")]
    rows = {"columns": ["x"], "rows": [["e", "A", "aaaa"]]}
    assert list(changed_rows(rows, rows)) == []


def test_the_worst_cell_is_the_one_that_is_farthest_for_its_column(study: Path) -> None:
    """A CAR that moves by 0.01 is worse than a count that moves by 1 of 50; a group's cell only where no event's moved."""
    loaded = load_study(study, data_path=())
    result = run_study(loaded)
    fits, cars, groups = (result.tables[n] for n in ("fits", "cars", "significance"))
    rms = float(np.sqrt(np.mean(cars["car"].to_numpy() ** 2)))
    changed = result.tables | {
        "fits": fits.with_columns((pl.col("n_obs") + 1).alias("n_obs")),
        "cars": cars.with_columns(pl.when(AT == 2).then(pl.col("car") + 0.01).otherwise(pl.col("car")).alias("car")),
        "significance": groups.with_columns(pl.col("estimate") * 100),
    }
    found = compare(type(result)(changed, result.manifest), study / "golden")
    assert found.first is not None
    assert (found.first.table, found.first.column, found.first.event) == ("fits", "n_obs", "e0 A")
    assert found.worst is not None
    assert (found.worst.table, found.worst.column, found.worst.event) == ("cars", "car", "e0 A")
    assert found.worst.size == pytest.approx(0.01 / rms)
    assert found.events == ("e0 A", "e1 B")
    only = compare(
        type(result)(result.tables | {"significance": changed["significance"]}, result.manifest), study / "golden"
    )
    assert only.worst is not None
    assert (only.worst.table, only.worst.event) == ("significance", "")


# Forms

ODD = Difference("s<1>", "cars", "event_id=<script>alert(1)</script> symbol=A", "car", "1", "2", "<script> A", 0.5)
MOVED = Check.of(
    "s<1>",
    Comparison(("prices A.csv",), (InputChange("prices", "A&B", "close \x00 changed"),), (ODD,), ("numpy 1 -> 2",)),
)
EQUAL = Check.of("good", Comparison((), (), (), ()))
ALL = [
    MOVED,
    EQUAL,
    without_golden("new"),
    left_out("afar", MissingData("no prices")),
    failed("bad", SpecError("study.toml: nothing")),
]


def test_lines() -> None:
    assert list(lines(MOVED)) == [
        f"s<1>: inputs changed (prices A.csv), numbers moved in 1 cells of 1 pair, first in {ODD.row}",
        "  version numpy 1 -> 2",
        "  input prices A&B: close \x00 changed",
        "  first: s<1>: cars.csv, event_id=<script>alert(1)</script> symbol=A, car: 1 -> 2",
    ]  # fmt: skip
    assert [list(lines(check)) for check in ALL[1:]] == [
        ["good: inputs unchanged, numbers equal"],
        ['new: no golden result yet; make one with: eventstudy bless new --reason "..."'],
        ["afar: left out, its prices are not here. no prices"],
        ["bad: study.toml: nothing"],
    ]


def test_json() -> None:
    told = json.loads(as_json(ALL))
    assert (told["ok"], told["moved"]) == (False, 1)
    assert [s["status"] for s in told["studies"]] == ["moved", "equal", "no golden", "left out", "failed"]
    cell = {"table": "cars", "row": ODD.row, "column": "car", "old": "1", "new": "2", "event": "<script> A"}
    first = told["studies"][0]
    assert (first["first"], first["differences"], first["events"]) == (cell, [cell], ["<script> A"])
    assert first["changes"] == [{"kind": "prices", "name": "A&B", "what": "close \x00 changed"}]
    assert json.loads(as_json([EQUAL]))["ok"] is True


def test_junit() -> None:
    """As CI systems count: a moved table is a failure, changed inputs alone are none, what cannot be told is skipped."""
    suites = {s.get("name"): s for s in xml.fromstring(as_junit(ALL))}
    counts = {name: tuple(int(s.get(k)) for k in ("failures", "errors", "skipped")) for name, s in suites.items()}
    assert counts == {"s<1>": (1, 0, 0), "good": (0, 0, 0), "new": (0, 0, 1), "afar": (0, 0, 1), "bad": (0, 1, 0)}
    (failure,) = suites["s<1>"].iter("failure")
    assert failure.get("message") == f"1 cells, first {ODD}"
    assert "input prices A&B: close \\x00 changed" in (failure.text or "")
    assert {c.get("name") for c in suites["good"]} >= {"inputs", "cars", "significance", "fits"}
    assert len(suites["good"]) == int(suites["good"].get("tests"))


def test_the_page_is_text_everywhere() -> None:
    page = as_html(ALL)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "5 studies, 2 not as blessed" in page
    assert "every number that could be computed is the golden one" in as_html([EQUAL])


def eventstudy(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_writes_all_forms_and_one_line_a_study(tmp_path: Path) -> None:
    write(tmp_path / "studies" / "made")
    write(tmp_path / "studies" / "other")
    shutil.copytree(tmp_path / "studies" / "made", tmp_path / "studies" / "unblessed")
    for name in ("made", "other"):
        assert eventstudy("bless", name, "--reason", "first", cwd=tmp_path).returncode == 0
    edit("B", lambda t: t.with_columns(pl.when(AT == 99).then(pl.col("close") * 1.1).otherwise(pl.col("close"))))(
        tmp_path / "studies" / "made"
    )
    forms = ("--report", "v.html", "--json", "-", "--junit", "deep/v.xml")
    done = eventstudy("validate", *forms, cwd=tmp_path)
    assert done.returncode == 1
    told: dict[str, Any] = json.loads(done.stdout)
    assert [(s["study"], s["status"]) for s in told["studies"]] == [
        ("made", "moved"), ("other", "equal"), ("unblessed", "no golden")
    ]  # fmt: skip
    assert told["studies"][0]["events"] == ["e1 B"]
    assert "  input prices B: close changed in 2015-05\n" in done.stderr
    assert "other: inputs unchanged, numbers equal\n" in done.stderr
    assert "e1 B" in (tmp_path / "v.html").read_text()
    assert xml.parse(tmp_path / "deep" / "v.xml").getroot().tag == "testsuites"
    done = eventstudy("validate", "other", "--json", "v.json", cwd=tmp_path)
    counts = "validated 1, differing 0, no golden 0, left out 0\n"
    assert (done.returncode, done.stdout) == (0, "other: inputs unchanged, numbers equal\n" + counts)
    assert json.loads((tmp_path / "v.json").read_text())["ok"] is True
    assert eventstudy("validate", "other", "--report", "studies", cwd=tmp_path).returncode == 2
    assert eventstudy("validate", "other", "--against", "data", "--junit", "x", cwd=tmp_path).returncode == 2


def test_validate_against_as_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "studies" / "made")
    shutil.copytree(folder / "data", tmp_path / "newer")
    edit("B", lambda t: t.with_columns(pl.when(AT == 99).then(1.0).otherwise(pl.col("dividend")).alias("dividend")))(
        folder
    )
    done = eventstudy("validate", "made", "--against", "newer", "--json", "-", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["study"], told["ok"]) == ("made", False)
    (event,) = told["events"]
    assert (event["event_id"], event["symbol"]) == ("e1", "B")
    assert event["causes"][0].startswith(f"B {DATES[99]} dividend (")
    done = eventstudy("validate", "made", "--against", "newer", "--tolerance", "0.5", cwd=tmp_path)
    assert "pairs drifted by more than 50.0000%" in done.stdout
