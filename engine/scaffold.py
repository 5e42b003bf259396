"""A new study folder with every key written out, ready to run on the user's own announcements and prices."""

from __future__ import annotations

import os
import re
from pathlib import Path

import polars as pl

from engine.announcements import exchange_of, parse_stamp, read_announcements
from engine.errors import SpecError
from engine.files import read_bytes
from engine.market import Snapshot
from engine.results import replaced_folder

INDEX_OF = {"XHKG": "^HSI", "XSHG": "000300.SS", "XTKS": "^N225", "XNYS": "^GSPC"}
MARKETS = ("MKT", "MARKET", "INDEX", "BENCHMARK", "SPY")

TOML = """\
title = {title}
question = "What happens to the share price when the announcement is made?"

[events]
file = "events.csv"             # event_id, symbol, announced_at; zone, precision, first_public_at, ... as in the README
reaction = "close"              # day 0 = first session whose close is after the announcement; "open": whose open is
stamp = "first_public_at"       # the leak where there is one, else announced_at; "announced_at": always the announcement
max_gap_days = 7                # calendar days from the news to day 0; farther away: excluded with a row
joint = false                   # true: overlapping events of one listing share one regression with a dummy for each

[prices]
snapshot = {snapshot}
returns = "simple"              # or "log"
missing = "exclude"             # the first return after a gap is missing; "trade_to_trade": it runs over the gap (log returns)
currency = "local"              # or "USD": returns in that currency, with JPY=X (yen for one dollar) in the snapshot

[outcome]
name = "return"                 # or "absolute_return", "log_volume", "log_turnover", "range_volatility", "log_range_volatility"

[benchmark]
{benchmark}
baskets = {{}}                    # {{peers = ["AAA", "BBB"]}}: equal weights, never the listing itself; then default = "peers"
own_weight = {{}}                 # {{AAA = 0.08}}: the listing's share in its index, taken out of it

# [factors]                     # with [model] name = "factor"
# set = "ff3"                   # or "capm", "ff5", "carhart", a file in factors/ of the snapshot; or columns = ["BZ=F"]; or both
#                               # or "local_us_fx": benchmark, us = "^GSPC" and the rate of each listing's currency, raw
# columns = []                  # without a set: series; with one: the columns of it to use, all if empty
# snapshot = "factor-library"   # where they are, if not in the study's snapshot
# units = "percent"             # or "fraction": of a set
# excess = true                 # returns in excess of the set's RF; false without a set

[sessions]
calendar = "exchange"           # or "benchmark": the days on which the benchmark has a return
closes = {{}}                     # {{"BZ=F" = "16:30 Europe/London"}}: when a series of no exchange has its daily value

[model]
name = "market"                 # or "market_adjusted", "mean_adjusted", "raw", "factor", "matched", "scholes_williams", "dimson",
                                # "rolling", "exponential", "garch", "egarch", "gjr", "lad", "huber", "theil_sen", "custom"
estimation_window = [-250, -11]
min_estimation_days = 120
# leads_lags = 1                # with name = "dimson": days of the benchmark before and after
# window = 60                   # with name = "rolling": the last returns that the line is drawn through
# half_life = 30.0              # with name = "exponential": sessions in which a day's weight halves
# peers = "peers"               # with name = "matched": the basket that is the control portfolio
# weights = "equal"             # with name = "matched"; or "value": market_value in symbols.csv of the snapshot, of
#                               # the day market_value_on, which must be before the event window
# file = "my_model.py"          # with name = "custom": runs only with --allow-code
# function = "my_model"         # with name = "custom": of that file

[windows]
event = [-10, 10]
car = [[-1, 1], [0, 0], [-5, 5], [-10, 10]]     # the first is the primary window
# windows between stamps of each event, also approved_at and withdrawn_at:
# {{runup = ["first_public_at", "announced_at - 1"], markup = [0, "completed_at"]}}
named = {{}}

# [deals]                       # acquirer and target (column role) together, by their market_value and currency in events.csv
# currency = "USD"              # of the gains
# unit = "million"              # of market_value: "one", "thousand", "million", "billion"
# rates = {{HKD = 0.128}}         # what one of another currency is worth in it

[significance]
tests = [
    "cross_sectional_t", "patell", "bmp", "kolari_pynnonen", "kolari_pape_pynnonen", "crude_dependence_t",
    "skewness_adjusted_t", "corrado", "corrado_zivney", "grank_t", "sign", "generalized_sign", "permutation",
    "firm_permutation", "wild_bootstrap", "block_bootstrap", "forecast_error_t", "sq", "conformal", "portfolio_t", "sur_f",
    "clustered_t_date", "clustered_t_firm", "clustered_t_both", "hac_t",    # long windows: "bhar_bootstrap", ...
]                               # the first is the primary test
group_by = []                   # columns of events.csv, each value a group of its own
samples = {{}}                    # further groups by name: {{big = {{kind = ["cash", "stock"], confounded = ["no"]}}}}
alternative = "two-sided"       # or "greater", "less"
alpha = 0.05

[contamination]
policy = "flag"                 # "exclude": events with another of the firm in their window; "trim_estimation": their days

[resampling]
seed = 1
draws = 9999
controls = []                   # listings without an event that firm_permutation may draw, beside the study's own

# [calendar_time]               # portfolios of the firms that had an event lately, for long horizons
# frequency = "monthly"         # or "daily"
# months = 12                   # calendar months after the one of day 0; or, daily, hold = [1, 252] sessions after it
# weights = ["equal"]           # "value": by the column market_value of events.csv, at the close before day 0
# market_value = "market_value"
# min_firms = 5                 # periods with fewer are left out
# history = 60                  # periods before each that standardise its abnormal return (Jaffe, Mandelker)
# min_history = 36              # the fewest of them in which every firm held has a return; with fewer it is left out
# lags = 4                      # of Newey-West; without: floor(4 (T/100)^(2/9)) for T periods
# rats = false                  # true: a regression across the events for each relative day or month

# [crosssection]                # what drives the CARs, with columns of events.csv
# formula = "car ~ C(kind) + log(value)"        # or several: {{base = "car ~ kind", full = "car ~ kind*log(value) + decade"}}
#                               # also year, decade, sigma, r2, n_obs, runup, alpha, beta_market of the run itself
# windows = []                  # of [windows] car; empty: the primary one
# covariance = ["HC3"]          # "classical", "HC1", "clustered_date", "clustered_firm", "clustered_both"; events of one
#                               # date: "benchmarked_t", "benchmarked_rank", against the slopes before the event
# weights = "none"              # or "forecast_variance": by 1 / se^2 of the CARs

# [claims.C1]                   # what the study claims before it looks; one table each, with a verdict
# statement = "The named firms fall at once."
# sign = "-"                    # "+"; or "0", which needs margin = 0.01: how large an effect still counts as none
# windows = [[0, 1]]            # of [windows] car; several must all hold, as must
#                               # parts = [{{sign = "-", windows = [[0, 1]]}}, ...]
# test = "bmp"                  # of [significance] tests
# group = "all"                 # or "<column>=<value>" of group_by
# effect = 0.01                 # the size at which the verdict tells the power
# primary = true                # Holm runs over the primary claims

# [certificate]                 # how the tests behave on these listings at other dates: size, power, smallest effect found
# seed = 1                      # without: that of [resampling]
# draws = 2000
# effects = [0.005, 0.01, 0.02, 0.03, 0.05]
# runup = [-20, -2]             # pseudo-dates after a like run-up are a null of their own
# runup_share = 0.1             # of all, the nearest
# resampled = 200               # draws for tests that resample or fit again themselves, and for tests of one event

# [grid]                        # other choices beside the study's own, every combination of them
# model = ["market_adjusted"]
# estimation_window = [[-120, -11]]
# car = [[0, 1]]                # inside [windows] event
# benchmark = ["^NDX"]          # of every listing; or {{XHKG = "^HSCE"}}, by exchange
# test = ["bmp"]
# returns = ["log"]
# hold = [5]                    # of [backtest]

# [backtest]                    # the calendar as signals: column expected_sign of events.csv, + to buy, - to sell
# entry = "open"                # the first open or close after the stamp; "close": the first close
# hold = 20                     # sessions; or legs = {{sell = {{hold = 2}}, dip = {{side = "opposite", delay = 2, hold = 19}}}}
# cost_bp = 10.0                # basis points of the value traded each way, listing and hedge
# borrow_bp = 100.0             # a year, of a listing sold short
# size = 0.1                    # of the capital, a position
# max_wait = 5                  # sessions that an order waits for a price, a trade, or the end of a price limit
# notional = 1000000.0          # of a position in the listing's currency; without: whatever the traded value
# participation = 0.05          # of the mean daily traded value, at most

[limits]
max_excluded_share = 0.10       # of (event, symbol) pairs; more lost stops the run
allow_missing_symbols = false   # true: listings without prices become rows of exclusions.csv

[output]
abnormal_returns = true

[report]
charts = ["caar_path", "car_forest", "event_timeline"]    # also "car_heatmap", "listing_paths", "event_panel", "venue_days"
# event = "..."                      # the event of "event_panel"; without, the one with the largest CAR
# theme = "house.toml"               # fonts, colours and sizes of charts and memo
"""

