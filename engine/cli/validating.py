"""What `validate` and `bless` do: recompute, compare with the golden result, say and write down what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from engine.beside import here
from engine.cli.console import say, show_changes, tell, write_data
from engine.cli.second_process import is_heavy, second_process
from engine.cli.studies import compute, load, study_folder, study_folders, tables_of
from engine.cli.unforeseen import explained, tell_error, tell_traceback
from engine.errors import DataError, EngineError, GoldenMismatch, MissingData, SpecError, visible_json

if TYPE_CHECKING:
    from engine.beside import Beside
    from engine.drift import EventDrift
    from engine.validation import Check


def validate_studies(
    study: str | None,
    allow_code: bool,
    forms: Mapping[str, str | None],
    required: Collection[str] = (),
    least: int = 1,
) -> None:
    """One study, or every one; a line for each, the forms that are asked for, the counts, then exit as all of it comes to.

    forms: by "html", "junit" and "json" the file to write, None for none; "-" is stdout. required, least: as of
    `engine.validation.unmet`.
    """
    from engine.validation import as_html, as_json, as_junit, counted, exit_code, lines, unmet

    to_stdout = say if "-" in forms.values() else tell
    checks = []
    for check in _every_check(allow_code) if study is None else _one_check(study_folder(study), allow_code):
        checks.append(check)
        for line in lines(check) if study is None or check.error is None else ():
            (to_stdout if check.error is None else say)(line)
        if study is None and check.error is not None:
            tell_traceback(check.error)
    alone = checks[0].error if study is not None else None
    lacking = unmet(checks, required, 0 if alone is not None else least)
    unwritten = []
    for form, make in (("html", as_html), ("junit", as_junit), ("json", as_json)):
        try:
            with explained():
                if where := forms[form]:
                    _write_or_print(where, make(checks, lacking))
        except EngineError as error:  # the others are written all the same
            unwritten.append(error)
    if alone is not None:
        tell_error(alone)
    say_what_moved(checks)
    for line in lacking:
        say(f"error: {line}.")
    to_stdout(counted(checks))
    if unwritten:
        raise unwritten[0]
    if code := exit_code(checks, lacking):
        raise typer.Exit(code)


def _every_check(allow_code: bool) -> Iterator[Check]:
    """The checks of all studies in their order; a second process begins with the last."""
    with second_process(not allow_code) as beside:
        within = here if beside is not None else None  # each of the two does one study after another
        act = partial(check_one, allow_code=allow_code, alone=False, beside=within)
        folders = study_folders()
        waiting = (beside or here)(act, folders[::-1])[::-1]
        for folder, ask in zip(folders, waiting, strict=True):
            yield _settled(folder, ask)


def _one_check(folder: Path, allow_code: bool) -> Iterator[Check]:
    def ask() -> Check:
        with second_process(is_heavy(tables_of(folder))) as beside:
            return check_one(folder, allow_code, True, beside)

    yield _settled(folder, ask)


def _settled(folder: Path, ask: Callable[[], Check]) -> Check:
    """The check of a study, whatever happens: an exception that nobody expected ends this study alone."""
    from engine.validation import failed

    try:
        with explained():
            return ask()
    except EngineError as error:
        return failed(folder.name, error)


def check_one(folder: Path, allow_code: bool, alone: bool, beside: Beside | None = None) -> Check:
    """Recompute one study and compare; alone: missing prices are an error, not a study left out. beside: of `run_study`."""
    from engine.fingerprints import fingerprints
    from engine.golden import compare
    from engine.results import read_manifest
    from engine.validation import Check, failed, left_out, without_golden

    golden = folder / "golden"
    try:
        if not (golden / "manifest.json").is_file():
            return without_golden(folder.name)
        study = load(str(folder), allow_code=allow_code)
        result = compute(study, kernel=read_manifest(golden)["kernel"], beside=beside).whole()
        return Check.of(folder.name, compare(result, golden, fingerprints(study)))
    except MissingData as error:
        return left_out(folder.name, error, alone)
    except EngineError as error:
        return failed(folder.name, error)


def say_what_moved(checks: Sequence[Check]) -> None:
    """The studies that are not as blessed, at the end, where a long log is read."""
    for check in checks:
        if check.status == "moved":
            say(f"error: {check.study} differs from its golden result. {check.summary().partition(': ')[2]}.")


def bless_one(study: str, reason: str, allow_code: bool) -> None:
    """Show what differs from the golden result, then make the new numbers the golden ones."""
    from engine.fingerprints import fingerprints
    from engine.golden import bless, compare
    from engine.results import own_place
    from engine.validation import Check, lines

    if not reason.strip():
        raise SpecError("bless needs a reason: --reason 'what changed and why'.")
    folder = study_folder(study)
    golden = own_place(folder, "golden")
    loaded = load(str(folder), allow_code=allow_code)
    result, inputs = compute(loaded).whole(), fingerprints(loaded)
    if (golden / "manifest.json").is_file():
        try:
            for line in lines(Check.of(folder.name, compare(result, golden, inputs))):
                tell(line)
        except DataError as error:
            tell(f"{folder.name}: the golden result cannot be read and is replaced. {error}")
    else:
        tell(f"{folder.name}: first golden result")
    bless(result, golden, reason, inputs)
    say(f"blessed {golden}")


def validate_against(folder: Path, against: str, allow_code: bool, tolerance: float, json: str | None) -> None:
    """The study on the snapshot it names and on another one; on its golden result where the first is not at hand."""
    from engine.drift import causes_by_day, causes_by_month, drifted
    from engine.golden import kept_inputs
    from engine.inputs import default_data_path
    from engine.market import find_snapshot
    from engine.market.vintages import compare_snapshots
    from engine.replication import compare_runs
    from engine.results import read_result

    said = say if json == "-" else tell
    other = load(str(folder), find_snapshot(against, folder, (Path.cwd(), *default_data_path(folder))).root, allow_code)
    try:
        pinned = load(str(folder), allow_code=allow_code)
        before, why = compute(pinned).whole(), causes_by_day(pinned, other)
        show_changes(compare_snapshots(pinned.snapshot, other.snapshot, {*pinned.series, *other.series}), said)
    except MissingData as missing:
        if not (folder / "golden" / "manifest.json").is_file():
            raise
        said(f"{folder.name}: compared with its golden result. {missing}")
        before = read_result(folder / "golden", whole=False)
        why = causes_by_month(kept_inputs(folder / "golden", before.manifest), other)
    after = compute(other).whole()
    events, runs = drifted(before, after, why, tolerance), compare_runs(before, after)
    for line in (*events, *runs.turned):
        said(f"  {line}")
    said(
        f"{folder.name}: {runs.summary()}; {len(events)} pairs drifted by more than {tolerance:.4%}, in sign or over alpha"
    )
    if json is not None:
        _write_or_print(json, drift_json(folder.name, against, runs.summary(), events))
    if events or runs.turned:
        raise GoldenMismatch(f"{folder.name}: not the same on {against} as on {other.spec.prices.snapshot}.")


def drift_json(study: str, against: str, summary: str, events: Sequence[EventDrift]) -> str:
    """What drifted, as JSON."""
    from dataclasses import asdict
    from json import dumps

    told = {"study": study, "against": against, "summary": summary, "ok": not events}
    return visible_json(dumps(told | {"events": [asdict(e) for e in events]}, indent=2, ensure_ascii=False)) + "\n"


def _write_or_print(where: str, text: str) -> None:
    if where == "-":
        write_data(text)
    else:
        _write(Path(where), text)


def _write(path: Path, text: str) -> None:
    from engine.results import write_file

    write_file(path, text.encode("utf-8"))
    say(f"wrote {path}")
