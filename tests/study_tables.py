"""The tables in the READMEs of the studies, made from their golden results, and from reruns where the text says so.

`EVENTSTUDY_DATA=.../market-data python tests/study_tables.py` writes them anew; tests/test_study_tables.py compares them.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from engine.results import StudyResult, read_result
from engine.study import load_study, run_study

STUDIES = Path(__file__).parents[1] / "studies"
Row = dict[str, object]


def golden(study: str) -> StudyResult:
    return read_result(STUDIES / study / "golden", whole=False)


def rerun(study: str, tests: str, *changes: tuple[str, str]) -> StudyResult:
    """The study with other text in its study.toml, the tests named alone, and no claims, grid, backtest or certificate."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "studies" / study
        shutil.copytree(STUDIES / study, folder, ignore=shutil.ignore_patterns("out", "golden"))
        shutil.copytree(STUDIES / "calendar", folder.parent / "calendar")
        text = (folder / "study.toml").read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        text = re.sub(
            r"^\[(claims\.\w+|grid|backtest|certificate)\]\n(?:[^\[\n].*\n|\n)*", "", text, flags=re.MULTILINE
        )
        text = re.sub(r"^tests = \[.*?\](?=\s|$)", f"tests = [{tests}]", text, flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"^charts = .*$", "charts = []", text, flags=re.MULTILINE)
        (folder / "study.toml").write_text(text, encoding="utf-8")
        return run_study(load_study(folder))


def at(result: StudyResult, table: str, start: int, end: int, **where: str) -> pl.DataFrame:
    frame = result.tables[table].filter(pl.col("window_start") == start, pl.col("window_end") == end)
    return frame.filter(*(pl.col(k) == v for k, v in where.items()))


