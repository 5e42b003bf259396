"""The house: imports point down, arrays stay apart from tables, and only the command line speaks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "engine"

# Floor by floor: what each room may import besides itself.
GROUND = {"errors", "files", "libraries", "ties"}
FIRST = GROUND | {"sessions"}
ARRAYS = FIRST | {"orthonormal", "cholesky", "formula", "models", "significance", "crosssection"}
TABLES = FIRST | {"schemas", "spec", "announcements", "market"}
PANEL = FIRST | {"schemas", "announcements", "market", "lines", "panel"}
CORE = (
    ARRAYS | PANEL | {"beside", "abnormal", "kernel", "placebo", "firm_placebo", "calendar_time", "tables", "results"}
)
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "libraries": set(),
    "ties": set(),
    "session_store": GROUND | {"inplace"},
    "beside": set(),
    "sessions": GROUND | {"session_store"},
    "formula": GROUND,
    "orthonormal": set(),
    "cholesky": {"orthonormal"},
    "documents": GROUND,
    "schemas": {"documents"} | GROUND,
    "models": FIRST | {"orthonormal"},
    "significance": FIRST | {"orthonormal", "cholesky"},
    "crosssection": FIRST | {"orthonormal", "cholesky", "formula", "significance"},
    "spec": FIRST | {"formula", "documents"},
    "csvtext": GROUND,
    "inplace": GROUND,
    "announcements": FIRST | {"csvtext"},
    "market": FIRST | {"csvtext", "inplace", "documents"},
    "lines": FIRST | {"market"},
    "panel": FIRST | {"announcements", "market", "lines"},
    "abnormal": ARRAYS,
    "kernel": ARRAYS | {"abnormal"},
    "obstacles": ARRAYS | TABLES | {"abnormal", "kernel"},
    "joint": ARRAYS | {"lines", "panel", "abnormal"},
    "placebo": ARRAYS | {"lines", "panel", "abnormal"},
    "firm_placebo": ARRAYS | {"lines", "panel", "abnormal", "placebo"},
    "pseudo_samples": ARRAYS | {"lines", "panel", "abnormal", "placebo"},
    "certificate": CORE | {"spec", "samples", "pseudo_samples", "joint"},
    "assurance": CORE | TABLES | {"inputs", "certificate"},
    "calendar_time": ARRAYS | {"lines", "panel", "spec"},
    "combined": ARRAYS,
    "tables": ARRAYS | PANEL | {"abnormal", "calendar_time"},
    "results": GROUND | {"schemas", "documents", "csvtext", "inplace"},
    "supply": TABLES | {"lines"},
    "usercode": GROUND,
    "benchmarks": TABLES | {"models"},
    "attributes": GROUND | {"formula", "crosssection"},
    "inputs": ARRAYS
    | TABLES
    | {"attributes", "tables", "lines", "supply", "joint", "usercode", "benchmarks", "kernel", "obstacles", "results"},
    "needs": TABLES | {"inputs", "supply", "benchmarks"},
    "firm_events": TABLES | {"inputs", "lines", "panel"},
    "plan": ARRAYS | TABLES | {"inputs", "supply", "lines", "panel", "firm_events"},
    "deals": CORE | TABLES | {"inputs", "plan", "combined"},
    "manifest": CORE | TABLES | {"inputs", "plan", "__init__"},
    "drivers": ARRAYS | PANEL | {"attributes", "spec", "abnormal", "tables", "inputs", "joint"},
    "measured": CORE | FIRST | {"spec", "inputs", "plan", "joint"},
    "samples": CORE | FIRST | {"spec", "inputs", "plan"},
    "scale": CORE | TABLES | {"inputs", "plan", "firm_events", "supply", "manifest", "drivers"},
    "variants": CORE | FIRST | {"spec", "inputs", "joint", "benchmarks"},
    "grid": CORE | FIRST | {"spec", "inputs", "plan", "samples", "measured", "variants"},
    "influence": CORE | FIRST | {"spec", "inputs", "samples"},
    "backtest": CORE | FIRST | {"spec", "inputs", "plan", "measured"},
    "study": CORE
    | FIRST
    | {"spec", "inputs", "plan", "joint", "deals", "manifest", "drivers", "samples", "measured"}
    | {"grid", "influence", "backtest", "certificate", "assurance", "scale"},
    "replication": GROUND | {"schemas", "golden", "results"},
    "fingerprints": TABLES | {"inputs"},
    "golden": CORE | TABLES | {"study", "fingerprints", "inputs", "documents"},
    "rebuild": GROUND | {"inputs", "market", "spec"},
    "drift": CORE | TABLES | {"inputs", "plan", "fingerprints", "golden"},
    "validation": GROUND | {"schemas", "golden"},
    "report": CORE | TABLES | {"study", "golden", "documents"},
    "scaffold": CORE | TABLES | {"study", "golden"},
    "cli": CORE
    | TABLES
    | {"inplace", "inputs", "needs", "scale", "study", "golden", "replication", "report", "scaffold", "__init__"}
    | {"fingerprints", "validation", "drift", "rebuild", "documents"},
    "__init__": {"results", "study", "libraries"},
}
FILES = sorted(ENGINE.rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ENGINE).as_posix())


def room_of(path: Path) -> str:
    part = path.relative_to(ENGINE).parts[0]
    return part.removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of everything imported anywhere in a file, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(names: set[str]) -> set[str]:
    """The rooms of the engine among dotted names; ``from engine import x`` is the room x, or the package itself."""
    found = set()
    for name in names:
        first, _, rest = name.partition(".")
        if first == "engine":
            room = rest.partition(".")[0]
            found.add(room if room and ((ENGINE / room).is_dir() or (ENGINE / f"{room}.py").is_file()) else "__init__")
    return found


def test_every_room_has_a_floor_and_every_floor_a_room() -> None:
    assert {room_of(p) for p in FILES} <= set(MAY_IMPORT)


@each_file
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    assert rooms(imported(tree_of(path))) - {room} <= MAY_IMPORT[room]


def test_the_table_has_no_way_up() -> None:
    """No two rooms may import each other, straight or around corners; the package's front door is apart."""
    below = {room: targets - {"__init__"} for room, targets in MAY_IMPORT.items() if room != "__init__"}
    placed: set[str] = set()
    while below:
        free = {room for room, targets in below.items() if targets <= placed}
        assert free, f"a circle among {sorted(below)}"
        placed |= free
        below = {room: targets for room, targets in below.items() if room not in free}


