"""Prints how many tests passed, failed and were skipped: `counts.py ALLOWED_SKIPS JUNIT...`.

Exit 1 for a failed test, one that was skipped for a reason that is not in the file, or a run without tests.
"""

import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def counted(allowed: set[str], files: list[str]) -> tuple[list[str], bool]:
    """What is to be said of the runs, and whether all is well."""
    lines, well = [], True
    for file in files:
        cases = list(xml.parse(file).iter("testcase"))
        skipped = [s for case in cases if (s := case.find("skipped")) is not None]
        failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
        strange = sorted({s.get("message", "") for s in skipped} - allowed)
        lines += [f"skipped for a reason that is not in tests/allowed_skips.txt: {reason}" for reason in strange]
        passed = len(cases) - len(skipped) - len(failed)
        lines.append(f"{Path(file).stem}: {passed} passed, {len(failed)} failed, {len(skipped)} skipped")
        well = well and bool(cases) and not failed and not strange
    return lines, well


if __name__ == "__main__":
    allowed = {line.strip() for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line.strip()}
    lines, well = counted(allowed, sys.argv[2:])
    print("\n".join(lines))
    sys.exit(not well)
