"""What `run` does with one study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.beside import here
from engine.cli.console import aligned, choice, say, tell, write_bytes, write_data
from engine.cli.second_process import is_heavy, second_process
from engine.cli.sharing import Sharing, shared_out
from engine.cli.studies import compute, for_all_studies, load, study_folder, study_folders, tables_of
from engine.errors import DataError, GoldenMismatch, SpecError
from engine.files import is_plain

if TYPE_CHECKING:
    from engine.beside import Beside
    from engine.inputs import Study
    from engine.report.theme import Theme
    from engine.results import StudyResult


MOST_TOLD = 50_000  # events that a memo tells one by one


def run_all(prices: Path | None, allow_code: bool, kernel: str | None) -> None:
    """Every study, a second process from the last on; what is said of them is in their order."""
    from engine.inplace import note

    for folder in study_folders():
        note(folder.resolve() / "out")  # also what the second process writes is told if the command is stopped
    with second_process(not allow_code) as beside:
        within = here if beside is not None else None  # each of the two does one study after another
        act = partial(_ran, prices=prices, out=None, allow_code=allow_code, kernel=kernel, beside=within)
        folders = study_folders()
        waiting = (beside or here)(act, folders[::-1])[::-1]
        for_all_studies(folders, lambda place: waiting[place]())


def run_one(
    folder: Path,
    prices: Path | None,
    out: Path | None,
    allow_code: bool = False,
    kernel: str | None = None,
    sharing: Sharing | None = None,
) -> None:
    with second_process(is_heavy(tables_of(folder))) as beside:
        tell(_ran(folder, prices, out, allow_code, kernel, sharing, beside))


def _ran(
    folder: Path,
    prices: Path | None,
    out: Path | None,
    allow_code: bool,
    kernel: str | None,
    sharing: Sharing | None = None,
    beside: Beside | None = None,
) -> str:
    """Run a study and write its result; what is to be said of it."""
    target = _target(folder, out)
    loaded = load(str(folder), prices, allow_code)
    look = theme_of(folder, loaded.spec.settings(), None)
    with shared_out(loaded, sharing or Sharing()) as (study, mapper):
        result = compute(study, kernel=kernel, mapper=mapper, beside=beside)
        if result.streamed and result.manifest["pairs"]["calendar"] <= MOST_TOLD:
            result = result.whole()
        return _written(result, folder, target, look, beside)


def _written(result: StudyResult, folder: Path, target: Path, look: Theme | None, beside: Beside | None) -> str:
    """Write a result with memo and charts to ``target``; its answer in words. beside: of `engine.report.write_report`."""
    from engine import report
    from engine.results import write_result

    write_result(result, target, also=lambda fresh: report.write_report(result, fresh, look, beside))
    said = [f"{folder.name}: {report.answer(result)}\n", aligned(report.headline_rows(result)) + "\n"]
    if result.streamed:
        return "\n".join([*said, f"memo:   {target / 'memo.md'}"])
    said += [f"tests:  {report.which_tests(result)}", f"memo:   {target / 'memo.html'}", f"charts: {target / 'charts'}"]
    return "\n".join(said)


def _target(folder: Path, out: Path | None) -> Path:
    """Where a result goes: the folder that the user names, else the study's own. Raises SpecError as `own_place`."""
    from engine.results import own_place

    return out if out is not None else own_place(folder, "out")


def certify_one(folder: Path, prices: Path | None, out: Path | None, allow_code: bool = False) -> None:
    """Run the study with its certificate; the certificate of the whole sample goes to stdout."""
    from engine import report
    from engine.results import write_result

    target = _target(folder, out)
    with second_process() as beside:
        study = load(str(folder), prices, allow_code)
        look = theme_of(folder, study.spec.settings(), None)
        result = compute(study, certify=True, beside=beside)
        write_result(result, target, also=lambda fresh: report.write_report(result, fresh, look, beside))
    tell(f"{folder.name}: {report.answer(result)}\n")
    for title, rows in report.certificate_rows(result):
        tell(f"{title}\n{aligned(rows)}\n")
    tell(f"tables: {target / 'certificate.csv'}\nmemo:   {target / 'memo.html'}")


