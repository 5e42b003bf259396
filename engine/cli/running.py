"""What `run` does with one study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.console import aligned, say
from engine.cli.studies import compute, load

if TYPE_CHECKING:
    from engine.inputs import Study


def run_one(folder: Path, prices: Path | None, out: Path | None, allow_code: bool = False) -> None:
    from engine import report
    from engine.results import write_result

    target = out if out is not None else folder / "out"
    result = compute(load(str(folder), prices, allow_code))
    write_result(result, target, also=lambda fresh: report.write_report(result, fresh))
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
