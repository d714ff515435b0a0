"""Files of results: those of earlier schemas are read, and a file cannot make anything but results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.results import Result
from samdyn.results.rebuild import made_by, recipe_of

OLD = Path(__file__).parent / "files"
WELL = sd.landscapes.double_well()
CYCLE = sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05)


def test_exit_times_of_schema_2_are_read() -> None:
    exits = sd.escape.ExitTimes.load(OLD / "exit_times.npz")
    assert (len(exits), exits.n_exited, exits.n_censored) == (30, 29, 1)
    assert exits.mean == pytest.approx(1.2308, rel=1e-4)
    assert exits.face_names == Result.load(OLD / "exit_times.npz").face_names


def test_convergence_of_schema_2_is_read() -> None:
    curves = sd.rates.Convergence.load(OLD / "convergence.npz")
    assert curves.n_replicas == 1
    assert curves.name == "SAM on quadratic"
    assert curves.plateau().value == pytest.approx(0.01)


def test_basins_of_schema_3_are_read() -> None:
    system = sd.Map(WELL, sd.GD(), lr=0.1)
    basins = sd.basin.Basins.load(OLD / "basins.npz", system)
    assert basins.labels.tolist() == [1] * 4 + [2] * 4
    assert basins.label_at([1.5]) == 2


def change(path: Path, edit: Any) -> None:
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files if name != "header"}
        header = json.loads(str(data["header"]))
    edit(header)
    with path.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


@pytest.mark.parametrize(
    "name", ["os.system", "Popen", "made", "absent", "graph", "sparse", "Path", "TwoCycle", "dict"]
)
def test_a_file_makes_no_other_objects(name: str, tmp_path: Path) -> None:
    CYCLE.save(tmp_path / "file")

    def edit(header: dict[str, Any]) -> None:
        header["amplitude"] = {"$": name, "by": {"call": "eval", "source": "1"}, "text": "x", "of": ["x"]}

    change(tmp_path / "file", edit)
    with pytest.raises(ValueError, match=r"path must hold a whole TwoCycle, got .*file"):
        sd.equilibria.TwoCycle.load(tmp_path / "file")


def test_another_class_is_refused(tmp_path: Path) -> None:
    CYCLE.save(tmp_path / "file")
    with pytest.raises(ValueError, match="path must hold Survival of schema 3, got another file"):
        sd.escape.Survival.load(tmp_path / "file")
    change(tmp_path / "file", lambda header: header.update({"class": "Ball"}))
    with pytest.raises(ValueError, match="path must hold a result"):
        Result.load(tmp_path / "file")


@pytest.mark.parametrize(
    "system",
    [
        sd.Map(WELL, sd.SAM(0.2), lr=0.1, momentum=0.5),
        sd.Map(WELL, sd.UnifiedSAM(0.2, 0.5), lr=sd.schedules.PowerDecay(0.1, 0.5)),
        sd.Map(sd.landscapes.rosenbrock(50.0), sd.DNSAM(0.1), lr=1e-3, noise=sd.GaussianNoise((1.0, 2.0))),
        sd.Flow(sd.landscapes.quadratic([[1.0, 0.5], [0.5, -2.0]]), sd.USAM(0.1), form="first-order"),
        sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=sd.CurvatureNoise(4.0)),
        sd.Diffusion(
            sd.landscapes.saddle(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(cov=[[2.0, 0.5], [0.5, 1.0]])
        ),
        sd.Map(
            sd.FiniteSum.least_squares([[1.0, 0.0], [0.5, 1.0]], [1.0, 2.0], ridge=0.1),
            sd.SAM(0.1),
            lr=0.1,
            noise=sd.Minibatch(1, probe="independent"),
        ),
        sd.Map(WELL, sd.WarmStart(sd.SAM(0.1), 10), lr=0.1),
    ],
    ids=repr,
)
def test_systems_are_rebuilt(system: Any, tmp_path: Path) -> None:
    """A result that holds the system holds it after it was read: the same step, bit for bit."""
    held = sd.equilibria.FixedPoints((), system, np.zeros((system.dim, 2)))
    held.save(tmp_path / "file")
    again = sd.equilibria.FixedPoints.load(tmp_path / "file").system
    assert repr(again) == repr(system)
    x = np.full((3, system.dim), 0.3) + np.arange(3)[:, None]
    for field in ("drift", "covariance") if isinstance(system, sd.Diffusion) else ("__call__",):
        assert np.array_equal(getattr(again, field)(x), getattr(system, field)(x)), field


def test_losses_that_only_look_alike_are_not_rebuilt() -> None:
    """A loss with the name and the box of one of the catalogue, and another formula."""
    other = sd.Landscape(lambda w: w[0] ** 4, dim=1, box=WELL.box, name=WELL.name)
    assert recipe_of(other) is None
    found = recipe_of(WELL)
    assert found is not None
    assert made_by(found).value([0.3]) == WELL.value([0.3])
    with pytest.raises(ValueError, match="must be one of samdyn"):
        made_by({"call": "landscapes.os"})
