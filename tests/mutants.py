"""Break the engine one line at a time, in a copy, and see the named test fail: `make mutants`.

The table is mutants.toml: file, the text to replace (it must stand there exactly once), its replacement, the test that
catches it, and what the mistake is. First all named tests must pass on the copy as it is. With names as arguments, only
mutants whose file or description holds one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2


def copy_of_the_project(folder: Path) -> Path:
    for name in ("engine", "tests", "fixtures", "studies", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def run_tests(folder: Path, tests: list[str]) -> int:
    """pytest's exit code: 0 all passed, 1 some failed, more for a run that says nothing."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode


def caught(mutant: dict[str, str], folder: Path) -> bool:
    path = folder / "engine" / mutant["file"]
    original = path.read_text(encoding="utf-8")
    if original.count(mutant["old"]) != 1:
        sys.exit(f"{mutant['file']}: {mutant['old']!r} stands there {original.count(mutant['old'])} times, not once")
    path.write_text(original.replace(mutant["old"], mutant["new"]), encoding="utf-8")
    try:
        return run_tests(folder, [mutant["test"]]) == 1
    finally:
        path.write_text(original, encoding="utf-8")


def main() -> None:
    mutants = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))["mutant"]
    words = sys.argv[1:]
    mutants = [m for m in mutants if not words or any(w in m["file"] + m["what"] for w in words)]
    with tempfile.TemporaryDirectory() as temporary:
        copies = [copy_of_the_project(Path(temporary) / str(i)) for i in range(WORKERS)]
        if run_tests(copies[0], sorted({m["test"] for m in mutants})) != 0:
            sys.exit("the named tests do not all pass on the unbroken engine: run make test first")
        shares = [mutants[i::WORKERS] for i in range(WORKERS)]

        def work(copy: Path, share: list[dict[str, str]]) -> list[str]:
            alive = []
            for mutant in share:
                good = caught(mutant, copy)
                print(
                    f"{'caught ' if good else 'ALIVE  '} {mutant['file']}: {mutant['what']} ({mutant['test']})",
                    flush=True,
                )
                alive += [] if good else [mutant["what"]]
            return alive

        with ThreadPoolExecutor(WORKERS) as pool:
            alive = [name for found in pool.map(work, copies, shares) for name in found]
    print(f"{len(mutants)} mutants, {len(mutants) - len(alive)} caught")
    sys.exit(bool(alive))


if __name__ == "__main__":
    main()
