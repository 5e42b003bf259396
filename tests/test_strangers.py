"""A study from a stranger reads and writes in its own folder, and runs no code that is not allowed."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from conftest import make_study, simulated

from engine import load_study, run_study
from engine.cli.fetching import fetch_prices
from engine.cli.running import memo_one, run_one
from engine.cli.validating import bless_one
from engine.csvtext import CELLS, COLUMNS, read_text_table, scan_parquet
from engine.errors import DataError, EngineError, SpecError, hint
from engine.files import FACTOR
from engine.inplace import own_place
from engine.market import find_snapshot, partitions, read_series

EVENTS = [{"event_id": f"e{i}", "symbol": "AAA", "announced_at": f"2015-0{i}-18"} for i in range(5, 9)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", EVENTS, simulated(1, ["AAA"], 260))


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", "..", "/etc/passwd", ""])
def test_a_factor_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    study = make_study(
        tmp_path / "a" / "study", EVENTS, simulated(1, ["AAA"], 260), model={"name": "factor"},
        factors={"columns": [name], "excess": False},
    )  # fmt: skip
    shutil.copy(study / "data" / "MKT.csv", tmp_path / "x.csv")
    before = files_in(tmp_path)
    with pytest.raises(SpecError, match=re.escape("[factors] columns")):
        load_study(study)
    with pytest.raises(SpecError, match=re.escape("[factors] columns")):
        fetch_prices(str(study), "folder", str(study / "data"), tmp_path / "b" / "new")
    assert files_in(tmp_path) == before


def test_no_symbol_leads_out_of_a_snapshot(study: Path) -> None:
    snapshot = find_snapshot("data", study, ())
    for symbol in ("../data/AAA", "..", "a\0b", "/etc/passwd"):
        with pytest.raises(SpecError, match="is a path"):
            read_series(snapshot, [symbol])


@pytest.mark.parametrize("name", ["a?", "x[1]", "~", "*", "a{b}", "{a,b}"])
def test_the_name_of_a_folder_is_no_pattern(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events and prices are those of the folder itself, not those of its neighbours."""
    ours, theirs = simulated(1, ["AAA"], 260), simulated(2, ["AAA"], 260)
    for folder in ("a1", "x1", "ab", "a", "b"):
        make_study(tmp_path / folder, [{**EVENTS[0], "event_id": "theirs"}], theirs)
    monkeypatch.setenv("HOME", str(tmp_path / "a1"))
    make_study(tmp_path / name, EVENTS, ours)
    monkeypatch.chdir(tmp_path)
    loaded = load_study(Path(name))
    assert loaded.announcements.table["event_id"].to_list() == [e["event_id"] for e in EVENTS]
    assert (loaded.market.series["AAA"].values == load_study(tmp_path / name).market.series["AAA"].values).all()
    frame = pl.DataFrame({"symbol": ["AAA"], "close": [1.0]})
    for folder in ("a1", "x1", "ab"):
        frame.with_columns(close=2.0).write_parquet(tmp_path / folder / "p.parquet")
    frame.write_parquet(tmp_path / name / "p.parquet")
    assert scan_parquet(Path(name) / "p.parquet").collect()["close"].to_list() == [1.0]


def test_a_file_that_is_none_is_refused_wherever_a_study_names_one(study: Path) -> None:
    theme = study / "theme.toml"
    for kind in ("device", "pipe", "giant", "folder"):
        for path, words in (
            (study / "study.toml", "study.toml"), (study / "events.csv", "events.csv"), (theme, "theme.toml"),
            (study / "data" / "manifest.json", "manifest.json"), (study / "data" / "AAA.csv", "AAA"),
        ):  # fmt: skip
            kept = path.read_bytes() if path.is_file() else None
            path.unlink(missing_ok=True)
            if kind == "device":
                path.symlink_to("/dev/zero")
            elif kind == "pipe":
                os.mkfifo(path)
            elif kind == "folder":
                path.mkdir()
            else:
                with path.open("wb") as file:
                    file.truncate(10**12)
            if path.name == "manifest.json" and kind != "giant":
                pass  # what is no file is no manifest
            elif path != theme:
                with pytest.raises(EngineError, match=words):
                    run_study(load_study(study))
            else:
                from engine.report import read_theme

                with pytest.raises(SpecError, match=words):
                    read_theme(theme)
            path.rmdir() if path.is_dir() else path.unlink()
            if kept is not None:
                path.write_bytes(kept)


def test_what_a_memo_writes_stays_in_the_folder_of_the_result(study: Path, tmp_path: Path) -> None:
    run_one(study, None, None)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "caar_path.png").write_text("mine")
    shutil.rmtree(study / "out" / "charts")
    (study / "out" / "charts").symlink_to(precious)
    with pytest.raises(SpecError, match=r"charts: is a link to .*precious"):
        memo_one(study, "caar_path", "png", None)
    assert (precious / "caar_path.png").read_text() == "mine"
    (study / "out" / "charts").unlink()
    (study / "out" / "memo.md").unlink()
    (study / "out" / "memo.md").symlink_to(precious / "caar_path.png")
    memo_one(study, None, "md", None)  # takes the place of the link, and leaves what it led to
    assert (precious / "caar_path.png").read_text() == "mine"
    assert (study / "out" / "memo.md").read_text() != "mine"


