"""A study whose prices are read in parts, small enough for a test: the panel of the benchmark with short row groups."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from panel import event_list, lives, write_panel, write_study

from engine import load_study
from engine.inputs import Study
from engine.results import StudyResult, write_result

ROWS, EVENTS, PART = 120_000, 2_000, 10_000
TESTS = ("cross_sectional_t", "patell", "bmp", "sign")


def make_parted(folder: Path, rows: int = ROWS, events: int = EVENTS) -> Path:
    """The study folder ``folder/study`` and its snapshot ``folder/panel``; returns the first."""
    write_panel(folder / "panel" / "panel.parquet", rows, row_group=PART)
    return write_study(folder / "study", event_list(lives(rows), events), folder / "panel", TESTS, group_by=("kind",))


def load_parted(study: Path) -> Study:
    loaded = load_study(study, data_path=(), in_parts=True)
    assert loaded.parted is not None
    assert len(loaded.parted.parts) > 8
    return loaded


def files_of(result: StudyResult, folder: Path) -> dict[str, bytes]:
    """Every table of a result, and its manifest, as the bytes that are written."""
    write_result(result, folder)
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
