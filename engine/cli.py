"""The command `eventstudy`: its verbs are the only place that prints or exits.

Data go to stdout, messages to stderr. Exit codes: 0 ok, 1 validation differs, 2 study or usage wrong, 3 data missing or
failing checks, 4 the source of prices fails. `fetch` alone uses the network. Heavy libraries are imported inside the
verbs, so that --help answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from engine.errors import DataError, EngineError, GoldenMismatch, MissingData, SpecError, hint

if TYPE_CHECKING:
    from engine.inputs import Study
    from engine.market.fetching import Wanted
    from engine.market.vintages import SymbolChange
    from engine.results import StudyResult

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
STUDIES = Path("studies")
SHOWN = 20
TEST_SERVER = "EVENTSTUDY_TEST_SERVER"  # http://127.0.0.1:<port> in place of every host, for tests

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="a folder with a study.toml, or a name in studies/")]
Prices = Annotated[Path | None, typer.Option(help="folder or parquet file to use in place of the study's snapshot")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="name of the study, made in studies/; or a path")],
    events: Annotated[Path | None, typer.Option(help="your calendar: event_id, symbol, announced_at, ...")] = None,
    prices: Annotated[Path | None, typer.Option(help="your folder of <symbol>.csv files, or a parquet file")] = None,
) -> None:
    """Make a study folder with every key written out."""
    from engine.market.snapshots import open_snapshot
    from engine.scaffold import new_study

    bare = name.rstrip("/")
    folder = Path(bare) if Path(bare).name != bare else STUDIES / bare
    snapshot = open_snapshot(str(prices), prices) if prices is not None else None
    if prices is not None and (snapshot is None or not snapshot.symbols()):
        raise MissingData(
            f"{prices}: holds no prices. Give a folder with one <symbol>.csv a listing, or a parquet file."
        )
    todo = new_study(folder, events, snapshot)
    print(folder / "study.toml")
    for line in todo:
        _say(f"to do: {line}")
    _say(f"then: eventstudy run {name}")


@app.command()
def fetch(
    study: StudyName,
    source: Annotated[str, typer.Option(help="yahoo; folder: local CSV files; french: daily factors")] = "yahoo",
    place: Annotated[
        str | None, typer.Option("--from", help="the folder; for french a ZIP, a CSV or the name of a data set")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the new snapshot, in place of the user's data folder")] = None,
) -> None:
    """Fetch the prices that a study needs into a new snapshot (network)."""
    from engine import report
    from engine.inputs import default_data_path
    from engine.market.fetching import Wanted, fetched_name
    from engine.market.sources import SOURCES
    from engine.needs import study_needs

    _choice("--source", source, tuple(SOURCES))
    if SOURCES[source].needs_place and place is None:
        raise SpecError(f"--source {source} needs --from: a folder of files, or for french a file or a data set.")
    if place is not None and not SOURCES[source].needs_place:
        raise SpecError(f"--source {source} takes no --from.")
    folder = _study_folder(study)
    needs = study_needs(folder, frozenset(report.CHARTS))
    if SOURCES[source].factors:
        name = fetched_name(
            Path(str(place)).name.partition(".")[0].removesuffix("_CSV")
        )  # a data set, or a file of one
        wanted = [Wanted(name, needed=True)]
    else:
        name = needs.snapshot
        wanted = [Wanted(s, needs.exchanges.get(s), True) for s in sorted(needs.benchmarks)]
        wanted += [Wanted(s, e) for s, e in sorted(needs.exchanges.items()) if s not in needs.benchmarks]
    base = out.resolve() if out is not None else default_data_path(folder)[-1] / fetched_name(name)
    root = _fetch(folder, base, source, place, wanted, needs.first)
    print(root)
    if not SOURCES[source].factors:
        _say_what_is_used(folder, needs.snapshot, root)


@app.command()
def events(
    study: StudyName,
    out: Annotated[Path | None, typer.Option(help="folder to write events.csv to, in place of stdout")] = None,
) -> None:
    """Show day 0 of every event and why, before any estimation."""
    from engine.results import to_csv
    from engine.study import events_result

    loaded = _load(study)
    text = to_csv(events_result(loaded))
    if out is not None and (out / "events.csv").resolve() in {p.resolve() for p in loaded.files}:
        raise SpecError(f"{out / 'events.csv'}: is the calendar of the study itself. Give another folder.")
    if out is None:
        sys.stdout.write(text)
        return
    _write_text(out, "events.csv", text)
    _say(f"wrote {out / 'events.csv'}")


@app.command()
def run(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="without one, the studies are listed")] = None,
    prices: Prices = None,
    out: Annotated[Path | None, typer.Option(help="where the result goes, in place of STUDY/out")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show pairs, day 0, rows and would-be exclusions")] = False,
    all_studies: Annotated[bool, typer.Option("--all", help="every study whose prices are on the data path")] = False,
) -> None:
    """Run a study: result tables, memo and charts in its folder out/."""
    if all_studies and (study is not None or out is not None or dry_run):
        raise SpecError("run --all goes alone or with --prices: each study is written to its own folder out/.")
    if dry_run and study is None:
        raise SpecError("run --dry-run needs a STUDY.")
    if all_studies:
        _for_all_studies(lambda folder: _run(folder, prices, None))
    elif study is None:
        for folder in _study_folders():
            print(folder.name)
    elif dry_run:
        _dry_run(_load(study, prices))
    else:
        _run(_study_folder(study), prices, out)


@app.command()
def validate(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="without one, every study")] = None,
    against: Annotated[str | None, typer.Option(help="another snapshot of its prices: a name or a path")] = None,
) -> None:
    """Recompute and compare with the golden results, or with other prices; exit 1 if a number differs."""
    if against is not None and study is None:
        raise SpecError("validate --against needs a STUDY.")
    if against is not None and study is not None:
        _validate_against(_study_folder(study), against)
    elif study is not None:
        _validate(_study_folder(study))
    else:
        _for_all_studies(_validate)


@app.command()
def bless(study: StudyName, reason: Annotated[str, typer.Option(help="why the numbers may change")]) -> None:
    """Show what differs from the golden result, then make the new numbers the golden ones."""
    from engine.golden import bless as make_golden
    from engine.golden import compare

    if not reason.strip():
        raise SpecError("bless needs a reason: --reason 'what changed and why'.")
    folder = _study_folder(study)
    result = _compute(_load(str(folder)))
    if (folder / "golden" / "manifest.json").is_file():
        try:
            _show(folder.name, compare(result, folder / "golden"), print)
        except DataError as error:
            print(f"{folder.name}: the golden result cannot be read and is replaced. {error}")
    else:
        print(f"{folder.name}: first golden result")
    make_golden(result, folder / "golden", reason)
    _say(f"blessed {folder / 'golden'}")


@app.command()
def memo(
    study: StudyName,
    only: Annotated[str | None, typer.Option(help="one chart instead of the memo")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="memo: html, md; chart: png, svg, pdf")] = None,
) -> None:
    """Write memo and charts again from the last result, or one of them."""
    from engine import report
    from engine.results import read_result

    folder = _study_folder(study) / "out"
    result = read_result(folder)
    if only is None:
        _choice("--format", format_, ("html", "md", None))
        texts: dict[str, Callable[[StudyResult], str]] = {"html": report.memo_html, "md": report.memo_markdown}
        if format_ is None:
            report.write_report(result, folder)
        else:
            _write_text(folder, f"memo.{format_}", texts[format_](result))
        for kind in texts if format_ is None else [format_]:
            print(folder / f"memo.{kind}")
        return
    _choice("--only", only, tuple(report.CHARTS))
    fmt = format_ or "png"
    _choice("--format", fmt, ("png", "svg", "pdf"))
    _write_bytes(folder / "charts", f"{only}.{fmt}", report.render_chart(result, only, fmt))
    print(folder / "charts" / f"{only}.{fmt}")


def _fetch(folder: Path, base: Path, source: str, place: str | None, wanted: list[Wanted], first: date) -> Path:
    """Fetch, say what was found and what failed, and compare with the vintage before; returns the new snapshot."""
    import numpy as np

    from engine.market import open_snapshot
    from engine.market.fetching import Manners, fetch_snapshot, kept
    from engine.market.sources import Access
    from engine.market.sources.web import loopback_base
    from engine.market.vintages import compare_snapshots

    server = loopback_base(os.environ.get(TEST_SERVER))
    manners = Manners(time.sleep if server is None else lambda seconds: None, np.random.default_rng())
    try:
        with _progress(f"{folder.name} from {source}") as on_progress:
            done = fetch_snapshot(
                base, source, wanted, first, datetime.now(UTC), Access(place, server), manners, on_progress
            )
    except KeyboardInterrupt:
        _say(f"stopped; {kept(base)} of {len(wanted)} symbols are kept, the same command goes on with the others")
        raise typer.Exit(130) from None
    if done.resumed:
        _say(f"went on with an interrupted fetch: {done.resumed} symbols were there already")
    for symbol, notes in done.notes.items():
        for note in notes:
            _say(f"{symbol}: {note}")
    for failure in done.failures:
        _say(f"failed: {failure}")
    new = open_snapshot(done.root.name, done.root)
    former = open_snapshot(done.former.name, done.former) if done.former is not None else None
    if former is not None and new is not None and new.symbols():
        _say(f"compared with {former.name}, which stays as it is:")
        _show_changes(compare_snapshots(former, new), _say)
    return done.root


def _say_what_is_used(folder: Path, snapshot: str, root: Path) -> None:
    """A fetched snapshot that the study does not look at yet: how to see what it changes, and how to use it."""
    from engine.inputs import default_data_path
    from engine.market import find_snapshot

    try:
        used = str(find_snapshot(snapshot, folder, default_data_path(folder)).root)
    except MissingData:
        used = f'"{snapshot}", which is not here'
    if used != str(root):
        pin = root.name if root.name != snapshot else root
        _say(
            f"the study goes on with {used}. What the new prices change: eventstudy validate {folder} --against {root}. "
            f'To use them: --prices {root}, or snapshot = "{pin}" in study.toml.'
        )


def _run(folder: Path, prices: Path | None, out: Path | None) -> None:
    from engine import report
    from engine.results import write_result

    target = out if out is not None else folder / "out"
    result = _compute(_load(str(folder), prices))
    write_result(result, target, also=lambda fresh: report.write_report(result, fresh))
    print(f"{folder.name}: {report.answer(result)}\n")
    print(_aligned(report.headline_rows(result)) + "\n")
    print(f"memo:   {target / 'memo.html'}\ncharts: {target / 'charts'}")


def _aligned(rows: list[dict[str, str]]) -> str:
    """Rows of text as a table: the first column to the left, the others to the right."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    )


