"""Studies as the command line finds, loads and computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine.cli.console import progress, tell
from engine.cli.unforeseen import explained, tell_error
from engine.errors import EngineError, MissingData, SpecError, UnforeseenError, hint

if TYPE_CHECKING:
    from engine.beside import Beside
    from engine.inputs import Study
    from engine.results import StudyResult
    from engine.scale import Mapper

STUDIES = Path("studies")


def study_folders() -> list[Path]:
    return sorted(p.parent for p in STUDIES.glob("*/study.toml"))


def study_folder(study: str) -> Path:
    for folder in (Path(study), STUDIES / study):
        if (folder / "study.toml").is_file():
            return folder
    names = [p.name for p in study_folders()]
    known = hint(study, names) if names else "There is no folder studies/ here; make a study with: eventstudy new NAME."
    raise SpecError(f'"{study}" is no study: neither {study} nor {STUDIES / study} has a study.toml. {known}')


def tables_of(folder: Path) -> dict[str, Any]:
    """study.toml as it stands, before anything is checked; nothing where it cannot be read."""
    from engine.documents import read_toml

    try:
        return read_toml(folder / "study.toml", SpecError, "")
    except SpecError:
        return {}


def for_all_studies(folders: Sequence[Path], act: Callable[[int], str]) -> None:
    """Print what it says of every study by its place; one without prices is left out with a word, an error of whatever kind
    does not stop the others.

    Why prices are not there is told once at the end, for all studies that lack the same.
    """
    worst = 0
    lacking: dict[str, list[str]] = {}
    for place, folder in enumerate(folders):
        try:
            with explained():
                said = act(place)
            tell(said)
        except MissingData as error:
            tell(f"{folder.name}: left out, its prices are not here")
            lacking.setdefault(str(error).replace(str(folder), "STUDY"), []).append(folder.name)
        except EngineError as error:
            tell_error(error, f"{folder.name}: " if isinstance(error, UnforeseenError) else "")
            worst = max(worst, error.exit_code)
    for reason, names in lacking.items():
        tell(f"\nleft out, {len(names)}: {reason}")
    if worst:
        raise typer.Exit(worst)


def load(study: str, prices: Path | None = None, allow_code: bool = False) -> Study:
    from engine import report
    from engine.inplace import remove_temporary
    from engine.study import load_study

    remove_temporary()
    if prices is not None and not (prices.is_dir() or (prices.is_file() and prices.suffix == ".parquet")):
        raise MissingData(f"{prices}: is no folder and no parquet file. Give a folder with one <symbol>.csv a listing.")
    return load_study(study_folder(study), prices=prices, charts=frozenset(report.CHARTS), allow_code=allow_code)


def compute(
    study: Study,
    certify: bool = False,
    kernel: str | None = None,
    mapper: Mapper | None = None,
    beside: Beside | None = None,
) -> StudyResult:
    """mapper: of the parts of a study whose prices are read in parts; threads if None. beside: of `engine.study.run_study`."""
    from engine.scale import in_threads
    from engine.study import run_study

    with progress(study.name) as on_progress:
        return run_study(study, on_progress, certify, kernel, mapper or in_threads, beside)
