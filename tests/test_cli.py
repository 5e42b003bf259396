"""The command line end to end: verbs, exit codes, what goes to stdout, and what is on disk afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_study, simulated, weekdays

DATES = weekdays(160)
TABLES = {
    "events.csv", "fits.csv", "abnormal_returns.csv", "cars.csv", "averages.csv", "significance.csv",
    "event_significance.csv", "contamination.csv", "exclusions.csv", "quality.csv", "differences.csv", "quantiles.csv",
    "influence.csv",
}  # fmt: skip


def eventstudy(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A working folder with studies/made, two events that run."""
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    make_study(tmp_path / "studies" / "made", events, simulated(3, ["A", "B"], 160))
    return tmp_path


def test_run_writes_everything_and_prints_the_table(home: Path) -> None:
    done = eventstudy("run", "made", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    out = home / "studies" / "made" / "out"
    assert {p.name for p in out.iterdir()} == TABLES | {"manifest.json", "memo.html", "memo.md", "charts"}
    assert "mean CAR [0, 0]" in done.stdout
    assert str(Path("studies/made/out/memo.html")) in done.stdout
    assert [p.name for p in (home / "studies" / "made").iterdir() if p.name.startswith(".")] == []


def test_a_second_run_gives_the_same_bytes(home: Path) -> None:
    out = home / "studies" / "made" / "out"
    eventstudy("run", "made", cwd=home)
    first = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    eventstudy("run", "made", cwd=home)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == first


def test_run_without_a_study_lists_them(home: Path) -> None:
    assert eventstudy("run", cwd=home).stdout == "made\n"


def test_dry_run_writes_nothing(home: Path) -> None:
    done = eventstudy("run", "made", "--dry-run", cwd=home)
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == [
        "event_id,symbol,event_day,estimation_rows,event_rows,stage,reason,detail",
        f"e0,A,{DATES[90]},50,11,,,",
    ]
    assert not (home / "studies" / "made" / "out").exists()


def test_events_to_stdout_and_to_a_folder(home: Path) -> None:
    shown = eventstudy("events", "made", cwd=home)
    assert shown.stdout.startswith(
        "event_id,symbol,exchange,announced_at,stamp_used,event_day,hours_to_open,reason,flags,venue_time\n"
    )
    eventstudy("events", "made", "--out", "there", cwd=home)
    assert (home / "there" / "events.csv").read_text() == shown.stdout


def test_bless_validate_and_a_moved_number(home: Path) -> None:
    assert "no golden result yet" in eventstudy("validate", cwd=home).stdout
    assert eventstudy("bless", "made", "--reason", "first", cwd=home).returncode == 0
    done = eventstudy("validate", cwd=home)
    counts = "validated 1, differing 0, no golden 0, left out 0\n"
    assert (done.returncode, done.stdout) == (0, "made: inputs unchanged, numbers equal\n" + counts)
    golden = home / "studies" / "made" / "golden" / "cars.csv"
    cells = golden.read_text().splitlines()
    row = cells[1].split(",")
    row[4] = repr(float(row[4]) * 1.01)
    golden.write_text("\n".join([cells[0], ",".join(row), *cells[2:]]) + "\n")
    done = eventstudy("validate", "made", cwd=home)
    assert done.returncode == 1
    assert "made: cars.csv, event_id=e0 symbol=A window_start=-5 window_end=5, car:" in done.stdout
    assert "inputs unchanged, numbers moved in 1 cells" in done.stderr


def test_bless_needs_a_reason(home: Path) -> None:
    assert eventstudy("bless", "made", "--reason", " ", cwd=home).returncode == 2
    assert not (home / "studies" / "made" / "golden").exists()


def test_a_study_without_prices_does_not_stop_the_others(home: Path) -> None:
    events = [{"event_id": "e", "symbol": "A", "announced_at": DATES[90]}]
    make_study(home / "studies" / "afar", events, {}, prices={"snapshot": "elsewhere"})
    done = eventstudy("run", "--all", cwd=home)
    assert done.returncode == 0
    assert "afar: left out, its prices are not here" in done.stdout
    assert (home / "studies" / "made" / "out" / "memo.html").is_file()
    assert eventstudy("run", "afar", cwd=home).returncode == 3


def test_a_broken_study_does_not_stop_the_others_but_is_an_error(home: Path) -> None:
    (home / "studies" / "aaa").mkdir()
    (home / "studies" / "aaa" / "study.toml").write_text("title = 1\n")
    done = eventstudy("run", "--all", cwd=home)
    assert done.returncode == 2
    assert (home / "studies" / "made" / "out" / "memo.html").is_file()


def test_memo_writes_one_chart(home: Path) -> None:
    assert eventstudy("memo", "made", cwd=home).returncode == 3
    eventstudy("run", "made", cwd=home)
    done = eventstudy("memo", "made", "--only", "caar_path", "--format", "pdf", cwd=home)
    assert done.returncode == 0
    assert (home / done.stdout.strip()).read_bytes().startswith(b"%PDF")
    assert eventstudy("memo", "made", "--only", "caar_pat", cwd=home).returncode == 2
    before = (home / "studies" / "made" / "out" / "memo.html").read_bytes()
    assert eventstudy("memo", "made", cwd=home).returncode == 0
    assert (home / "studies" / "made" / "out" / "memo.html").read_bytes() == before


def test_memo_writes_every_format_and_each_alone(home: Path) -> None:
    assert eventstudy("run", "made", cwd=home).returncode == 0
    out = home / "studies" / "made" / "out"
    done = eventstudy("memo", "made", cwd=home)
    assert done.returncode == 0, done.stderr
    formats = {f"memo.{f}" for f in ("html", "md", "pdf", "docx", "tex", "xlsx")}
    assert {p.name for p in out.iterdir()} >= formats | {"tables", "charts"}
    assert {p.suffix for p in (out / "tables").iterdir()} == {".csv", ".tex"}
    assert {p.suffix for p in (out / "charts").iterdir()} == {".png", ".svg", ".pdf"}
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for fmt in ("pdf", "docx", "xlsx", "tex", "csv"):
        assert eventstudy("memo", "made", "--format", fmt, cwd=home).returncode == 0
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert eventstudy("memo", "made", "--format", "doc", cwd=home).returncode == 2
    assert eventstudy("run", "made", cwd=home).returncode == 0  # a memo's files are no strangers in its folder
    assert not (out / "memo.pdf").exists()


def test_memo_takes_a_theme_from_the_command_and_from_the_study(home: Path) -> None:
    study = home / "studies" / "made"
    (study / "red.toml").write_text('[colours]\nmain = "#AA0000"\n', encoding="utf-8")
    assert eventstudy("run", "made", cwd=home).returncode == 0
    chart = study / "out" / "charts" / "caar_path.svg"
    assert "#aa0000" not in chart.read_text(encoding="utf-8")
    with_theme = ("memo", "made", "--only", "caar_path", "--format", "svg", "--theme")
    assert eventstudy(*with_theme, str(study / "red.toml"), cwd=home).returncode == 0
    assert "#aa0000" in chart.read_text(encoding="utf-8")
    wrong = eventstudy(*with_theme, "none.toml", cwd=home)
    assert (wrong.returncode, "none.toml: cannot be read" in wrong.stderr) == (2, True)
    with (study / "study.toml").open("a", encoding="utf-8") as file:
        file.write('\n[report]\ntheme = "red.toml"\n')
    assert eventstudy("run", "made", cwd=home).returncode == 0
    assert "#aa0000" in chart.read_text(encoding="utf-8")
    unknown = eventstudy("memo", "made", "--event", "nothing", cwd=home)
    assert (unknown.returncode, '"nothing" is no event of the study' in unknown.stderr) == (2, True)


def test_prices_from_another_folder(home: Path) -> None:
    (home / "studies" / "made" / "data").rename(home / "mine")
    done = eventstudy("run", "made", "--prices", "mine", "--out", "result", cwd=home)
    assert done.returncode == 0, done.stderr
    assert (home / "result" / "manifest.json").is_file()


@pytest.mark.parametrize("words", [("nothing",), ("run", "--nothing"), ("bless", "made"), ("run", "absent")])
def test_usage_errors_are_exit_2(words: tuple[str, ...], home: Path) -> None:
    done = eventstudy(*words, cwd=home)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['eventstudy', '--help']\n"
        "from engine.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'polars', 'scipy', 'pandas', 'matplotlib', 'pydantic', 'yfinance', 'curl_cffi'} & set(sys.modules)\n"
        "print('heavy', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "heavy []" in done.stdout
    for verb in ("new", "fetch", "events", "run", "validate", "bless", "memo"):
        assert f"  {verb} " in done.stdout


@pytest.mark.parametrize("column", ["announced_at", "first_public_at"])
def test_new_refuses_a_stamp_that_no_run_could_read(tmp_path: Path, column: str) -> None:
    cells = {"announced_at": "2015-05-04", "first_public_at": ""} | {column: "2015-05-04 09:00"}
    rows = f"event_id,symbol,announced_at,first_public_at\ne,A,{cells['announced_at']},{cells['first_public_at']}\n"
    (tmp_path / "my.csv").write_text(rows, encoding="utf-8")
    done = eventstudy("new", "fresh", "--events", "my.csv", cwd=tmp_path)
    assert done.returncode == 3
    assert f"row 2, column {column}" in done.stderr
    assert not (tmp_path / "studies").exists()