def _dry_run(study: Study) -> None:
    from engine.results import to_csv
    from engine.study import dry_run_result

    table = dry_run_result(study)
    sys.stdout.write(to_csv(table))
    stages = [stage for stage in table["stage"] if stage is not None]
    window, lost = stages.count("window"), len(stages)
    _say(
        f"{len(table)} pairs, {lost - window} would be excluded, {window} miss a day of some window; "
        "nothing was estimated or written"
    )


def _validate(folder: Path) -> None:
    from engine.golden import compare

    golden = folder / "golden"
    if not (golden / "manifest.json").is_file():
        print(f'{folder.name}: no golden result yet; make one with: eventstudy bless {folder.name} --reason "..."')
        return
    comparison = compare(_compute(_load(str(folder))), golden)
    _show(folder.name, comparison, print)
    if comparison.differences:
        raise GoldenMismatch(f"{folder.name}: differs from its golden result. {comparison.summary()}.")


def _validate_against(folder: Path, against: str) -> None:
    """The study on the snapshot it names and on another one; on its golden result where the first is not at hand."""
    from engine.inputs import default_data_path
    from engine.market import find_snapshot
    from engine.market.vintages import compare_snapshots
    from engine.replication import compare_runs
    from engine.results import read_result

    other = _load(str(folder), find_snapshot(against, folder, (Path.cwd(), *default_data_path(folder))).root)
    try:
        pinned = _load(str(folder))
        before = _compute(pinned)
        _show_changes(compare_snapshots(pinned.snapshot, other.snapshot, {*pinned.series, *other.series}), print)
    except MissingData as missing:
        if not (folder / "golden" / "manifest.json").is_file():
            raise
        print(f"{folder.name}: compared with its golden result. {missing}")
        before = read_result(folder / "golden", whole=False)
    comparison = compare_runs(before, _compute(other))
    for line in comparison.turned:
        print(f"  {line}")
    print(f"{folder.name}: {comparison.summary()}")
    if comparison.moved:
        raise GoldenMismatch(f"{folder.name}: not the same on {against} as on {other.spec.prices.snapshot}.")


