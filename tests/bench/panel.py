"""A made-up CRSP: daily returns of thousands of listings that come and go, and event lists with bad rows among them.

    python tests/bench/panel.py FOLDER                                          30 M rows, 100,000 events
    python tests/bench/panel.py FOLDER --rows 300_000_000 --events 1_000_000

The panel is one parquet file sorted by symbol and date, its row groups of about a million rows cut between listings, made one
row group at a time: memory does not grow with it. Each row group and each event list draws from its own generator of the
seed; the same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.sessions import exchange_sessions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED = 20260213
FIRST, LAST = np.datetime64("1999-01-01"), np.datetime64("2023-12-31")
BENCHMARK = "^MKT"  # sorts behind every listing
FACTORS = ("SMB", "HML", "RMW", "CMA", "MOM")
ROWS_A_SECURITY = 1612.9  # of the mean listing: 18,600 of them are 30 million rows
MEAN_LIFE = 2330.0  # sessions, before the panel's ends cut it
SHORTEST = 20
ROW_GROUP = 1_000_000
EMPTY, ABSENT = 0.003, 0.001  # shares of a listing's sessions with an empty cell, and without a row
HISTORY = 300  # sessions that a listing has before an ordinary event
AHEAD = 60
# Bad rows of an event list, as shares. What each becomes in a study stands in `event_list`.
BAD = {
    "unknown": 0.002,
    "before": 0.002,
    "after": 0.002,
    "ancient": 0.001,
    "short": 0.006,
    "again": 0.004,
    "weekend": 0.01,
}
KINDS = ("deal", "earnings", "rating")


@dataclass(frozen=True)
class Lives:
    """When each of N listings has prices. first, after: (N,) positions among ``dates`` (S,), ``after`` being one past the end."""

    dates: npt.NDArray[np.datetime64]
    first: Ints
    after: Ints

    @property
    def length(self) -> Ints:
        return self.after - self.first


def symbol(listing: int) -> str:
    """The name of a listing; the order of the names is that of the numbers."""
    return f"S{listing:06d}"


def lives(rows: int, seed: int = SEED) -> Lives:
    """Entries and exits for a panel of about ``rows`` rows over the sessions of 25 years.

    Lives are exponential, entries uniform; a tenth is there on the first day and three tenths on the last.
    """
    every = exchange_sessions("XNYS", 2024).dates
    dates = every[(every >= FIRST) & (every <= LAST)]
    n = max(round(rows / ROWS_A_SECURITY), 1)
    rng = np.random.default_rng([seed, 0])
    first = np.maximum(rng.integers(-700, len(dates) - SHORTEST, n), 0)
    drawn = SHORTEST + rng.exponential(MEAN_LIFE, n).astype(np.int64)
    return Lives(dates, first, np.minimum(first + drawn, len(dates)))


def common_returns(sessions: int, seed: int = SEED) -> Floats:
    """(1 + F, S) returns of the market and of the further factors on every session."""
    rng = np.random.default_rng([seed, 1])
    level = np.array([[0.0003], *[[0.0001]] * len(FACTORS)])
    spread = np.array([[0.011], *[[0.006]] * len(FACTORS)])
    return level + spread * rng.standard_normal((1 + len(FACTORS), sessions))


def row_groups(alive: Lives, rows: int = ROW_GROUP) -> list[slice]:
    """The listings of each row group: whole ones, about ``rows`` rows."""
    ends = np.cumsum(alive.length)
    cuts = np.searchsorted(ends, np.arange(rows, ends[-1], rows), side="left") + 1
    edges = np.unique([0, *cuts.tolist(), len(ends)])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def group_table(alive: Lives, chosen: slice, common: Floats, rng: np.random.Generator) -> pa.Table:
    """The rows of some listings: symbol, date, return; a market model with listing-specific betas and spread."""
    first, length = alive.first[chosen], alive.length[chosen]
    owner = np.repeat(np.arange(len(first)), length)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length) + np.repeat(first, length)
    loading = rng.normal(0.0, 0.4, (len(common), len(first)))
    loading[0] = rng.uniform(0.4, 1.6, len(first))
    spread = rng.uniform(0.012, 0.035, len(first))
    own = spread[owner] * rng.standard_normal(len(owner))
    for betas, factor in zip(loading, common, strict=True):
        own += betas[owner] * factor[position]
    chance = rng.random(len(owner))
    kept = chance >= ABSENT
    names = pa.DictionaryArray.from_arrays(
        pa.array(owner[kept].astype(np.int32)), pa.array([symbol(i) for i in range(chosen.start, chosen.stop)])
    )
    values = pa.array(np.maximum(own, -0.95)[kept], mask=chance[kept] < ABSENT + EMPTY)
    return pa.table({"symbol": names, "date": alive.dates[position[kept]], "return": values})


def write_panel(path: Path, rows: int, seed: int = SEED, row_group: int = ROW_GROUP) -> Lives:
    """Write the panel and, in the last row group, its benchmark; one row group in memory at a time."""
    alive = lives(rows, seed)
    common = common_returns(len(alive.dates), seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    market = pa.table(
        {
            "symbol": pa.array([BENCHMARK] * len(alive.dates)).dictionary_encode(),
            "date": alive.dates,
            "return": common[0],
        }
    )
    with pq.ParquetWriter(path, market.schema, compression="lz4", use_dictionary=["symbol"]) as writer:
        for i, chosen in enumerate(row_groups(alive, row_group)):
            table = group_table(alive, chosen, common, np.random.default_rng([seed, 2, i]))
            writer.write_table(table, row_group_size=len(table))
        writer.write_table(market, row_group_size=len(market))
    return alive


def write_factors(path: Path, alive: Lives, seed: int = SEED) -> None:
    """The further factors as a factor file, in fractions, with a risk-free rate of zero."""
    path.parent.mkdir(parents=True, exist_ok=True)
    common = common_returns(len(alive.dates), seed)
    columns = {"Mkt-RF": common[0]} | dict(zip(FACTORS, common[1:], strict=True))
    pl.DataFrame({"date": alive.dates} | columns | {"RF": np.zeros(len(alive.dates))}).write_csv(path)


def event_list(alive: Lives, n: int, seed: int = SEED) -> pl.DataFrame:
    """n events: event_id, symbol, announced_at, kind; and ``bad``, what is wrong with the row, "" for most.

    unknown: no such symbol (stage prices). before, after: a day on which the exchange is open and the listing has no price
    (prices). ancient: before the exchange's calendar (sessions). short: too little history (estimation). again: the listing
    and day of another event under another id, which is allowed. weekend: no session, so day 0 is the next one.
    """
    rng = np.random.default_rng([seed, 3, n])
    old = np.flatnonzero(alive.length > HISTORY + AHEAD)
    weight = (alive.length[old] - HISTORY).astype(np.float64)
    chosen = rng.choice(old, n, p=weight / weight.sum())
    at = alive.first[chosen] + HISTORY + (rng.random(n) * (alive.length[chosen] - HISTORY)).astype(np.int64)
    bad = rng.choice(["", *BAD], n, p=[1 - sum(BAD.values()), *BAD.values()])
    early = np.maximum(alive.first[chosen] - 40, 0)
    late = np.minimum(alive.after[chosen] + 40, len(alive.dates) - 1)
    bad[(bad == "before") & (alive.first[chosen] <= 40)] = ""
    bad[(bad == "after") & (alive.after[chosen] >= len(alive.dates) - 40)] = ""
    again = np.flatnonzero(bad == "again")
    chosen[again], at[again] = chosen[again - 1], at[again - 1]
    at = np.select([bad == "before", bad == "after", bad == "short"], [early, late, alive.first[chosen] + AHEAD], at)
    days = alive.dates[at]
    weekday = (days.astype(np.int64) + 3) % 7  # Monday is 0
    days = np.where(bad == "weekend", days + (5 - weekday), days)
    days = np.where(bad == "ancient", np.datetime64("1961-05-02"), days)
    symbols = [symbol(i) if wrong != "unknown" else f"X{i}" for i, wrong in zip(chosen.tolist(), bad, strict=True)]
    return pl.DataFrame(
        {
            "event_id": [f"e{i:07d}" for i in range(n)],
            "symbol": symbols,
            "announced_at": days,
            "kind": np.array(KINDS)[rng.integers(0, len(KINDS), n)],
            "bad": bad,
        }
    )


STUDY = """\
title = "A benchmark: {n} events of a made-up market"
question = "How long does it take?"

