"""What `run` and `validate` do with one study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.console import aligned, say, show, show_changes
from engine.cli.sharing import Sharing, shared_out
from engine.cli.studies import compute, load
from engine.errors import GoldenMismatch, MissingData

if TYPE_CHECKING:
    from engine.inputs import Study


MOST_TOLD = 50_000  # events that a memo tells one by one


def run_one(
    folder: Path,
    prices: Path | None,
    out: Path | None,
    allow_code: bool = False,
    kernel: str | None = None,
    sharing: Sharing | None = None,
) -> None:
    from engine import report
    from engine.results import write_result

    target = out if out is not None else folder / "out"
    with shared_out(load(str(folder), prices, allow_code), sharing or Sharing()) as (study, mapper):
        result = compute(study, kernel, mapper)
        if result.streamed and result.manifest["pairs"]["calendar"] <= MOST_TOLD:
            result = result.whole()
        write_result(result, target, also=lambda fresh: report.write_report(result, fresh))
    print(f"{folder.name}: {report.answer(result)}\n")
    print(aligned(report.headline_rows(result)) + "\n")
    if result.streamed:
        print(f"memo:   {target / 'memo.md'}")
        return
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


def validate_one(folder: Path, allow_code: bool = False) -> None:
    from engine.golden import compare
    from engine.results import read_manifest

    golden = folder / "golden"
    if not (golden / "manifest.json").is_file():
        print(f'{folder.name}: no golden result yet; make one with: eventstudy bless {folder.name} --reason "..."')
        return
    kernel = read_manifest(golden)["kernel"]
    comparison = compare(compute(load(str(folder), allow_code=allow_code), kernel).whole(), golden)
    show(folder.name, comparison, print)
    if comparison.differences:
        raise GoldenMismatch(f"{folder.name}: differs from its golden result. {comparison.summary()}.")


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
        before = compute(pinned).whole()
        show_changes(compare_snapshots(pinned.snapshot, other.snapshot, {*pinned.series, *other.series}), print)
    except MissingData as missing:
        if not (folder / "golden" / "manifest.json").is_file():
            raise
        print(f"{folder.name}: compared with its golden result. {missing}")
        before = read_result(folder / "golden", whole=False)
    comparison = compare_runs(before, compute(other).whole())
    for line in comparison.turned:
        print(f"  {line}")
    print(f"{folder.name}: {comparison.summary()}")
    if comparison.moved:
        raise GoldenMismatch(f"{folder.name}: not the same on {against} as on {other.spec.prices.snapshot}.")
