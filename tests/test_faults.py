"""Every seeded fault is said in the words of docs/faults.md, with the event that it is about and no other."""

from __future__ import annotations

from pathlib import Path

import faults
import pytest
from faults import FAULTS, HEADING, Fault

PAGE, *_ = faults.PAGE.read_text(encoding="utf-8").partition(f"\n{HEADING}")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faults.blessed(tmp_path_factory.mktemp("faults") / "good")


def test_what_is_not_broken_is_equal(good: Path, tmp_path: Path) -> None:
    nothing = Fault("nothing", lambda folder: None, 0, "", frozenset())
    check = faults.seeded(nothing, good, tmp_path)
    assert check.summary() == "us-acquirers: inputs unchanged, numbers equal"


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_names_its_event(good: Path, tmp_path: Path, fault: Fault) -> None:
    check = faults.seeded(fault, good, tmp_path)
    assert check.exit_code == fault.exit_code
    assert faults.row(fault, check) in PAGE.splitlines()
    if check.comparison is None:
        assert fault.says in check.message
        return
    (change,) = map(str, check.comparison.changes)
    assert change.startswith(fault.says)
    if fault.moved is None:
        assert len(faults.moved(check)) > 80
    else:
        assert faults.moved(check) == fault.moved
    if fault.moved:
        first, worst = check.comparison.first, check.comparison.worst
        assert first is not None
        assert worst is not None
        assert first.event.split(" ")[0] in fault.moved
        assert worst.event.split(" ")[0] in {*fault.moved, ""}  # "": a row is gone, and of numbers only groups' moved


def test_the_page_holds_every_fault_and_nothing_else() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows[1:]] == [fault.name for fault in FAULTS]
    assert faults.page(rows[1:]) == PAGE
