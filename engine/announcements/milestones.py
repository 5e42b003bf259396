"""What became of an announced deal: approved, completed or withdrawn, each a stamp of the calendar like the announcement's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from engine.announcements.reaction import Stamp, parse_stamp
from engine.errors import DataError

MILESTONES = ("approved_at", "completed_at", "withdrawn_at")
STAMPS = ("first_public_at", "announced_at", *MILESTONES)  # every stamp that a named window may begin or end at


def check_milestones(table: pl.DataFrame) -> None:
    """Every milestone is a date that exists, not before the announcement, and a deal has one end.

    Raises DataError that names the file, the row and the column.
    """
    present = [c for c in MILESTONES if c in table.columns]
    for row in table.iter_rows(named=True) if present else ():
        for column in present:
            if row[column]:
                _check(row, column)
        if row.get("completed_at") and row.get("withdrawn_at"):
            raise DataError(
                f"{row['where']}, column withdrawn_at: the deal is completed_at {row['completed_at']} and withdrawn_at "
                f"{row['withdrawn_at']}. A deal has one end: empty one of them."
            )


def _check(row: Mapping[str, Any], column: str) -> None:
    where, zone = f"{row['where']}, column {column}", row.get("zone", "")
    stamp = parse_stamp(row[column], zone, "", where)
    announced = parse_stamp(row["announced_at"], zone, row.get("precision", ""), f"{row['where']}, column announced_at")
    if _before(stamp, announced):
        raise DataError(
            f'{where}: "{row[column]}" is before announced_at = {row["announced_at"]}. What becomes of a deal follows its '
            "announcement: correct one of them."
        )


def _before(stamp: Stamp, announced: Stamp) -> bool:
    """By the clock where both have one, else by the dates as written."""
    if stamp.clock and announced.clock and stamp.instant is not None and announced.instant is not None:
        return bool(stamp.instant < announced.instant)
    return bool(stamp.day < announced.day)
