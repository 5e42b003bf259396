"""The same market model as it is written without the engine, event by event or in one sweep: what the benchmark measures against.

Every function takes `Arrays` and gives `Answers`; nothing here imports the engine. They are checked to compute the same numbers
before any of them is timed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ESTIMATION = (-280, -31)
EVENT = (-10, 10)
BEFORE, AFTER = -np.arange(-ESTIMATION[0], -ESTIMATION[1] - 1, -1), np.arange(EVENT[0], EVENT[1] + 1)
CHUNK = 2_048


@dataclass(frozen=True)
class Arrays:
    """A panel and E events on it, aligned: the raw rows R of all listings one after another.

    start: (N + 1,) where each listing's rows begin. position: (R,) session of each row. returns: (R,), NaN for an empty cell.
    market: (S,). listing, day: (E,) the listing and the session of each event. dates: (S,). symbols: of the N listings.
    """

    start: Ints
    position: Ints
    returns: Floats
    market: Floats
    listing: Ints
    day: Ints
    dates: npt.NDArray[np.datetime64]
    symbols: list[str]

    def head(self, n: int) -> Arrays:
        """The same panel with the first n events."""
        return Arrays(**{**vars(self), "listing": self.listing[:n], "day": self.day[:n]})


@dataclass(frozen=True)
class Answers:
    """n, alpha, beta, s2 (residual variance), car and its forecast-error variance: (E,) each; ar: (E, 21). NaN where a return
    is missing."""

    n: Floats
    alpha: Floats
    beta: Floats
    s2: Floats
    ar: Floats
    car: Floats
    car_variance: Floats


def read_arrays(path: Path, benchmark: str, events: pl.DataFrame) -> Arrays:
    """The whole panel in memory, and the events that have a listing, a session and enough sessions before and after it."""
    table = pq.read_table(path, read_dictionary=["symbol"])
    coded = table["symbol"].unify_dictionaries().combine_chunks()
    names, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    market = names.index(benchmark)
    own = codes != market
    dates = table["date"].to_numpy()[~own]
    returns = table["return"].to_numpy()
    position = np.searchsorted(dates, table["date"].to_numpy()[own])
    start = np.searchsorted(codes[own], np.arange(len(names)))
    where = {name: i for i, name in enumerate(names) if i != market}
    known = events.filter(pl.col("bad") == "")
    listing = np.array([where.get(s, -1) for s in known["symbol"]])
    day = np.searchsorted(dates, known["announced_at"].to_numpy().astype("datetime64[D]"))
    first, last = position[start[:-1]], position[start[1:] - 1]
    kept = (listing >= 0) & (day + ESTIMATION[0] >= first[listing]) & (day + EVENT[1] <= last[listing])
    return Arrays(start, position, returns[own], returns[~own], listing[kept], day[kept], dates, names)


def _joined(rows: list[tuple[float, float, float, float, Floats, float]]) -> Answers:
    """Answers from (n, alpha, beta, s2, ar, car_variance) of each event."""
    n, alpha, beta, s2, ar, variance = (np.array(column) for column in zip(*rows, strict=True))
    return Answers(n, alpha, beta, s2, ar, ar.sum(axis=1), np.where(np.isfinite(ar.sum(axis=1)), variance, np.nan))


def _variance(n: Floats, s2: Floats, ahead: Floats, sxx: Floats) -> Floats:
    """Of the CAR's forecast error: s2 (L + L^2 / n + (sum of x - mean)^2 / Sxx)."""
    length = len(AFTER)
    return s2 * (length + length**2 / n + ahead**2 / sxx)


def pandas_frame(arrays: Arrays) -> object:
    """The rows of the listings that have an event: listing, date, ret, mkt."""
    import pandas as pd

    chosen = np.unique(arrays.listing)
    rows = np.concatenate([np.arange(arrays.start[i], arrays.start[i + 1]) for i in chosen])
    at = arrays.position[rows]
    listing = np.repeat(chosen, np.diff(arrays.start)[chosen])
    columns = {"listing": listing, "date": arrays.dates[at], "ret": arrays.returns[rows], "mkt": arrays.market[at]}
    return pd.DataFrame(columns)