def _show_changes(changes: list[SymbolChange], say: Callable[[str], None]) -> None:
    """Changed histories each in a line, the others counted."""
    say(f"{len(changes)} series compared, {sum(c.append_only for c in changes)} append only or equal")
    for change in changes:
        if not change.append_only or change.rescaled:
            say(f"  {change}")


def _show(name: str, comparison: Any, say: Callable[[str], None]) -> None:
    say(f"{name}: {comparison.summary()}")
    for line in comparison.versions:
        say(f"  version {line}")
    for difference in comparison.differences[:SHOWN]:
        say(f"  {difference}")
    if len(comparison.differences) > SHOWN:
        say(f"  ... and {len(comparison.differences) - SHOWN} more cells")


def _for_all_studies(act: Callable[[Path], None]) -> None:
    """Do it for every study; one without prices is left out with a word, an error does not stop the others."""
    worst = 0
    for folder in _study_folders():
        try:
            act(folder)
        except MissingData as error:
            print(f"{folder.name}: left out, its prices are not here. {error}")
        except EngineError as error:
            _say(str(error))
            worst = max(worst, error.exit_code)
    if worst:
        raise typer.Exit(worst)


def _study_folders() -> list[Path]:
    return sorted(p.parent for p in STUDIES.glob("*/study.toml"))


