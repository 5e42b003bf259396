"""Result tables of very many events, made and written a slice at a time, in the order and the words of `engine.tables`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.inputs import Study
from engine.results import Streamed
from engine.scale.joined import Joined, Lost
from engine.scale.nearby import KINDS, Surroundings
from engine.schemas import KEYS, NUMBER, SCHEMAS, TEXT
from engine.sessions import Window
from engine.significance import t_p
from engine.tables import numbers

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MOST_WORDS = 1_000  # distinct values of a column that is kept by code
SLICE = 65_536  # rows of the calendar at a time


@dataclass(frozen=True)
class Book:
    """What the large tables are made of.

    used: (U,) the rows of the calendar that have numbers, increasing. compiled: whether numbers are made canonical by
    `fused_numbers`.
    """

    study: Study
    joined: Joined
    used: Ints
    compiled: bool = False

    @cached_property
    def ids(self) -> pl.DataFrame:
        """Ids and symbols of the calendar, the symbols by code."""
        pairs = self.joined.pairs
        return pl.DataFrame([self.study.announcements.table["event_id"], coded("symbol", pairs.listing, pairs.symbols)])


def coded(name: str, codes: npt.NDArray[Any], words: Sequence[str]) -> pl.Series:
    """Text by code: a number for each of the distinct ``words``."""
    kind = np.uint8 if len(words) < 256 else np.uint16 if len(words) < 65_536 else np.uint32
    return pl.Series(name, codes.astype(kind)).cat.to(pl.Enum(words))


def _slices(rows: Ints, size: int = SLICE) -> Iterator[Ints]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def _frame(
    name: str, columns: Mapping[str, Any], extra: Mapping[str, Any] | None = None, compiled: bool = False
) -> pl.DataFrame:
    """A slice in the schema of its table; arrays of floats are made canonical."""
    schema, made_of = SCHEMAS[name] | dict(extra or {}), _compiled_numbers if compiled else numbers
    floats = {id(columns[c]): columns[c] for c in schema if schema[c] == NUMBER}  # t and SCAR are one array
    once = {key: made_of(np.asarray(values)) for key, values in floats.items()}
    frame = pl.DataFrame({c: once.get(id(columns[c]), columns[c]) for c in schema})
    kinds = frame.schema
    other = {c: kind for c, kind in schema.items() if kinds[c] not in (kind, pl.Enum) or kinds[c] == pl.Null}
    return frame.cast(other) if other else frame  # type: ignore[arg-type]


def _compiled_numbers(values: Floats) -> pl.Series:
    from engine.scale.fused_numbers import canonical

    return pl.Series(canonical(values), dtype=pl.Float64, nan_to_null=True)


def events_streamed(book: Book) -> Streamed:
    """``events``: every row of the calendar."""
    pairs, table = book.joined.pairs, book.study.announcements.table
    cases = pl.DataFrame(
        {
            "stamp_used": [r.stamp.text for r in pairs.reactions],
            "hours_to_open": numbers(
                np.array([np.nan if r.hours_to_open is None else r.hours_to_open for r in pairs.reactions])
            ),
            "event_day": [None if r.event_day is None else r.event_day.item() for r in pairs.reactions],
            "reason": [r.reason for r in pairs.reactions],
            "flags": [";".join(r.flags) or None for r in pairs.reactions],
            "venue_time": [r.venue_time or None for r in pairs.reactions],
        },
        schema={
            n: SCHEMAS["events"][n]
            for n in ("stamp_used", "hours_to_open", "event_day", "reason", "flags", "venue_time")
        },
    )

    def slices() -> Iterator[pl.DataFrame]:
        for rows in _slices(np.arange(len(table))):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            head = table[part].select("event_id", "symbol", "announced_at")
            exchange = pl.Series("exchange", book.study.exchanges[part], pl.String)
            both = pl.concat([head.with_columns(exchange), cases[pairs.case[part]]], how="horizontal")
            yield both.select(pl.col(c).cast(kind) for c, kind in SCHEMAS["events"].items())

    return Streamed(len(table), tuple(SCHEMAS["events"]), slices)


def fits_streamed(book: Book) -> Streamed:
    """``fits``: every pair that has numbers."""
    measured, names = book.joined.measured, book.joined.measured.names
    extra = dict.fromkeys(names, NUMBER)

    def slices() -> Iterator[pl.DataFrame]:
        for rows in _slices(book.used):
            columns = book.ids[rows].to_dict() | {
                "model": coded("model", np.zeros(len(rows)), [book.study.spec.model.name]),
                "n_obs": measured.n_obs[rows].astype(np.int64), "dof": measured.dof[rows].astype(np.int64),
                "sigma": measured.sigma[rows],
                "r2": measured.r2[rows],
            }  # fmt: skip
            columns |= {name: measured.coefficients[rows, k] for k, name in enumerate(names)}
            yield _frame("fits", columns, extra, book.compiled)

    return Streamed(len(book.used), (*SCHEMAS["fits"], *names), slices)


def _attributes(book: Book) -> pl.DataFrame:
    """The calendar's attributes, those with few distinct values by code."""
    plain = book.study.announcements.attributes.drop("event_id", "symbol")
    kinds = {c.name: c.drop_nulls().unique().sort() for c in plain.iter_columns() if c.n_unique() <= MOST_WORDS}
    return plain.cast({name: pl.Enum(words) for name, words in kinds.items() if len(words)})