def pandas_statsmodels(arrays: Arrays, frame: object) -> Answers:
    """What a careful paper's code does: the panel grouped by firm once, a slice of dates an event, one OLS of statsmodels."""
    import statsmodels.api as sm

    by_listing: dict[int, list[int]] = {}
    for event, listing in enumerate(arrays.listing.tolist()):
        by_listing.setdefault(listing, []).append(event)
    rows = {}
    for listing, firm in frame.set_index("date").groupby("listing", sort=False):
        for event in by_listing[listing]:
            day = arrays.day[event]
            sessions = arrays.dates[day + EVENT[0] : day + EVENT[1] + 1]
            window = firm.loc[arrays.dates[day + ESTIMATION[0]] : arrays.dates[day + ESTIMATION[1]]].dropna()
            fitted = sm.OLS(window["ret"].to_numpy(), sm.add_constant(window["mkt"].to_numpy())).fit()
            ret = firm["ret"].loc[sessions[0] : sessions[-1]].reindex(sessions).to_numpy()
            design = sm.add_constant(arrays.market[day + AFTER])
            total = design.sum(axis=0)
            variance = fitted.mse_resid * len(AFTER) + total @ fitted.cov_params() @ total
            rows[event] = (fitted.nobs, *fitted.params, fitted.mse_resid, ret - fitted.predict(design), variance)
    return _joined([rows[event] for event in range(len(arrays.listing))])


def statsmodels_arrays(arrays: Arrays, strip: Floats, begin: Ints) -> Answers:
    """The same regression on slices of arrays, without a frame. strip, begin: of `strips`."""
    import statsmodels.api as sm

    rows = []
    for at, day in zip(begin.tolist(), arrays.day.tolist(), strict=True):
        y, x = strip[at + BEFORE], arrays.market[day + BEFORE]
        kept = np.isfinite(y)
        fitted = sm.OLS(y[kept], np.column_stack([np.ones(kept.sum()), x[kept]])).fit()
        alpha, beta = fitted.params
        x0 = arrays.market[day + AFTER]
        total = np.array([len(AFTER), x0.sum()])
        variance = fitted.mse_resid * len(AFTER) + total @ fitted.cov_params() @ total
        rows.append((fitted.nobs, alpha, beta, fitted.mse_resid, strip[at + AFTER] - alpha - beta * x0, variance))
    return _joined(rows)


def numpy_lstsq(arrays: Arrays, strip: Floats, begin: Ints) -> Answers:
    """`numpy.linalg.lstsq` an event. strip, begin: of `strips`."""
    rows = []
    for at, day in zip(begin.tolist(), arrays.day.tolist(), strict=True):
        y, x = strip[at + BEFORE], arrays.market[day + BEFORE]
        kept = np.isfinite(y)
        y, x = y[kept], x[kept]
        (alpha, beta), (rss,), _, _ = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)
        x0, dx = arrays.market[day + AFTER], x - x.mean()
        s2 = rss / (len(y) - 2)
        variance = _variance(len(y), s2, (x0 - x.mean()).sum(), dx @ dx)
        rows.append((len(y), alpha, beta, s2, strip[at + AFTER] - alpha - beta * x0, variance))
    return _joined(rows)


def strips(arrays: Arrays) -> tuple[Floats, Ints]:
    """Every listing's returns on each session of its life, one after another, NaN where there is none; and where each event's
    day 0 stands in them. So a window is a run of neighbours."""
    first, last = arrays.position[arrays.start[:-1]], arrays.position[arrays.start[1:] - 1]
    edge = np.concatenate([[0], np.cumsum(last - first + 1)])
    strip = np.full(edge[-1], np.nan)
    strip[np.repeat(edge[:-1] - first, np.diff(arrays.start)) + arrays.position] = arrays.returns
    return strip, edge[arrays.listing] + arrays.day - first[arrays.listing]


