"""The study of demos/family: closed forms that it meets, and the manual's tables beside its results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import samdyn as sd

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "demos" / "family"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """demos/family/run_family.py, imported as it is run: with the files beside it."""
    sys.path.insert(0, str(FOLDER))
    try:
        import run_family
    finally:
        sys.path.remove(str(FOLDER))
    return run_family


@pytest.fixture(scope="module")
def small(study: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """USAM and SAM with little work."""
    settings = study.Settings(
        n_starts=40, n_steps=1000, n_network_starts=4, n_network_steps=300, n_searches=16, n_paths=60,
        t_max=300.0, n_window=12,
    )  # fmt: skip
    target = tmp_path_factory.mktemp("family") / "family.json"
    study.run(["USAM", "SAM"], settings, target)
    before = target.read_bytes()
    study.run(["SAM"], settings, target)  # is there already
    assert target.read_bytes() == before
    results: dict = json.loads(target.read_text())
    return results


@pytest.mark.slow
def test_measurements_agree_with_closed_forms(study: ModuleType, small: dict) -> None:
    usam, sam = small["members"]["USAM"], small["members"]["SAM"]
    saddle = sd.landscapes.saddle(1.0, 1.0)
    assert usam["critical radius"] == pytest.approx(sd.critical_rho(saddle, [0, 0]), rel=0.015)
    assert sam["critical radius"] == sd.critical_rho(saddle, [0, 0], sd.SAM) == 0
    assert usam["largest lr"] == pytest.approx(2 / (4 * (1 + 0.5 * 4)), rel=0.005)
    assert sam["largest lr"] == pytest.approx(2 / 4, rel=0.005)
    assert sam["amplitude"] == pytest.approx(sd.two_cycle([4.0, 1.0], lr=0.1, rho=0.1).amplitude, rel=1e-6)
    assert usam["amplitude"] < 1e-12
    radii = sd.hallucination_intervals(sd.landscapes.double_well()).select(stability="attracting").radii()
    np.testing.assert_allclose(sam["window"], radii, atol=0.01)
    np.testing.assert_allclose(usam["window"], [[4.0, 6.0]], atol=0.01)
    assert sam["fixed points"]["double well"]["attracting"] == 2
    assert sam["tilted hat"]["elsewhere"] == 1
    assert "`SAM` | 2 of 2 | " in study.page_texts(small)["family/measured/rest.md"]


def test_the_window_of_usam_on_the_double_well() -> None:
    """x (1 + x) rho = -1 has roots from rho = 4 on, and the outer one attracts."""
    for rho, n in ((3.9, 0), (4.1, 2)):
        points = sd.fixed_points(sd.Flow(sd.landscapes.double_well(), sd.USAM(rho)), n_starts=64)
        assert sum(point.stability == "attracting" for point in points.hallucinated) == n


def test_points_at_which_a_field_jumps_count_as_not_known(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """StableSAM on the double well of one dimension: both points, where its field jumps."""
    measure = study.measure
    monkeypatch.setattr(measure, "LANDSCAPES", {"line": (measure.LINE, 1.5)})
    found = measure.fixed_points(sd.StableSAM, study.Settings(n_searches=16))["line"]
    assert found == {"all": 2, "attracting": 0, "stability not known": 2, "families": 0}


def test_tables_hold_what_was_measured(study: ModuleType) -> None:
    """The manual's tables are those of the stored results, and these are of the members as they are now."""
    stored = json.loads(study.RESULTS.read_text())["members"]
    assert list(stored) == [name for name in study.MEMBERS if name in stored]
    for name, found in stored.items():
        assert set(found) == set(stored["SAM"]), name
        assert found["rule"] == repr(study.MEMBERS[name](1.0)), name
    for path, text in study.page_texts({"members": stored}).items():
        assert (ROOT / "docs" / path).read_text() == text, f"run `make family`: {path}"


def test_every_rule_is_a_member(study: ModuleType) -> None:
    public = {name: getattr(sd, name) for name in sd.__all__}
    rules = {name for name, thing in public.items() if isinstance(thing, type) and issubclass(thing, sd.Rule)}
    left_out = {"Rule", "Extragradient", "PastExtragradient", "UniversalSAM"}
    assert rules - left_out == set(study.MEMBERS)
