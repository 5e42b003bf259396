"""The baselines as one call each, from the arrays of the panel to numbers, what they need beforehand made for each call."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import baselines
import numpy as np
from baselines import Answers, Arrays


def pandas_way(arrays: Arrays) -> Answers:
    """The frame is made before: a paper has it."""
    return baselines.pandas_statsmodels(arrays, _frame(_Known(arrays)))


def statsmodels_way(arrays: Arrays) -> Answers:
    """The strips are made before, as the frame is."""
    return baselines.statsmodels_arrays(arrays, *_strips(_Known(arrays)))


def lstsq_way(arrays: Arrays) -> Answers:
    return baselines.numpy_lstsq(arrays, *_strips(_Known(arrays)))


def polars_way(arrays: Arrays) -> Any:
    return baselines.polars_closed_form(*_tables(_Known(arrays)))


def duckdb_way(arrays: Arrays) -> Any:
    return baselines.duckdb_closed_form(*_tables(_Known(arrays)))


class _Known:
    """Arrays that are the same when they are the same object with as many events."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    def __hash__(self) -> int:
        return hash((id(self.arrays.returns), len(self.arrays.listing)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and hash(self) == hash(other)


@lru_cache(maxsize=2)
def _frame(known: _Known) -> Any:
    return baselines.pandas_frame(known.arrays)


@lru_cache(maxsize=2)
def _strips(known: _Known) -> Any:
    return baselines.strips(known.arrays)


@lru_cache(maxsize=2)
def _tables(known: _Known) -> Any:
    return baselines.polars_frames(known.arrays)


def pandas_read(path: Path, benchmark: str) -> Any:
    """Read the file, put the benchmark beside every row, and group by listing: what a loop begins with."""
    import pandas as pd

    table = pd.read_parquet(path)
    table["symbol"] = table["symbol"].astype("category")
    market = table[table["symbol"] == benchmark].set_index("date")["return"]
    table["mkt"] = table["date"].map(market).astype(np.float64)
    return {name: rows.set_index("date") for name, rows in table.groupby("symbol", observed=True, sort=False)}
