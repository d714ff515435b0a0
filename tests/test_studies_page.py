"""The manual's tables of studies beside the results that they are made from."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "demos" / "networks"


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """docs/studies_page.py, imported as the manual's settings do."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import studies_page
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return studies_page


def stored(name: str) -> dict:
    results: dict = json.loads((FOLDER / "results" / f"{name}.json").read_text())
    return results


def test_every_notebook_has_its_line(page: ModuleType) -> None:
    assert set(page.STUDIES) == {path.stem for path in FOLDER.glob("*.ipynb")}
    text = page.text()
    for path in sorted((FOLDER / "results").glob("*.json")):
        results = stored(path.stem)
        line = next(line for line in text.splitlines() if path.stem in line)
        for key in ("processor seconds", "date", "revision"):
            assert f"| {results.get(key, 'not stored')} |" in line
    widths = {len(line.split(" | ")) for line in text.splitlines() if line and " | " in line}
    assert widths == {5, 6}  # no cell holds a bar


def test_a_study_that_has_not_been_run_is_named(page: ModuleType, tmp_path: Path) -> None:
    assert page.text(tmp_path).count("not run yet") == 4 * len(page.STUDIES)


def test_numbers_are_those_stored(page: ModuleType) -> None:
    text = page.text()
    bias, error, *_ = stored("does_sam_have_a_lower_bias")["end: squared bias, error, variance, error"]["GD"]
    assert f"GD {bias:.3f} ± {error:.3f}" in text
    gain, half = stored("does_width_help")["gain"]["width 64, rho 0.5"]
    assert f"{100 * gain:.1f} ± {100 * half:.1f}" in text
    mean, low, high = stored("how_long_does_sam_stay_at_a_saddle_of_a_network")["steps"][
        "share 0.3, batches of 100: SAM, rho 0.2"
    ]
    assert f"SAM {mean:.0f} ({low:.0f} to {high:.0f})" in text


def test_verdicts_follow_the_numbers(page: ModuleType) -> None:
    ends = stored("did_sam_fail_because_it_hallucinated")
    assert page.hallucinations(ends)[0].verdict == "not as stated on these data"
    ends["verdicts"]["from the start, rho 8"] = ["hallucinated, attracting"] * 5
    assert page.hallucinations(ends)[0].verdict.startswith("with a caveat: 5 of")
    for runs in (40, 2):  # the very same shares
        ends["verdicts"] = {"rho 8": ["hallucinated"] * runs, "after a warm start, rho 8": ["free"] * runs}
        assert (page.hallucinations(ends)[0].verdict == "reproduced") == (runs == 40)
    ends["verdicts"] = {"rho 8": ["hallucinated"] + ["free"] * 39, "after a warm start, rho 8": ["free"] * 40}
    assert page.hallucinations(ends)[0].verdict.startswith("with a caveat: 1 of 40 runs")

    edge = stored("is_my_run_beyond_the_sam_edge")
    far = copy.deepcopy(edge)
    far["lambda over edge in the last third, least, median and largest"]["GD"] = [1.0, 1.2, 1.5]
    assert page.edges(edge)[0].verdict.startswith("reproduced")
    assert page.edges(far)[0].verdict == "not as stated"

    width = stored("does_width_help")
    width["gain"]["width 4, rho 0.5"] = [0.0, 0.001]
    width["gain"]["width 64, rho 0.5"] = [0.1, 0.001]
    assert page.widths(width)[0].verdict == "reproduced"

    schedule = stored("which_lambda_schedule")
    for name, gain in schedule["accuracy minus SAM's"].items():
        schedule["accuracy minus SAM's"][name] = [-0.05 if "1/t" in name else 0.0, gain[1]]
    assert page.schedules(schedule)[0].verdict.startswith("not as stated")
    schedule = stored("which_lambda_schedule")
    schedule["accuracy minus SAM's"] = {name: [0.0, 0.08] for name in schedule["accuracy minus SAM's"]}
    assert page.schedules(schedule)[0].verdict.startswith("not decided")
    schedule["accuracy minus SAM's"] = {name: [0.0, 0.01] for name in schedule["accuracy minus SAM's"]}
    schedule["accuracy minus SAM's"]["$\\lambda = 1/t$"] = [0.05, 0.01]
    assert page.schedules(schedule)[0].verdict == "reproduced"

    stays = stored("how_long_does_sam_stay_at_a_saddle_of_a_network")
    assert page.saddles(stays)[0].verdict.startswith("with a caveat")
    diffusion = page.saddles(stays)[1]
    assert diffusion.verdict.startswith("not as stated, but for SGD")
    assert diffusion.verdict.endswith("= 0.3")
    for share in ("0.5", "0.3", "1.5"):  # none of the shares that were run is left out
        assert f"$t$ = {share}: up to" in diffusion.here
    exact = {name: stays["steps"][name][0] for name in stays["steps of the linear diffusion"]}
    assert page.saddles({**stays, "steps of the linear diffusion": exact})[1].verdict == "reproduced"
    for name in stays["steps"]:
        if "SAM, rho 0.2" in name:
            stays["steps"][name] = [3.0, 2.0, 4.0]
    assert page.saddles(stays)[0].verdict == "not as stated"

    bias = stored("does_sam_have_a_lower_bias")
    bias["end: squared bias, error, variance, error"]["SAM, 0.1"] = [0.0, 0.001, 9.0, 0.01]
    assert page.biases(bias)[0].verdict == "reproduced"
    bias["end: squared bias, error, variance, error"]["SAM, 0.1"] = [0.0, 0.001, 0.0, 0.01]
    assert page.biases(bias)[0].verdict.startswith("with a caveat")

    pairs = {
        "weights": 858, "training samples": 600, "seeds": [0, 1], "steps": 500,
        "difference": {"SAM-ON, 0.1 over SAM": [0.01, 0.02]}, "gain": {"AdaSAM, 0.1": [0.0, 0.01]},
    }  # fmt: skip
    assert page.masks(pairs)[0].verdict.startswith("not decided")
    pairs["difference"]["SAM-ON, 0.1 over SAM"] = [-0.03, 0.02]
    assert page.masks(pairs)[0].verdict == "not as stated"
    pairs["difference"] = {"SAM-ON, 1 over SAM": [0.1, 0.02], "SAM-ON, 1 over random mask": [0.0, 0.02]}
    pairs["gain"]["SAM, 1"] = [-0.1, 0.02]
    assert page.masks(pairs)[0].verdict.startswith("not decided")
    pairs["gain"]["SAM, 1"] = [-0.01, 0.02]
    assert page.masks(pairs)[0].verdict == "reproduced"
