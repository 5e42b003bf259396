"""The verbs of `eventstudy`, and how they end.

Data go to stdout, messages to stderr. Exit codes: 0 ok, 1 validation differs, 2 study or usage wrong, 3 data missing or
failing checks, 4 the source of prices fails, 70 an exception that nobody expected, 130 stopped (`engine.cli.stopping`).
`fetch` alone uses the network. Heavy libraries are imported inside the verbs, so that --help answers at once.
"""

from __future__ import annotations

import gc
import io
import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from engine.cli.console import plain_streams, say, write_data, write_text
from engine.cli.running import certify_one, dry_run_one, run_all, run_manifest, run_one
from engine.cli.second_process import own_process
from engine.cli.sharing import Sharing
from engine.cli.stopping import stoppable
from engine.cli.studies import STUDIES, load, study_folder, study_folders
from engine.cli.unforeseen import DEBUG, tell_error, unforeseen, unreadable
from engine.cli.validating import bless_one, validate_against, validate_studies
from engine.errors import DataError, EngineError, MissingData, SpecError, UnforeseenError
from engine.libraries import settle

if TYPE_CHECKING:
    pass

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="a folder with a study.toml, or a name in studies/")]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="let the study run the model that it brings along")]
Prices = Annotated[Path | None, typer.Option(help="folder or parquet file to use in place of the study's snapshot")]


@app.callback()
def options(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="show the traceback of an error that nobody expected; also after the command"),
    ] = False,
) -> None:
    """Event studies: announcements in; abnormal returns, statistics, charts and a memo out."""
    DEBUG.set(debug)


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
    write_data(f"{folder / 'study.toml'}\n")
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
        write_data(text)
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
            write_data(f"{folder.name}\n")
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
    all_studies: Annotated[bool, typer.Option("--all", help="every study, as without STUDY")] = False,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="a study that must be validated, or all; also a,b; may be repeated"),
    ] = None,
    min_studies: Annotated[
        int | None, typer.Option("--min-studies", metavar="N", help="how many studies must be validated", min=1)
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Recompute and compare with the golden results, or with other prices; exit 1 if a number differs or none was compared."""
    if study is not None and all_studies:
        raise SpecError("validate --all goes without a STUDY.")
    if against is None:
        required = [name.strip() for names in require or () for name in names.split(",") if name.strip()]
        forms = {"html": str(report) if report else None, "junit": str(junit) if junit else None, "json": json}
        validate_studies(study, allow_code, forms, required, min_studies or 1)
        return
    if study is None:
        raise SpecError("validate --against needs a STUDY.")
    if report is not None or junit is not None or require or min_studies is not None:
        raise SpecError(
            "validate --against goes with --tolerance and --json; --report, --junit, --require and --min-studies are of golden "
            "results."
        )
    if not math.isfinite(tolerance):
        raise SpecError(f"--tolerance {tolerance:g} is no finite number. Give one from 0 on, for example 1e-4.")
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


def _debug_first(words: list[str]) -> list[str]:
    """The words of the command with --debug before the verb, wherever it was given."""
    end = words.index("--") if "--" in words else len(words)
    rest = [word for word in words[:end] if word != "--debug"] + words[end:]
    return ["--debug", *rest] if "--debug" in words[:end] else words


def main() -> NoReturn:
    """The entry point: errors of the engine become a message and an exit code, never a traceback."""
    settle()
    plain_streams()
    gc.set_threshold(200_000)  # imports make many objects and no garbage: a tenth of a run went into looking for it
    try:
        with stoppable(), own_process():
            code = app(_debug_first(sys.argv[1:]), standalone_mode=False)
            sys.stdout.flush()
    except EngineError as error:
        tell_error(error)
        sys.exit(error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except OSError as error:
        _end_output()
        say(f"error: {unreadable(error)}")
        sys.exit(DataError.exit_code)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # the last catch
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
            shown = io.StringIO()
            error.show(shown)
            say(shown.getvalue().rstrip("\n"))
            sys.exit(getattr(error, "exit_code", 2))
        tell_error(unforeseen(error))
        sys.exit(UnforeseenError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
