"""Verdicts of simulated studies whose truth is known: `make verdicts` runs each scenario and holds the rates against it.

    python tests/verdict_rates.py                       every scenario, 200 studies each: some minutes on two cores
    python tests/verdict_rates.py --runs 20 --scenarios effect absent

Every study is written to disk, read, run and judged as a user's would be: twenty events, the claim that day 0 is above zero.
What is stated: a true null is called supported, or contradicted, in at most 5 % of studies each; an effect of the smallest size
that the certificate says is found in 80 % is supported in about 80 %; calibrated p-values are below 5 % as often as that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from conftest import make_study, returns, run, weekdays, write_rows
from scipy import stats

N, SESSIONS, RUNS, SEED = 20, 320, 200, 20261107
ALPHA, NOISE, BIG = 0.05, 0.02, 0.025
SUPPORTED, CONTRADICTED = "supported", "contradicted"


@dataclass(frozen=True)
class Scenario:
    """What happens. effect: on day 0. spread: of day 0's residual. rho: correlation of the residuals of a day. one_date: all
    events on one day. contaminated: every other event has news of another kind on the same day, worth `BIG`, and the effect is
    theirs alone. policy: of ``[contamination]``. test: of the claim."""

    words: str
    test: str
    effect: float = 0.0
    spread: float = 1.0
    rho: float = 0.0
    one_date: bool = False
    contaminated: bool = False
    policy: str = "flag"


SCENARIOS: dict[str, Scenario] = {
    "absent": Scenario("nothing happens", "bmp"),
    "effect": Scenario("every firm gains 2.5 %", "bmp", effect=BIG),
    "below": Scenario("every firm loses 2.5 %", "bmp", effect=-BIG),
    "variance": Scenario("only the spread of day 0 doubles", "bmp", spread=2.0),
    "variance, patell": Scenario("the same by a test that does not allow for it", "patell", spread=2.0),
    "one date": Scenario(
        "nothing happens to firms that share a day and shocks", "kolari_pynnonen", rho=0.2, one_date=True
    ),
    "one date, bmp": Scenario("the same by a test that does not allow for it", "bmp", rho=0.2, one_date=True),
    "one date, effect": Scenario(
        "every firm gains 2.5 % on that day", "kolari_pynnonen", effect=BIG, rho=0.2, one_date=True
    ),
    "contamination": Scenario(
        "other news moves half of the firms, left out", "bmp", contaminated=True, policy="exclude"
    ),
    "contamination kept": Scenario("other news moves half of the firms, kept", "bmp", contaminated=True),
}


@dataclass(frozen=True)
class Outcome:
    """What one study said. mde: NaN where it was not found."""

    verdict: str
    p: float
    calibrated: float
    mde: float


def one_study(name: str, number: int, effect: float | None = None) -> Outcome:
    """Simulate, write, run and read one study. effect: in place of the scenario's."""
    kind = SCENARIOS[name]
    rng = np.random.default_rng([SEED, sorted(SCENARIOS).index(name), number])
    dates = weekdays(SESSIONS)
    market = rng.normal(0.0003, 0.01, SESSIONS)
    shared = rng.normal(size=SESSIONS)
    at = np.full(N, 250) if kind.one_date else 160 + 7 * np.arange(N)
    files = {"MKT": returns(dates, market.tolist())}
    rows, lines = [], []
    for i in range(N):
        residual = NOISE * (np.sqrt(kind.rho) * shared + np.sqrt(1 - kind.rho) * rng.normal(size=SESSIONS))
        residual[at[i]] *= kind.spread
        dirty = kind.contaminated and i % 2 == 1
        residual[at[i]] += (kind.effect if effect is None else effect) + (2 * BIG if dirty else 0.0)
        files[f"S{i:02}"] = returns(dates, (rng.uniform(0.5, 1.5) * market + residual).tolist())
        for event_id, role in ((f"E{i:02}", "named"), (f"X{i:02}", "other"))[: 1 + dirty]:
            rows.append(_event(event_id, dates[at[i]], "measure" if role == "named" else "earnings"))
            lines.append(
                {"event_id": event_id, "symbol": f"S{i:02}", "role": role, "benchmark": "MKT", "expected_sign": "+"}
            )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "studies" / "one"
        write_rows(folder.parent / "calendar" / "events.csv", rows)
        write_rows(folder.parent / "calendar" / "exposures.csv", lines)
        chosen = {"file": None, "calendar": "../calendar", "select": {"kind": ["measure"]}}
        make_study(
            folder, [{"event_id": "unused", "symbol": "S00", "announced_at": dates[200]}], files,
            events=chosen,
            model={"estimation_window": [-110, -11], "min_estimation_days": 60},
            windows={"event": [-2, 2], "car": [[0, 0]]},
            significance={"tests": [kind.test]},
            contamination={"policy": kind.policy},
            limits={"max_excluded_share": 0.6},
            certificate={"seed": number + 1, "draws": 199, "effects": [0.02]},
            claims={"up": {"statement": "Up.", "sign": "+", "windows": [[0, 0]], "test": kind.test}},
        )  # fmt: skip
        found = run(folder).tables["verdicts"].to_dicts()[0]
    return Outcome(found["verdict"], found["p_value"], _number(found["p_calibrated"]), _number(found["mde"]))