def _study_folder(study: str) -> Path:
    for folder in (Path(study), STUDIES / study):
        if (folder / "study.toml").is_file():
            return folder
    names = [p.name for p in _study_folders()]
    known = hint(study, names) if names else "There is no folder studies/ here; make a study with: eventstudy new NAME."
    raise SpecError(f'"{study}" is no study: neither {study} nor {STUDIES / study} has a study.toml. {known}')


def _load(study: str, prices: Path | None = None) -> Study:
    from engine import report
    from engine.study import load_study

    if prices is not None and not (prices.is_dir() or (prices.is_file() and prices.suffix == ".parquet")):
        raise MissingData(f"{prices}: is no folder and no parquet file. Give a folder with one <symbol>.csv a listing.")
    return load_study(_study_folder(study), prices=prices, charts=frozenset(report.CHARTS))


def _compute(study: Study) -> StudyResult:
    from engine.study import run_study

    with _progress(study.name) as on_progress:
        return run_study(study, on_progress)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal, silence in a pipe."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[stage]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, stage="", total=None)
        yield lambda stage, done, total: bar.update(task, stage=stage, completed=done, total=total)


def _choice(option: str, read: str | None, allowed: tuple[str | None, ...]) -> None:
    if read not in allowed:
        raise SpecError(f'{option} "{read}" is not available. {hint(str(read), [a for a in allowed if a is not None])}')


def _write_text(folder: Path, name: str, text: str) -> None:
    _write_bytes(folder, name, text.encode("utf-8"))


def _write_bytes(folder: Path, name: str, data: bytes) -> None:
    """Write one file whole: beside its place first, then renamed."""
    from engine.results import write_file

    write_file(folder / name, data)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def main() -> NoReturn:
    """The entry point: errors of the engine become a message and an exit code, never a traceback."""
    gc.set_threshold(200_000)  # imports make many objects and no garbage: a tenth of a run went into looking for it
    try:
        code = app(standalone_mode=False)
    except EngineError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _say("stopped; nothing was written")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
            error.show()
            sys.exit(getattr(error, "exit_code", 2))
        raise
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