def pc(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def p(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def lines(head: str, rows: list[list[str]]) -> str:
    """A table of Markdown; text to the left, numbers to the right."""
    columns = head.count("|") - 1
    return "\n".join([head, "|---|" + "---:|" * (columns - 1), *("| " + " | ".join(r) + " |" for r in rows)]) + "\n"


# --- the tables -----------------------------------------------------------------------------------------------------


def measures_by_kind() -> str:
    """Mean CAR of the dip and of the rebound, by who and by kind of measure."""
    result, test = golden("us-measures-chinese-tech"), "kolari_pape_pynnonen"
    made = []
    who = {"chips": "SMIC, Hua Hong", "machines": "AMEC, NAURA", "indices": "indices"}
    for name, said in who.items():
        for kind in ("control", "sanction", "delisting"):
            dip, after = (
                at(result, "significance", *window, group=f"sample={name}_{kind}", test=test).row(0, named=True)
                for window in ((0, 1), (2, 20))
            )
            made.append(
                [
                    f"{said}, {kind}s",
                    str(dip["n"]),
                    pc(dip["estimate"]),
                    p(dip["p_value"]),
                    pc(after["estimate"]),
                    p(after["p_value"]),
                ]
            )
    return lines("| listings, measure | n | dip, CAR[0, 1] % | p | rebound, CAR[2, 20] % | p |", made)


def measures_backtest() -> str:
    """What the rule would have earned."""
    table = golden("us-measures-chinese-tech").tables["backtest"]
    value = {(leg, measure): v for leg, measure, v in table.select("leg", "measure", "value").rows()}
    made = [
        [
            said, f"{value[leg, 'trades']:.0f}", pc(value[leg, "mean_gross"]), pc(value[leg, "mean_net"]),
            f"{100 * value[leg, 'hit_rate']:.0f}", p(value[leg, "placebo_p"]),
        ]
        for leg, said in (("announcement", "sell the announcement"), ("dip", "buy the dip"), ("all", "both"))
    ]  # fmt: skip
    return lines("| leg | trades | mean gross % | mean net % | hits % | p against placebo dates |", made)


def leak_or_official() -> str:
    """SMIC in Hong Kong on the two measures whose leak has another day 0 than the official word."""
    found = {
        stamp: rerun(
            "us-measures-chinese-tech", '"forecast_error_t"', ('stamp = "first_public_at"', f'stamp = "{stamp}"')
        )
        for stamp in ("first_public_at", "announced_at")
    }
    made = []
    for event in ("B08", "B11"):
        cells = [event]
        for result in found.values():
            row = at(result, "cars", 0, 0, event_id=event, symbol="0981.HK").row(0, named=True)
            day = (
                result.tables["events"]
                .filter(pl.col("event_id") == event, pl.col("symbol") == "0981.HK")["event_day"]
                .item()
            )
            cells += [str(day), pc(row["car"])]
        made.append(cells)
    return lines("| event | day 0 of the leak | AR % | day 0 of the official word | AR % |", made)


def chain_in_tokyo() -> str:
    """Day 0 of SoftBank, Toyota and Honda, step by step."""
    cars = at(golden("us-japan-550bn"), "cars", 0, 0)
    steps = {
        "A06": "the deal", "A09": "signing", "A14": "summit", "A20": "first shortlist", "A22": "finalists; no decision (A23)",
        "A24": "first projects",
    }  # fmt: skip
    made = []
    for event, said in steps.items():
        cells = [f"{event} {said}"]
        for symbol in ("9984.T", "7203.T", "7267.T"):
            row = cars.filter(pl.col("event_id") == event, pl.col("symbol") == symbol)
            cells += [f"{pc(row['car'].item())} ({row['t'].item():.1f})" if len(row) else ""]
        made.append(cells)
    return lines("| step | SoftBank % (t) | Toyota % (t) | Honda % (t) |", made)


def softbank_pairs() -> str:
    """Every pair of softbank-deals on day 0."""
    result = golden("softbank-deals")
    cars, tests = at(result, "cars", 0, 0), at(result, "event_significance", 0, 0)
    names = {"C07": "Arm", "C08": "Alibaba's split", "C09": "Alibaba shares sold", "C10": "Stargate", "C11": "Ampere"}
    made = []
    for row in cars.sort("event_id", "symbol").iter_rows(named=True):
        own = tests.filter(pl.col("event_id") == row["event_id"], pl.col("symbol") == row["symbol"])
        value = dict(own.select("test", "p_value").rows())
        made.append(
            [f"{row['event_id']} {names[row['event_id']]}, {row['symbol']}", pc(row["car"]), f"{row['t']:.1f}", p(value["sq"]),
             p(value["permutation"])]
        )  # fmt: skip
    return lines("| event, listing | AR % | t | p, `sq` | p, date permutation |", made)


def variance_of_meetings() -> str:
    """The variance tests of high-level-meetings, on returns in place of their size."""
    outcome = ('name = "absolute_return"', 'name = "return"')
    result = rerun("high-level-meetings", '"variance_rank", "variance_bmp"', outcome)
    made = []
    for group in ("apart=yes", "all", "firm=KWEB", "firm=MCHI", "firm=FXI", "firm=STAR 50"):
        rows = at(result, "significance", 0, 1, group=group)
        value = {r["test"]: r for r in rows.to_dicts()}
        made.append(
            [f"`{group}`", str(value["variance_rank"]["n"])]
            + [
                c
                for t in ("variance_rank", "variance_bmp")
                for c in (f"{value[t]['statistic']:+.2f}", p(value[t]["p_value"]))
            ]
        )
    return lines("| group | n | `variance_rank` | p | `variance_bmp` | p |", made)


def crude_by_event() -> str:
    """The size of the moves of crude-volatility, event by event."""
    result = golden("crude-volatility")
    names = {"A21": "licence", "A22": "shortlist", "A24": "announcement"}
    made = []
    for group in (*(f"event_id={e}" for e in names), "all"):
        row = at(result, "significance", 0, 0, group=group, test="permutation").row(0, named=True)
        event = group.removeprefix("event_id=")
        said = f"{event} {names[event]}" if event in names else "all"
        made.append([said, str(row["n"]), pc(row["estimate"]), p(row["p_value"])])
    return lines("| event | n | larger than expected by, points | p, date permutation |", made)


TABLES: dict[tuple[str, str], Callable[[], str]] = {
    ("us-measures-chinese-tech", "kinds"): measures_by_kind,
    ("us-measures-chinese-tech", "backtest"): measures_backtest,
    ("us-japan-550bn", "tokyo"): chain_in_tokyo,
    ("softbank-deals", "pairs"): softbank_pairs,
    ("crude-volatility", "events"): crude_by_event,
}
RERUN: dict[tuple[str, str], Callable[[], str]] = {
    ("us-measures-chinese-tech", "leaks"): leak_or_official,
    ("high-level-meetings", "variance"): variance_of_meetings,
}


def shown(study: str, name: str) -> str:
    """The table as it stands in the README."""
    text = (STUDIES / study / "README.md").read_text(encoding="utf-8")
    return text.partition(f"<!-- {name}:start -->\n")[2].partition(f"<!-- {name}:end -->")[0]


if __name__ == "__main__":
    for (study, name), table in {**TABLES, **RERUN}.items():
        path = STUDIES / study / "README.md"
        before, start, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name}:start -->\n")
        assert start, (study, name)
        path.write_text(before + start + table() + rest[rest.index(f"<!-- {name}:end -->") :], encoding="utf-8")
