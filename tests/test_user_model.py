"""A study's own model: it runs only when allowed, from its folder alone, and what goes wrong names file and line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import OWN_MODEL, make_study, run, simulated, tables_of
from typer.testing import CliRunner

from engine import load_study, run_study
from engine.cli.verbs import app
from engine.errors import SpecError
from engine.golden import bless, compare
from engine.study import dry_run_result, events_result


def own_study(folder: Path, text: str = OWN_MODEL, /, **changes: Any) -> Path:
    series = simulated(3, ["AAA", "BBB"], 120)
    dates = series["MKT"]["date"]
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": dates[90 + i]} for i, s in enumerate(("AAA", "BBB"))]
    made = make_study(folder, events, series, **tables_of("custom", (), ["AAA", "BBB"]) | changes)
    (made / "own_model.py").write_text(text, encoding="utf-8")
    return made


def test_without_the_flag_the_code_does_not_run_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    folder = own_study(tmp_path / "s", "raise SystemExit('ran')\n")
    study = load_study(folder, data_path=())
    with pytest.raises(SpecError, match=r"half_the_benchmark of own_model.py.*Read the file first.*--allow-code"):
        run_study(study)
    assert len(events_result(study)) == len(dry_run_result(study)) == 2  # nothing is estimated


@pytest.mark.parametrize("command", [["run"], ["validate"], ["bless", "--reason", "first"]])
def test_the_command_line_asks_for_the_flag(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_study(tmp_path / "s")
    bless(run(folder), folder / "golden", "for the comparison")
    monkeypatch.chdir(tmp_path)
    verb, *rest = command
    refused = CliRunner().invoke(app, [verb, str(folder), *rest])
    error = refused.exception  # validate ends by its exit code, the others by the error itself
    assert (error.exit_code if isinstance(error, SpecError) else refused.exit_code) == 2
    allowed = CliRunner().invoke(app, [verb, str(folder), *rest, "--allow-code"])
    assert allowed.exit_code == 0, allowed.output


def test_the_file_is_hashed_and_a_change_of_it_is_a_changed_input(tmp_path: Path) -> None:
    folder = own_study(tmp_path / "s")
    first = run(folder)
    digest = hashlib.sha256((folder / "own_model.py").read_bytes()).hexdigest()
    assert first.manifest["code_sha256"] == {"own_model.py": digest}
    bless(first, folder / "golden", "first")
    (folder / "own_model.py").write_text(OWN_MODEL.replace("/ 2", "/ 3"), encoding="utf-8")
    found = compare(run(folder), folder / "golden")
    assert "code own_model.py" in found.inputs
    assert found.differences
    assert sorted(p.name for p in folder.iterdir()) == ["data", "events.csv", "golden", "own_model.py", "study.toml"]


WRONG = {
    "raises": ("    return 1 / 0", "line 5: half_the_benchmark failed: ZeroDivisionError"),
    "exits": ("    raise SystemExit(3)", "line 5: half_the_benchmark failed: SystemExit: 3"),
    "fails below": ("    return np.linalg.inv(np.zeros((2, 2)))", "line 5: half_the_benchmark failed: LinAlgError"),
    "one array": ("    return returns", "returned ndarray, and should return two arrays"),
    "text": ("    return 'a', 'b'", "returned expected that are no real numbers"),
    "complex": ("    return event_regressors[0] * 1j, returns", "returned expected that are no real numbers"),
    "rows for days": ("    return returns, returns", r"returned expected of shape (50,), and should return (11,)"),
    "days for rows": ("    return event_regressors[0], event_regressors[0]", "residuals of shape (11,), and should return (50,)"),
    "is no Exception": ("    raise GeneratorExit", "line 5: half_the_benchmark failed: GeneratorExit"),
    "without a text": ("    raise type('E', (Exception,), {'__str__': 0})", "half_the_benchmark failed: E: without a text"),
    "a long text": ("    raise ValueError('x' * 10**6)", f"ValueError: {'x' * 300} .... Mend"),
    "numbers as text": ("    return ['1'] * 11, returns", "returned expected that are no real numbers"),
    "truths": ("    return event_regressors[0] > 0, returns", "returned expected that are no real numbers"),
    "an array of its own": ("    return type('A', (), {'__array__': 1 .__add__})(), returns", "expected that are no real"),
    "too large": ("    return event_regressors[0] * 0 + 1e16, returns", "returned expected beyond what a return can be, 1e+15"),
    "masked": ("    return np.ma.masked_all(11), returns", "returned expected with a value that is missing"),
    "missing": ("    return event_regressors[0] * np.nan, returns", "returned expected with a value that is missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_the_function_is_said(tmp_path: Path, case: str) -> None:
    body, message = WRONG[case]
    head = "import numpy as np\n\n\ndef half_the_benchmark(returns, regressors, event_regressors):\n"
    folder = own_study(tmp_path / "s", head + body + "\n")
    with pytest.raises(SpecError) as caught:
        run(folder)
    assert message in str(caught.value)
    assert str(folder.resolve() / "own_model.py") in str(caught.value)


def test_its_warnings_and_settings_end_with_it(tmp_path: Path) -> None:
    """A warning would be an error here; numpy's settings are those of before."""
    lines = ["    import warnings", "    warnings.warn('old')", "    np.log(-returns)", "    np.seterr(all='raise')"]
    head, _, rest = OWN_MODEL.partition("    level")
    before = np.geterr()
    assert (
        len(run(own_study(tmp_path / "s", "\n".join([head.rstrip("\n"), *lines, f"    level{rest}"]))).tables["cars"])
        > 0
    )
    assert np.geterr() == before