def run_manifest(
    manifest_file: Path, study: str | None, prices: Path | None, out: Path | None, allow_code: bool = False
) -> None:
    """Rebuild a result from its manifest, and compare it with the tables beside the manifest, where there are some."""
    from engine import report
    from engine.golden import compare
    from engine.inputs import default_data_path, known_names
    from engine.rebuild import differing_keys, load_from_manifest
    from engine.results import read_manifest

    place = manifest_file if manifest_file.is_dir() else manifest_file.parent
    stated = read_manifest(manifest_file)
    folder = _folder_of(place, stated["study"], study)
    with second_process(is_heavy(stated["settings"])) as beside:
        loaded = load_from_manifest(
            stated, folder, default_data_path(folder), known_names(frozenset(report.CHARTS)), prices, allow_code
        )
        look = theme_of(folder, loaded.spec.settings(), None)
        result = compute(loaded, kernel=stated["kernel"], beside=beside).whole()
        for line in differing_keys(stated, result.manifest):
            say(f"not as in the manifest: {line}")
        compared = compare(result, place) if (place / "cars.csv").is_file() else None
        tell(_written(result, folder, _target(folder, out), look, beside))
    if compared is not None:
        tell(f"rebuilt from {manifest_file}: {compared.summary()}")
        if compared.differences:
            raise GoldenMismatch(f"{folder.name}: not the tables beside the manifest. First: {compared.first}.")


def _folder_of(place: Path, name: str, study: str | None) -> Path:
    """The study of a manifest: the one that is named, the folder above the manifest, or the one of that name in studies/."""
    if study is not None:
        return study_folder(study)
    if not is_plain(name):
        raise SpecError(
            f'{place}: the study "{name}" of the manifest is a path. Name the study: run STUDY --manifest FILE.'
        )
    above = place.resolve().parent
    if (above / "study.toml").is_file() and above.name == name:
        return above
    return study_folder(name)


def dry_run_one(study: Study) -> None:
    from engine.results import to_csv
    from engine.study import dry_run_result

    table = dry_run_result(study)
    write_data(to_csv(table))
    stages = [stage for stage in table["stage"] if stage is not None]
    window, lost = stages.count("window"), len(stages)
    say(
        f"{len(table)} pairs, {lost - window} would be excluded, {window} miss a day of some window; "
        "nothing was estimated or written"
    )


def memo_one(folder: Path, only: str | None, fmt: str | None, theme: Path | None, event: str | None = None) -> None:
    """The memo of the last result in every format or in one, or one chart; each file is written whole."""
    from engine import report
    from engine.inplace import unchanged, version
    from engine.inputs import known_names
    from engine.rebuild import design_of
    from engine.results import own_place, read_result

    if only is None:
        choice("--format", fmt, (*report.MEMO_FORMATS, None))
    else:
        choice("--only", only, tuple(report.CHARTS))
        choice("--format", fmt, (*report.FORMATS, None))
    out = _target(folder, None)
    seen = version(out / "manifest.json")
    result = read_result(out)
    try:
        spec = design_of(result.manifest, str(out / "manifest.json"), known_names(frozenset(report.CHARTS)))
    except SpecError as error:
        raise DataError(f"{error}\nThe result is of another version, or was changed. Run the study again.") from None
    if result.manifest["settings"] != spec.settings():  # keys that are left out have their defaults
        result = replace(result, manifest={**result.manifest, "settings": spec.settings()})
    if event is not None:
        result = report.about_event(result, event)
    look = theme_of(folder, result.manifest["settings"], theme)
    if only is not None:
        files = {f"charts/{only}.{fmt or 'png'}": report.render_chart(result, only, fmt or "png", look)}
    elif fmt is not None:
        files = report.memo_files(result, [fmt], look)
    else:
        with second_process() as beside:
            files = report.memo_files(result, theme=look, charts=report.FORMATS, beside=beside)
    places = {path: own_place(out, *Path(path).parts[:-1]) for path in files}
    with unchanged(out / "manifest.json", seen):
        for path, data in files.items():
            write_bytes(places[path], Path(path).name, data)
    # A line a file, or a line a folder of many.
    for place in dict.fromkeys(path if only or "/" not in path else path.partition("/")[0] for path in files):
        write_data(f"{out / place}\n")


def theme_of(folder: Path, settings: Mapping[str, Any], asked: Path | None) -> Theme | None:
    """The look that the command asks for, else the study's ``[report] theme`` in its folder; None for the house's."""
    from engine.report import read_theme

    own = settings["report"].get("theme")
    path = asked if asked is not None else folder / own if own else None
    return read_theme(path) if path is not None else None
