"""The backtest in words and tables: what the calendar earned as signals, after costs, against its placebo dates."""

from __future__ import annotations

from collections import Counter

from engine.report.document import Heading, Section, Table, paragraph, section
from engine.report.findings import Findings, Row, count
from engine.report.formats import NOTHING, fixed, level_text, one_line, p_equals, p_text, percent, shortened

MOST_TRADES = 60


def measures(found: Findings, leg: str = "all") -> dict[str, Row]:
    """The rows of ``backtest`` of one leg by measure; empty without a backtest."""
    table = found.result.tables.get("backtest")
    return {} if table is None else {r["measure"]: r for r in table.to_dicts() if r["leg"] == leg}


def backtest_title(found: Findings) -> str:
    """What the rule earned, and how sure that is."""
    known = measures(found)
    if not known or not known["trades"]["value"]:
        return "No position was entered and left"
    text = f"{count(int(known['trades']['value']), 'trade')}: {percent(known['mean_net']['value'])} % net of costs on average"
    p, year, deflated = (known.get(name, {}).get("value") for name in ("placebo_p", "sharpe_a_year", "deflated_sharpe"))
    text += f", placebo {p_equals(p)}" if p is not None else ""
    text += f"; Sharpe ratio {fixed(year)} a year" if year is not None else ""
    return text + (f", deflated {fixed(deflated)}" if deflated is not None else "")


def rule_words(found: Findings) -> str:
    """The rule in one sentence."""
    rule = found.settings["backtest"]
    legs = rule["legs"] or {"signal": {"side": "expected", "delay": 0, "hold": rule["hold"]}}
    parts = [
        f"{name}: {'with' if leg['side'] == 'expected' else 'against'} the expected sign, "
        + (f"{count(leg['delay'], 'session')} later, " if leg["delay"] else "")
        + f"held {count(leg['hold'], 'session')}"
        for name, leg in sorted(legs.items(), key=lambda item: (item[1]["delay"], item[0]))
    ]
    moment = "open or close" if rule["entry"] == "open" else "close"
    return f"Entered at the first {moment} strictly after the stamp that can be traded; {'; '.join(parts)}."


def backtest_words(found: Findings) -> list[str]:
    """How positions are filled, hedged, paid for and added up."""
    rule = found.settings.get("backtest")
    if not rule:
        return []
    hedges = sorted({r["hedge"] for r in found.result.tables["trades"].to_dicts() if r["hedge"] and r["beta"]})
    against = (
        f"hedged by the beta of the estimation window in {', '.join(shortened(h, 16) for h in hedges)}"
        if hedges
        else "not hedged"
    )
    capacity = ""
    if rule["notional"]:
        share = percent(rule["participation"], 0)
        capacity = f"; a full position is {rule['notional']:,.0f} of the listing's currency, at most {share} % of the mean daily "
        capacity += "traded value where volume is known"
    return [
        rule_words(found),
        f"Each position is {percent(rule['size'], 0)} % of the first capital, {against}{capacity}; profits are not reinvested.",
        f"Costs: {rule['cost_bp']:g} basis points of the value traded each way, listing and hedge; {rule['borrow_bp']:g} a year "
        f"on listings sold short. No fill on a day at the price limit, without a price or without a trade; an order waits "
        f"{count(rule['max_wait'], 'session')}.",
        "Returns between an open and a close count only where both are known; fees, taxes, margin and market impact beyond "
        "the costs are not in them.",
    ]


NAMES = {
    "trades": "Trades entered and left", "not_traded": "Signals not traded", "open": "Positions still open",
    "hit_rate": "Hit rate, %", "mean_net": "Mean net abnormal return, %", "median_net": "Median net abnormal return, %",
    "mean_gross": "Mean before costs, %", "mean_cost": "Mean cost, %",
    "placebo_mean_net": "Mean net at placebo dates, %", "placebo_p": "Placebo p, one-sided",
    "total_return": "Profit of the capital, %", "turnover_a_year": "Turnover a year, times the capital",
    "max_drawdown": "Deepest drawdown, %", "sharpe_a_year": "Sharpe ratio a year", "sharpe": "Sharpe ratio a session",
    "sharpe_hurdle": "Sharpe ratio a session to expect of the best trial", "trials": "Trials of the grid",
    "deflated_sharpe": "Deflated Sharpe ratio",
}  # fmt: skip
SHARES = {
    "hit_rate",
    "mean_net",
    "median_net",
    "mean_gross",
    "mean_cost",
    "placebo_mean_net",
    "total_return",
    "max_drawdown",
}
COUNTS = {"trades", "not_traded", "open", "trials"}


