"""Daily price limits of mainland China's boards, and the days on which a listing was locked at one.

Main board 10 %, STAR 20 %, ChiNext 20 % from 2020-08-24 and 10 % before. New shares of a registration-based board (STAR
from its start, ChiNext from 2020-08-24, the main board from 2023-04-10) trade without a limit for five sessions; before,
the first session was bounded at +44 % from 2014 on and not at all earlier. Hong Kong and New York have no daily limit.

Not covered: the 5 % of shares under special treatment (ST), because a symbol does not tell them; the limits in yen of
Tokyo, Beijing's board, funds, B shares and indices: there `limit_of` is None. Sources: trading rules of the Shanghai and
Shenzhen exchanges (2020, 2023), their notices of 2013-12-13 on first-day trading, STAR rules of 2019-03-01.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from engine.sessions import exchange_sessions
from engine.ties import at_least, at_most

LIMITS_BEGIN = np.datetime64("1996-12-16")
FIRST_DAY_BOUND = np.datetime64("2014-01-01")
CHINEXT_WIDER = np.datetime64("2020-08-24")
MAIN_REGISTRATION = np.datetime64("2023-04-10")
FREE_SESSIONS = 5
SMALLEST = 0.1
LONGEST_CLOSURE = np.timedelta64(30, "D")  # calendar days within which five sessions have surely passed
# The exchanges round the limit price to a tick and adjusted closes carry rounding of their own: 0.3 percentage points.
TOLERANCE = 0.003
SHANGHAI = {"main": re.compile(r"60[0135]\d{3}$"), "star": re.compile(r"68[89]\d{3}$")}
SHENZHEN = {"main": re.compile(r"00[0-4]\d{3}$"), "chinext": re.compile(r"30[0-2]\d{3}$")}


def board_of(symbol: str, exchange: str) -> str:
    """``main``, ``star`` or ``chinext`` for an A share, "" for everything else.

    A symbol has its exchange's suffix (.SS, .SZ); without one, 00nnnn is a share only where the exchange is XSHE, since
    Shanghai gives such codes to indices.
    """
    code, _, suffix = symbol.partition(".")
    if exchange not in ("XSHG", "XSHE") or suffix not in ("", "SS", "SH", "SZ"):
        return ""
    boards = SHENZHEN if suffix == "SZ" or (not suffix and exchange == "XSHE") else SHANGHAI
    if not suffix:
        boards = boards | {"star": SHANGHAI["star"], "chinext": SHENZHEN["chinext"]}
    return next((name for name, pattern in boards.items() if pattern.match(code)), "")


def limit_of(symbol: str, exchange: str, day: np.datetime64, first_session: np.datetime64 | None) -> float | None:
    """The largest daily move up as a fraction of the last close, None where there is no limit or none is known.

    first_session: of the listing; None if unknown. A price file that begins later than the listing costs five sessions.
    """
    board = board_of(symbol, exchange)
    if not board or day < LIMITS_BEGIN:
        return None
    if first_session is not None and first_session <= day <= first_session + LONGEST_CLOSURE:
        since = {"star": LIMITS_BEGIN, "chinext": CHINEXT_WIDER, "main": MAIN_REGISTRATION}[board]
        if first_session >= since and _sessions_between(first_session, day) < FREE_SESSIONS:
            return None
        if first_session < since and day == first_session:
            return 0.44 if day >= FIRST_DAY_BOUND else None
    return 0.2 if board == "star" or (board == "chinext" and day >= CHINEXT_WIDER) else 0.1


def _sessions_between(first: np.datetime64, day: np.datetime64) -> int:
    """Sessions of Shanghai after ``first`` up to ``day``."""
    dates = exchange_sessions("XSHG", int(str(day)[:4])).dates
    return int(np.searchsorted(dates, day, side="right") - np.searchsorted(dates, first, side="right"))


def locked_days(
    symbol: str, exchange: str, dates: npt.NDArray[np.datetime64], columns: Mapping[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """The limit, signed, at which the listing was locked on each of its rows; 0 on every other row. Shape (D,).

    A row is locked if its close is within `TOLERANCE` of the limit from the last known close and high equals low; where
    the high or low cell is empty, or the file has neither, the close alone decides. columns: those of the file. The
    exchange counts from the close as traded, so that on ex-dividend days of an unadjusted series a lock goes unseen.
    """
    locked = np.zeros(len(dates))
    close = columns.get("close")
    if close is None or not board_of(symbol, exchange):
        return locked
    known = np.flatnonzero(close > 0)
    move = close[known[1:]] / close[known[:-1]] - 1
    spread = columns.get("high", close) - columns.get("low", close)
    for i in np.flatnonzero(at_least(np.abs(move), SMALLEST - TOLERANCE)):
        row = known[i + 1]
        limit = limit_of(symbol, exchange, dates[row], dates[known[0]])
        traded_off_the_limit = abs(spread[row]) > 0  # false for an empty cell
        if limit is not None and at_most(abs(abs(move[i]) - limit), TOLERANCE) and not traded_off_the_limit:
            locked[row] = np.copysign(limit, move[i])
    return locked


def locked_opens(
    symbol: str, exchange: str, dates: npt.NDArray[np.datetime64], columns: Mapping[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """The limit, signed, at which the listing opened on each of its rows; 0 on every other row. Shape (D,).

    Told by the open and the last close before alone. A listing that opens at its limit may trade off it later in the day.
    """
    locked = np.zeros(len(dates))
    close, opens = columns.get("close"), columns.get("open")
    if close is None or opens is None or not board_of(symbol, exchange):
        return locked
    known = np.flatnonzero(close > 0)
    before = np.searchsorted(known, np.arange(len(dates))) - 1
    rows = np.flatnonzero((before >= 0) & (opens > 0))
    move = opens[rows] / close[known[before[rows]]] - 1
    for i in np.flatnonzero(at_least(np.abs(move), SMALLEST - TOLERANCE)):
        limit = limit_of(symbol, exchange, dates[rows[i]], dates[known[0]])
        if limit is not None and at_most(abs(abs(move[i]) - limit), TOLERANCE):
            locked[rows[i]] = np.copysign(limit, move[i])
    return locked
