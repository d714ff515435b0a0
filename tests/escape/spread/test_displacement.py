"""Mean squared displacement against trajectories, exact recursions and the diffusion's closed forms."""

from __future__ import annotations

import pickle

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import samdyn as sd
from samdyn.dynamics.steppers import build_stepper
from samdyn.escape import Displacement, mean_squared_displacement
from samdyn.escape.spread.linearised_noise import linear_model
from samdyn.jobs import workers
from samdyn.theory import kim

mpl.use("Agg")

PROBES = ("full", "same", "independent")
LINE = sd.landscapes.quadratic([[-1.0]])
PLANE = sd.landscapes.quadratic([[1.5, 0.8], [0.8, -1.0]])


def fisher(probe="full", batch_size=1.0):
    return sd.CurvatureNoise(batch_size=batch_size, probe=probe)


def z_scores(result: Displacement, exact) -> np.ndarray:
    return np.abs(result.mean - exact) / result.standard_error


# The estimate


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_moments_are_those_of_the_trajectories(momentum, monkeypatch):
    monkeypatch.setattr(workers, "ranges", lambda n, smallest: [(0, 64), (64, 128), (128, n)])
    system = sd.Map(sd.landscapes.beale(), sd.SAM(0.1), 0.01, momentum, sd.GaussianNoise(2.0, "same"))
    x0, times = np.array([0.3, 0.8]), [0, 3, 10, 21]
    found = mean_squared_displacement(system, x0, times, n_paths=157, seed=9)
    moved = sd.trajectory(system, np.tile(x0, (157, 1)), 21, seed=9)[times] - x0
    square = (moved**2).sum(axis=-1)
    assert_allclose(found.mean, square.mean(axis=1), rtol=1e-12)
    assert_allclose(found.standard_error, square.std(axis=1, ddof=1) / 157**0.5, rtol=1e-10)
    assert_allclose(found.displacement, moved.mean(axis=1), rtol=1e-12, atol=1e-15)
    assert_allclose(found.variance, moved.var(axis=1, ddof=1), rtol=1e-10, atol=1e-15)
    assert found.mean[0] == 0


def test_diffusion_moments_are_those_of_the_trajectories():
    system = sd.Diffusion(sd.landscapes.beale(), sd.USAM(0.01), 0.01, fisher("same", 50.0))
    x0 = np.array([2.0, 0.3])
    found = mean_squared_displacement(system, x0, [0.05, 0.2], n_paths=80, dt=0.005, seed=4)
    moved = sd.trajectory(system, np.tile(x0, (80, 1)), t_max=0.2, dt=0.005, seed=4)[[10, 40]] - x0
    assert_allclose(found.mean, (moved**2).sum(axis=-1).mean(axis=1), rtol=1e-10)


def test_direction_projects_and_may_have_any_length():
    system = sd.Map(PLANE, sd.USAM(0.2), 0.02, noise=sd.GaussianNoise((1.0, 3.0)))
    whole = mean_squared_displacement(system, [0.0, 0.0], 40, n_paths=500)
    one, other = (
        mean_squared_displacement(system, [0.0, 0.0], 40, n_paths=500, direction=d)
        for d in ([3e200, 4e200], [-4.0, 3.0])
    )
    assert_allclose(one.mean + other.mean, whole.mean, rtol=1e-12)
    assert_allclose(one.theory + other.theory, whole.theory, rtol=1e-12)
    assert_allclose(one.direction, [0.6, 0.8])


def test_seed_decides_the_paths_and_more_times_do_not_change_them():
    system = sd.Map(LINE, sd.USAM(0.3), 0.05, noise=fisher("independent"))
    one = mean_squared_displacement(system, [0.0], [10, 30], n_paths=100, seed=1)
    assert mean_squared_displacement(system, [0.0], 30, n_paths=100, seed=1).mean[0] == one.mean[1]
    assert mean_squared_displacement(system, [0.0], 30, n_paths=100, seed=2).mean[0] != one.mean[1]


def test_times_need_not_be_multiples_of_the_step():
    """Brownian motion is exact at any step."""
    flat = sd.Landscape(lambda w: 0.0 * w[0], dim=1, name="flat")
    system = sd.Diffusion(flat, sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0))
    result = mean_squared_displacement(system, [1.0], [0.03, 0.25, 1.0], n_paths=4000, dt=0.1)
    assert (z_scores(result, 0.4 * result.times) < 4).all()
    assert_allclose(result.theory, 0.4 * result.times, rtol=1e-12)


