"""Basins on grids: shares that are known, labels that say why, nothing that depends on tiles or workers."""

from __future__ import annotations

import importlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.paths import motion as motion_module
from samdyn.basin.paths import pieces as settle
from samdyn.basin.paths.motion import build_motion
from samdyn.basin.paths.motion_on_device import MotionOnDevice
from samdyn.basin.paths.pieces import DIVERGED, LEFT, NOT_A_NUMBER, OUT_OF_STEPS
from samdyn.basin.search import recurrences
from samdyn.dynamics import path_job

# the package exports a function of the same name
basins_module = importlib.import_module("samdyn.basin.mapping")


def two_wells() -> sd.Landscape:
    def f(w: torch.Tensor) -> torch.Tensor:
        narrow = torch.exp(-((w[0] + 2) ** 2) / (2 * 0.25**2))
        return -narrow - torch.exp(-((w[0] - 2) ** 2) / 2) + 0.02 * w[0] ** 2

    return sd.Landscape(f, dim=1, box=[(-5.003, 5.001)], name="two wells")


def henon() -> sd.Map:
    return sd.Map.from_function(
        lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]), 2, parameters={"a": 1.4, "b": 0.3}
    )


TWO_WELLS = {
    0.2: [("minimum", 0.361), ("maximum", 0.040), ("minimum", 0.599)],
    0.6: [("minimum", 0.321), ("maximum", 0.120), ("minimum", 0.559)],
    1.0: [("hallucinated", 0.481), ("minimum", 0.519)],
    1.5: [("hallucinated", 0.531), ("minimum", 0.469)],
    3.0: [("hallucinated", 0.681), ("minimum", 0.319)],
}


@pytest.mark.parametrize("rho", TWO_WELLS)
def test_shares_of_two_wells(rho: float) -> None:
    found = sd.basins(sd.Map(two_wells(), sd.SAM(rho), lr=0.01), resolution=5000, n_starts=64)
    assert [a.kind for a in found.attractors.values()] == [kind for kind, _ in TWO_WELLS[rho]]
    shares = [float(found.fractions[k]) for k in found.attractors]
    assert shares == pytest.approx([share for _, share in TWO_WELLS[rho]], abs=6e-4)
    assert sum(shares) == pytest.approx(1)
    for k, attractor in found.attractors.items():
        if attractor.kind == "maximum":
            width = float(found.fractions[k]) * 10.004
            assert width == pytest.approx(2 * rho, abs=3 * 10.004 / 5000)
            assert attractor.name == "trapping maximum (-1.189)"


def sine() -> sd.Landscape:
    w = 5 * np.pi / 3
    return sd.Landscape(
        lambda x: 9 / (25 * np.pi**2) * torch.sin(w * x[0]), dim=1, box=[(-0.3, 0.9)], name="sine"
    )


@pytest.mark.parametrize("lr", [0.1, 0.5, 1.0, 1.5, 1.9])
def test_sine_trap_ends_at_points_that_are_not_stationary(lr: float) -> None:
    """Every start, with f'^2 = 27/(100 pi^2) at the end."""
    found = sd.basins(sd.Map(sine(), sd.SAM(1.0), lr=lr), resolution=240)
    positions = [float(a.position[0]) for a in found.attractors.values()]
    assert positions == pytest.approx([-0.1, 0.7], abs=1e-6)
    assert [a.kind for a in found.attractors.values()] == ["hallucinated"] * 2
    assert [float(found.fractions[k]) for k in (1, 2)] == pytest.approx([0.5, 0.5], abs=0.01)
    assert (found.labels > 0).all()
    slope = sine().gradient(np.array([a.position for a in found.attractors.values()]))
    assert slope**2 == pytest.approx(np.full((2, 1), 27 / (100 * np.pi**2)), rel=1e-5)


