"""`make bench`: the engine against what else there is, as ratios of one run; into docs/bench.json and the README.

    python tests/bench/measure.py                                       all, some minutes on two idle cores
    python tests/bench/measure.py --only kernels growth --no-write      some of it, printed alone
    python tests/bench/measure.py --rows 2_000_000 --events 50_000      in small
    python tests/bench/measure.py --large                               also 300 M rows

Rates of loops are measured on a sample and scaled. Before anything is timed, everything must give the same numbers. Each
figure is the least of several rounds, taken in turn; on a busy machine wall times still say little, so the CPU seconds stand
beside them and the load of the machine at the start and the end above.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import baselines
import kernels
import numpy as np
import panel
import peers
from baselines import Answers, Arrays
from clock import Spent, in_turn, once, process
from costs import costs
from page import costs_table, write_bench
from resampled import brown_warner, wild_samples, wild_test

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".bench"
SAME = 1e-8  # of a number's size: everything agrees to this before it is timed
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SAMPLED = {
    "pandas": 500,
    "statsmodels": 1_000,
    "lstsq": 5_000,
    "duckdb": 100_000,
}
LARGE = 300_000_000
PACKAGES = ("numpy", "scipy", "polars", "pyarrow", "numba", "pandas", "statsmodels", "duckdb", "distributed")


@dataclass(frozen=True)
class Bench:
    """What is measured: the arrays of the panel with E events, and how often."""

    rows: int
    events: int
    rounds: int

    @cached_property
    def made(self) -> tuple[Path, panel.Lives]:
        return panel.made(PLACE, self.rows)

    @cached_property
    def arrays(self) -> Arrays:
        snapshot, alive = self.made
        return baselines.read_arrays(snapshot / "panel.parquet", panel.BENCHMARK, panel.event_list(alive, self.events))

    @cached_property
    def sessions(self) -> Any:
        return kernels.calendar(self.arrays, self.arrays.market[None])

    def head(self, n: int) -> Arrays:
        return self.arrays.head(min(n, len(self.arrays.listing)))

    def sizes(self) -> list[int]:
        return [n for n in SIZES if n <= self.events]

    def study(self, n: int, **further: Any) -> Path:
        """A study of n events on the panel, bad ones among them."""
        snapshot, alive = self.made
        name = f"study-{n}" + "".join(f"-{key}" for key in further)
        return panel.write_study(PLACE / name, panel.event_list(alive, n), snapshot, **further)


@dataclass(frozen=True)
class Line:
    """One figure. events: how many were done in ``spent``. of: what the ratio is to."""

    section: str
    name: str
    spent: Spent
    events: int = 0
    ratio: float | None = None
    of: str = ""
    note: str = ""

    @property
    def rate(self) -> float:
        return self.events / self.spent.wall if self.events else 0.0

    def __str__(self) -> str:
        rate = f"{self.rate:>12,.0f} ev/s" if self.events else " " * 17
        peak = f"{self.spent.peak:8,.0f} MiB" if self.spent.peak else " " * 12
        times = f"{self.ratio:,.4g} x {self.of}" if self.ratio is not None else ""
        times += f" ({self.note})" if self.note else ""
        return f"{self.name:<44}{self.spent.wall:>9.3f} s {self.spent.cpu:>8.2f} cpu {rate} {peak}  {times}"


def accuracy(bench: Bench) -> dict[str, float]:
    """The largest relative difference of each way to the engine's compiled kernel. Raises AssertionError above `SAME`."""
    found = {}
    for name, (task, arrays) in ways(bench).items():
        arrays = arrays.head(min(len(arrays.listing), 2_000))
        mine = _engine(bench, arrays, "numba")
        other = answers_of_way(name, arrays, task)
        found[name] = max(baselines.disagreement(other, mine).values())
        assert found[name] <= SAME, f"{name}: {baselines.disagreement(other, mine)}"
    mine, arrays = _engine(bench, bench.head(2_000), "numpy"), bench.head(2_000)
    found["engine numpy"] = max(baselines.disagreement(mine, _engine(bench, arrays, "numba")).values())
    assert found["engine numpy"] <= SAME
    return found