def test_schedules_are_followed():
    lr = lambda step: 0.1 / (1 + step)  # noqa: E731
    system = sd.Map(LINE, sd.GD(), lr=lr, noise=sd.GaussianNoise(std=1.0))
    result = mean_squared_displacement(system, [0.0], [1, 2, 5], n_paths=4000)
    exact, s = [], 0.0
    for step in range(5):
        s = s * (1 + lr(step)) ** 2 + lr(step) ** 2
        exact.append(s)
    assert (z_scores(result, np.array(exact)[[0, 1, 4]]) < 4).all()
    assert result.theory is None
    # a diffusion counts time in units of its first lr: with steps of that length it is the map
    diffusion = sd.Diffusion(LINE, sd.GD(), lr=lr, noise=sd.GaussianNoise(std=1.0))
    same = mean_squared_displacement(diffusion, [0.0], [0.1, 0.2, 0.5], n_paths=4000, dt=0.1)
    assert_allclose(same.mean, result.mean, rtol=1e-10)
    assert same.theory is None


def test_memory_is_bounded():
    """A path that stays is looked at 3000 steps on without its trajectory ever being held."""
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.USAM(0.5), 0.01, noise=sd.GaussianNoise(1.0, "same"))
    result = mean_squared_displacement(system, [0.0], 3000, n_paths=1000)
    stationary = 0.01 * 1.5**2 / (1.5 * (2 - 0.01 * 1.5))
    assert_allclose(result.theory, stationary, rtol=1e-12)
    assert_allclose(stationary, 0.00755668, atol=5e-9)
    assert z_scores(result, stationary) < 4


def test_paths_that_diverge_are_counted():
    cubic = sd.Landscape(lambda w: -(w[0] ** 4), dim=1, name="runaway")
    system = sd.Map(cubic, sd.GD(), lr=0.5, noise=sd.GaussianNoise(std=1.0))
    result = mean_squared_displacement(system, [0.0], [1, 40], n_paths=200)
    assert result.diverged[0] == 0
    assert result.diverged[1] > 0
    assert np.isfinite(result.mean[0])
    assert result.mean[1] == np.inf
    assert np.isnan(result.standard_error[1])
    assert "diverged" in repr(result)


def test_loss_without_a_pointwise_form():
    def loss(w):
        return torch.linalg.vector_norm(torch.fft.fft(w)[1].abs() + 0 * w) ** 2 - w[0] ** 2

    landscape = sd.Landscape(loss, dim=2, name="fft")
    system = sd.Map(landscape, sd.USAM(0.1), 0.05, noise=sd.GaussianNoise(std=1.0))
    assert not build_stepper(system).traced
    result = mean_squared_displacement(system, [0.3, 0.1], 5, n_paths=50, seed=2)
    moved = sd.trajectory(system, np.tile([0.3, 0.1], (50, 1)), 5, seed=2)[-1] - [0.3, 0.1]
    assert_allclose(result.mean, (moved**2).sum(axis=1).mean(), rtol=1e-12)


# Against closed forms


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("rho", [0.0, 0.1, 0.5, 0.9])
def test_map_at_a_saddle(probe, rho):
    system = sd.Map(LINE, sd.USAM(rho), lr=0.01, noise=fisher(probe))
    result = mean_squared_displacement(system, [0.0], [10, 50, 100], seed=11)
    kappa, s2 = kim.effective_curvature(-1.0, rho), kim.noise_variance(-1.0, rho, 1.0, probe)
    multiplier = 1 - 0.01 * kappa
    exact = 1e-4 * s2 * (1 - multiplier ** (2 * result.times)) / (1 - multiplier**2)
    assert_allclose(result.theory, exact, rtol=1e-10)
    assert (z_scores(result, exact) < 4).all()
    closed = kim.diffusion_variance(-1.0, result.times * 0.01, rho=rho, lr=0.01, mode=probe)
    assert_allclose(result.prediction(continuous=True), closed, rtol=1e-12)
    paper = kim.diffusion_variance(-1.0, result.times * 0.01, rho=rho, lr=0.01, mode="paper")
    assert_allclose(result.prediction("paper", continuous=True), paper, rtol=1e-12)


@pytest.mark.parametrize(
    ("probe", "value"), [("full", 0.01712), ("same", 0.004235), ("independent", 0.02132)]
)
def test_table_of_sampled_maps(probe, value):
    system = sd.Map(LINE, sd.USAM(0.5), lr=0.01, noise=fisher(probe))
    result = mean_squared_displacement(system, [0.0], 100, n_paths=40_000)
    # the table is a sample of 40 000 paths too
    assert np.abs(result.mean - value) < 4 * 2**0.5 * result.standard_error