def numpy_batched(arrays: Arrays) -> Answers:
    """Windows of many events gathered into one matrix, the sums over its rows; centred."""
    strip, begin = strips(arrays)
    parts = []
    for cut in range(0, len(begin), CHUNK):
        at, day = begin[cut : cut + CHUNK, None], arrays.day[cut : cut + CHUNK, None]
        y, x = strip[at + BEFORE], arrays.market[day + BEFORE]
        kept = np.isfinite(y)
        n = kept.sum(axis=1).astype(np.float64)
        x_mean, y_mean = np.where(kept, x, 0.0).sum(axis=1) / n, np.where(kept, y, 0.0).sum(axis=1) / n
        dx, dy = np.where(kept, x - x_mean[:, None], 0.0), np.where(kept, y - y_mean[:, None], 0.0)
        sxx = (dx * dx).sum(axis=1)
        beta = (dx * dy).sum(axis=1) / sxx
        left = dy - beta[:, None] * dx
        s2 = (left * left).sum(axis=1) / (n - 2)
        alpha = y_mean - beta * x_mean
        x0 = arrays.market[day + AFTER]
        ar = strip[at + AFTER] - alpha[:, None] - beta[:, None] * x0
        variance = _variance(n, s2, (x0 - x_mean[:, None]).sum(axis=1), sxx)
        parts.append((n, alpha, beta, s2, ar, ar.sum(axis=1), np.where(np.isfinite(ar.sum(axis=1)), variance, np.nan)))
    return Answers(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def polars_frames(arrays: Arrays) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The panel (listing, position, y, x) and the events (event, listing, day) as tables."""
    listing = np.repeat(np.arange(len(arrays.start) - 1, dtype=np.int32), np.diff(arrays.start))
    columns = {"listing": listing, "position": arrays.position.astype(np.int32), "y": arrays.returns}
    panel = pl.DataFrame(columns | {"x": arrays.market[arrays.position]})
    events = pl.DataFrame({"listing": arrays.listing.astype(np.int32), "day": arrays.day.astype(np.int32)})
    return panel.filter(pl.col("y").is_not_nan()), events.with_row_index("event")


def polars_closed_form(panel: pl.DataFrame, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Running sums by listing, taken at both ends of every window, and moments from their differences: fits, and abnormal
    returns day by day. One sweep over the rows, but sums of squares that are not centred: their digits are not the loop's."""
    y, x = pl.col("y"), pl.col("x")
    sums = panel.select(
        "listing",
        "position",
        n=pl.int_range(1, pl.len() + 1).cast(pl.Float64),
        y=y.cum_sum(),
        x=x.cum_sum(),
        xx=(x * x).cum_sum(),
        xy=(x * y).cum_sum(),
        yy=(y * y).cum_sum(),
    )
    names = ("n", "y", "x", "xx", "xy", "yy")

    def at(day: pl.Expr, suffix: str) -> pl.DataFrame:
        """The running sums on the last row up to a day of each event."""
        bounds = events.select("event", "listing", position=day.cast(pl.Int32)).sort("listing", "position")
        found = bounds.join_asof(sums, on="position", by="listing", check_sortedness=False)
        return found.sort("event").select(pl.col(names).name.suffix(suffix))

    low, high = at(pl.col("day") + (ESTIMATION[0] - 1), "_low"), at(pl.col("day") + ESTIMATION[1], "_high")
    n, sx, sy, sxx, sxy, syy = (pl.col(c) for c in ("n", "x", "y", "xx", "xy", "yy"))
    fits = (
        pl.concat([events, low, high], how="horizontal")
        .select("event", "listing", "day", *((pl.col(f"{c}_high") - pl.col(f"{c}_low")).alias(c) for c in names))
        .with_columns(x_mean=sx / n, y_mean=sy / n, sxx=sxx - sx * sx / n, sxy=sxy - sx * sy / n, syy=syy - sy * sy / n)
        .with_columns(beta=pl.col("sxy") / pl.col("sxx"))
        .with_columns(
            alpha=pl.col("y_mean") - pl.col("beta") * pl.col("x_mean"),
            s2=(pl.col("syy") - pl.col("beta") * pl.col("sxy")) / (n - 2),
        )
    )
    days = pl.int_ranges(pl.col("day") + EVENT[0], pl.col("day") + EVENT[1] + 1, dtype=pl.Int32)
    ars = (
        fits.lazy()
        .select("event", "listing", "day", "alpha", "beta", "x_mean", days.alias("position"))
        .explode("position")
        .join(panel.lazy(), on=["listing", "position"])
        .select(
            "event",
            (pl.col("position") - pl.col("day")).alias("relative_day"),
            (y - pl.col("alpha") - pl.col("beta") * x).alias("ar"),
            (x - pl.col("x_mean")).alias("ahead"),
        )
        .collect()
    )
    length = len(AFTER)
    cars = ars.group_by("event").agg(pl.len().alias("days"), pl.col("ar").sum().alias("car"), pl.col("ahead").sum())
    whole = pl.col("days") == length
    spread = pl.col("s2") * (length + length**2 / n + pl.col("ahead") ** 2 / pl.col("sxx"))
    table = fits.join(cars, on="event", how="left").with_columns(
        car=pl.when(whole).then("car"), car_variance=pl.when(whole).then(spread)
    )
    return table.select("event", "n", "alpha", "beta", "s2", "car", "car_variance"), ars


DUCKDB_FITS = f"""
CREATE OR REPLACE TABLE fits AS
SELECT e.event, e.listing, e.day, count(*)::DOUBLE AS n, regr_intercept(p.y, p.x) AS alpha, regr_slope(p.y, p.x) AS beta,
  (regr_syy(p.y, p.x) - regr_slope(p.y, p.x) * regr_sxy(p.y, p.x)) / (count(*) - 2) AS s2,
  avg(p.x) AS x_mean, regr_sxx(p.y, p.x) AS sxx
FROM events e JOIN panel p ON p.listing = e.listing
  AND p.position BETWEEN e.day + {ESTIMATION[0]} AND e.day + {ESTIMATION[1]}
GROUP BY e.event, e.listing, e.day
"""
DUCKDB_ARS = f"""
CREATE OR REPLACE TABLE ars AS
SELECT f.event, p.position - f.day AS relative_day, p.y - f.alpha - f.beta * p.x AS ar, p.x - f.x_mean AS ahead
FROM fits f JOIN panel p ON p.listing = f.listing AND p.position BETWEEN f.day + {EVENT[0]} AND f.day + {EVENT[1]}
"""
DUCKDB_CARS = f"""
CREATE OR REPLACE TABLE cars AS
SELECT f.event, n, alpha, beta, s2, CASE WHEN count(*) = {len(AFTER)} THEN sum(ar) END AS car,
  CASE WHEN count(*) = {len(AFTER)}
    THEN s2 * ({len(AFTER)} + {len(AFTER) ** 2} / n + sum(ahead) * sum(ahead) / sxx) END AS car_variance
FROM fits f JOIN ars a ON a.event = f.event GROUP BY f.event, n, alpha, beta, s2, sxx
"""


def duckdb_closed_form(panel: pl.DataFrame, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same in SQL: a range join and the regression aggregates."""
    import duckdb

    with duckdb.connect() as database:
        database.execute("SET threads = 2")
        database.register("panel", panel)
        database.register("events", events)
        for query in (DUCKDB_FITS, DUCKDB_ARS, DUCKDB_CARS):
            database.execute(query)
        return database.table("cars").pl(), database.table("ars").pl()


def answers_of(tables: tuple[pl.DataFrame, pl.DataFrame], events: int) -> Answers:
    """Tables of fits and abnormal returns as arrays, for the comparison."""
    fits, ars = tables[0].sort("event"), tables[1].drop_nulls("ar")
    columns = {name: fits[name].fill_null(np.nan).to_numpy() for name in fits.columns if name != "event"}
    wide = np.full((events, len(AFTER)), np.nan)
    wide[ars["event"].to_numpy(), ars["relative_day"].to_numpy() - EVENT[0]] = ars["ar"].to_numpy()
    return Answers(ar=wide, **columns)


def disagreement(one: Answers, other: Answers) -> dict[str, float]:
    """The largest difference of each number, relative to the largest of its kind; inf where one has no value and one has."""
    found = {}
    for name, value in vars(one).items():
        a, b = np.asarray(value), np.asarray(getattr(other, name))
        scale = float(np.nanmax(np.abs(a)))
        same = np.isfinite(a) == np.isfinite(b)
        found[name] = float(np.nanmax(np.abs(a - b))) / scale if bool(same.all()) else float("inf")
    return found