def test_sine_trap_beyond_the_limit_of_stability() -> None:
    """At lr = 2.1 no start ends there; under gradient descent all end at the minimum."""
    unstable = sd.basins(sd.Map(sine(), sd.SAM(1.0), lr=2.1), resolution=60, n_starts=16, max_steps=10_000)
    assert all(a.extent > 1e-3 for a in unstable.attractors.values())
    gd = sd.basins(sd.Map(sine(), sd.GD(), lr=1.0), resolution=60, n_starts=16)
    assert {a.kind for a in gd.attractors.values()} == {"minimum"}


def test_henon_bounded_share_and_exponent() -> None:
    found = sd.basins(henon(), [(-2, 2), (-2, 2)], 300, n_starts=64)
    assert found.attractors[1].kind == "chaotic"
    assert found.attractors[1].exponent == pytest.approx(0.419, abs=0.02)
    assert float(found.fractions[1]) == pytest.approx(0.4323, abs=0.003)
    # on a lattice that holds the corners of the box the share is that of the literature
    axis = np.linspace(-2, 2, 100)
    lattice = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    assert (found.label_at(lattice) == 1).mean() == pytest.approx(
        0.4261, abs=1.5e-4
    )  # a cell or two turn on rounding
    # cell by cell what the orbit itself does:
    x = found.grid.points(np.arange(found.labels.size)).T
    with np.errstate(all="ignore"):
        for _ in range(3000):
            x = np.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])
    stays = np.isfinite(x).all(axis=0).reshape(found.labels.shape)
    # the sample of a chaotic set, and with it the tested distance, turns on rounding
    assert (found.labels != np.where(stays, 1, DIVERGED)).sum() <= 4


def test_symmetric_landscape_gives_equal_shares() -> None:
    """A symmetric double well in two dimensions: equal shares, within the interval."""
    well = sd.Landscape(
        lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, dim=2, box=[(-2, 2), (-1, 1)], name="well"
    )
    for rule in (sd.GD(), sd.SAM(0.3)):
        found = sd.basins(sd.Map(well, rule, lr=0.05), resolution=60, n_starts=32)
        left, right = (
            next(f for k, f in found.fractions.items() if found.name_of(k).startswith(f"minimum ({x}"))
            for x in ("-1", "1")
        )
        assert left.lower <= float(right) <= left.upper
        assert float(left) == float(right)


@pytest.mark.slow
def test_beale_saddle_basin_grows_with_rho() -> None:
    box = [(-1.0, 1.0), (0.0, 2.0)]
    shares = []
    for rho in (0.1, 0.5):
        system = sd.Map(sd.landscapes.beale(), sd.SAM(rho), lr=1e-3)
        found = sd.basins(system, box, 12, n_starts=8)
        label = next(k for k, a in found.attractors.items() if a.name == "trapping saddle (0, 1)")
        shares.append(float(found.fractions[label]))
        # the same by the map itself
        end = sd.trajectory(system, found.grid.points(np.arange(144)), n_steps=3000, save_every=3000)[-1]
        there = np.linalg.norm(end - [0.0, 1.0], axis=1) < 0.05
        assert np.array_equal(found.labels.ravel() == label, there)
    assert shares[1] > 3 * shares[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "name"), [(0.30, "minimum (3, 0.5)"), (0.35, "trapping saddle (0, 1)")])
def test_beale_threshold(rho: float, name: str) -> None:
    system = sd.Map(sd.landscapes.beale(), sd.SAM(rho), lr=1e-4)
    found = sd.basins(system, [(0, 4), (0, 3)], 4, n_starts=8, max_steps=60_000)
    assert found.name_of(int(found.label_at([1.0, 2.0]))) == name