def test_formula_of_the_paper_is_not_the_algorithm():
    system = sd.Map(LINE, sd.USAM(0.5), lr=0.01, noise=fisher("full"))
    result = mean_squared_displacement(system, [0.0], 100, n_paths=40_000)
    assert (z_scores(result, result.theory) < 4).all()
    assert (z_scores(result, result.prediction("paper")) > 20).all()


def test_formula_of_the_paper_is_descent_on_the_perturbed_loss():
    """x' = x - lr (grad of f(x + rho grad f(x)) + noise): the chain rule's square."""
    a, rho = 1.0, 0.5
    perturbed = sd.landscapes.quadratic([[-a * (1 - rho * a) ** 2]])
    system = sd.Map(perturbed, sd.GD(), lr=0.01, noise=sd.GaussianNoise(std=a**0.5))
    result = mean_squared_displacement(system, [0.0], 100, n_paths=40_000)
    sam = sd.Map(sd.landscapes.quadratic([[-a]]), sd.USAM(rho), lr=0.01, noise=fisher())
    paper = mean_squared_displacement(sam, [0.0], 100, n_paths=2).prediction("paper")
    assert (z_scores(result, paper) < 4).all()
    assert abs(paper - 0.01290) < 4 * 9e-5


@pytest.mark.parametrize("probe", PROBES)
def test_diffusion_at_a_saddle(probe):
    system = sd.Diffusion(LINE, sd.USAM(0.5), lr=0.01, noise=fisher(probe))
    result = mean_squared_displacement(system, [0.0], [0.1, 0.5, 1.0], dt=0.02, seed=12)
    kappa, s2 = kim.effective_curvature(-1.0, 0.5), kim.noise_variance(-1.0, 0.5, 1.0, probe)
    multiplier, n = 1 - 0.02 * kappa, np.array([5, 25, 50])
    exact = 0.02 * 0.01 * s2 * (1 - multiplier ** (2 * n)) / (1 - multiplier**2)
    assert_allclose(result.theory, exact, rtol=1e-10)
    assert (z_scores(result, exact) < 4).all()
    closed = kim.diffusion_variance(-1.0, result.times, rho=0.5, lr=0.01, mode=probe)
    assert_allclose(result.prediction(continuous=True), closed, rtol=1e-12)
    assert_allclose(result.theory, closed, rtol=0.02)


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    "noise", [lambda p: fisher(p, 3.0), lambda p: sd.GaussianNoise((1.0, 0.3), p)], ids=["Fisher", "Gaussian"]
)
def test_two_dimensions(probe, noise):
    """Coupled coordinates, with noise that does not share the Hessian's eigenvectors."""
    system = sd.Map(PLANE, sd.USAM(0.4), lr=0.05, noise=noise(probe))
    along = [1.0, 2.0]
    for direction in (None, along):
        result = mean_squared_displacement(system, [0.0, 0.0], [5, 40], seed=13, direction=direction)
        assert (z_scores(result, result.theory) < 4).all()
        exact = _recursion(system, [5, 40])
        n = np.array(along) / 5**0.5
        wanted = [np.trace(s) if direction is None else n @ s @ n for s in exact]
        assert_allclose(result.theory, wanted, rtol=1e-10)
    variance = [np.diag(s) for s in exact]
    assert_allclose(result.variance, variance, rtol=4 * (2 / 10_000) ** 0.5)


def _recursion(system: sd.Map, times: list[int]) -> list[np.ndarray]:
    """S' = A S A^T + B B^T with A and B differentiated from the step of the map itself."""
    rest, none = (
        torch.zeros(system.state_dim, dtype=torch.float64),
        torch.zeros(system.n_normals, dtype=torch.float64),
    )
    A, B = (
        m.numpy()
        for m in torch.func.jacrev(lambda s, z: system.advance(s, z, **system.coefficients()), (0, 1))(
            rest, none
        )
    )
    s, found = np.zeros((system.state_dim,) * 2), []
    for step in range(1, times[-1] + 1):
        s = A @ s @ A.T + B @ B.T
        if step in times:
            found.append(s[: system.dim, : system.dim])
    return found


@pytest.mark.parametrize("probe", PROBES)
def test_momentum(probe):
    system = sd.Map(PLANE, sd.USAM(0.4), lr=0.02, momentum=0.9, noise=sd.GaussianNoise((1.0, 0.3), probe))
    result = mean_squared_displacement(system, [0.0, 0.0], [3, 30, 31], seed=14)
    assert_allclose(result.theory, [np.trace(s) for s in _recursion(system, [3, 30, 31])], rtol=1e-10)
    assert (z_scores(result, result.theory) < 4).all()


