"""What a command imports and how long that takes, by library: `make imports`.

    python tests/bench/imports.py                                       --help, and a run of us-acquirers
    python tests/bench/imports.py validate nyse-telecoms                any other command

Each command runs twice, so that what a first run leaves behind is there; the second is counted. A library's time is that of
its own modules, what they import of others counted there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SHOWN = 12
Imports = tuple[Counter[str], Counter[str]]


def imports_of(arguments: list[str]) -> Imports:
    """Microseconds and modules by library. Raises CalledProcessError for a command that fails."""
    command = [sys.executable, "-X", "importtime", "-m", "engine.cli", *arguments]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent, modules = Counter[str](), Counter[str]()
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and "self" not in line:
            own, _, name = line.removeprefix("import time:").split("|")
            library = library_of(name.strip())
            spent[library] += int(own)
            modules[library] += 1
    return spent, modules


def library_of(module: str) -> str:
    """``scipy.stats`` apart, since it costs more than the rest of scipy; the standard library as one."""
    if module.startswith("scipy.stats"):
        return "scipy.stats"
    first = module.split(".")[0]
    return "Python itself" if first.lstrip("_") in {n.lstrip("_") for n in sys.stdlib_module_names} else first


def report(title: str, found: Imports) -> str:
    """A table of the libraries, the slowest first."""
    spent, modules = found
    lines = [f"{title}: {sum(spent.values()) / 1e6:.2f} s in {sum(modules.values())} modules"]
    lines += [f"  {us / 1e6:6.3f} s  {modules[name]:5d}  {name}" for name, us in spent.most_common(SHOWN)]
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", str(Path(folder) / "out")]
        asked = [sys.argv[1:]] if sys.argv[1:] else [["--help"], ["run", "us-acquirers", *out]]
        for arguments in asked:
            shown = [a for a in arguments if a not in out]
            print(report(f"eventstudy {' '.join(shown)}", imports_of(arguments)), end="\n\n")


if __name__ == "__main__":
    main()