def test_what_the_file_prints_is_a_message(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Data alone go to stdout, also where the function prints, or the file does as it is read."""
    head, _, body = OWN_MODEL.partition("    level")
    run(own_study(tmp_path / "s", f"print('read')\n{head}    print('called')\n    level{body}"))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["read", "called", "called"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def half_the_benchmark(:\n", "line 1: cannot be run: SyntaxError"),
        ("x = 1\ny = x / 0\n", "line 2: cannot be run: ZeroDivisionError"),
        ("import no_such_module_anywhere\n", "line 1: cannot be run: ModuleNotFoundError"),
        ("half = 1\n", 'has no function "half_the_benchmark"'),
        ("half_the_benchmark = 1\n", 'has no function "half_the_benchmark"'),
    ],
)
def test_a_file_that_cannot_be_used_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        run(own_study(tmp_path / "s", text))
    assert message in str(caught.value)


def test_a_file_outside_the_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(OWN_MODEL, encoding="utf-8")
    folder = own_study(tmp_path / "s")
    for file in ("../elsewhere.py", str(tmp_path / "elsewhere.py")):
        text = (folder / "study.toml").read_text()
        (folder / "study.toml").write_text(text.replace('"own_model.py"', f'"{file}"'))
        with pytest.raises(SpecError, match="is not in the study's folder"):
            run(folder)
        (folder / "study.toml").write_text(text)
    (folder / "own_model.py").unlink()
    with pytest.raises(SpecError, match="is not there"):
        run(folder)
    (folder / "own_model.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(SpecError, match="is not in the study's folder"):
        run(folder)


def test_the_function_sees_the_rows_that_count_and_cannot_change_the_study(tmp_path: Path) -> None:
    """50 rows without the one that is missing, K = 1, and a hand that writes into its arrays writes into copies."""
    text = OWN_MODEL.replace(
        "    level =",
        "    assert regressors.shape == (1, len(returns)) and event_regressors.shape == (1, 11), 'shape'\n    level =",
    ).replace("    return level", "    kept = returns.copy()\n    returns[:] = 7\n    returns = kept\n    return level")
    plain, writing = run(own_study(tmp_path / "a")), run(own_study(tmp_path / "b", text))
    assert plain.tables["cars"].equals(writing.tables["cars"])
    assert plain.tables["cars"]["se"].null_count() == len(plain.tables["cars"]) == 6
    assert plain.tables["fits"]["sigma"].is_finite().all()