def test_momentum_in_one_dimension_is_the_exact_covariance_of_theorem_3():
    system = sd.Map(LINE, sd.USAM(0.3), lr=0.01, momentum=0.9, noise=fisher())
    result = mean_squared_displacement(system, [0.0], 100, n_paths=100)
    kappa = kim.effective_curvature(-1.0, 0.3, "paper")
    exact = kim.momentum_covariance(kappa, 1.0, 100, lr=0.01, momentum=0.9)[0, 0]
    assert_allclose(result.prediction("paper"), exact, rtol=1e-12)
    with pytest.raises(ValueError, match="continuous must be False"):
        result.prediction(continuous=True)


@given(st.floats(-3.0, 3.0), st.floats(0.0, 2.0), st.sampled_from(PROBES), st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_theory_is_the_recursion_of_the_step(curvature, rho, probe, n):
    H = [[curvature, 0.4], [0.4, -1.0]]
    noise = sd.GaussianNoise((1.0, 0.5), probe)
    system = sd.Map(sd.landscapes.quadratic(H), sd.USAM(rho), lr=0.03, noise=noise)
    result = mean_squared_displacement(system, [0.0, 0.0], n, n_paths=2)
    assert_allclose(result.theory, np.trace(_recursion(system, [n])[0]), rtol=1e-9)


@pytest.mark.parametrize("probe", PROBES)
def test_radius_zero_is_sgd(probe):
    results = [
        mean_squared_displacement(sd.Map(PLANE, rule, lr=0.05, noise=noise), [0.0, 0.0], [1, 20], n_paths=200)
        for rule, noise in [
            (sd.GD(), fisher()), (sd.USAM(0.0), fisher("full")), (sd.USAM(0.0), fisher(probe)),
            (sd.UnifiedSAM(0.0, 0.5), fisher(probe)), (sd.SAM(0.0), fisher(probe)),
        ]
    ]  # fmt: skip
    for result in results[1:]:
        assert_allclose(result.theory, results[0].theory, rtol=1e-12)
        assert_allclose(result.prediction("paper"), results[0].theory, rtol=1e-12)
    assert_allclose(results[1].mean, results[0].mean, rtol=1e-9)


def test_unified_rule_without_normalisation_is_usam():
    one, other = (
        mean_squared_displacement(sd.Map(PLANE, rule, 0.05, noise=fisher("same")), [0.0, 0.0], 20, n_paths=50)
        for rule in (sd.USAM(0.4), sd.UnifiedSAM(0.4, 0.0))
    )
    assert_allclose(other.theory, one.theory, rtol=1e-12)
    assert_allclose(other.mean, one.mean, rtol=1e-10)


@pytest.mark.parametrize("probe", PROBES)
def test_gap_between_sgd_and_sam_at_short_times(probe):
    """At lr |lam| n << 1 the sampled gap is the leading order; common random numbers make it visible."""
    lr, rho, n = 0.0002, 0.5, 100
    sgd, sam = (
        mean_squared_displacement(
            sd.Map(LINE, rule, lr=lr, noise=fisher("full" if rule == sd.GD() else probe)), [0.0], n
        )
        for rule in (sd.GD(), sd.USAM(rho))
    )
    leading = kim.variance_gap_leading(-1.0, n * lr, rho=rho, lr=lr, mode=probe)
    assert_allclose(sgd.theory - sam.theory, leading, rtol=0.05)
    assert abs(sgd.mean - sam.mean - leading) < 4 * np.hypot(
        sgd.standard_error, sam.standard_error
    ) + 0.1 * abs(leading)
    if probe != "independent":  # the same draws in both
        assert_allclose(sgd.mean - sam.mean, leading, rtol=0.1)


def test_saddle_of_a_loss_that_is_not_quadratic():
    system = sd.Map(sd.landscapes.double_well(), sd.USAM(0.5), lr=0.01, noise=sd.GaussianNoise(0.1, "same"))
    result = mean_squared_displacement(system, [0.0], [50, 2500], n_paths=2000)
    assert z_scores(result, result.theory)[0] < 4
    assert z_scores(result, result.theory)[1] > 20  # settled in the wells, the linear theory goes on
    assert_allclose(result.mean[1], 1.0, rtol=0.02)


# The result


def test_where_no_theory_applies():
    normalised = sd.Map(LINE, sd.SAM(0.1), lr=0.01, noise=fisher())
    result = mean_squared_displacement(normalised, [0.0], 5, n_paths=10)
    assert result.theory is None
    with pytest.raises(ValueError, match="unnormalised rule"):
        result.prediction()
    off = mean_squared_displacement(sd.Map(LINE, sd.USAM(0.1), 0.01, noise=fisher()), [0.1], 5, n_paths=10)
    assert off.theory is None
    with pytest.raises(ValueError, match="critical point"):
        off.prediction("paper")
    with pytest.raises(ValueError, match="mode must be one of"):
        off.prediction("n-SAM")
    assert "theory" not in repr(off)


def test_pickle_drops_the_system():
    result = mean_squared_displacement(sd.Map(LINE, sd.USAM(0.1), 0.01, noise=fisher()), [0.0], 5, n_paths=10)
    copy = pickle.loads(pickle.dumps(result))
    assert_allclose(copy.mean, result.mean)
    assert copy.theory is None
    with pytest.raises(ValueError, match="a copy that does not hold it: give it to"):
        copy.prediction()


def test_repr_fits_a_screen():
    system = sd.Diffusion(PLANE, sd.USAM(0.1), 0.01, noise=fisher())
    text = repr(
        mean_squared_displacement(system, [0, 0], np.linspace(0.1, 1, 40), n_paths=10, direction=[0, 1])
    )
    assert len(text.splitlines()) == 11
    assert "theory" in text
    assert "along [0.0, 1.0]" in text


def test_plot():
    import matplotlib.pyplot as plt

    system = sd.Map(LINE, sd.USAM(0.5), lr=0.01, noise=fisher())
    result = mean_squared_displacement(system, [0.0], [10, 50, 100], n_paths=100)
    ax = result.plot(modes=["paper"])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["mean of 100 paths", "theory", 'theory, mode "paper"']
    curves = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    assert_allclose(curves["theory"], result.theory)
    assert_allclose(curves['theory, mode "paper"'], result.prediction("paper"))
    assert result.plot(ax) is ax
    with pytest.raises(ValueError, match="mode must be one of"):
        result.plot(modes=["m-SAM"])
    plt.close("all")


def test_linear_model():
    system = sd.Map(sd.landscapes.saddle(2.0, 3.0), sd.USAM(0.5), lr=0.1, noise=fisher("independent", 2.0))
    kappa, vectors, noise = linear_model(system, [0.0, 0.0])
    assert_allclose(kappa, kim.effective_curvature([-3.0, 2.0], 0.5))
    assert_allclose(np.abs(vectors), [[0.0, 1.0], [1.0, 0.0]])
    assert_allclose(noise, np.diag(kim.noise_variance([-3.0, 2.0], 0.5, 2.0, "independent")), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"system": sd.Flow(LINE, sd.GD())}, TypeError, "system must be a Diffusion or a Map"),
        ({"system": sd.Map(LINE, sd.GD(), 0.1)}, ValueError, "system must have noise"),
        ({"x0": [0.0, 1.0]}, ValueError, "x0 must have shape"),
        ({"x0": [[0.0], [1.0]]}, ValueError, "x0 must be one point"),
        ({"x0": [np.nan]}, ValueError, "x0 must be finite"),
        ({"t": 0}, ValueError, "t must be a number > 0"),
        ({"t": -1}, ValueError, "t must be a number > 0"),
        ({"t": []}, ValueError, "t must be a number > 0"),
        ({"t": [3, 3]}, ValueError, "increasing"),
        ({"t": [[1, 2]]}, ValueError, "increasing"),
        ({"t": np.inf}, ValueError, "increasing"),
        ({"t": "ten"}, TypeError, "t must be a number"),
        ({"t": 2.5}, ValueError, "t must be whole steps"),
        ({"dt": 0.1}, ValueError, "dt must not be given for a Map"),
        (
            {"system": sd.Diffusion(LINE, sd.GD(), 0.1, fisher()), "dt": 0.0},
            ValueError,
            "dt must be a finite",
        ),
        ({"system": sd.Diffusion(LINE, sd.GD(), 0.1, fisher()), "dt": 9.0}, ValueError, "dt must be at most"),
        ({"n_paths": 1}, ValueError, "n_paths must be an integer >= 2"),
        ({"n_paths": 10**30}, ValueError, r"n_paths must be below 2\^40"),
        ({"seed": -1}, ValueError, "seed"),
        ({"direction": [0.0]}, ValueError, "direction must be one vector"),
        ({"direction": [1.0, 0.0]}, ValueError, "direction must have shape"),
    ],
)
def test_refuses(change, error, message):
    arguments = {"system": sd.Map(LINE, sd.GD(), 0.1, noise=fisher()), "x0": [0.0], "t": 5, **change}
    with pytest.raises(error, match=message):
        mean_squared_displacement(**arguments)