def cars_streamed(book: Book, windows: tuple[Window, ...]) -> Streamed:
    """``cars``: every pair and window that is complete, with the calendar's attributes."""
    measured, attributes = book.joined.measured, _attributes(book)
    alternative = book.study.spec.significance.alternative
    extra = dict.fromkeys(attributes.columns, TEXT)

    def slices() -> Iterator[pl.DataFrame]:
        for chosen in _slices(book.used):
            complete = np.isfinite(measured.car[chosen])
            at, w = np.nonzero(complete)
            rows = chosen[at]
            car, se = measured.car[rows, w], measured.se[rows, w]
            t = car / se
            ways = measured.ways[rows, w] if measured.ways.shape[1] else np.full((len(rows), 3), np.nan)
            columns = book.ids[rows].to_dict() | {
                "window_start": np.array([x.start for x in windows])[w], "window_end": np.array([x.end for x in windows])[w],
                "car": car, "se": se, "t": t, "p_value": t_p(t, measured.dof[rows].astype(np.int64), alternative), "scar": t,
                "bhar": measured.bhar[rows, w], "car_simple": ways[:, 0], "car_log": ways[:, 1], "car_compound": ways[:, 2],
            }  # fmt: skip
            yield _frame("cars", columns | attributes[rows].to_dict(), extra, book.compiled)

    count = int(np.isfinite(measured.car[book.used]).sum())
    return Streamed(count, (*SCHEMAS["cars"], *extra), slices)


def abnormal_streamed(book: Book, window: Window) -> Streamed:
    """``abnormal_returns``: every pair that has numbers and every day of the event window."""
    measured, length = book.joined.measured, len(window)

    def slices() -> Iterator[pl.DataFrame]:
        for rows in _slices(book.used, max(SLICE // length, 1) * 4):
            actual, expected = measured.actual[rows], measured.expected[rows]
            columns = book.ids[np.repeat(rows, length)].to_dict() | {
                "relative_day": np.tile(window.days, len(rows)),
                "date": _dates(book, rows, window),
                "actual": actual.ravel(), "expected": expected.ravel(), "ar": (actual - expected).ravel(),
                "sar": measured.sar[rows].ravel(),
            }  # fmt: skip
            yield _frame("abnormal_returns", columns, compiled=book.compiled)

    return Streamed(len(book.used) * length, tuple(SCHEMAS["abnormal_returns"]), slices)


def event_days(book: Book, rows: Ints, window: Window) -> Ints:
    """(N, L) the day number of each day of the window, the least integer beyond the sessions."""
    pairs = book.joined.pairs
    made = np.empty((len(rows), len(window)), np.int64)
    for i, line in enumerate(pairs.lines):
        here = np.flatnonzero(pairs.shared[rows] == i)
        place = pairs.position[rows[here], None].astype(np.int64) + window.days
        days = line.dates.astype(np.int64)
        if len(here) and (place[:, 0].min() < 0 or place[:, -1].max() >= len(days)):
            inside = (place >= 0) & (place < len(days))
            found = np.where(inside, days[np.clip(place, 0, len(days) - 1)], np.iinfo(np.int64).min)
        else:
            found = days[place]
        if len(here) == len(rows):
            return np.asarray(found)
        made[here] = found
    return made


def _dates(book: Book, rows: Ints, window: Window) -> pl.Series:
    days = event_days(book, rows, window).ravel()
    known = days > np.iinfo(np.int64).min
    held = pl.Series(np.where(known, days, 0).astype(np.int32), dtype=pl.Int32)
    return held.set(pl.Series(~known), None).cast(pl.Date)


def contamination_streamed(book: Book, around: Surroundings) -> Streamed:
    """``contamination``."""
    ids = book.study.announcements.table["event_id"]

    def slices() -> Iterator[pl.DataFrame]:
        for found in around.slices():
            other = pl.Series(found.other)
            columns = book.ids[found.row].to_dict() | {
                "kind": coded("kind", found.kind, KINDS),
                "other_event_id": ids.gather(other.set(other < 0, None)),
                "first": pl.Series(found.first).cast(pl.Date),
                "last": pl.Series(found.last).cast(pl.Date),
                "consequence": coded("consequence", found.said, around.words),
            }
            yield _frame("contamination", columns)

    return Streamed(around.rows, tuple(SCHEMAS["contamination"]), slices)


def exclusions_frame(book: Book, *losses: Lost) -> pl.DataFrame:
    """``exclusions``, which are held: they are few, or the study is at its end."""
    rows = np.array([i for one in losses for i in one.row], np.int64)
    columns = book.ids[rows].cast({"symbol": pl.String}).to_dict()
    for name in ("stage", "reason", "detail"):
        columns[name] = pl.Series([text for one in losses for text in getattr(one, name)], dtype=pl.String)
    made = pl.DataFrame(columns, schema=SCHEMAS["exclusions"])
    return made.sort(KEYS["exclusions"], maintain_order=True, nulls_last=True)
