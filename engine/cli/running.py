"""What `run` and `validate` do with one study."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.console import aligned, choice, say, show_changes, write_bytes
from engine.cli.studies import compute, load
from engine.errors import GoldenMismatch, MissingData

if TYPE_CHECKING:
    from engine.inputs import Study
    from engine.report.theme import Theme


def run_one(folder: Path, prices: Path | None, out: Path | None, allow_code: bool = False) -> None:
    from engine import report
    from engine.results import write_result

    target = out if out is not None else folder / "out"
    study = load(str(folder), prices, allow_code)
    look = theme_of(folder, study.spec.settings(), None)
    result = compute(study)
    write_result(result, target, also=lambda fresh: report.write_report(result, fresh, look))
    print(f"{folder.name}: {report.answer(result)}\n")
    print(aligned(report.headline_rows(result)) + "\n")
    print(f"tests:  {report.which_tests(result)}")
    print(f"memo:   {target / 'memo.html'}\ncharts: {target / 'charts'}")


def dry_run_one(study: Study) -> None:
    from engine.results import to_csv
    from engine.study import dry_run_result

    table = dry_run_result(study)
    sys.stdout.write(to_csv(table))
    stages = [stage for stage in table["stage"] if stage is not None]
    window, lost = stages.count("window"), len(stages)
    say(
        f"{len(table)} pairs, {lost - window} would be excluded, {window} miss a day of some window; "
        "nothing was estimated or written"
    )


def validate_against(folder: Path, against: str, allow_code: bool = False) -> None:
    """The study on the snapshot it names and on another one; on its golden result where the first is not at hand."""
    from engine.inputs import default_data_path
    from engine.market import find_snapshot
    from engine.market.vintages import compare_snapshots
    from engine.replication import compare_runs
    from engine.results import read_result

    other = load(str(folder), find_snapshot(against, folder, (Path.cwd(), *default_data_path(folder))).root, allow_code)
    try:
        pinned = load(str(folder), allow_code=allow_code)
        before = compute(pinned)
        show_changes(compare_snapshots(pinned.snapshot, other.snapshot, {*pinned.series, *other.series}), print)
    except MissingData as missing:
        if not (folder / "golden" / "manifest.json").is_file():
            raise
        print(f"{folder.name}: compared with its golden result. {missing}")
        before = read_result(folder / "golden", whole=False)
    comparison = compare_runs(before, compute(other))
    for line in comparison.turned:
        print(f"  {line}")
    print(f"{folder.name}: {comparison.summary()}")
    if comparison.moved:
        raise GoldenMismatch(f"{folder.name}: not the same on {against} as on {other.spec.prices.snapshot}.")


def memo_one(folder: Path, only: str | None, fmt: str | None, theme: Path | None, event: str | None = None) -> None:
    """The memo of the last result in every format or in one, or one chart; each file is written whole."""
    from engine import report
    from engine.results import read_result

    if only is None:
        choice("--format", fmt, (*report.MEMO_FORMATS, None))
    else:
        choice("--only", only, tuple(report.CHARTS))
        choice("--format", fmt, (*report.FORMATS, None))
    out = folder / "out"
    result = read_result(out)
    if event is not None:
        result = report.about_event(result, event)
    look = theme_of(folder, result.manifest["settings"], theme)
    if only is not None:
        files = {f"charts/{only}.{fmt or 'png'}": report.render_chart(result, only, fmt or "png", look)}
    elif fmt is not None:
        files = report.memo_files(result, [fmt], look)
    else:
        files = report.memo_files(result, theme=look, charts=report.FORMATS)
    for path, data in files.items():
        write_bytes((out / path).parent, Path(path).name, data)
    # A line a file, or a line a folder of many.
    for place in dict.fromkeys(path if only or "/" not in path else path.partition("/")[0] for path in files):
        print(out / place)


def theme_of(folder: Path, settings: Mapping[str, Any], asked: Path | None) -> Theme | None:
    """The look that the command asks for, else the study's ``[report] theme`` in its folder; None for the house's."""
    from engine.report import read_theme

    own = settings["report"].get("theme")
    path = asked if asked is not None else folder / own if own else None
    return read_theme(path) if path is not None else None
