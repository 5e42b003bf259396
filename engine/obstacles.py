"""What a run in parts cannot do: named, so that nothing is left out in silence."""

from __future__ import annotations

from collections.abc import Iterator

from engine.announcements import Announcements
from engine.kernel import LINEAR
from engine.significance import EVENT_TESTS, FIRM_TESTS, PSEUDO_DATE_TESTS, REGRESSION_TESTS
from engine.spec import StudySpec


def obstacles(spec: StudySpec, announcements: Announcements) -> Iterator[str]:
    """What of the study needs all its prices, or all its days, in memory at once."""
    if spec.model.name not in LINEAR:
        yield f'[model] name = "{spec.model.name}"'
    if spec.prices.missing != "exclude":
        yield f'[prices] missing = "{spec.prices.missing}"'
    if spec.prices.currency != "local":
        yield f'[prices] currency = "{spec.prices.currency}"'
    if spec.outcome.name != "return":
        yield f'[outcome] name = "{spec.outcome.name}"'
    if spec.benchmark.baskets or spec.benchmark.own_weight:
        yield "[benchmark] baskets and own_weight"
    if spec.factors is not None and spec.factors.is_world:
        yield f'[factors] set = "{spec.factors.set}"'
    if spec.events.joint:
        yield "[events] joint"
    if spec.contamination.policy == "trim_estimation":
        yield '[contamination] policy = "trim_estimation"'
    if spec.windows.named:
        yield "[windows] named"
    for name in ("deals", "calendar_time", "crosssection", "grid", "backtest", "certificate"):
        if getattr(spec, name) is not None:
            yield f"[{name}]"
    if spec.claims:
        yield "[claims]"
    if "event_panel" in spec.report.charts:
        yield "the chart event_panel"
    whole = (PSEUDO_DATE_TESTS | FIRM_TESTS | REGRESSION_TESTS) & set(spec.significance.tests)
    single = {t for t in spec.significance.tests if t in EVENT_TESTS} - {"forecast_error_t"}
    for test in sorted(whole | single):
        yield f"the test {test}"
    attributes = announcements.attributes
    if "firm" in attributes.columns and attributes["firm"].null_count() < len(attributes):
        yield "the column firm of the calendar"
    if len(announcements.elsewhere):
        yield "further events of the calendar for the same firms"
