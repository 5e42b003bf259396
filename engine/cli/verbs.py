"""The verbs of `eventstudy`, and how they end.

Data go to stdout, messages to stderr. Exit codes: 0 ok, 1 validation differs, 2 study or usage wrong, 3 data missing or
failing checks, 4 the source of prices fails, 130 stopped (`engine.cli.stopping`). `fetch` alone uses the network. Heavy
libraries are imported inside the verbs, so that --help answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from engine.cli.console import say, write_text
from engine.cli.running import certify_one, dry_run_one, run_all, run_manifest, run_one
from engine.cli.second_process import own_process
from engine.cli.sharing import Sharing
from engine.cli.stopping import stoppable
from engine.cli.studies import STUDIES, load, study_folder, study_folders
from engine.cli.validating import bless_one, validate_against, validate_studies
from engine.errors import DataError, EngineError, MissingData, SpecError

if TYPE_CHECKING:
    pass

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="a folder with a study.toml, or a name in studies/")]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="let the study run the model that it brings along")]
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
        say(f"to do: {line}")
    say(f"then: eventstudy run {name}")


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
    from engine.cli.fetching import fetch_prices

    fetch_prices(study, source, place, out)


@app.command()
def events(
    study: StudyName,
    out: Annotated[Path | None, typer.Option(help="folder to write events.csv to, in place of stdout")] = None,
) -> None:
    """Show day 0 of every event and why, before any estimation."""
    from engine.results import to_csv
    from engine.study import events_result

    loaded = load(study)
    text = to_csv(events_result(loaded))
    if out is not None and (out / "events.csv").resolve() in {p.resolve() for p in loaded.files}:
        raise SpecError(f"{out / 'events.csv'}: is the calendar of the study itself. Give another folder.")
    if out is None:
        sys.stdout.write(text)
        return
    write_text(out, "events.csv", text)
    say(f"wrote {out / 'events.csv'}")


@app.command()
def run(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="without one, the studies are listed")] = None,
    prices: Prices = None,
    out: Annotated[Path | None, typer.Option(help="where the result goes, in place of STUDY/out")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show pairs, day 0, rows and would-be exclusions")] = False,
    all_studies: Annotated[bool, typer.Option("--all", help="every study whose prices are on the data path")] = False,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="rebuild the result of a manifest.json, or say what is missing")
    ] = None,
    allow_code: AllowCode = False,
    kernel: Annotated[
        str | None, typer.Option(help="numpy, or numba for many events; else the number of events decides")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="measure the parts in N processes of this machine")] = None,
    scheduler: Annotated[str | None, typer.Option(help="measure them on the Dask cluster at tcp://HOST:PORT")] = None,
    work: Annotated[Path | None, typer.Option(help="keep parts that are done here: a stopped run goes on")] = None,
) -> None:
    """Run a study: result tables, memo and charts in its folder out/."""
    sharing = Sharing(workers, scheduler, work)
    if manifest is not None:
        if all_studies or dry_run or sharing.asked or kernel is not None:
            raise SpecError("run --manifest goes with --prices, --out, --allow-code and a STUDY alone.")
        run_manifest(manifest, study, prices, out, allow_code)
        return
    if sharing.asked and (study is None or dry_run):
        raise SpecError(f"run {sharing.asked} needs a STUDY that is run.")
    if all_studies and (study is not None or out is not None or dry_run):
        raise SpecError("run --all goes alone or with --prices: each study is written to its own folder out/.")
    if dry_run and study is None:
        raise SpecError("run --dry-run needs a STUDY.")
    if all_studies:
        run_all(prices, allow_code, kernel)
    elif study is None:
        for folder in study_folders():
            print(folder.name)
    elif dry_run:
        dry_run_one(load(study, prices))
    else:
        run_one(study_folder(study), prices, out, allow_code, kernel, sharing)


@app.command()
def certify(
    study: StudyName,
    prices: Prices = None,
    out: Annotated[Path | None, typer.Option(help="where the result goes, in place of STUDY/out")] = None,
    allow_code: AllowCode = False,
) -> None:
    """Run a study and its tests on its own data at pseudo-dates: size, power, the smallest effect found, verdicts."""
    certify_one(study_folder(study), prices, out, allow_code)


@app.command()
def validate(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="without one, every study")] = None,
    against: Annotated[str | None, typer.Option(help="another snapshot of its prices: a name or a path")] = None,
    tolerance: Annotated[float, typer.Option(help="with --against: how far a CAR may move", min=0)] = 1e-4,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="write all that was found as a page")] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="write it as JSON; - is stdout")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="write it as JUnit XML, for CI systems")] = None,
    allow_code: AllowCode = False,
) -> None:
    """Recompute and compare with the golden results, or with other prices; exit 1 if a number differs."""
    if against is None:
        validate_studies(study, allow_code, report, json, junit)
        return
    if study is None:
        raise SpecError("validate --against needs a STUDY.")
    if report is not None or junit is not None:
        raise SpecError("validate --against writes --json alone; --report and --junit tell of golden results.")
    validate_against(study_folder(study), against, allow_code, tolerance, json)


@app.command()
def bless(
    study: StudyName,
    reason: Annotated[str, typer.Option(help="why the numbers may change")],
    allow_code: AllowCode = False,
) -> None:
    """Show what differs from the golden result, then make the new numbers the golden ones."""
    bless_one(study, reason, allow_code)


@app.command()
def memo(
    study: StudyName,
    only: Annotated[str | None, typer.Option(help="one chart instead of the memo")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="memo: html, md, pdf, docx, tex, xlsx, csv; chart: png, svg, pdf")
    ] = None,
    theme: Annotated[Path | None, typer.Option(help="a TOML file with fonts, colours and sizes")] = None,
    event: Annotated[str | None, typer.Option(help="the event of the chart event_panel, by its event_id")] = None,
) -> None:
    """Write the memo and its charts from the last result: every format, one of them, or one chart."""
    from engine.cli.running import memo_one

    memo_one(study_folder(study), only, format_, theme, event)


def _end_output() -> None:
    """What could not be written is not tried again when the program ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> NoReturn:
    """The entry point: errors of the engine become a message and an exit code, never a traceback."""
    gc.set_threshold(200_000)  # imports make many objects and no garbage: a tenth of a run went into looking for it
    try:
        with stoppable(), own_process():
            code = app(standalone_mode=False)
            sys.stdout.flush()
    except EngineError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except OSError as error:
        _end_output()
        say(f"error: {error.filename or 'the output'} cannot be read or written ({error.strerror}).")
        sys.exit(DataError.exit_code)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
            error.show()
            sys.exit(getattr(error, "exit_code", 2))
        raise
    sys.exit(code if isinstance(code, int) else 0)