def test_names_of_plain_orbits() -> None:
    logistic = sd.Map.from_function(lambda x, r: r * x * (1 - x), 1, parameters={"r": 3.2})
    kinds = {2.8: "fixed point", 3.2: "cycle", 3.5: "cycle", 3.9: "chaotic"}
    periods = {3.2: 2, 3.5: 4}
    for r, kind in kinds.items():
        found = sd.basins(logistic.with_parameters(r=r), [(0.0, 1.0)], 64)
        assert [a.kind for a in found.attractors.values()] == [kind]
        assert found.attractors[1].period == periods.get(r, 1)
    assert found.attractors[1].exponent == pytest.approx(0.4945, abs=0.03)
    two = sd.basins(logistic, [(0.0, 1.0)], 64).attractors[1]
    assert sorted(two.points[:, 0]) == pytest.approx([0.5130445, 0.7994555], abs=1e-6)
    assert two.name.startswith("2-cycle about")


def test_limit_cycle_of_a_flow() -> None:
    def van_der_pol(w: torch.Tensor) -> torch.Tensor:
        return torch.stack([w[1], (1 - w[0] ** 2) * w[1] - w[0]])

    found = sd.basins(sd.Flow.from_function(van_der_pol, 2), [(-3, 3), (-3, 3)], 10)
    assert [a.kind for a in found.attractors.values()] == ["limit cycle"]
    assert float(found.fractions[1]) == 1.0
    assert np.abs(found.attractors[1].points[:, 0]).max() == pytest.approx(2.0086, abs=0.01)


@pytest.mark.slow
def test_flow_of_a_normalised_rule_traps() -> None:
    found = sd.basins(sd.Flow(sd.landscapes.double_well(), sd.SAM(0.5)), [(-2, 2)], 80)
    assert [a.name for a in found.attractors.values()] == [
        "minimum (-1)",
        "trapping maximum (0)",
        "minimum (1)",
    ]
    assert [float(found.fractions[k]) for k in (1, 2, 3)] == pytest.approx([0.375, 0.25, 0.375], abs=0.0126)


def test_momentum_and_sections() -> None:
    system = sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=0.002, momentum=0.5)
    found = sd.basins(system, resolution=(12, 1))
    assert found.labels.shape == (12, 1)
    assert (found.labels > 0).all()
    assert len(found.attractors) == 4
    assert found.attractors[1].states.shape[1] == 4


def test_three_dimensions() -> None:
    bowl = sd.Landscape(
        lambda w: (w[0] ** 2 - 1) ** 2 + w[1] ** 2 + w[2] ** 2, dim=3, box=[(-2, 2)] * 3, name="bowl"
    )
    found = sd.basins(sd.Map(bowl, sd.GD(), lr=0.05), resolution=6)
    assert found.labels.shape == (6, 6, 6)
    assert np.array_equal(found.labels[:3], np.full((3, 6, 6), 1))
    assert np.array_equal(found.labels[3:], np.full((3, 6, 6), 2))


def test_nothing_depends_on_tiles_or_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.5), lr=0.01)
    one = sd.basins(system, resolution=600, n_starts=16)
    monkeypatch.setattr(settle, "TILE", 37)
    monkeypatch.setattr(
        "samdyn.jobs.workers.ranges", lambda n: [(a, min(a + 101, n)) for a in range(0, n, 101)]
    )
    other = sd.basins(system, resolution=600, n_starts=16)
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.steps, other.steps)
    assert repr(one) == repr(other)


def views() -> list[sd.Map | sd.Diffusion]:
    well, noise = sd.landscapes.double_well(2), sd.GaussianNoise(std=1.0)
    schedule = sd.schedules.PowerDecay(0.5)
    return [
        sd.Map(well, sd.SAM(0.3), lr=0.05),
        sd.Map(well, sd.SAM(schedule), lr=0.05, momentum=0.5),
        henon(),
        sd.Map(well, sd.USAM(0.2), lr=0.05, noise=noise),
        sd.Diffusion(well, sd.SAM(0.2), lr=0.02, noise=noise),
    ]


