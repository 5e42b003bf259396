"""docs/size-power.md, its picture and the table in the README, made from docs/size-power.csv by `size_power.py --write`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.patches import Rectangle
from simulated_markets import EFFECTS, ESTIMATION, SCENARIOS, SEED, SESSIONS, WINDOWS

from engine.report.style import GREY, Words, blank, compose, save, style
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

DOCS = Path(__file__).parents[1] / "docs"
README = DOCS.parent / "README.md"
PAGE, PICTURE = DOCS / "size-power.md", DOCS / "size-power.png"
Row = dict[str, str]
START, END = "<!-- size-power:start -->\n", "<!-- size-power:end -->\n"
MOST_USED = (
    "cross_sectional_t", "patell", "bmp", "kolari_pynnonen", "kolari_pape_pynnonen", "portfolio_t", "corrado_zivney",
    "grank_t", "generalized_sign", "permutation", "wild_bootstrap",
)  # fmt: skip
# Upper ends of the classes of a rejection rate, in percent, with the colour of each; the third class holds its size.
CLASSES = ((1, "#7FB4D6"), (3, "#CFE3F0"), (7, "#FFFFFF"), (12, "#FBE3D2"), (25, "#F2B48C"), (101, "#DD7A3F"))
SHORT = {
    "null": "null", "null_one_date": "null, one date", "variance": "sd x 1.5", "variance_one_date": "sd x 1.5, one date",
    "correlation_0.1": "corr. 0.1", "correlation_0.2": "corr. 0.2", "staggered": "staggered firms",
    "thin": "thin trading", "unequal": "unequal histories", "heavy_tails": "heavy tails", "missing": "missing days",
}  # fmt: skip


def page(rows: Sequence[Row]) -> str:
    """The page in Markdown."""
    first = f"[{WINDOWS[0].start}, {WINDOWS[0].end}]"
    counts = [
        int(r["replications"]) for r in rows if r["test"] == "bmp" and r["window_start"] == "0" and r["effect"] == "0"
    ]
    few, most = min(counts), max(counts)
    lines = [
        "# Size and power of every test",
        "",
        "How often each test rejects at a nominal 5 %, two-sided, in markets whose truth is known. Size: nothing happens on",
        "day 0, so 5 is right. Power: every firm gains 0.5, 1 or 2 % on day 0.",
        "",
        f"![Rejection rate of every test in every scenario, 50 events, {first}](size-power.png)",
        "",
        f"Market model on [{ESTIMATION.start}, {ESTIMATION.end}] (120 days), event window {WINDOWS[1]}, {SESSIONS} sessions;",
        "market sd 1 %, residual sd 2 %, beta 0.5 to 1.5; the event-day sd x 1.5 is on day 0 alone. "
        f"Replications: {most if few == most else f'{few} to {most}'} for [0, 0],",
        "fewer for the long window, for power, and for tests that resample (499 draws) or are of one event; the number, the",
        "share that the test answers, and the 95 % band of every rate are in [size-power.csv](size-power.csv). "
        f"Seed {SEED}. What",
        "`variance_rank` and `variance_bmp` reject under sd x 1.5 is their power: they test the variance.",
        "",
        "`python tests/size_power.py --write` makes the table; with `--tests`, `--scenarios` or `--n` only those rows anew.",
        "`make size` compares it with the engine as it is. **Bold**: the band lies above 5 and the rate above 7. *Italic*: the",
        "band lies below 5 and the rate below 3. `-`: the test does not answer there, and the result says why.",
        "",
        "| scenario | what |",
        "|---|---|",
        *(f"| {SHORT[name]} | {kind.words} |" for name, kind in SCENARIOS.items()),
    ]
    for window in WINDOWS:
        for n in sizes(rows):
            lines += ["", f"## Size in {window}, {n} events, %", "", *_size_table(rows, n, str(window.start))]
    for scenario in ("null", "null_one_date", "variance"):
        lines += ["", f"## Power in [0, 0], {SHORT[scenario]}, %", "", *_power_table(rows, scenario)]
    return "\n".join(lines) + "\n"


def sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({int(r["n"]) for r in rows})


def tests_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Kind and name of every test, in the order of the registries."""
    order = [*(("group", t) for t in SIGNIFICANCE_TESTS), *(("event", t) for t in EVENT_TESTS)]
    present = {(r["kind"], r["test"]) for r in rows}
    return [t for t in order if t in present]


def named(kind: str, name: str) -> str:
    return f"{name} (one event)" if kind == "event" else name


def _size_table(rows: Sequence[Row], n: int, start: str) -> list[str]:
    cells = {
        (r["kind"], r["test"], r["scenario"]): shown(r)
        for r in rows
        if r["n"] == str(n) and r["window_start"] == start and float(r["effect"]) == 0
    }
    return [
        "| test | " + " | ".join(SHORT.values()) + " |",
        "|---|" + "---:|" * len(SHORT),
        *(f"| {named(*t)} | " + " | ".join(cells.get((*t, s), "") for s in SHORT) + " |" for t in tests_of(rows)),
    ]


