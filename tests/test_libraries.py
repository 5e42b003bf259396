"""Libraries read nothing beside a study, and keep what they make in folders of the user alone."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest
from conftest import make_study, simulated

import engine.libraries
from engine.cli.fetching import fetch_prices
from engine.errors import SpecError
from engine.inputs import default_data_path
from engine.libraries import BESIDE, STAND_IN, cache_folder, home, settle, user_folder

ROOT = Path(__file__).parents[1]
EVENTS = [{"event_id": f"e{i}", "symbol": "AAA", "announced_at": f"2015-0{i}-18"} for i in range(5, 9)]
PLANTED = "open('ran', 'a').write(__name__)\n"
COMMAND = "import sys; sys.argv[0] = 'eventstudy'; from engine.cli.verbs import main; main()"
COMPILED = """
import json, os
import engine, engine.libraries
engine.libraries.settle()
import numba, matplotlib
@numba.njit
def f(x):
    return x
f(1)
rc = matplotlib.matplotlib_fname(), matplotlib.rcParams["lines.linewidth"]
print(json.dumps([numba.config.CACHE_DIR, numba.config.DISABLE_JIT, *rc]))
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_", "MPL", "PYTHON", "EVENTSTUDY"))}
    return kept | {"HOME": str(home), "EVENTSTUDY_DATA": "", "PYTHONPATH": str(ROOT)} | more


class Planted:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def beside(folder: Path) -> None:
    """Plant in ``folder`` what libraries would read there, and what would be imported from there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".numba_config.yaml").write_text(f"cache_dir: {folder}\ndisable_jit: 1\n")
    (folder / "matplotlibrc").write_text("lines.linewidth: 77\nno such key\n")
    for name in ("numpy", "polars", "sitecustomize", "usercustomize", "multiprocessing", "pickle", "distributed"):
        (folder / f"{name}.py").write_text(PLANTED)
    for nearby in (folder / "~" / ".config" / "dask", folder / ".config" / "dask"):
        nearby.mkdir(parents=True)
        (nearby / "planted.yaml").write_text("distributed: {worker: {preload: ['import planted']}}\n")
    (folder / "engine_planted").mkdir()
    (folder / "engine_planted" / "f.nbi").write_bytes(pickle.dumps(Planted()))


def test_no_library_reads_its_settings_from_the_working_folder(tmp_path: Path) -> None:
    beside(tmp_path / "study")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", COMPILED], cwd=tmp_path / "study", env=environment(tmp_path / "home"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    caches, disabled, rc, width = json.loads(done.stdout)
    assert caches == str(tmp_path / "home" / ".cache" / "event-study-engine" / "numba")
    assert (disabled, width) == (0, 1.5)
    assert Path(rc).is_absolute()
    assert not (tmp_path / "study" / "ran").exists()


@pytest.mark.parametrize("start", [("-P", "-c", COMMAND), ("-m", "engine.cli")], ids=["as installed", "-m"])
def test_a_run_beside_planted_files_runs_none_of_them(tmp_path: Path, start: tuple[str, ...]) -> None:
    """In the first process, and in the second one that a memo begins."""
    study = make_study(tmp_path / "study", EVENTS, simulated(1, ["AAA"], 260), report={"charts": ["caar_path"]})
    beside(study)
    for name in ("multiprocessing", "pickle") if "-m" in start else ():
        (study / f"{name}.py").unlink()  # python -m reads its own library there before a line of the engine
    for verb in ("run", "memo"):
        done = subprocess.run(
            [sys.executable, *start, verb, "."], cwd=study, env=environment(tmp_path / "home"), capture_output=True,
            text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    assert not (study / "ran").exists()
    assert (study / "out" / "memo.html").is_file()


def test_the_settings_of_numba_stay_unread_when_it_compiles_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numba.config.CACHE_DIR
    beside(tmp_path)
    monkeypatch.chdir(tmp_path)
    numba.core.config.reload_config()
    assert before == numba.config.CACHE_DIR
    assert not any(os.path.exists(name) for name in BESIDE)
    assert os.path.exists("numpy.py")
    assert (tmp_path / "matplotlibrc").exists()


def test_the_cache_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder == tmp_path / "event-study-engine"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert cache_folder() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache_folder() is None


def test_a_relative_folder_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be beside the study."""
    monkeypatch.chdir(tmp_path)
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "event-study-engine"
    assert user_folder("XDG_DATA_HOME", "a", "b") == tmp_path / "home" / "a" / "b"
    monkeypatch.setenv("HOME", "home")
    assert (home(), cache_folder()) == (None, None)


@pytest.fixture
def without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (
        "HOME",
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
        "NUMBA_CACHE_DIR",
        "MPLCONFIGDIR",
        STAND_IN,
        "PYTHONSAFEPATH",
    ):
        monkeypatch.setenv(variable, "")  # put back as it was after the test
        monkeypatch.delenv(variable)
    expand = os.path.expanduser
    monkeypatch.setattr(os.path, "expanduser", lambda path: expand(path) if os.environ.get("HOME") else path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("without_a_home")
def test_a_user_without_a_home_has_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENTSTUDY_DATA", raising=False)
    settle()
    own = Path(os.environ["HOME"])
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert os.environ["NUMBA_CACHE_DIR"] == str(own / "numba")
    assert os.environ["MPLCONFIGDIR"] == str(own / "matplotlib")
    assert home() is None
    assert default_data_path(tmp_path) == ()
    study = make_study(tmp_path / "study", EVENTS, simulated(1, ["AAA"], 260))
    with pytest.raises(SpecError, match=r"no home folder.*--out DIR"):
        fetch_prices(str(study), "folder", str(study / "data"), None)
    settle()  # as a child of the process does
    assert os.environ["HOME"] == str(own)
    assert not [p for p in tmp_path.iterdir() if p.name != "study"]


def test_a_full_disk_is_no_place_for_compiled_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(engine.libraries, "ROOM", 2**62)
    settle()
    assert not Path(os.environ["NUMBA_CACHE_DIR"]).is_relative_to(tmp_path)
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent.is_dir()