@pytest.mark.parametrize("place", ["out", "golden"])
def test_a_link_in_the_place_of_a_result_is_not_followed(study: Path, tmp_path: Path, place: str) -> None:
    (study / place).symlink_to(tmp_path / "nowhere" / "deep")
    with pytest.raises(SpecError, match=f"{place}: is a link to"):
        run_one(study, None, None) if place == "out" else bless_one(str(study), "first", False)
    assert not (tmp_path / "nowhere").exists()


def test_a_place_of_its_own_has_no_link_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert own_place(tmp_path, "a", "b") == tmp_path / "a" / "b"
    assert own_place(tmp_path, "new", "b") == tmp_path / "new" / "b"
    (tmp_path / "a" / "c").symlink_to(tmp_path)
    with pytest.raises(SpecError, match="is a link"):
        own_place(tmp_path, "a", "c", "d")


def test_a_compressed_file_is_no_csv(study: Path) -> None:
    path = study / "data" / "AAA.csv"
    data = path.read_bytes()
    packers = {"gzip": gzip.compress(data), "zip": b"PK\x03\x04" + data, "zstd": b"\x28\xb5\x2f\xfd" + data}
    packers["zlib"] = __import__("zlib").compress(data)
    for kind, packed in packers.items():
        path.write_bytes(packed)
        with pytest.raises(DataError, match=rf"compressed file \({kind}\).*Unpack it"):
            load_study(study)


def test_a_csv_of_more_columns_or_cells_than_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"c{i}" for i in range(COLUMNS + 1)) + "\n")
    with pytest.raises(DataError, match=f"5,001 columns, 5,000 are allowed.*{FACTOR}=2"):
        read_text_table(path, "")
    monkeypatch.setenv(FACTOR, "2")
    assert read_text_table(path, "").is_empty()
    path.write_text(",".join(f"c{i}" for i in range(COLUMNS)) + "\n" * (2 * CELLS // COLUMNS + 1))
    with pytest.raises(DataError, match="cells, 400,000,000 are allowed"):
        read_text_table(path, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [("x" * 4_001, "4,001 characters, 4,000 are allowed"), ("a" + "\u0301" * 31, "30 combining marks")],
)
def test_a_text_that_no_page_can_hold_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """It would cost the page of the memo gigabytes."""
    series = simulated(1, ["AAA"], 260)
    for place, tables in {
        "title": {"title": text}, "claims.C1.statement": {"claims": {"C1": {"statement": text}}}, "a key of": {text: 1},
    }.items():  # fmt: skip
        study = make_study(tmp_path / "study", EVENTS, series)
        told = (study / "study.toml").read_text()
        head = f'"{text}" = 1\n' if place == "a key of" else f'title = "{text}"\n' if place == "title" else ""
        tail = f'\n[claims.C1]\nstatement = "{text}"\n' if "claims" in tables else ""
        body = told.replace('title = "A made-up study"\n', "") if place == "title" else told
        (study / "study.toml").write_text(head + body + tail)
        with pytest.raises(SpecError, match=re.escape(place) + ".*" + words):
            load_study(study)
    study = make_study(tmp_path / "study", [{**EVENTS[0], "kind": text}], series)
    with pytest.raises(DataError, match=f"row 2, column kind: the cell has .*{words}"):
        load_study(study)
    study = make_study(tmp_path / "study", [{**EVENTS[0], text: "x"}], series)
    with pytest.raises(DataError, match=f"row 1: the name of a column has .*{words}"):
        load_study(study)


def test_marks_as_a_script_has_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name\nViê\u0323t Nam\n" + "e\u0301" * 100 + "\n中国铁建\n")
    assert len(read_text_table(path, "")) == 3


def test_of_a_wide_table_the_columns_of_prices_are_read(tmp_path: Path) -> None:
    dates = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 3), eager=True)
    wide = {f"x{i}": [1.0] * 3 for i in range(2_003)}
    pl.DataFrame({"symbol": ["A"] * 3, "Date": dates, "close": [1.0, 2.0, 3.0], **wide}).write_parquet(
        tmp_path / "p.parquet"
    )
    snapshot = find_snapshot(str(tmp_path / "p.parquet"), tmp_path, ())
    assert set(read_series(snapshot, ["A"])[0]["A"].columns) == {"close"}
    pl.DataFrame({"symbol": ["A"] * 3, "Date": dates, **wide}).write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match="none of the columns close, adj_close, return"):
        read_series(snapshot, ["A"])


def test_a_parquet_file_of_more_rows_than_allowed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.parquet"
    days = pl.date(2020, 1, 1) + pl.duration(days=pl.int_range(10))
    pl.select(symbol=pl.lit("A"), date=days, close=pl.lit(1.0)).write_parquet(path, row_group_size=5)
    assert partitions.parted(path) is not None
    for name, limit, words in (("MOST_IN_GROUP", 4, "5 rows in one row group, 4"), ("MOST_ROWS", 9, "10 rows, 9")):
        with monkeypatch.context() as context:
            context.setattr(partitions, name, limit)
            with pytest.raises(DataError, match=f"has {words} are allowed.*{FACTOR}=2"):
                partitions.parted(path)


def test_a_hint_names_some_of_very_many() -> None:
    names = [f"symbol{i:06d}" for i in range(100_000)]
    said = hint("symbol000007x", names)
    assert 'Did you mean "symbol000007"' in said
    assert said.endswith("symbol000199 and 99800 more.")
