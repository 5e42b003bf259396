"""The engine's kernels on the arrays of the baselines."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
from baselines import ESTIMATION, EVENT, Answers, Arrays, Floats, Ints

from engine.kernel import Asked, Calendar, Measured, RawEvents, RawRows, measure
from engine.sessions import Window

PART = 1_000_000  # rows of a part
Piece = tuple[Ints, RawRows, RawEvents]


def asked(model: str = "market") -> Asked:
    """n, coefficients, s2, 21 abnormal returns, the CAR over all of them and its forecast error."""
    window = Window(*EVENT)
    return Asked(model, Window(*ESTIMATION), window, (window,), 100, log_returns=False, days=False)


def calendar(arrays: Arrays, regressors: Floats) -> Calendar:
    return Calendar(arrays.dates.astype("datetime64[D]").astype(np.int32), regressors, np.zeros(len(arrays.dates)))


def pieces(arrays: Arrays) -> list[Piece]:
    """The panel in parts of whole listings, each with its events and their places in ``arrays``."""
    order = np.argsort(arrays.listing, kind="stable")
    listing, day = arrays.listing[order], arrays.day[order].astype(np.int32)
    days = arrays.dates.astype("datetime64[D]").astype(np.int32)[arrays.position]
    edges = np.unique([*np.searchsorted(arrays.start, np.arange(0, arrays.start[-1], PART)), len(arrays.start) - 1])
    made = []
    for a, b in pairwise(edges):
        rows = slice(arrays.start[a], arrays.start[b])
        raw = RawRows(arrays.start[a : b + 1] - arrays.start[a], days[rows], arrays.returns[rows], is_return=True)
        start = np.searchsorted(listing, np.arange(a, b + 1))
        held = slice(start[0], start[-1])
        own = np.tile(np.array(ESTIMATION, np.int32), (start[-1] - start[0], 1))
        made.append((order[held], raw, RawEvents(start - start[0], day[held], own)))
    return made


def sweep(
    parts: list[Piece], sessions: Calendar, kernel: str, threads: int = 1, model: str = "market"
) -> Callable[[], list[Measured]]:
    """The kernel over all parts, in threads: what is timed. Nothing is kept from one time to the next."""
    wanted = asked(model)

    def run() -> list[Measured]:
        fresh = replace(sessions, products={})

        def one(piece: Piece) -> Measured:
            return measure(kernel, piece[1], fresh, piece[2], wanted)[0]

        if threads == 1:
            return [one(piece) for piece in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, parts))

    return run


def answers(parts: list[Piece], found: list[Measured], events: int) -> Answers:
    """What the kernel gave, in the order of the events of `Arrays`."""
    wide = {name: np.full(events, np.nan) for name in ("n", "alpha", "beta", "s2", "car", "car_variance")}
    ar = np.full((events, EVENT[1] - EVENT[0] + 1), np.nan)
    for (places, _, _), one in zip(parts, found, strict=True):
        columns = (one.n_obs, *one.coefficients.T, one.sigma**2, one.car[:, 0], one.se[:, 0] ** 2)
        for name, values in zip(wide, columns, strict=True):
            wide[name][places] = values
        ar[places] = one.ar
    return Answers(ar=ar, **wide)
