"""What the types of the tables cannot say: names that must exist, windows that must fit, keys that exclude each other."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import SpecError, hint
from engine.files import is_plain
from engine.formula import parse_formula
from engine.sessions import FARTHEST
from engine.spec.alternatives import backtest_problems, grid_problems
from engine.spec.claims import certificate_problems, chart_problems, claim_problems
from engine.spec.design import MODEL_KEYS, Known, StudySpec
from engine.spec.ends import end_problems

SELECTABLE = ("kind", "set", "ids", "symbols", "claims", "roles")
OPTIONAL_FACTORS = frozenset({"custom"})  # models that take factors where there are some


def contradictions(spec: StudySpec, known: Known) -> Iterator[str]:
    """What the types cannot say: names that must exist, windows that must fit."""
    if (spec.events.file is None) == (spec.events.calendar is None):
        yield '[events] needs exactly one of file = "events.csv" and calendar = "../calendar".'
    if spec.events.select and spec.events.calendar is None:
        yield "[events] select: picks rows of a calendar; with file, keep only the rows wanted."
    for key in spec.events.select:
        if key not in SELECTABLE:
            yield f'[events] select: unknown key "{key}". {hint(key, SELECTABLE)}'
    if spec.events.joint and spec.contamination.policy == "exclude":
        yield (
            '[contamination] policy = "exclude" leaves nothing to [events] joint = true: it takes out the overlapping events '
            'that the joint regression tells apart. Use "flag" or "trim_estimation", or joint = false.'
        )
    yield from _names("model", "name", "model", [spec.model.name], known.models)
    yield from _names("outcome", "name", "outcome", [spec.outcome.name], known.outcomes)
    if spec.outcome.name != "return":
        yield from _outcome_problems(spec)
    if spec.prices.missing == "trade_to_trade":
        yield from _trade_to_trade_problems(spec, known)
    yield from _names("significance", "tests", "significance test", spec.significance.tests, known.tests)
    yield from _names("report", "charts", "chart", spec.report.charts, known.charts)
    for name in sorted({n for n in spec.significance.group_by if spec.significance.group_by.count(n) > 1}):
        yield f'[significance] group_by: "{name}" stands there more than once.'
    for sample, columns in spec.significance.samples.items():
        if not columns:
            yield f'[significance] samples.{sample} names no column. Write for example {sample} = {{event_id = ["A24"]}}.'
    for basket, members in spec.benchmark.baskets.items():
        for name in sorted({m for m in members if members.count(m) > 1}):
            yield f'[benchmark] baskets.{basket}: "{name}" stands there more than once.'
    yield from _window_problems(spec)
    yield from end_problems(spec.windows.named, known.stamps)
    yield from _deal_problems(spec)
    yield from _factor_problems(spec, known)
    yield from _calendar_time_problems(spec)
    yield from _crosssection_problems(spec, known)
    yield from _control_problems(spec)
    yield from claim_problems(spec.claims, spec.windows.car, spec.significance.tests, known.claimable)
    yield from certificate_problems(spec.certificate)
    yield from chart_problems(spec.report.charts, spec.certificate)
    yield from grid_problems(spec, known)
    yield from backtest_problems(spec)
    if spec.model.name in known.models:
        yield from _model_problems(spec)
    asked = sorted(set(spec.significance.tests) & known.resampling)
    if asked and spec.resampling is None:
        yield f"[resampling] is required by {', '.join(asked)}: write seed and draws, for example seed = 1 and draws = 9999."


def _trade_to_trade_problems(spec: StudySpec, known: Known) -> Iterator[str]:
    """What returns over several sessions do not go with."""
    said = '[prices] missing = "trade_to_trade"'
    if spec.prices.returns != "log":
        yield f'{said} adds the benchmark\'s returns over the sessions without a price: it needs returns = "log".'
    if spec.model.name in known.models and spec.model.name not in known.bridged:
        yield f'{said} has no [model] name = "{spec.model.name}". Models with it: {", ".join(sorted(known.bridged))}.'
    others = {
        "[events] joint = true": spec.events.joint,
        f'[prices] currency = "{spec.prices.currency}"': spec.prices.currency != "local",
        "[benchmark] own_weight": bool(spec.benchmark.own_weight),
        f'[outcome] name = "{spec.outcome.name}"': spec.outcome.name != "return",
        "[calendar_time]": spec.calendar_time is not None,
        '[contamination] policy = "trim_estimation"': spec.contamination.policy == "trim_estimation",
    }
    for other, there in others.items():
        if there:
            yield f"{said} does not go with {other}, which takes every return as that of one session. Remove one of them."


def _outcome_problems(spec: StudySpec) -> Iterator[str]:
    """What has a meaning for returns alone."""
    said = f'[outcome] name = "{spec.outcome.name}" is no return'
    if spec.prices.currency != "local":
        yield f'{said}, and [prices] currency = "{spec.prices.currency}" converts returns. Use "local".'
    if spec.benchmark.own_weight:
        yield f"{said}, and [benchmark] own_weight takes a listing's return out of its index. Use a basket, which leaves it out."
    if spec.factors is not None and spec.factors.set is not None:
        yield f"{said}, and the factors of [factors] set are. Use columns of the snapshot."
    if spec.model.name == "raw":
        yield f'{said}, and the model "raw" would take its level for abnormal. Use "mean_adjusted".'
    if spec.calendar_time is not None:
        yield f"{said}, and [calendar_time] holds portfolios of returns. Remove the table."
    for test in (t for t in spec.significance.tests if t.startswith("bhar")):
        yield f'{said}, and the test "{test}" is of buy-and-hold returns. Remove it.'


def _control_problems(spec: StudySpec) -> Iterator[str]:
    controls = spec.resampling.controls if spec.resampling is not None else []
    if controls and "firm_permutation" not in spec.significance.tests:
        yield '[resampling] controls are listings for the test "firm_permutation", which [significance] tests does not ask for.'
    for name in sorted({c for c in controls if controls.count(c) > 1}):
        yield f'[resampling] controls: "{name}" stands there more than once.'


def _deal_problems(spec: StudySpec) -> Iterator[str]:
    if spec.deals is not None and spec.outcome.name != "return":
        yield f'[deals] turns returns into money, and [outcome] name = "{spec.outcome.name}" is none. Remove one of them.'
    for currency, rate in spec.deals.rates.items() if spec.deals is not None else ():
        if spec.deals is not None and currency == spec.deals.currency and rate != 1:
            yield f"[deals] rates.{currency} = {rate:g}: one {currency} is one {currency}. Remove it."


def _factor_problems(spec: StudySpec, known: Known) -> Iterator[str]:
    takes = spec.model.name in known.factor_models
    factors = spec.factors
    if factors is None:
        if takes and spec.model.name not in OPTIONAL_FACTORS:
            yield (
                f'[factors] is required by the model "{spec.model.name}": columns = ["BZ=F"], series of the snapshot, or '
                'set = "ff3".'
            )
        return
    if not takes and spec.model.name in known.models:
        taking = ", ".join(f'"{name}"' for name in sorted(known.factor_models))
        yield f'[factors] is used by the model {taking} only, and [model] name = "{spec.model.name}". Change one of them.'
    if factors.set is None and not factors.columns:
        yield '[factors] needs columns = ["BZ=F"], series of the snapshot, or set = "ff3", or both: columns of the set.'
    if factors.excess and factors.of_file is None:
        yield "[factors] excess = true takes the risk-free rate from the column RF of a file: give the set of one, such as ff3."
    if factors.is_world and factors.columns:
        yield f'[factors] set = "{factors.set}" has its factors; leave out columns, or list all of them there and leave out set.'
    if factors.is_world and spec.sessions.calendar == "benchmark":
        yield (
            f'[factors] set = "{factors.set}" takes the last US close before each close of the listing\'s exchange: it needs '
            '[sessions] calendar = "exchange".'
        )
    if factors.us != "^GSPC" and not factors.is_world:
        yield '[factors] us is the index of set = "local_us_fx" alone. Remove it.'
    if factors.of_file is not None and spec.prices.returns == "log":
        yield (
            '[factors] set holds simple returns, which have no counterpart in [prices] returns = "log". Use returns = "simple", '
            "or columns of the snapshot."
        )
    for name in factors.columns if factors.set is None else ():
        if not is_plain(name):
            yield f'[factors] columns: "{name}" is empty or holds a part of a path. A symbol is a plain name such as BZ=F.'
    for name in sorted({n for n in factors.columns if factors.columns.count(n) > 1}):
        yield f'[factors] columns: "{name}" stands there more than once.'


def _calendar_time_problems(spec: StudySpec) -> Iterator[str]:
    rule = spec.calendar_time
    if rule is None:
        if "calendar_time" in spec.report.charts:
            yield '[report] charts = "calendar_time" shows the portfolios of the table [calendar_time], which is not there.'
        return
    if (rule.hold is None) == (rule.months is None):
        yield "[calendar_time] needs exactly one of hold = [1, 252], sessions relative to day 0, and months = 12."
    elif rule.hold is not None and rule.frequency == "monthly":
        yield (
            f'[calendar_time] hold = {rule.hold} counts sessions, and frequency = "monthly" needs whole months: a firm held in a '
            'part of a month has no return of that month. Use months = 12, or frequency = "daily".'
        )
    if rule.hold is not None and (rule.hold[0] > rule.hold[1] or max(map(abs, rule.hold)) > FARTHEST):
        yield (
            f"[calendar_time] hold = {rule.hold}: the first session must not be after the last, and neither farther than "
            f"{FARTHEST} from day 0."
        )
    if rule.min_history > rule.history:
        yield f"[calendar_time] min_history = {rule.min_history} is more than history = {rule.history}, the periods looked at."
    for name in sorted({w for w in rule.weights if rule.weights.count(w) > 1}):
        yield f'[calendar_time] weights: "{name}" stands there more than once.'


def _crosssection_problems(spec: StudySpec, known: Known) -> Iterator[str]:
    """A formula is read here and nowhere run: what the grammar does not know goes no further."""
    chosen = spec.crosssection
    if chosen is None:
        if "crosssection_partial" in spec.report.charts:
            yield '[report] charts = "crosssection_partial" shows the table [crosssection], which is not there.'
        return
    yield from _names("crosssection", "covariance", "covariance", chosen.covariance, known.covariances)
    if not chosen.formulas:
        yield '[crosssection] formula is empty: write "car ~ C(kind) + log(value)", or {base = "car ~ ...", full = "car ~ ..."}.'
    for name, text in chosen.formulas.items():
        place = f"formula.{name}" if isinstance(chosen.formula, dict) else "formula"
        try:
            parse_formula(text)
        except SpecError as error:
            yield f"[crosssection] {place}: {error}"
    for window in chosen.windows:
        if window not in spec.windows.car:
            yield f"[crosssection] windows = {window} is not one of [windows] car = {spec.windows.car}."
        elif chosen.windows.count(window) > 1:
            yield f"[crosssection] windows: {window} stands there more than once."


def _model_problems(spec: StudySpec) -> Iterator[str]:
    """Keys of ``[model]`` that the model does not take, lacks, or whose values leave it nothing to estimate from."""
    model, own = spec.model, MODEL_KEYS.get(spec.model.name, {})
    for name, keys in MODEL_KEYS.items():
        for key in keys:
            if key not in own and getattr(model, key) is not None:
                yield f'[model] {key} is used by the model "{name}" only, and name = "{model.name}". Remove it.'
    for key in ("file", "function"):
        if key in own and not getattr(model, key):
            yield f'[model] {key} is required by the model "custom": file = "my_model.py", function = "my_model".'
    if model.peers is not None and model.peers not in spec.benchmark.baskets:
        baskets = hint(model.peers, spec.benchmark.baskets) if spec.benchmark.baskets else "There is no basket."
        yield f'[model] peers = "{model.peers}" is no basket of [benchmark] baskets. {baskets}'
    if len(model.estimation_window) != 2:
        return
    days = len(spec.estimation_window) if model.estimation_window[0] <= model.estimation_window[1] else 0
    asked = {
        "leads_lags": 2 * (model.leads_lags or 0) + 3,
        "window": (model.window or 0) + 2,
        "half_life": 2 * (model.half_life or 0) + 2,
    }
    for key in asked:
        if key in own and days < asked[key]:
            yield (
                f"[model] {key} = {getattr(model, key)} needs an estimation_window of {asked[key]:,.0f} days or more, "
                f"{model.estimation_window} has {days}. Lower it, or start the window earlier."
            )


def _names(table: str, key: str, noun: str, read: list[str], known: frozenset[str]) -> Iterator[str]:
    for name in read:
        if name not in known:
            yield f'[{table}] {key} = "{name}" is not {_article(noun)} {noun}. {hint(name, known)}'
    for name in sorted({n for n in read if read.count(n) > 1}):
        yield f'[{table}] {key}: "{name}" stands there more than once.'


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _window_problems(spec: StudySpec) -> Iterator[str]:
    pairs = [
        ("[model] estimation_window", spec.model.estimation_window),
        ("[windows] event", spec.windows.event),
        *(("[windows] car", w) for w in spec.windows.car),
    ]
    shaped = True
    for place, pair in pairs:
        if len(pair) != 2:
            yield f"{place} = {pair}: a window has two days, [first, last]."
            shaped = False
        elif max(map(abs, pair)) > FARTHEST:
            yield f"{place} = {pair} reaches farther than {FARTHEST} sessions from day 0, more than any series has."
            shaped = False
        elif pair[0] > pair[1]:
            yield f"{place} = {pair} is reversed: the first day must not be after the last."
            shaped = False
    if not shaped:
        return
    if spec.estimation_window.end >= spec.event_window.start:
        yield (
            f"[model] estimation_window = {spec.estimation_window} overlaps or follows [windows] event = "
            f"{spec.event_window}: it must end before the event window starts."
        )
    if spec.model.min_estimation_days > len(spec.estimation_window):
        yield (
            f"[model] min_estimation_days = {spec.model.min_estimation_days} is more than the "
            f"{len(spec.estimation_window)} days of estimation_window = {spec.estimation_window}."
        )
    for window in spec.car_windows:
        if window not in spec.event_window:
            yield f"[windows] car = {window} is not inside [windows] event = {spec.event_window}."
    for window in sorted({w for w in spec.car_windows if spec.car_windows.count(w) > 1}):
        yield f"[windows] car: {window} stands there more than once."
