"""A result from its manifest alone: the same bytes, or every missing file by name."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import make_study, simulated, weekdays
from test_killed import tree

from engine import report, run_study
from engine.errors import DataError
from engine.golden import bless
from engine.inputs import Study, known_names, load_study
from engine.rebuild import differing_keys, load_from_manifest
from engine.results import read_manifest, write_result

ROOT = Path(__file__).resolve().parent.parent
DATES = weekdays(160)
KNOWN = known_names(frozenset(report.CHARTS))


def eventstudy(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def write(folder: Path, **more: Any) -> Path:
    events = [
        {
            "event_id": f"e{i}",
            "symbol": s,
            "announced_at": DATES[90 + 9 * i],
            "size": 1.0 + i * i % 5,
            "kind": "ab"[i % 2],
        }
        for i, s in enumerate("ABCD")
    ]
    return make_study(
        folder, events, simulated(3, list("ABCD"), 160) | {"OIL": simulated(4, ["OIL"], 160)["OIL"]}, **more
    )


def rebuilt(manifest: dict[str, Any], folder: Path, *data_path: Path, **more: Any) -> Study:
    return load_from_manifest(manifest, folder, data_path, KNOWN, **more)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path / "studies" / "made")
    return tmp_path


def test_twice_the_same_bytes_though_study_toml_has_changed(home: Path) -> None:
    """Memo and charts too; the settings are those of the manifest, whatever study.toml says by now."""
    folder = home / "studies" / "made"
    assert eventstudy("run", "made", cwd=home).returncode == 0
    first = tree(folder / "out")
    toml = folder / "study.toml"
    toml.write_text(toml.read_text().replace("[[0, 0], [-1, 1], [-5, 5]]", "[[0, 1]]"))
    done = eventstudy("run", "--manifest", "studies/made/out/manifest.json", "--out", "again", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "rebuilt from studies/made/out/manifest.json: inputs unchanged, numbers equal"
    )
    assert tree(home / "again") == first
    shutil.move(home / "again" / "manifest.json", home / "mailed.json")
    done = eventstudy("run", "made", "--manifest", "mailed.json", "--out", "third", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "rebuilt" not in done.stdout  # no tables beside it
    assert tree(home / "third") == first


def test_numbers_that_are_not_those_beside_the_manifest(home: Path) -> None:
    assert eventstudy("run", "made", cwd=home).returncode == 0
    cars = home / "studies" / "made" / "out" / "cars.csv"
    header, row, *rest = cars.read_text().splitlines()
    cells = row.split(",")
    cars.write_text("\n".join([header, ",".join([*cells[:4], "0.5", *cells[5:]]), *rest]) + "\n")
    done = eventstudy("run", "--manifest", "studies/made/out", "--out", "again", cwd=home)
    assert done.returncode == 1
    assert "made: not the tables beside the manifest. First: made: cars.csv, event_id=e0 symbol=A " in done.stderr


def test_prices_are_found_by_what_they_are(tmp_path: Path) -> None:
    """The snapshot has changed and the one of the manifest lies elsewhere under another name."""
    folder = write(tmp_path / "made")
    result = run_study(load_study(folder, data_path=()))
    shutil.copytree(folder / "data", tmp_path / "path" / "data@2020-01-01")
    path = folder / "data" / "B.csv"
    path.write_text(path.read_text().replace(DATES[95] + ",", DATES[95] + ",1"))
    assert run_study(rebuilt(result.manifest, folder, tmp_path / "path")) == result
    shutil.move(tmp_path / "path" / "data@2020-01-01", tmp_path / "mine")
    assert run_study(rebuilt(result.manifest, folder, prices=tmp_path / "mine")) == result


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "made")
    manifest = run_study(load_study(folder, data_path=())).manifest
    (folder / "data" / "A.csv").unlink()
    price, events = folder / "data" / "B.csv", folder / "events.csv"
    price.write_text(price.read_text() + "2030-01-02,0.1\n")
    events.write_text(events.read_text() + f"e9,A,{DATES[99]},1,a\n")
    now = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in (price, events)}
    with pytest.raises(DataError) as error:
        rebuilt(manifest, folder, tmp_path / "empty")
    was = manifest["snapshot"]["sha256"]
    assert str(error.value).splitlines()[:4] == [
        "the result of made cannot be rebuilt from its manifest; missing:",
        f"  calendar {events} with sha256 {manifest['calendar_sha256']['events.csv']} (the one here has {now[events]})",
        f"  prices A.csv with sha256 {was['A.csv']} (not in {folder / 'data'})",
        f"  prices B.csv with sha256 {was['B.csv']} (the one in {folder / 'data'} has {now[price]})",
    ]
    shutil.rmtree(folder / "data")
    events.unlink()
    with pytest.raises(DataError, match="it is not there") as error:
        rebuilt(manifest, folder)
    assert "prices MKT.csv with sha256 " in str(error.value)


@pytest.mark.parametrize(
    "more",
    [
        {"crosssection": {"formula": {"z": "car ~ size", "a": "car ~ 1"}}},
        {"model": {"name": "custom", "file": "own_model.py", "function": "half_the_benchmark"}},
        {"factors": {"columns": ["OIL"], "snapshot": "others"}, "model": {"name": "factor"}},
        {"significance": {"tests": ["bmp"], "group_by": ["kind"]}, "limits": {"max_excluded_share": 0.5}},
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_setting_comes_back(tmp_path: Path, more: dict[str, Any]) -> None:
    folder = write(tmp_path / "made", **more)
    if "factors" in more:
        (tmp_path / "path" / "others").mkdir(parents=True)
        shutil.move(folder / "data" / "OIL.csv", tmp_path / "path" / "others")
    result = run_study(load_study(folder, data_path=(tmp_path / "path",), allow_code=True))
    manifest = json.loads(json.dumps(result.manifest, sort_keys=True))
    again = run_study(rebuilt(manifest, folder, tmp_path / "path", allow_code=True))
    assert again == result
    write_result(again, tmp_path / "again")
    write_result(result, tmp_path / "first")
    assert tree(tmp_path / "again") == tree(tmp_path / "first")


def test_a_golden_manifest_of_a_shipped_study_rebuilds_it(tmp_path: Path) -> None:
    folder = ROOT / "studies" / "us-acquirers"
    stated = read_manifest(folder / "golden")
    study = rebuilt(stated, folder, ROOT / "fixtures" / "prices")
    fresh = load_study(folder, data_path=(ROOT / "fixtures" / "prices",))
    assert study.sha256 == fresh.sha256
    assert study.spec == fresh.spec
    assert study.name == "us-acquirers"


def test_versions_that_changed_are_said(tmp_path: Path) -> None:
    result = run_study(load_study(write(tmp_path / "made"), data_path=()))
    older = result.manifest | {"versions": result.manifest["versions"] | {"numpy": "1.0"}, "seed": 3}
    numpy = result.manifest["versions"]["numpy"]
    assert list(differing_keys(older, result.manifest)) == ["seed", f"version numpy 1.0 -> {numpy}"]
    bless(result, tmp_path / "golden", "first")
    assert list(differing_keys(read_manifest(tmp_path / "golden"), result.manifest)) == []