[events]
file = "events.csv"
reaction = "close"
stamp = "announced_at"
max_gap_days = 7

[prices]
snapshot = "{snapshot}"
returns = "simple"

[benchmark]
default = "{benchmark}"
{factors}
[model]
name = "{model}"
estimation_window = [-280, -31]
min_estimation_days = 100

[windows]
event = [-10, 10]
car = [[-10, 10], [-1, 1], [0, 0]]

[significance]
tests = [{tests}]
group_by = {group_by}
alternative = "two-sided"
alpha = 0.05

[limits]
allow_missing_symbols = true    # unknown symbols become rows

[output]
abnormal_returns = {abnormal_returns}

[report]
charts = []
"""
TESTS = ("cross_sectional_t", "patell", "bmp", "corrado_zivney", "grank_t", "generalized_sign")


def write_study(
    folder: Path,
    events: pl.DataFrame,
    snapshot: Path,
    tests: tuple[str, ...] = TESTS,
    factors: tuple[str, ...] = (),
    group_by: tuple[str, ...] = (),
    abnormal_returns: bool = False,
) -> Path:
    """A study folder of an event list on the panel ``snapshot`` (the folder that holds it); returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    events.drop("bad").write_csv(folder / "events.csv")
    wanted = f'\n[factors]\nset = "made-up"\ncolumns = {list(factors)}\nunits = "fraction"\n'.replace("'", '"')
    text = STUDY.format(
        n=f"{len(events):,}",
        snapshot=snapshot.resolve(),
        benchmark=BENCHMARK,
        factors=wanted if factors else "",
        model="factor" if factors else "market",
        tests=", ".join(f'"{test}"' for test in tests),
        group_by=str(list(group_by)).replace("'", '"'),
        abnormal_returns=str(abnormal_returns).lower(),
    )
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder


def made(place: Path, rows: int, seed: int = SEED) -> tuple[Path, Lives]:
    """The snapshot folder of a panel under ``place``, written unless it is there; and the lives of its listings."""
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]  # another generator makes another panel
    folder = place / f"panel-{rows}-{seed}-{made_by}"
    if not (folder / "panel.parquet").is_file():
        alive = write_panel(folder / "panel.writing", rows, seed)
        write_factors(folder / "factors" / "made-up.csv", alive, seed)
        (folder / "panel.writing").rename(folder / "panel.parquet")
    return folder, lives(rows, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a panel and a study on it.")
    parser.add_argument("folder", type=Path, help="where both go")
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    snapshot, alive = made(asked.folder, asked.rows, asked.seed)
    study = asked.folder / f"events-{asked.events}"
    write_study(study, event_list(alive, asked.events, asked.seed), snapshot)
    print(f"{snapshot / 'panel.parquet'}\n{study}")


if __name__ == "__main__":
    main()