def _engine(bench: Bench, arrays: Arrays, kernel: str) -> Answers:
    parts = kernels.pieces(arrays)
    return kernels.answers(parts, kernels.sweep(parts, bench.sessions, kernel)(), len(arrays.listing))


Way = Callable[[Arrays], Any]


def ways(bench: Bench) -> dict[str, tuple[Way, Arrays]]:
    """The ways without the engine, each with the events that it is given."""
    return {
        "pandas": (peers.pandas_way, bench.head(SAMPLED["pandas"])),
        "statsmodels": (peers.statsmodels_way, bench.head(SAMPLED["statsmodels"])),
        "lstsq": (peers.lstsq_way, bench.head(SAMPLED["lstsq"])),
        "batched": (baselines.numpy_batched, bench.arrays),
        "polars": (peers.polars_way, bench.arrays),
        "duckdb": (peers.duckdb_way, bench.head(SAMPLED["duckdb"])),
    }


def answers_of_way(name: str, arrays: Arrays, way: Way) -> Answers:
    made = way(arrays)
    if name in ("polars", "duckdb"):
        return baselines.answers_of(made, len(arrays.listing))
    assert isinstance(made, Answers)
    return made


TITLES = {
    "pandas": "pandas groups + statsmodels",
    "statsmodels": "statsmodels on arrays",
    "lstsq": "numpy lstsq",
    "batched": "numpy, batched windows",
    "polars": "polars, closed form (running sums)",
    "duckdb": "DuckDB, closed form (range join)",
}