README = """\
# {name}

**Question.**

**Fixed in advance.** Events and their sources, model, windows, tests: see study.toml and events.csv.

**Found.** `eventstudy run {name}` writes out/memo.html.
"""

EVENTS = "event_id,symbol,announced_at,zone,precision,first_public_at,source\n"


def new_study(folder: Path, events: Path | None, snapshot: Snapshot | None) -> list[str]:
    """Write a study to ``folder``; returns what the user still has to do.

    events: a calendar to copy, checked first. snapshot: where the prices are; the benchmark is looked for in it.
    Raises SpecError if the folder is taken, DataError for a calendar that does not pass.
    """
    if folder.exists():
        raise SpecError(f"{folder}: is there already, and is left alone. Give another name, or remove it.")
    if not re.fullmatch(r"[\w.+-]+", folder.name) or folder.name.startswith("."):
        raise SpecError(f'"{folder.name}" is no name for a study: use letters, digits, - and _.')
    todo = []
    listings: dict[str, str | None] = {}
    if events is None:
        todo.append(f"fill {folder / 'events.csv'}: one row for each event and listing")
    else:
        table = read_announcements(events, None, {}).table
        _check_stamps(table)
        known = snapshot.listings if snapshot is not None else {}
        listings = {r["symbol"]: exchange_of(r["symbol"], r["exchange"], known) for r in table.iter_rows(named=True)}
    benchmark, missing = _benchmark(listings, snapshot)
    if missing:
        todo.append(
            f"set [benchmark] in {folder / 'study.toml'}: no index was found in the prices, ^GSPC stands there now"
        )
    if snapshot is None:
        todo.append(f"set [prices] snapshot in {folder / 'study.toml'} to your folder of <symbol>.csv files")
    place = _relative(snapshot.root, folder) if snapshot is not None else "my-prices"
    with replaced_folder(folder) as fresh:
        text = TOML.format(title=_quoted(folder.name), snapshot=_quoted(place), benchmark=benchmark)
        (fresh / "study.toml").write_text(text, encoding="utf-8")
        (fresh / "README.md").write_text(README.format(name=folder.name), encoding="utf-8")
        (fresh / "events.csv").write_bytes(EVENTS.encode() if events is None else read_bytes(events))
    return todo