def backtest_table(found: Findings) -> Table | None:
    """What the rule comes to, a column a leg; None without a backtest."""
    table = found.result.tables.get("backtest")
    if table is None:
        return None
    delays = {
        name: leg["delay"] for name, leg in found.settings["backtest"]["legs"].items() if name in set(table["leg"])
    }
    legs = ["all", *sorted(delays, key=lambda name: (delays[name], name))]
    known = {leg: measures(found, leg) for leg in legs}
    rows = []
    for name, words in NAMES.items():
        if any(name in known[leg] for leg in legs):
            cells = [_cell(name, known[leg].get(name)) for leg in legs]
            rows.append((words, *cells))
    reasons = sorted(
        {f"{NAMES.get(r['measure'], r['measure'])}: {r['unavailable']}" for r in table.to_dicts() if r["unavailable"]}
    )
    notes = [
        f"In parentheses the {level_text(1 - found.alpha)} interval: Wilson for the hit rate, clusters of dates for the mean, "
        "the draws themselves for the placebo dates, Mertens for the Sharpe ratio (which allows for skewness and fat tails).",
        "The deflated Sharpe ratio is the probability that the true one is above what the best of the grid's trials would show "
        "without skill. The trials share their events, so that it is a lower hurdle than the number of trials suggests.",
    ]  # fmt: skip
    return Table(
        ("Measure", *legs), (False, *[True] * len(legs)), tuple(rows),
        notes=(*notes, *[f"Unavailable, {one_line(r)}." for r in reasons]),
    )  # fmt: skip


def _cell(name: str, row: Row | None) -> str:
    if row is None or row["value"] is None:
        return NOTHING
    if name in COUNTS:
        return str(int(row["value"]))
    if name == "placebo_p":
        return p_text(row["value"])
    digits = 4 if name in ("sharpe", "sharpe_hurdle") else 2
    scale = 100 if name in SHARES else 1
    ends = [None if row[end] is None else fixed(scale * row[end], digits) for end in ("low", "high")]
    span = f" ({ends[0]} to {ends[1]})" if None not in ends else ""
    return fixed(scale * row["value"], digits) + span


def trades_table(found: Findings) -> Table | None:
    """Every trade, the first `MOST_TRADES` of many, and why the others were not made."""
    table = found.result.tables.get("trades")
    if table is None:
        return None
    every = table.to_dicts()
    made = sorted(
        (r for r in every if r["entry_day"] is not None),
        key=lambda r: (r["entry_day"], r["event_id"], r["symbol"], r["leg"]),
    )
    cells = tuple(
        (shortened(r["event_id"], 20), shortened(r["symbol"], 14), shortened(r["leg"], 10), r["side"],
         f"{r['entry_day']} {r['entry_at']}", str(r["exit_day"] or NOTHING), fixed(r["beta"]), percent(r["size"], 1),
         percent(r["gross"]), percent(r["net"]))
        for r in made[:MOST_TRADES]
    )  # fmt: skip
    notes = [] if len(made) <= MOST_TRADES else [f"The first {MOST_TRADES} of {len(made)}; all are in trades.csv."]
    reasons = Counter(one_line(r["reason"]) for r in every if r["reason"])
    notes += [f"{n} times: {reason}." for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    columns = ("Event", "Symbol", "Leg", "Side", "Entry", "Exit", "beta", "Size, %", "Gross, %", "Net, %")
    return Table(columns, (*[False] * 6, *[True] * 4), cells, notes=tuple(notes))


def backtest_section(found: Findings) -> Section | None:
    """The rule, what it comes to, and every trade."""
    table, trades = backtest_table(found), trades_table(found)
    return section(
        "The calendar as signals",
        paragraph(backtest_words(found)),
        table.shown("backtest", "What the rule comes to") if table else None,
        Heading("Trades") if trades else None,
        trades.shown("trades", "Trades in the order of their entry", "dense") if trades else None,
    )
