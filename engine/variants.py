"""The study as a combination of ``[grid]`` would have it; prices are read once, for all of them."""

from __future__ import annotations

from dataclasses import replace

from engine.benchmarks import listing_choices, rows_of_choice
from engine.errors import SpecError
from engine.inputs import Study, known_names
from engine.joint import JOINT_MODELS
from engine.models import WITH_FACTORS
from engine.spec.alternatives import Choice, design_of
from engine.spec.consistency import contradictions


def variant_of(study: Study, choice: Choice, tests: list[str]) -> Study:
    """The study with one combination of choices, as it would be loaded with them written in its study.toml.

    tests: of a whole sample. Raises SpecError where the choices do not go together.
    """
    spec = design_of(study.spec, choice, tests)
    problems = list(contradictions(spec, known_names(frozenset())))
    if problems:
        raise SpecError(problems[0])
    if spec.events.joint and spec.model.name not in JOINT_MODELS:
        raise SpecError(f'[events] joint = true has no regression for the model "{spec.model.name}".')
    table = rows_of_choice(study.announcements.table, choice)
    exchanges, benchmarks = listing_choices(spec, table, study.snapshot.listings)
    takes = spec.model.name in WITH_FACTORS and spec.factors is not None
    gone = set() if takes else {one.symbol for one in study.market.factors} - set(study.market.series)
    market = replace(
        study.market,
        venues={symbol: venue for symbol, venue in study.market.venues.items() if symbol not in gone},
        log_returns=spec.prices.returns == "log",
        factors=study.market.factors if takes else (),
        riskfree=study.market.riskfree if takes else None,
        own_weight=spec.benchmark.own_weight,
    )
    return replace(
        study,
        spec=spec,
        announcements=replace(study.announcements, table=table),
        exchanges=exchanges,
        benchmarks=benchmarks,
        market=market,
    )