@pytest.mark.parametrize("i", range(5))
def test_steps_on_a_device_are_those_of_the_cpu(i: int) -> None:
    system = views()[i]
    state = np.random.default_rng(0).uniform(-1, 1, (system.state_dim, 50))
    paths, noisy = np.arange(100, 150), system.noisy
    box, dt = np.array([[-2.0, 2.0]] * 2), 0.03 if isinstance(system, sd.Diffusion) else None
    here = build_motion(system, stride=dt, noisy=noisy, seed=3, box=box)
    there = MotionOnDevice(system, "cpu", 3, dt)
    assert (here.every, here.unit, here.hover) == (there.every, there.unit, there.hover)
    np.testing.assert_allclose(there(state, paths, 5, 8), here(state, paths, 5, 8), rtol=1e-13, atol=1e-14)


def test_basins_through_the_steps_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the device itself: the same labels by the other implementation of the steps."""
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05)
    one = sd.basins(system, [(-2, 2)], 310, n_starts=8)
    monkeypatch.setattr(basins_module, "check_device", lambda device, system: "meta")
    monkeypatch.setattr(
        motion_module, "MotionOnDevice", lambda s, device, *options: MotionOnDevice(s, "cpu", *options)
    )
    other = sd.basins(system, [(-2, 2)], 310, n_starts=8)
    assert other.course is not None
    assert other.course.device == "meta"
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.gpu
@pytest.mark.parametrize("noisy", [False, True])
def test_basins_on_a_gpu(noisy: bool) -> None:
    noise = sd.GaussianNoise(std=1.0) if noisy else None
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01, noise=noise)
    options: dict[str, Any] = {"n_paths": 4, "max_steps": 2000} if noisy else {}
    one, other = (sd.basins(system, resolution=50, device=d, **options) for d in ("cpu", "cuda"))
    # cells on a boundary may turn on the last bits of a logarithm or a root
    assert (one.labels != other.labels).mean() < 2e-3
    assert list(one.attractors) == list(other.attractors)


def test_checkpoint_holds_the_result(tmp_path: Path) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05)
    path = tmp_path / "job.npz"
    one = sd.basins(system, [(-2, 2)], 40, checkpoint=path)
    again = sd.basins(system, [(-2, 2)], 40, checkpoint=path)
    assert np.array_equal(one.labels, again.labels)
    assert list(one.attractors) == list(again.attractors)
    with pytest.raises(ValueError, match="resolution"):
        sd.basins(system, [(-2, 2)], 41, checkpoint=path)


def test_save_and_load(tmp_path: Path) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05)
    found = sd.basins(system, [(-2, 2)], 40)
    found.save(tmp_path / "basins.npz")
    loaded = sd.basin.Basins.load(tmp_path / "basins.npz", system)
    assert np.array_equal(found.labels, loaded.labels)
    assert [a.name for a in loaded.attractors.values()] == [a.name for a in found.attractors.values()]
    assert np.array_equal(loaded.label_at([[-1.5], [0.01], [1.5]]), [1, 2, 3])
    alone = sd.basin.Basins.load(tmp_path / "basins.npz")  # the file holds a system of samdyn
    assert np.array_equal(alone.label_at([[-1.5], [0.01], [1.5]]), [1, 2, 3])
    other = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.04)
    with pytest.raises(ValueError, match="system must be the one saved"):
        sd.basin.Basins.load(tmp_path / "basins.npz", other)
    (tmp_path / "text.npz").write_text("basins")
    with pytest.raises(ValueError, match=r"path must be a file written by Basins\.save"):
        sd.basin.Basins.load(tmp_path / "text.npz")


def test_what_is_loaded_follows_points_as_before(tmp_path: Path) -> None:
    """With the stride, and the distance at which paths are given up, of the job."""
    flow = sd.Flow.from_function(lambda w: torch.stack([w[0] - 1, -w[1]]), 2)
    found = sd.basins(flow, [(-1, 1), (-1, 1)], 4, far=2.0, dt=0.5)
    found.save(tmp_path / "basins.npz")
    loaded = sd.basin.Basins.load(tmp_path / "basins.npz", flow)
    assert loaded.course is not None
    assert (loaded.course.stride, loaded.course.far) == (0.5, 2.0)
    same_name = sd.Flow.from_function(lambda w: torch.stack([w[0] - 2, -w[1]]), 2)
    with pytest.raises(ValueError, match="takes points elsewhere"):
        sd.basin.Basins.load(tmp_path / "basins.npz", same_name)


def test_noise_gives_probabilities() -> None:
    """Between two balls the share of paths that reach each first is the committor's."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.005, noise=sd.GaussianNoise(std=8.0))
    found = sd.basins(sde, [(-1.05, 1.05)], 4, n_paths=400, radius=0.1, attractors=_wells(), max_steps=20000)
    assert found.probabilities is not None
    assert found.probabilities.sum(axis=-1) == pytest.approx(np.ones(4))
    exact = sd.committor(sde, sd.Ball([-1.0], 0.1), sd.Ball([1.0], 0.1))
    expected = exact(found.grid.axis(0)[:, None])
    error = np.sqrt(expected * (1 - expected) / 400)
    # watched every eight steps of 0.005 only, which shifts both balls alike
    assert np.abs(found.probabilities[:, 1] - expected) == pytest.approx(
        np.zeros(4), abs=float(4 * error.max())
    )
    assert found.fractions[1] + found.fractions[2] == pytest.approx(1)