def _event(event_id: str, day: str, kind: str) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "announced_at": day,
        "kind": kind,
        "set": "s",
        "source": "made up",
        "confidence": "high",
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def simulate(name: str, runs: int, workers: int, effect: float | None = None) -> list[Outcome]:
    """The outcomes of a scenario in order, the same for any number of workers."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(one_study, [name] * runs, range(runs), [effect] * runs, chunksize=5))


def rates(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares of verdicts and of calibrated p-values below the level, and the mean smallest effect."""
    calibrated = np.array([o.calibrated for o in outcomes])
    return {
        "supported": float(np.mean([o.verdict == SUPPORTED for o in outcomes])),
        "contradicted": float(np.mean([o.verdict == CONTRADICTED for o in outcomes])),
        "calibrated": float(np.nanmean(calibrated <= ALPHA)) if np.isfinite(calibrated).any() else float("nan"),
        "mde": float(np.nanmean([o.mde for o in outcomes])),
    }


def at_most(rate: float, level: float, runs: int) -> bool:
    """Whether a rate may be that of a chance of ``level`` or less, at one in a thousand."""
    return float(stats.binom.sf(round(rate * runs) - 1, runs, level)) > 0.001


def at_least(rate: float, level: float, runs: int) -> bool:
    """Whether a rate may be that of a chance of ``level`` or more, at one in a thousand."""
    return float(stats.binom.cdf(round(rate * runs), runs, level)) > 0.001


def wrong(found: Mapping[str, Mapping[str, float]], runs: int) -> list[str]:
    """What the rates of the scenarios say against what is stated; the known failures must fail too."""
    said = []

    def must(name: str, which: str, holds: bool, wanted: str) -> None:
        if name in found and not holds:
            said.append(f"{name}: {which} {found[name][which]:.1%}, {wanted}")

    nothing = {"supported": float("nan"), "contradicted": float("nan"), "calibrated": float("nan")}
    for name in ("absent", "variance", "one date", "contamination"):
        one = found.get(name, nothing)
        for which in ("supported", "contradicted", "calibrated"):
            must(name, which, name in found and at_most(one[which], ALPHA, runs), "at most 5 % wanted")
    for name, which in (("effect", "supported"), ("below", "contradicted"), ("contamination kept", "supported")):
        must(name, which, name in found and at_least(found[name][which], 0.9, runs), "90 % or more wanted")
    for name in ("variance, patell", "one date, bmp"):
        must(
            name,
            "supported",
            name in found and not at_most(found[name]["supported"], ALPHA, runs),
            "too many wanted: it fails",
        )
    if "effect" in found and "below" in found:
        must("effect", "contradicted", found["effect"]["contradicted"] == 0, "none wanted")
        must("below", "supported", found["below"]["supported"] == 0, "none wanted")
    if "one date, effect" in found and "one date" in found:
        more = found["one date, effect"]["supported"] > found["one date"]["supported"]
        must("one date, effect", "supported", more, "more than without an effect wanted")
    if "absent at the smallest effect" in found:
        rate = found["absent at the smallest effect"]["supported"]
        near = at_least(rate, 0.72, runs) and at_most(rate, 0.88, runs)
        must("absent at the smallest effect", "supported", near, "about 80 % wanted")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    found = {}
    for name in asked.scenarios:
        found[name] = rates(simulate(name, asked.runs, asked.workers))
        if name == "absent":
            again = f"{name} at the smallest effect"
            found[again] = rates(simulate(name, asked.runs, asked.workers, found[name]["mde"]))
    for name, one in found.items():
        print(f"{name:32} " + "  ".join(f"{which} {value:.3f}" for which, value in one.items()), flush=True)
    said = wrong(found, asked.runs)
    print("\n".join(said) or f"{len(found)} scenarios, {asked.runs} studies each, are as stated")
    sys.exit(bool(said))


if __name__ == "__main__":
    main()