@pytest.mark.parametrize(
    "path", [p for p in FILES if room_of(p) != "cli"], ids=lambda p: p.relative_to(ENGINE).as_posix()
)
def test_only_the_command_line_speaks(path: Path) -> None:
    calls = {ast.unparse(n.func) for n in ast.walk(tree_of(path)) if isinstance(n, ast.Call)}
    assert not calls & {"print", "exit", "quit", "input", "breakpoint", "sys.exit", "os._exit", "warnings.warn"}
    assert not {c for c in calls if c.startswith(("sys.stdout", "sys.stderr"))}


@each_file
def test_arrays_know_no_tables(path: Path) -> None:
    arrays = (
        "models",
        "significance",
        "crosssection",
        "abnormal",
        "kernel",
        "joint",
        "combined",
        "placebo",
        "firm_placebo",
        "pseudo_samples",
        "certificate",
        "calendar_time",
    )
    if room_of(path) in arrays:
        packages = {name.partition(".")[0] for name in imported(tree_of(path))}
        assert not packages & {"polars", "pandas", "pyarrow", "csv", "json", "pathlib", "datetime"}


@each_file
def test_no_hidden_randomness_and_no_clock(path: Path) -> None:
    """Randomness comes from a generator that is passed; results know no time of day."""
    source = tree_of(path)
    names = {ast.unparse(n) for n in ast.walk(source) if isinstance(n, ast.Attribute)}
    assert not {n for n in names if n.startswith(("np.random.seed", "np.random.normal", "np.random.rand", "random."))}
    clocks = names & {"datetime.now", "datetime.utcnow", "date.today", "time.time", "pd.Timestamp.now"}
    assert clocks <= ({"datetime.now"} if room_of(path) == "cli" else set())  # fetch: which sessions have closed by now


@each_file
def test_no_bare_except(path: Path) -> None:
    handlers = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ExceptHandler)]
    assert all(h.type is not None for h in handlers)


@each_file
def test_no_room_is_named_after_nothing(path: Path) -> None:
    assert path.stem not in ("utils", "helpers", "common", "base", "misc", "core", "util", "helper")


