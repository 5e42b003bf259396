"""Which test when: advice from the shape of the study, so that a p-value is read from a test that fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from engine.report.formats import FEWEST_FOR_STARS
from engine.report.surroundings import Facts, remarks_on

LONG_HORIZON_DAYS = 60
FEW_FIRMS = 5
VOLATILITY = frozenset({"variance_rank", "variance_bmp"})


@dataclass(frozen=True)
class Advice:
    """The case a study is, why, the tests to read first, and the tests not to rely on alone."""

    case: str
    shape: str
    read: tuple[str, ...]
    careful: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def advise(
    event_days: Sequence[Hashable], symbols: Sequence[str], longest_window: int = 1, windows: int = 1, groups: int = 1,
    known: Facts | None = None, tests_asked: Collection[str] = (),
) -> Advice:  # fmt: skip
    """Advice for N events: the event day and the listing of each, the longest CAR window in days, windows and groups.

    known: what else happened; without it every listing is a firm of its own. tests_asked: of the study.
    """
    known = Facts(symbols) if known is None else known
    firms = len(set(known.firms))
    n, per_day = len(event_days), Counter(event_days)
    busiest = max(per_day.values(), default=0)
    shape = (
        f"N = {n}, {len(set(symbols))} {'listing' if len(set(symbols)) == 1 else 'listings'}, "
        f"{len(per_day)} distinct event {'day' if len(per_day) == 1 else 'days'}, at most {busiest} on one day"
    )
    remarks = (
        *_remarks(n, len(per_day), busiest, longest_window, windows, groups),
        *_volatility(len(per_day), n, tests_asked),
        *remarks_on(known),
    )
    tests: tuple[str, ...]
    if n <= 1:
        tests = ("sq", "forecast_error_t", "permutation")
        return Advice("one firm, one event", shape, tests, remarks=remarks)
    if firms == 1 and len(set(symbols)) > 1:
        tests = ("sq", "forecast_error_t", "permutation")
        return Advice("one firm, several lines", shape, tests, ("kolari_pynnonen", "bmp", "cross_sectional_t"), remarks)
    if len(per_day) == 1:
        tests = ("kolari_pynnonen", "grank_t", "portfolio_t", "permutation")
        return Advice("many firms, one date", shape, tests, ("bmp", "patell", "cross_sectional_t"), remarks)
    if n < FEWEST_FOR_STARS:
        tests = ("sq", "forecast_error_t", "permutation")
        return Advice("few events on several dates", shape, tests, ("patell", "bmp", "cross_sectional_t"), remarks)
    if firms <= FEW_FIRMS:
        tests = ("permutation", "sq", "forecast_error_t")
        return Advice("few firms, several dates", shape, tests, ("cross_sectional_t", "patell", "bmp"), remarks)
    tests = ("kolari_pape_pynnonen", "corrado_zivney", "generalized_sign")
    if busiest > 1 and 2 * len(per_day) <= n:
        return Advice(
            "many events in clusters of dates", shape, ("permutation", *tests), ("bmp", "patell"), remarks
        )  # fmt: skip
    return Advice("many firms, many dates", shape, tests, ("patell", "kolari_pynnonen"), remarks)


def _remarks(n: int, days: int, busiest: int, longest_window: int, windows: int, groups: int) -> tuple[str, ...]:
    said = []
    if n < FEWEST_FOR_STARS:
        said.append("Fewer than 10 events: no stars, CARs event by event, exact or permutation p-values.")
    if days > 1 and n >= FEWEST_FOR_STARS:
        said.append(
            "On different dates kolari_pynnonen also counts pairs of events whose days never meet, and rejects too seldom; "
            "kolari_pape_pynnonen counts the shared days only."
        )
    if n > 1 and days == 1:
        said.append(
            "On one date the events share the day's shock: tests that assume independence reject far too often; "
            "firm_permutation asks whether they moved more than other listings did that day."
        )
    elif busiest > 1:
        said.append("Events of one date are one cluster; permutation moves them together.")
    if longest_window > LONG_HORIZON_DAYS:
        said.append(
            "Long horizon: the alpha of a calendar-time portfolio (table [calendar_time]), which allows for events that overlap, "
            "and bhar_bootstrap, which allows for skewness; cross_sectional_t and bmp of long CARs for neither."
        )
    if windows * groups > 1:
        said.append(
            f"{windows} windows and {groups} {'group' if groups == 1 else 'groups'}: the Holm, Benjamini-Hochberg and "
            "Romano-Wolf columns correct over the windows of one test and group, those that end in _groups also over the "
            "groups of one column (claims, where they are the groups); none corrects over tests."
        )
    return tuple(said)


def _volatility(days: int, n: int, asked: Collection[str]) -> tuple[str, ...]:
    """Which test of variance fits, where the study asks for one."""
    if not VOLATILITY & set(asked) or n < 2:
        return ()
    shared = days < n
    first = "variance_rank" if shared or n < FEWEST_FOR_STARS else "variance_rank and variance_bmp"
    why = (
        "variance_bmp takes events as independent, and those of one date are not"
        if shared
        else "variance_bmp rejects somewhat too often with fat tails, and needs many events"
    )
    return (f"Volatility: read {first}; {why}. A large mean effect makes |AR| large too: read the mean first.",)