def test_noise_says_why_paths_end_nowhere() -> None:
    """Replicas that diverge are not out of steps."""
    sde = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.5, noise=sd.GaussianNoise(std=4.0))
    found = sd.basins(sde, [(-3, 3)], 12, n_paths=20, max_steps=400)
    assert found.unresolved[DIVERGED] > 0.2
    assert sum(float(f) for f in found.fractions.values()) == pytest.approx(1)


def _wells() -> dict[int, sd.basin.Attractor]:
    return {
        k: sd.basin.Attractor(
            np.array([[x]]), "minimum", f"minimum ({x})", np.array([x]), 0.1, states=np.array([[x]])
        )
        for k, x in ((1, -1.0), (2, 1.0))
    }


def test_noise_is_the_same_in_any_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(std=1.0))
    one = sd.basins(system, [(-2, 2)], 10, n_paths=8)
    monkeypatch.setattr(settle, "TILE", 7)
    other = sd.basins(system, [(-2, 2)], 10, n_paths=8)
    assert np.array_equal(one.probabilities, other.probabilities)  # type: ignore[arg-type]


# ---- labels that say why


def test_all_diverges() -> None:
    away = sd.Map.from_function(lambda x: 3 * x + 1, 1)
    found = sd.basins(away, [(1.0, 2.0)], 10)
    assert (found.labels == DIVERGED).all()
    assert found.attractors == {}
    assert float(found.fractions[DIVERGED]) == 1
    assert "diverged" in repr(found)


def test_attractor_outside_the_box() -> None:
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    found = sd.basins(gd, [(0.1, 0.6)], 10)
    assert (found.labels == 1).all()
    assert found.name_of(1) == "minimum (1), outside the box"
    assert not found.attractors[1].inside
    assert found.name_of(LEFT) == "left the box"


def test_out_of_steps() -> None:
    slow = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=1e-5)
    found = sd.basins(slow, [(-2, 2)], 8, max_steps=50)
    assert OUT_OF_STEPS in found.labels


def test_map_that_returns_nan() -> None:
    rooted = sd.Map.from_function(lambda x: torch.sqrt(x), 1)
    found = sd.basins(rooted, [(-1.0, 2.0)], 30)
    assert (found.labels[:10] == NOT_A_NUMBER).all()
    assert (found.labels[10:] == 1).all()