def _power_table(rows: Sequence[Row], scenario: str) -> list[str]:
    cells = {
        (r["kind"], r["test"], r["n"], float(r["effect"])): percent(r)
        for r in rows
        if r["scenario"] == scenario and r["window_start"] == "0"
    }
    columns = [(str(n), effect) for n in sizes(rows) for effect in EFFECTS[1:]]
    return [
        "| test | " + " | ".join(f"N = {n}, {effect:.1%}".replace("%", " %") for n, effect in columns) + " |",
        "|---|" + "---:|" * len(columns),
        *(f"| {named(*t)} | " + " | ".join(cells.get((*t, *c), "") for c in columns) + " |" for t in tests_of(rows)),
    ]


def in_readme(rows: Sequence[Row]) -> str:
    """The short table of the README: the most used tests, 50 events, day 0."""
    shorter = ("null", "variance", "correlation_0.1", "correlation_0.2", "staggered", "thin", "heavy_tails")
    chosen = [r for r in rows if (r["kind"], r["n"], r["window_start"]) == ("group", "50", "0")]
    cells = {(r["test"], r["scenario"]): shown(r) for r in chosen if float(r["effect"]) == 0}
    power = {r["test"]: percent(r) for r in chosen if r["scenario"] == "null" and float(r["effect"]) == 0.005}
    lines = [
        "| test | " + " | ".join(SHORT[s] for s in shorter) + " | power, 0.5 % |",
        "|---|" + "---:|" * (len(shorter) + 1),
        *(f"| {t} | " + " | ".join(cells[t, s] for s in shorter) + f" | {power[t]} |" for t in MOST_USED),
    ]
    return START + "\n".join(lines) + "\n" + END


def percent(r: Row) -> str:
    return f"{100 * float(r['rejection_rate']):.1f}" if r["rejection_rate"] else "-"


def shown(r: Row) -> str:
    """The rate in percent, marked where the test fails."""
    if too_often(r):
        return f"**{percent(r)}**"
    return f"*{percent(r)}*" if too_seldom(r) else percent(r)


def too_often(r: Row) -> bool:
    return bool(r["rejection_rate"]) and float(r["rejection_rate"]) > 0.07 and float(r["band_low"]) > 0.05


def too_seldom(r: Row) -> bool:
    return bool(r["rejection_rate"]) and float(r["rejection_rate"]) < 0.03 and float(r["band_high"]) < 0.05


def picture(rows: Sequence[Row]) -> bytes:
    """Tests by scenarios, 50 events in [0, 0]: the rate in each cell, coloured by how far it is from 5 %."""
    cells = {
        (r["kind"], r["test"], r["scenario"]): r
        for r in rows
        if (r["n"], r["window_start"]) == ("50", "0") and float(r["effect"]) == 0
    }
    tests = tests_of(rows)
    with style():
        figure = blank(2.2 + 0.19 * len(tests))
        words = Words(
            "Which test holds its size where",
            "Share of null samples that are rejected at a nominal 5 %, in percent; 50 events, day 0 alone",
            "White: 3 to 7 %, or 5 % is within the band. Orange: rejects too often. Blue: too seldom. Empty: no answer there. "
            "variance_rank and variance_bmp test the variance: under sd x 1.5 theirs is power.",
            "Simulation: tests/size_power.py",
        )
        axes = compose(figure, words, left=1.95)
        axes.set(xlim=(-0.5, len(SHORT) - 0.5), ylim=(len(tests) - 0.5, -0.5))
        for y, test in enumerate(tests):
            for x, scenario in enumerate(SHORT):
                found = cells.get((*test, scenario))
                if found is None or not found["rejection_rate"]:
                    continue
                rate = 100 * float(found["rejection_rate"])
                chance = float(found["band_low"]) <= 0.05 <= float(found["band_high"])
                colour = "#FFFFFF" if chance else next(c for end, c in CLASSES if rate < end)
                axes.add_patch(_square(x, y, colour))
                axes.text(x, y, f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}", ha="center", va="center", fontsize=7)
        axes.set_yticks(range(len(tests)), [named(*t) for t in tests], fontsize=7.5)
        axes.set_xticks(range(len(SHORT)), [s.replace(", ", ",\n").replace(" ", "\n", 1) for s in SHORT.values()])
        axes.tick_params(length=0, labelsize=7)
        axes.tick_params(axis="x", labelcolor=GREY)
        for side in axes.spines.values():
            side.set_visible(False)
        return save(figure, "png")


def _square(x: float, y: float, colour: str) -> Rectangle:
    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="#E3E3E3", linewidth=0.4)


def write(rows: Sequence[Row]) -> None:
    PAGE.write_text(page(rows), encoding="utf-8")
    PICTURE.write_bytes(picture(rows))
    before, rest = README.read_text(encoding="utf-8").split(START)
    README.write_text(before + in_readme(rows) + rest.split(END)[1], encoding="utf-8")