def _check_stamps(table: pl.DataFrame) -> None:
    """Raises DataError for a stamp that no run could read."""
    for row in table.iter_rows(named=True):
        for column in ("announced_at", "first_public_at"):
            if row[column]:
                parse_stamp(row[column], row["zone"], row["precision"], f"{row['where']}, column {column}")


def _benchmark(listings: dict[str, str | None], snapshot: Snapshot | None) -> tuple[str, bool]:
    """The lines of [benchmark], and whether a benchmark is still to be chosen."""
    symbols = set(snapshot.symbols()) - set(listings) if snapshot is not None else set()
    exchanges = sorted({e for e in listings.values() if e is not None})
    national = {e: INDEX_OF[e] for e in exchanges if INDEX_OF.get(e) in symbols}
    named = [s for s in sorted(symbols) if s.startswith("^") or s.upper() in MARKETS]
    if len(exchanges) > 1 and len(national) == len(exchanges):
        pairs = ", ".join(f"{e} = {_quoted(s)}" for e, s in national.items())
        return f"by_exchange = {{{pairs}}}\n# default = {_quoted(next(iter(national.values())))}", False
    chosen = next(iter(national.values()), named[0] if len(named) == 1 else None)
    if chosen is None or (len(exchanges) > 1 and len(named) != 1):
        return 'default = "^GSPC"\n# by_exchange = {XHKG = "^HSI", XSHG = "000300.SS"}', True
    return f'default = {_quoted(chosen)}\n# by_exchange = {{XHKG = "^HSI", XSHG = "000300.SS"}}', False


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _relative(target: Path, folder: Path) -> str:
    return os.path.relpath(target.resolve(), folder.resolve()).replace(os.sep, "/")
