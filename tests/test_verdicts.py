"""Claims and verdicts: the rules as a table, the p-values by hand, and what a change after the first result looks like."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_study, rows_of, run, sample_of, simulated, weekdays
from scipy import stats

from engine import load_study
from engine.certificate.verdicts import (
    CONTRADICTED,
    NOISE,
    SUPPORTED,
    Weighed,
    changed,
    moved,
    verdict,
    verdicts,
    weigh,
)
from engine.errors import SpecError
from engine.golden import bless
from engine.report import memo_markdown
from engine.report.formats import p_equals
from engine.significance import evaluate
from engine.spec import CertificateRule, Claim

NAN = float("nan")
DATES = weekdays(200)
EVENTS = (("A", 90), ("B", 96), ("C", 104), ("D", 120), ("E", 150), ("F", 160), ("G", 166), ("H", 172))


def claim(**keys: Any) -> Claim:
    told = {"statement": "It moves.", "sign": "+", "windows": [[0, 0]], "test": "cross_sectional_t"} | keys
    return Claim(**{k: v for k, v in told.items() if v is not None})


# The rules


@pytest.mark.parametrize(
    ("p", "opposite", "said"),
    [
        (0.049, 0.951, SUPPORTED), (0.05, 0.95, NOISE), (0.5, 0.5, NOISE), (0.96, 0.04, CONTRADICTED),
        (0.95, 0.05, NOISE), (NAN, NAN, NOISE), (NAN, 0.01, CONTRADICTED),
    ],
)  # fmt: skip
def test_one_claim(p: float, opposite: float, said: str) -> None:
    assert verdict(p, opposite, 0.05) == said


def weighed(p: dict[str, list[tuple[float, float]]]) -> list[Weighed]:
    element: Any = None
    answer: Any = None
    return [Weighed(name, element, answer, a, b) for name, pairs in p.items() for a, b in pairs]


CASES: dict[str, tuple[dict[str, list[tuple[float, float]]], dict[str, str]]] = {
    "Holm takes the smallest times the number, then the next times one less": (
        {"a": [(0.02, 0.98)], "b": [(0.012, 0.988)], "c": [(0.9, 0.1)]},
        {"a": SUPPORTED, "b": SUPPORTED, "c": NOISE},
    ),
    "a claim that would be supported alone is not among three": (
        {"a": [(0.02, 0.98)], "b": [(0.4, 0.6)], "c": [(0.9, 0.1)]},
        {"a": NOISE, "b": NOISE, "c": NOISE},
    ),
    "the opposite direction has a Holm of its own": (
        {"a": [(0.999, 0.001)], "b": [(0.0001, 0.9999)]},
        {"a": CONTRADICTED, "b": SUPPORTED},
    ),
    "two parts have the larger p": ({"a": [(0.001, 0.999), (0.06, 0.94)]}, {"a": NOISE}),
    "two parts each below the level": ({"a": [(0.001, 0.999), (0.04, 0.96)]}, {"a": SUPPORTED}),
    "one part against the claim is not enough": ({"a": [(0.001, 0.999), (0.999, 0.001)]}, {"a": NOISE}),
    "both parts against it are": ({"a": [(0.98, 0.02), (0.999, 0.001)]}, {"a": CONTRADICTED}),
    "a claim without an answer still counts": ({"a": [(0.03, 0.97)], "b": [(NAN, NAN)]}, {"a": NOISE, "b": NOISE}),
    "a part without an answer leaves none": ({"a": [(0.001, 0.999), (NAN, NAN)]}, {"a": NOISE}),
}


@pytest.mark.parametrize("case", CASES)
def test_several_claims(case: str) -> None:
    p, wanted = CASES[case]
    found = verdicts({name: claim() for name in p}, weighed(p), 0.05)
    assert {name: v.verdict for name, v in found.items()} == wanted


def test_holm_is_over_the_primary_claims_alone() -> None:
    p = {"a": [(0.03, 0.97)], "b": [(0.04, 0.96)], "c": [(0.2, 0.8)]}
    found = verdicts({"a": claim(), "b": claim(primary=False), "c": claim(primary=False)}, weighed(p), 0.05)
    assert found["a"].holm == pytest.approx(0.03)
    assert found["a"].verdict == SUPPORTED
    assert np.isnan(found["b"].holm)
    assert found["b"].verdict == SUPPORTED  # secondary: by its own p


# The p-values


CARS = [0.021, 0.013, -0.004, 0.017, 0.009, 0.002]


def one_sided(shift: float, side: str) -> float:
    values = [c + shift for c in CARS]
    return float(stats.ttest_1samp(values, 0.0, alternative=side).pvalue)


def element(**keys: Any) -> Any:
    return claim(**keys).elements()[0]


def test_a_direction_is_a_one_sided_test() -> None:
    sample = sample_of(CARS, np.zeros((6, 20)))
    up, down = weigh("c", element(sign="+"), sample), weigh("c", element(sign="-"), sample)
    assert (up.p, up.opposite) == pytest.approx((one_sided(0, "greater"), one_sided(0, "less")))
    assert (down.p, down.opposite) == pytest.approx((up.opposite, up.p))
    assert up.answer.ci == evaluate("cross_sectional_t", sample).ci


def test_no_effect_is_shown_by_two_one_sided_tests() -> None:
    sample = sample_of(CARS, np.zeros((6, 20)))
    wide, narrow = (weigh("c", element(sign="0", margin=m), sample) for m in (0.03, 0.002))
    for found, m in ((wide, 0.03), (narrow, 0.002)):
        assert found.p == pytest.approx(max(one_sided(m, "greater"), one_sided(-m, "less")))
        beyond = 2 * min(one_sided(-m, "greater"), one_sided(m, "less"))
        assert found.opposite == pytest.approx(min(beyond, 1.0))
    assert wide.p < 0.05 < narrow.p
    assert narrow.opposite < 0.15 < wide.opposite


def test_an_effect_added_is_what_every_test_sees() -> None:
    sample = sample_of(CARS, np.random.default_rng(2).normal(0, 0.01, (6, 40)))
    shifted = moved(sample, 0.01)
    assert shifted.car.tolist() == pytest.approx([c + 0.01 for c in CARS])
    assert (shifted.scar - sample.scar).tolist() == pytest.approx([0.01] * 6)
    assert (shifted.ar - sample.ar)[:, 1].tolist() == pytest.approx([0.01] * 6)
    assert (shifted.ar - sample.ar)[:, [0, 2]].any() == np.False_


# In a study


def study(folder: Path, claims: dict[str, Any], effect: float = 0.06, **overrides: Any) -> Path:
    """Eight events whose CARs on day 0 are raised, and fall back on day 2."""
    series = simulated(11, list("ABCDEFGH"), 200)
    for symbol, at in EVENTS:
        series[symbol]["return"][at] += effect
        series[symbol]["return"][at + 2] -= effect
    events = [{"event_id": f"e{k}", "symbol": s, "announced_at": DATES[at]} for k, (s, at) in enumerate(EVENTS)]
    tables: dict[str, Any] = {
        "windows": {"event": [-2, 3], "car": [[0, 0], [2, 3], [-2, -1]]},
        "significance": {"tests": ["cross_sectional_t", "bmp", "variance_rank"]},
    }
    folder = make_study(folder, events, series, **(tables | overrides))
    lines = []
    for name, table in claims.items():
        lines.append(f"\n[claims.{name}]")
        for key, value in table.items():
            lines.append(f"{key} = {_toml(value)}")
    with (folder / "study.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return folder


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


UP = {"statement": "Up at once.", "sign": "+", "windows": [[0, 0]], "test": "bmp"}
BACK = {
    "statement": "Up, and back.", "test": "bmp",
    "parts": [{"sign": "+", "windows": [[0, 0]]}, {"sign": "-", "windows": [[2, 3]]}],
}  # fmt: skip
QUIET = {"statement": "Nothing before.", "sign": "0", "margin": 0.05, "windows": [[-2, -1]], "test": "bmp"}
DOWN = {"statement": "Down at once.", "sign": "-", "windows": [[0, 0]], "test": "bmp"}


def test_a_study_weighs_its_claims(tmp_path: Path) -> None:
    result = run(study(tmp_path / "s", {"up": UP, "back": BACK, "quiet": QUIET, "down": DOWN}))
    said = {r["claim"]: r["verdict"] for r in result.tables["verdicts"].to_dicts()}
    assert said == {"up": SUPPORTED, "back": SUPPORTED, "quiet": SUPPORTED, "down": CONTRADICTED}
    assert "certificate" not in result.tables
    first, second = rows_of(result, "verdicts", claim="back").to_dicts()
    assert (first["part"], second["part"]) == (1, 2)
    assert first["p_claim"] == second["p_claim"] == max(first["p_value"], second["p_value"])
    up = rows_of(result, "verdicts", claim="up").to_dicts()[0]
    row = rows_of(result, "significance", test="bmp", window_start=0).to_dicts()[0]
    assert (up["estimate"], up["ci_low"], up["ci_high"]) == (row["estimate"], row["ci_low"], row["ci_high"])
    assert up["p_value"] == pytest.approx(row["p_value"] / 2)
    assert 0 < up["p_calibrated"] < 0.05
    assert up["mde"] < 0.06
    quiet = rows_of(result, "verdicts", claim="quiet").to_dicts()[0]
    assert (quiet["margin"], quiet["power_effect"]) == (0.05, 0.0)
    assert quiet["power"] > 0.9
    down = rows_of(result, "verdicts", claim="down").to_dicts()[0]  # of the same sample, window, test and draws as up
    assert (up["p_opposite_calibrated"], down["p_opposite_calibrated"]) == (down["p_calibrated"], up["p_calibrated"])
    memo = memo_markdown(result).replace("\\", "")
    numbers = f"{100 * up['estimate']:.2f} %, 95 % interval {100 * up['ci_low']:.2f} to {100 * up['ci_high']:.2f} %"
    assert f"**Answer.** Of 4 claims, up (mean CAR {numbers}), back (" in memo
    assert ") are supported; down (" in memo
    other, calibrated = p_equals(down["p_opposite"]), p_equals(up["p_calibrated"])
    numbers = f"{100 * down['estimate']:.2f} % (n {down['n']}, one-sided bmp {other} in the opposite direction"
    assert f"- Down at once (down): contradicted; {numbers}, calibrated {calibrated});" in memo
    assert "## Claims and verdicts" in memo


def test_claims_count_the_draws_of_their_own_direction(tmp_path: Path) -> None:
    """A claim that is wrong has a calibrated p near 1, and finds its own effects downwards."""
    result = run(study(tmp_path / "s", {"down": DOWN}))
    row = rows_of(result, "verdicts").to_dicts()[0]
    assert row["p_calibrated"] > 0.95
    assert row["power_effect"] == -0.01
    assert row["mde"] > 0


def test_a_claim_of_a_group(tmp_path: Path) -> None:
    claims = {"few": UP | {"group": "symbol=A"}}
    result = run(study(tmp_path / "s", claims, significance={"tests": ["bmp"], "group_by": ["symbol"]}))
    row = rows_of(result, "verdicts").to_dicts()[0]
    assert (row["group"], row["n"], row["verdict"]) == ("symbol=A", 1, NOISE)
    assert "2 events" in row["unavailable"]
    folder = study(
        tmp_path / "t", {"few": UP | {"group": "symbol=Z"}}, significance={"tests": ["bmp"], "group_by": ["symbol"]}
    )
    with pytest.raises(SpecError, match=r'\[claims\.few\] group = "symbol=Z" is no group'):
        run(folder)


# What is wrong with a claim


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (UP | {"sign": "0"}, "needs margin"),
        (UP | {"margin": 0.01}, 'belongs to sign = "0"'),
        (UP | {"sign": "up"}, "sign"),
        (UP | {"windows": [[0, 1]]}, "is not one of [windows] car"),
        (UP | {"test": "patell"}, "is not one of [significance] tests"),
        (UP | {"test": "variance_rank"}, "of a variance"),
        ({k: v for k, v in UP.items() if k != "test"}, "test is required"),
        ({k: v for k, v in UP.items() if k != "sign"}, "sign is required"),
        ({k: v for k, v in UP.items() if k != "statement"}, "statement"),
        (UP | {"tset": "bmp"}, 'unknown key "tset"'),
        (BACK | {"parts": [{"sign": "+", "windows": [[0, 0]]}, {"sign": "-"}]}, "parts 2: windows is required"),
        (BACK | {"parts": [{"sign": "+", "windos": [[0, 0]]}]}, 'unknown key "windos"'),
    ],
)
def test_what_is_wrong_with_a_claim(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=r"\[claims\.c\]") as raised:
        load_study(study(tmp_path / "s", {"c": table}), data_path=())
    assert said in str(raised.value)


# Changed after the first result


def test_rules_of_change() -> None:
    first = {"design": "d", "claim a": "1"}
    assert changed("a", {"design": "d", "claim a": "1"}, {}) == ""
    assert changed("a", {"design": "d", "claim a": "1"}, first) == ""
    assert changed("a", {"design": "d", "claim a": "2"}, first) == "changed after the first result"
    assert changed("a", {"design": "e", "claim a": "1"}, first) == "design changed after the first result"
    assert changed("b", {"design": "d", "claim b": "1"}, first) == "added after the first result"


def said(folder: Path) -> dict[str, Any]:
    return {r["claim"]: r["changed"] for r in run(folder).tables["verdicts"].to_dicts()}


def test_a_claim_changed_after_the_first_golden_result_says_so(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", {"up": UP, "down": DOWN})
    assert said(folder) == {"up": None, "down": None}
    bless(run(folder), folder / "golden", "first")
    assert said(folder) == {"up": None, "down": None}
    toml = (folder / "study.toml").read_text(encoding="utf-8")
    (folder / "study.toml").write_text(toml.replace("Up at once.", "Up by noon."), encoding="utf-8")
    assert said(folder) == {"up": "changed after the first result", "down": None}
    bless(run(folder), folder / "golden", "second")  # the first one is what counts, however often it is blessed
    assert said(folder) == {"up": "changed after the first result", "down": None}
    assert "Up by noon (up): supported (changed after the first result); " in memo_markdown(run(folder))
    (folder / "study.toml").write_text(
        toml.replace("min_estimation_days = 20", "min_estimation_days = 21"), encoding="utf-8"
    )
    assert set(said(folder).values()) == {"design changed after the first result"}
    (folder / "study.toml").write_text(toml.replace('title = "A made-up', 'title = "An invented'), encoding="utf-8")
    assert said(folder) == {"up": None, "down": None}


def test_a_claim_added_to_an_old_golden_result_says_so(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", {})
    bless(run(folder), folder / "golden", "first")
    path = folder / "golden" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["first_fingerprints"]  # as an earlier version wrote it
    path.write_text(json.dumps(manifest), encoding="utf-8")
    study(folder, {"up": UP})
    assert said(folder) == {"up": "added after the first result"}


def test_the_tables_that_new_writes_as_comments_are_read(tmp_path: Path) -> None:
    """Uncommented, with every key: what a user starts from is what the reader knows."""
    from engine.scaffold import new_study

    new_study(tmp_path / "fresh", None, None)
    text = (tmp_path / "fresh" / "study.toml").read_text(encoding="utf-8")
    shown = text[text.index("# [claims.C1]") : text.index("# [grid]")]
    raw = tomllib.loads("\n".join(line.removeprefix("# ") for line in shown.splitlines()))
    read = Claim(**raw["claims"]["C1"])
    assert set(raw["claims"]["C1"]) == set(Claim.model_fields) - {"margin", "parts"}  # said in words
    assert (read.sign, read.effect, read.primary) == ("-", 0.01, True)
    assert set(raw["certificate"]) == set(CertificateRule.model_fields)
    assert CertificateRule(**raw["certificate"]) == CertificateRule(seed=1)