def against_others(bench: Bench) -> Iterator[Line]:
    """The kernel, from raw rows in memory to numbers, against the same work by other means and a copy of the same bytes."""
    arrays = bench.arrays
    n, parts = len(arrays.listing), kernels.pieces(arrays)
    quick: dict[str, Callable[[], Any]] = {
        "copy": partial(copy_of, arrays),
        "two threads": kernels.sweep(parts, bench.sessions, "numba", 2),
        "one thread": kernels.sweep(parts, bench.sessions, "numba", 1),
    }
    slow: dict[str, Callable[[], Any]] = {name: partial(way, given) for name, (way, given) in ways(bench).items()}
    slow["engine numpy"] = kernels.sweep(parts, bench.sessions, "numpy")
    few_rounds = max(bench.rounds // 2, 1)
    spent = in_turn(quick, bench.rounds) | in_turn(slow, few_rounds)
    given = {name: len(arrays.listing) for name, (_, arrays) in ways(bench).items()} | {"engine numpy": n}
    engine, single = spent["two threads"], spent["one thread"]
    floor = engine.wall / spent["copy"].wall
    yield Line("kernel", "engine, compiled, 2 threads", engine, n, floor, "a copy of the bytes")
    yield Line("kernel", "engine, compiled, 1 thread", single, n, single.wall / engine.wall, "2 threads")
    for name in ("engine numpy", *TITLES):
        own, title = spent[name], TITLES.get(name, "engine, numpy")
        ratio = (own.wall / given[name]) / (engine.wall / n)
        cpu = (own.cpu / given[name]) / (single.cpu / n)
        yield Line("kernel", title, own, given[name], ratio, "the engine's time an event", f"{cpu:,.0f} x its CPU time")
    yield Line("kernel", "numpy copy of rows and results", spent["copy"])


def copy_of(arrays: Arrays) -> None:
    """Read every byte that the kernel reads, and write as many as it writes."""
    np.copy(arrays.returns)
    np.copy(arrays.position)
    np.zeros((len(arrays.listing), len(baselines.AFTER) + 7)).fill(1.0)


def factors(bench: Bench) -> Iterator[Line]:
    """Several factors."""
    common = panel.common_returns(len(bench.arrays.dates))
    parts, n = kernels.pieces(bench.arrays), len(bench.arrays.listing)
    tasks = {k: kernels.sweep(parts, kernels.calendar(bench.arrays, common[:k]), "numba", 2, "factor") for k in (3, 6)}
    spent = in_turn({str(k): task for k, task in tasks.items()}, bench.rounds)
    for k in tasks:
        yield Line("factors", f"engine, compiled, {k} factors, 2 threads", spent[str(k)], n)


def growth(bench: Bench) -> Iterator[Line]:
    """The kernel for more and more events: the rows cost once, each event the same."""
    parts = {n: kernels.pieces(bench.head(n)) for n in bench.sizes()}
    spent = in_turn({str(n): kernels.sweep(own, bench.sessions, "numba", 2) for n, own in parts.items()}, bench.rounds)
    for n in parts:
        yield Line("growth", f"kernel, {n:,} events", spent[str(n)], len(bench.head(n).listing))


def eventstudy(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "engine.cli", *arguments]


def timed(bench: Bench, commands: dict[str, list[str]], warm: int = 1) -> dict[str, Spent]:
    """Whole processes in turn: the least of the rounds, after a first that is not counted."""
    environment = {"PYTHONPATH": str(ROOT)}
    found: dict[str, Spent] = {}
    for turn in range(max(bench.rounds // 2, 1) + warm):
        for name, command in commands.items():
            spent = process(command, environment, ROOT)
            if turn >= warm:
                found[name] = spent.least(found[name]) if name in found else spent
    return found


def processes(bench: Bench) -> Iterator[Line]:
    """`eventstudy run`, from start to written tables."""
    with tempfile.TemporaryDirectory(dir=PLACE) as out:
        target = ["--out", f"{out}/out"]
        commands = {f"{n:,} events": eventstudy("run", str(bench.study(n)), *target) for n in bench.sizes()}
        most = bench.sizes()[-1]
        every = bench.study(most, abnormal_returns=True)
        commands[f"{most:,} events, every abnormal return"] = eventstudy("run", str(every), *target)
        for name, spent in timed(bench, commands).items():
            yield Line("process", f"eventstudy run, {name}", spent, int(name.split()[0].replace(",", "")))


def whole_loop(bench: Bench) -> Iterator[Line]:
    """A grouped loop from the file to numbers: reading and grouping once, and each event; the loop sampled and scaled."""
    snapshot, _ = bench.made
    reading = once(partial(peers.pandas_read, snapshot / "panel.parquet", panel.BENCHMARK))
    given = bench.head(SAMPLED["pandas"])
    loop = in_turn({"loop": partial(peers.pandas_way, given)}, 1)["loop"]
    n = bench.sizes()[-1]
    scale = n / len(given.listing)
    spent = Spent(reading.wall + loop.wall * scale, reading.cpu + loop.cpu * scale)
    yield Line(
        "process", f"pandas groups + statsmodels, {n:,} events", spent, n, note=f"scaled from {len(given.listing)}"
    )


def shared(bench: Bench) -> Iterator[Line]:
    """Two processes of a Dask cluster against two threads: whole processes, and the run alone on a cluster that is there."""
    n = bench.sizes()[-1]
    study = bench.study(n)
    with tempfile.TemporaryDirectory(dir=PLACE) as out:
        target = ["--out", f"{out}/out"]
        commands = {
            "threads": eventstudy("run", str(study), *target),
            "Dask": eventstudy("run", str(study), *target, "--workers", "2"),
        }
        spent = timed(bench, commands)
    yield Line("shared", f"threads, {n:,} events", spent["threads"], n)
    for name, found, of in (
        ("Dask, 2 workers, its start and end too", spent["Dask"], spent["threads"]),
        ("Dask, 2 workers that are there", *standing(bench, study)),
    ):
        yield Line("shared", f"{name}, {n:,} events", found, n, found.wall / of.wall, "threads")


def standing(bench: Bench, study: Path) -> tuple[Spent, Spent]:
    """A run without reading the study and without writing: on a cluster that is warm, and in threads."""
    from engine import load_study, run_study
    from engine.scale import in_threads
    from engine.scale.cluster import on_cluster

    loaded = load_study(study, data_path=())
    with on_cluster(None, 2) as mapper:
        tasks = {name: partial(run_study, loaded, mapper=m) for name, m in (("Dask", mapper), ("threads", in_threads))}
        spent = in_turn(tasks, max(bench.rounds, 2))
    return spent["Dask"], spent["threads"]


def resampling(bench: Bench) -> Iterator[Line]:
    """The wild bootstrap of every day, and Brown and Warner's simulation."""
    given = bench.head(100_000)
    samples = wild_samples(given, _engine(bench, given, "numba").ar)
    wild = once(partial(wild_test, samples))
    yield Line("resampling", f"wild bootstrap, {samples[0].n:,} events x {len(samples)} days", wild)
    spent = in_turn({"bw": partial(brown_warner, bench.arrays, bench.sessions)}, bench.rounds)["bw"]
    yield Line("resampling", "Brown-Warner, 1,000 samples x 50 events", spent, 50_000)


def start_up(bench: Bench) -> Iterator[Line]:
    """What a small command takes, warm."""
    with tempfile.TemporaryDirectory() as out:
        run = eventstudy("run", "us-acquirers", "--out", f"{out}/out")
        commands = {"--help": eventstudy("--help"), "run": run, "alone": ["env", "EVENTSTUDY_PROCESSES=1", *run]}
        spent = timed(bench, commands)
    yield Line("start-up", "eventstudy --help", spent["--help"])
    faster = spent["alone"].wall / spent["run"].wall
    yield Line("start-up", "eventstudy run us-acquirers", spent["run"], ratio=faster, of="faster than in one process")
    yield Line("start-up", "eventstudy run us-acquirers, one process", spent["alone"])


def large(bench: Bench) -> Iterator[Line]:
    """Ten times the rows."""
    other = Bench(LARGE, bench.events, 1)
    n = other.sizes()[-1]
    with tempfile.TemporaryDirectory(dir=PLACE) as out:
        spent = timed(other, {"large": eventstudy("run", str(other.study(n)), "--out", f"{out}/out")}, warm=0)["large"]
    yield Line("process", f"eventstudy run, {LARGE // 1_000_000} M rows, {n:,} events", spent, n)


SECTIONS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "kernels": against_others,
    "factors": factors,
    "growth": growth,
    "processes": processes,
    "loop": whole_loop,
    "shared": shared,
    "resampling": resampling,
    "startup": start_up,
}


def machine() -> dict[str, Any]:
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory[0] / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []


def load() -> float:
    return round(os.getloadavg()[0], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine against what else there is.")
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="more for a busy machine")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--large", action="store_true", help="also 300 M rows: 3 GB of disk")
    parser.add_argument("--no-write", action="store_true", help="print alone")
    asked = parser.parse_args()
    bench, begun = Bench(asked.rows, asked.events, asked.rounds), load()
    PLACE.mkdir(exist_ok=True)
    agree = accuracy(bench)
    print("same numbers as the compiled kernel, largest relative difference:")
    print("  " + "  ".join(f"{name} {value:.1e}" for name, value in agree.items()))
    lines: list[Line] = []
    chosen = [SECTIONS[name] for name in asked.only] + ([large] if asked.large else [])
    for section in chosen:
        for line in section(bench):
            print(line, flush=True)
            lines.append(line)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": "make bench",
        "machine": machine(),
        "load": [begun, load()],
        "versions": {"python": platform.python_version()} | {package: version(package) for package in PACKAGES},
        "panel": {"rows": len(bench.arrays.returns), "listings": len(bench.arrays.start) - 1, "events": asked.events},
        "agreement": agree,
        "costs": costs(*(bench.study(n) for n in bench.sizes()[:-3:-1])),
        "lines": [
            {
                "section": one.section, "name": one.name, "wall_s": one.spent.wall, "cpu_s": one.spent.cpu,
                "peak_mib": one.spent.peak or None, "events": one.events or None, "events_per_s": one.rate or None,
                "ratio": one.ratio, "of": one.of or None, "note": one.note or None,
            }
            for one in lines
        ],
    }  # fmt: skip
    print(costs_table(report["costs"]))
    if not asked.no_write:
        write_bench(ROOT, report)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))}\n{error.stderr}")