# ---- bad input


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"resolution": 0}, ValueError, "resolution must be an integer >= 1, got 0"),
        ({"resolution": (4, 4)}, ValueError, "one integer or 1"),
        ({"resolution": 2.5}, ValueError, "resolution"),
        ({"resolution": "many"}, TypeError, "resolution"),
        ({"resolution": 10**13}, ValueError, "fit"),
        ({"box": [(1, -1)]}, ValueError, "lower < upper"),
        ({"box": [(0, 1), (0, 1)]}, ValueError, "box"),
        ({"n_starts": 0}, ValueError, "n_starts"),
        ({"max_steps": 0}, ValueError, "max_steps"),
        ({"far": -1.0}, ValueError, "far"),
        ({"recurrence": 1.5}, ValueError, "recurrence"),
        ({"drift": 0}, ValueError, "drift"),
        ({"radius": 0.0}, ValueError, "radius"),
        ({"dt": 0.1}, ValueError, "dt must not be given"),
        ({"n_paths": 4}, ValueError, "n_paths"),
        ({"workers": 0}, ValueError, "workers"),
        ({"seed": -1}, ValueError, "seed"),
        ({"executor": 3}, TypeError, "executor"),
        ({"attractors": {1: 3}}, TypeError, "attractors must be a dict"),
        ({"resolution": ()}, ValueError, "one integer or 1"),
        ({"resolution": None}, TypeError, "resolution"),
        ({"box": [(-1e308, 1e308)]}, ValueError, "finite width"),
        ({"box": [(np.nan, 1)]}, ValueError, "box must be finite"),
        ({"far": 0.5}, ValueError, "far must be > 0.5, since the box reaches 0.5 widths"),
        ({"far": np.inf}, ValueError, "far"),
        ({"drift": np.inf}, ValueError, "drift"),
        ({"recurrence": np.nan}, ValueError, "recurrence"),
        ({"max_steps": 2**31}, ValueError, "max_steps must be an integer >= 1 and < 2147483648"),
        ({"n_probes": 10**7}, ValueError, "n_probes must be an integer >= 1 and < 10001"),
        ({"probe_steps": 0}, ValueError, "probe_steps"),
        ({"radius": np.inf}, ValueError, "radius"),
        ({"seed": 1.5}, ValueError, "seed"),
        ({"device": "gpu"}, ValueError, "device must be 'cpu' or 'cuda'"),
        ({"device": 3}, TypeError, "device must be"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be the path"),
        ({"checkpoint": "/"}, ValueError, "is a folder"),
        ({"system": "x"}, TypeError, "system must be a Map"),
    ],
)
def test_bad_input(change: dict[str, Any], error: type[Exception], text: str) -> None:
    call = {"system": sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), "box": [(-2, 2)], **change}
    with pytest.raises(error, match=text):
        sd.basins(**call)


@pytest.mark.parametrize(
    ("rule", "radius", "most"),
    [(sd.GD(), 3.0, "0.5"), (sd.GD(), 0.6, "0.5"), (sd.SAM(0.3), 0.35, r"0\.2\d+")],
)
def test_a_radius_that_reaches_too_far(rule: sd.Rule, radius: float, most: str) -> None:
    """Further than to where every probe was captured: that would give starts to the wrong attractor."""
    system = sd.Map(sd.landscapes.double_well(), rule, lr=0.05)
    with pytest.raises(ValueError, match=f"radius must be at most {most}, the distance from which all"):
        sd.basins(system, [(-2, 2)], 40, radius=radius, n_starts=8)


def test_a_radius_up_to_that_changes_nothing() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05)
    one = sd.basins(system, [(-2, 2)], 200, n_starts=8)
    for radius in (1e-2, 0.2):
        other = sd.basins(system, [(-2, 2)], 200, n_starts=8, radius=radius)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(other.label_at(one.grid.axis(0)[:, None]), one.labels)


def test_a_radius_of_two_attractors_at_once_with_noise() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=0.1))
    with pytest.raises(ValueError, match="radius must be at most 1, half the distance between"):
        sd.basins(system, [(-2, 2)], 10, radius=1.5, n_paths=2)


def test_more_replicas_than_memory() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=0.1))
    with pytest.raises(ValueError, match="10 cells with 1000000000 replicas each: about 0 fit"):
        sd.basins(system, [(-2, 2)], 10, n_paths=10**9)


