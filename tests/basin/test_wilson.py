"""Shares by sampling, their intervals, and their change with a parameter."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

import samdyn as sd


def test_wilson_covers() -> None:
    """Shares of the double well from 400 seeds: the interval holds the true one half in 92-98 % of them."""
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.2)
    one = sd.basins(gd, [(-2, 2)], 16)
    x = np.stack([np.random.default_rng([seed, 1]).uniform(-2, 2, (60, 1)) for seed in range(400)])
    counts = (one.label_at(x) == 1).sum(axis=1)
    first = sd.basin_fractions(gd, [(-2, 2)], n_paths=60, seed=0)
    assert first.fractions[1].count == counts[0]
    shares = [sd.basin.Fraction(int(count), 60) for count in counts]
    covered = sum(share.lower <= 0.5 <= share.upper for share in shares)
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_wilson_coverage_is_exact_in_the_binomial(p: float) -> None:
    n = 200
    counts = np.arange(n + 1)
    inside = [lower <= p <= upper for lower, upper in (sd.basin.wilson_interval(k, n) for k in counts)]
    assert 0.92 <= float(stats.binom.pmf(counts[inside], n, p).sum()) <= 0.98


def test_fraction_is_a_number() -> None:
    share = sd.basin.Fraction(3, 10)
    assert share == 0.3
    assert pickle.loads(pickle.dumps(share)).upper == share.upper
    assert share.interval(0.5)[0] > share.lower
    with pytest.raises(ValueError, match="count"):
        sd.basin.wilson_interval(3, 2)
    with pytest.raises(ValueError, match="level"):
        sd.basin.wilson_interval(1, 2, 1.5)


def test_sampled_share_agrees_with_the_grid() -> None:
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01)
    grid = sd.basins(system, resolution=60, n_starts=16)
    sample = sd.basin_fractions(system, n_paths=2000, seed=3, n_starts=16)
    names = {a.name: k for k, a in sample.attractors.items()}
    for k, share in grid.fractions.items():
        other = sample.fractions[names[grid.name_of(k)]]
        assert abs(float(share) - float(other)) < 4 * np.sqrt(share * (1 - share) / 2000) + 0.002


def test_features_tell_attractors_apart_in_many_dimensions() -> None:
    loss = sd.Landscape(
        lambda w: (w[0] ** 2 - 1) ** 2 / 4 + (w[1:] ** 2).sum(), dim=15, box=[(-2, 2)] * 15, name="well"
    )
    gd = sd.Map(loss, sd.GD(), lr=0.1)
    found = sd.basin_fractions(gd, n_paths=300, method="features", max_steps=400, tail=20)
    assert len(found.attractors) == 2
    assert np.array_equal(
        found.labels == found.labels[0], (found.starts[:, 0] > 0) == (found.starts[0, 0] > 0)
    )
    assert found.fractions[1].lower < 0.5 < found.fractions[1].upper


def test_features_of_the_caller_and_divergence() -> None:
    henon = sd.Map.from_function(lambda w: torch.stack([1 - 1.4 * w[0] ** 2 + w[1], 0.3 * w[0]]), 2)
    found = sd.basin_fractions(
        henon,
        [(-2, 2), (-2, 2)],
        n_paths=400,
        method="features",
        features=lambda t: t.mean(axis=1),
        max_steps=200,
    )
    assert set(found.labels) == {1, -2}
    assert found.fractions[1].lower < 0.4323 < found.fractions[1].upper
    with pytest.raises(ValueError, match="features must return"):
        sd.basin_fractions(
            henon,
            [(-2, 2), (-2, 2)],
            n_paths=20,
            method="features",
            features=lambda t: t[:, 0, 0],
            max_steps=100,
        )


def test_features_say_why_starts_end_nowhere() -> None:
    root = sd.Map.from_function(lambda w: torch.sqrt(w), 1)
    found = sd.basin_fractions(root, [(-1, 1)], n_paths=100, method="features", max_steps=400)
    assert np.array_equal(found.labels == -4, found.starts[:, 0] < 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [({"n_paths": 0}, "n_paths must be"), ({"method": "magic"}, "method must be"),
     ({"tolerance": 0}, "tolerance"), ({"tail": 0}, "tail"), ({"n_paths": 10**13}, r"about \d+ fit"),
     ({"method": "features", "tail": 10**10}, "about 0 fit at tail"), ({"far": 0.2}, "far must be > 0.5"),
     ({"method": "features", "n_paths": 9, "features": lambda t: t[:, 0] * np.nan}, "must return finite"),
     ({"method": "features", "n_paths": 9, "features": lambda t: np.zeros((9, 0))}, r"return .*\(n, k\)"),
     ({"radius": 0.9}, "radius must be at most")],
)  # fmt: skip
def test_bad_input(change: dict[str, object], text: str) -> None:
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    with pytest.raises(ValueError, match=text):
        sd.basin_fractions(gd, [(-2, 2)], **change)  # type: ignore[arg-type]


def test_features_that_are_no_function() -> None:
    with pytest.raises(TypeError, match="features must be callable, got int"):
        sd.basin_fractions(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [(-2, 2)], features=3)


# ---- across a parameter


def test_capture_grows_with_rho() -> None:
    """The maximum of the double well captures (-rho, rho): rho/2 of [-2, 2]; at rho > 1 it is gone."""
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.02)
    rhos = [0.3, 0.5, 0.9, 1.5]
    found = sd.basin_continuation(system, [(-2, 2)], parameters={"rho": rhos}, n_paths=1500)
    maximum = next(k for k in found.ids if "maximum" in found.name_of(k))
    expected = np.array([0.15, 0.25, 0.45, 0.0])
    assert np.all(
        np.abs(found.fractions[maximum] - expected) < 4 * np.sqrt(expected * (1 - expected) / 1500) + 1e-9
    )
    total = sum(found.fractions[k] for k in found.ids)
    assert total == pytest.approx(np.ones(4))
    # what takes over at 1.5 are the hallucinated minima at -0.5 and 0.5
    last = [a.name for a in found.attractors[-1].values()]
    assert last == ["hallucinated minimum (-0.5)", "hallucinated minimum (0.5)"]


def test_matching_is_a_step_of_its_own() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.01)
    found = sd.basin_continuation(system, [(-2, 2)], parameters={"rho": [1.2, 1.5]}, n_paths=100, n_starts=16)
    again = sd.basin_continuation(system, [(-2, 2)], parameters={"rho": [1.2, 1.5]}, n_paths=100, n_starts=16)
    assert [list(r.labels) for r in found.results] == [list(r.labels) for r in again.results]
    assert len(found.ids) == 2
    strict = found.match(threshold=1e-3)
    assert len(strict.ids) == 4
    assert len(strict.match(threshold=1.0).ids) == 2
    assert found.match(distance="points", threshold=1.0).ids == found.ids


def test_tipping_matrix() -> None:
    before = np.array([[1, 1, 1], [2, 2, 2]])
    after = np.array([[1, 2, 2], [2, 2, 2]])
    rows, columns, table = sd.basin.tipping_probabilities(before, after)
    assert (rows, columns) == ([1, 2], [1, 2])
    assert table == pytest.approx(np.array([[1 / 3, 2 / 3], [0, 1]]))
    with pytest.raises(ValueError, match="shape"):
        sd.basin.tipping_probabilities(before, after[:1])
    with pytest.raises(ValueError, match="integer labels"):
        sd.basin.tipping_probabilities(np.empty((0,), int), np.empty((0,), int))


def test_bad_parameter() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.01)
    with pytest.raises(ValueError, match="parameters must name one of"):
        sd.basin_continuation(system, parameters={"sigma": [1.0]})
    with pytest.raises(ValueError, match="at least one value"):
        sd.basin_continuation(system, parameters={"rho": []})
    with pytest.raises(ValueError, match=r"parameters\[.rho.\]\[1\] must be a finite number"):
        sd.basin_continuation(system, parameters={"rho": [0.1, np.nan]})
    with pytest.raises(TypeError, match="parameters must hold a sequence"):
        sd.basin_continuation(system, parameters={"rho": 0.3})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be (a dict|dicts)"):
        sd.basin.match_attractors(3, {})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="distance must be"):
        sd.basin.match_attractors({}, {}, distance="far")