def test_the_front_door_opens_late() -> None:
    """``import engine`` alone loads no heavy library, so that help stays quick."""
    top = [n for n in tree_of(ENGINE / "__init__.py").body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert {n.module for n in top if isinstance(n, ast.ImportFrom)} == {"__future__", "typing", "engine.libraries"}
    assert not [n for n in top if isinstance(n, ast.Import)]


ENGINE_IN_TEXT = re.compile(r"\bengine(\.\w+)+|\A\s*engine\s*\Z|\beventstudy\b|\b(import|from)\s+engine\b")


def knows_the_engine(source: str) -> bool:
    """Whether a program imports the engine, by a statement or by name, or runs its command."""
    tree = ast.parse(source)
    packages = {name.partition(".")[0] for name in imported(tree)}
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return "engine" in packages or any(ENGINE_IN_TEXT.search(text) for text in texts)


def test_oracles_do_not_know_the_engine() -> None:
    second = sorted((ROOT / "tests").glob("second*.py"))
    assert len(second) >= 3
    programs = [*(ROOT / "fixtures").rglob("*.py"), *second]
    assert [path for path in programs if knows_the_engine(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    [
        "import engine",
        "import numpy, engine.models as m",
        "from engine import run_study",
        "from engine.abnormal import cumulate",
        "def late():\n    from engine.study import run_study",
        "import importlib\nimportlib.import_module('engine')",
        "import importlib\nimportlib.import_module('engine.models.linear')",
        "__import__('engine')",
        "exec('import engine')",
        "import subprocess\nsubprocess.run(['eventstudy', 'run', 'x'])",
        "import subprocess\nsubprocess.run('python -m engine.cli run x', shell=True)",
    ],
)
def test_a_generator_that_knows_the_engine_is_found(source: str) -> None:
    assert knows_the_engine(source)


def test_a_generator_may_speak_of_the_engine() -> None:
    assert not knows_the_engine(
        "'''Numbers for the engine, from the paper.'''\nimport numpy as np\nfrom scipy import stats"
    )


def test_every_oracle_says_where_it_comes_from() -> None:
    cases = [p for p in (ROOT / "fixtures" / "oracles").iterdir() if p.is_dir()]
    assert cases
    for case in cases:
        text = (case / "README.md").read_text(encoding="utf-8")
        assert "Tolerance" in text
        assert "Who computed it" in text


# How a file may be read, by call, and the modules that may: files that a stranger may have written are opened by `files`
# alone. The others read what the package brings along, or only ask for a handle to write, lock or compare.
READS = {
    "open", "os.open", "read_text", "read_bytes", "read_csv", "scan_csv", "read_csv_batched", "read_parquet", "scan_parquet",
    "read_parquet_schema", "read_ipc", "scan_ipc", "read_json", "read_excel", "ParquetFile", "read_table", "memory_map", "mmap",
    "load", "fromfile", "loadtxt", "genfromtxt", "memmap",
}  # fmt: skip
MAY_READ = {
    "files.py": {"os.open", "open"},  # the one place
    "csvtext.py": {"pl.read_csv", "pl.scan_parquet"},  # bytes that `files` read; a file that it has checked
    "market/partitions.py": {"pq.ParquetFile"},  # a handle or a path of `files`
    "session_store.py": {"np.load"},  # a handle of `files`
    "scale/kept.py": {"np.load"},  # a handle of `files`
    "sessions.py": {"PATCHES.read_text"},  # of the package
    "report/writers/page.py": {"….read_text"},  # of the package
    "report/writers/pdf.py": {"….read_bytes"},  # of the package
    "inplace.py": {"os.open", "open"},  # locks, and what is written
    "results.py": {"….open"},  # a table that is written
    "cli/verbs.py": {"os.open"},  # the null device
    "cli/second_process.py": {"pickle.load", "….read_text"},  # and the state of a process
    "cli/streams.py": {"os.open"},  # the null device  # what the two processes send to each other
    "market/sources/french.py": {"archive.open"},  # an archive in memory
}  # fmt: skip


@each_file
def test_files_are_opened_in_one_place(path: Path) -> None:
    tree = tree_of(path)
    ours = {
        alias.name
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and str(n.module).startswith("engine.")
        for alias in n.names
    } | {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    found = set()
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        name = ast.unparse(call.func) if isinstance(call.func, ast.Name | ast.Attribute) else ""
        last = name.rpartition(".")[2]
        if name not in ours and (name in READS or last in READS):
            found.add(f"….{last}" if "(" in name else name)
    assert found == MAY_READ.get(path.relative_to(ENGINE).as_posix(), set())