def test_large_numbers_of_starts_and_steps_take_no_more_memory() -> None:
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    tracemalloc.start()
    found = sd.basins(gd, [(-2, 2)], 50, n_starts=10**6, max_steps=1e7)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [float(found.fractions[k]) for k in (1, 2)] == [0.5, 0.5]
    assert peak < 1 << 28


def test_orbits_are_searched_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    one = sd.basins(henon(), [(-2, 2), (-2, 2)], 20, n_starts=100)
    monkeypatch.setattr(recurrences, "WINDOW_BYTES", 0)
    assert recurrences.most_orbits(2) == 32
    other = sd.basins(henon(), [(-2, 2), (-2, 2)], 20, n_starts=100)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_a_system_that_is_nan_everywhere() -> None:
    for view in (sd.Map, sd.Flow):
        with pytest.raises(ValueError, match="system must be finite in the box"):
            sd.basins(view.from_function(lambda w: w * np.nan, 1), [(-2, 2)], 10)


def test_what_stands_still_is_no_attractor() -> None:
    found = sd.basins(sd.Map.from_function(lambda w: w + 0 * w, 1), [(-2, 2)], 10, max_steps=500, n_starts=8)
    assert (found.labels == OUT_OF_STEPS).all()
    assert found.attractors == {}


@pytest.mark.parametrize("dt", [1e-300, 1e-7])
def test_strides_in_which_nothing_gets_anywhere(dt: float) -> None:
    with pytest.raises(ValueError, match="dt must be at least"):
        sd.basins(sd.Flow(sd.landscapes.double_well(), sd.GD()), [(-2, 2)], 5, dt=dt)


def test_attractors_that_are_none_of_this_system() -> None:
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)

    def at(x: float, states: Any = None, radius: float = 0.1) -> dict[int, sd.basin.Attractor]:
        point = np.array([[x]])
        states = point if states is None else states
        return {1: sd.basin.Attractor(point, "minimum", "mine", point[0], radius, states=states)}

    assert sd.basins(gd, [(-2, 2)], 10, attractors=at(1.0)).attractors.keys() == {1, 2}
    with pytest.raises(ValueError, match=r"must capture their neighbourhoods under .* got \['mine'\]"):
        sd.basins(gd, [(-2, 2)], 10, attractors=at(0.3))
    with pytest.raises(ValueError, match=r"finite states of shape \(m, 1\)"):
        sd.basins(gd, [(-2, 2)], 10, attractors=at(1.0, np.empty((0, 0))))
    with pytest.raises(ValueError, match=r"attractors\[1\]\.radius must be"):
        sd.basins(gd, [(-2, 2)], 10, attractors=at(1.0, radius=np.nan))


def test_box_is_needed() -> None:
    with pytest.raises(ValueError, match="box must be given"):
        sd.basins(henon())


def test_a_whole_number_as_the_stride_of_a_flow() -> None:
    flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    one, other = (sd.basins(flow, [(-2, 2)], resolution=10, dt=dt) for dt in (1, 1.0))
    np.testing.assert_array_equal(one.labels, other.labels)


def test_a_flow_has_no_steps_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_job, "choose_device", torch.device)
    flow = sd.Flow(sd.landscapes.double_well(), sd.GD())
    with pytest.raises(ValueError, match="device must be 'cpu' for a Flow"):
        sd.basins(flow, [(-2, 2)], 5, device="cuda")
    assert path_job.check_device("cpu:0", flow) == "cpu"


def test_attractors_of_another_dimension() -> None:
    line = sd.basins(sd.Flow(sd.landscapes.double_well(), sd.GD()), [(-2, 2)], resolution=10)
    with pytest.raises(ValueError, match="2 dimensions"):
        sd.basins(
            sd.Flow(sd.landscapes.saddle(1.0, 1.0), sd.GD()),
            [(-1, 1), (-1, 1)],
            resolution=4,
            attractors=line.attractors,
        )
