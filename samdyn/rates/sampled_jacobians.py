"""A sampled optimiser linearised about a point: mean direction, mean Jacobian, covariance of the batches.

The step of a batch S is x' = x - lr d_S(x). About a point x its direction is d_S(x + z) = b_S + A_S z with
b_S = d_S(x), A_S = d d_S / d x. For SAM, with y_S = x + rho u_S, u_S = g_S/|g_S|,

    b_S = g_S(y_S),    A_S = H_S(y_S) (I + (rho/|g_S|) (I - u_S u_S^T) H_S(x)).

The diffusion of the deviation z is then dz = -(b + A z) dt + sqrt(lr) C^(1/2) dW with b = E b_S, A = E A_S
and C = Cov(b_S). At a saddle of the loss, along a direction of descent with curvature -a, SGD has b = 0 and
the rate -a. Three things change under SAM:

- the rate, by the factor 1 - rho a E[1/|g_S|] (about) that holds SAM back, and by what the curvature at y_S
  is beyond that at x, which can outweigh it: ascent on a batch makes its residuals larger;
- the drift b = rho E[H_S u_S] + O(rho^2), which is not 0 although the point is critical for the whole loss,
  unless a symmetry forbids it: it leads off the saddle at once, where SGD has to wait for its noise;
- the covariance, by rho Cov(H_S u_S, g_S) and its transpose.

The rows D^T A_S of the directions asked for come from derivatives of the step in reverse mode: nothing of
size dim^2 is made unless all directions are asked for. Where there are more than `n_batches` batches that
many are drawn, and E g_S = g and E H_S = H, which are known, serve as control variates: b = g + E[d_S - g_S].
The standard errors are the errors of the means of the differences.

References
----------
Monzio Compagnoni et al. (ICML 2023, arXiv 2301.08203) for the diffusion; the linearisation is derived, and
compared with lists of all batches and with simulated exits in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.batch_step import sample_table, sampled_step
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.numerics.scales import ROUNDING, length_scale
from samdyn.results import Result, Table
from samdyn.rules.family import GD
from samdyn.systems.batch_samplers import Batches, Index
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.matrix_root import covariance_root
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.system import steepness_of
from samdyn.trace.batch import derivatives_by_name

TILE = 1 << 21
"""Numbers of the samples, and of the directions, of the batches that are evaluated together."""


@dataclass(frozen=True, eq=False, repr=False)
class BatchLinearization(Result):
    """A sampled optimiser about a point, seen in k directions D: deviations z = D c.

    Attributes
    ----------
    x : ndarray, shape (dim,)
    directions : ndarray, shape (dim, k)
        D, with orthonormal columns.
    drift : ndarray, shape (k,)
        ``D^T E d_S(x)``: what a step subtracts on average, divided by lr.
    jacobian : ndarray, shape (k, k)
        ``D^T E[A_S] D``: rates, negative where deviations grow.
    covariance : ndarray, shape (k, k)
        ``D^T Cov(d_S(x)) D`` over the batches.
    drift_error, jacobian_error : ndarray
        Standard errors; 0 where all batches were listed.
    n_batches : int
    exact : bool
        Whether these are all batches.
    system : Map
    """

    row = "direction"
    axes = (
        "x: coordinate",
        "directions: coordinate direction",
        "drift: direction",
        "drift_error: direction",
    )

    x: Array
    directions: Array
    drift: Array
    jacobian: Array
    covariance: Array
    drift_error: Array
    jacobian_error: Array
    n_batches: int
    exact: bool
    system: Map = field(repr=False)

    @property
    def eigenvalues(self) -> Array:
        """Eigenvalues of `jacobian`, by their real parts: the first negative one grows fastest."""
        values = np.linalg.eigvals(self.jacobian)
        return np.asarray(values[np.argsort(values.real)])

    def diffusion(self) -> Diffusion:
        """The linear diffusion of the deviations c in these directions, whose time is lr times the steps.

        Returns
        -------
        Diffusion
            dc = -(drift + jacobian c) dt + sqrt(lr) covariance^(1/2) dW.

        Raises
        ------
        ValueError
            The system has momentum.

        Notes
        -----
        `mean_exit_time` takes it in one direction and in two. The noise is that at the point: noise that
        grows with the deviation, all that is left where a symmetry silences the batches at the saddle, is not
        in it.
        """
        if self.system.momentum:
            raise ValueError(f"system must have no momentum to be a diffusion, got {self.system!r}")
        drift, jacobian = torch.from_numpy(self.drift.copy()), torch.from_numpy(self.jacobian.copy())
        root = float(self.system.coefficients()["lr"]) ** 0.5 * covariance_root(self.covariance)

        def field_of(c: Tensor) -> Tensor:
            return -(drift.to(c) + jacobian.to(c) @ c)

        name = f"linearised {self.system.rule!r}"
        return Diffusion.from_function(field_of, root, len(self.drift), name=name)

    def table(self) -> Table:
        """Drift, rate and spread in each direction."""
        spread = np.sqrt(np.diag(self.covariance))
        rows = [
            (
                f"{i}",
                f"{self.drift[i]:.4g} ± {self.drift_error[i]:.1g}",
                f"{self.jacobian[i, i]:.4g} ± {self.jacobian_error[i, i]:.1g}",
                f"{spread[i]:.4g}",
            )
            for i in range(len(self.drift))
        ]
        how = "all" if self.exact else "drawn"
        title = f"BatchLinearization from {self.n_batches} batches ({how}) of\n  {self.system!r}"
        return Table(title, rows, ("direction", "drift", "rate", "std of the batches"), right=True)


@checked
def batch_linearization(
    system: Map,
    x: npt.ArrayLike,
    directions: npt.ArrayLike | None = None,
    *,
    n_batches: int = 4096,
    seed: int = 0,
    progress: bool = False,
) -> BatchLinearization:
    """Mean direction, mean Jacobian and covariance of the batches of a sampled optimiser at a point.

    Parameters
    ----------
    system : Map
        With `Minibatch` noise and a rule without memory, of constant coefficients. Momentum does not change
        the direction.
    x : array_like, shape (dim,)
        A saddle of the loss, say. The rule must be differentiable there for every batch: normalised rules are
        where no batch that makes a perturbation has a gradient of 0. With probe "full" that leaves out
        critical points.
    directions : array_like, shape (dim,) or (dim, k), optional
        Unit vectors, orthogonal to each other, in which the answer is given; by default all of them.
    n_batches : int
        How many batches are drawn; where there are no more, all are listed.
    seed : int
        Of the drawn batches.
    progress : bool
        Whether to show a bar over the batches.

    Returns
    -------
    BatchLinearization

    Raises
    ------
    TypeError, ValueError
        Other noise, a rule with memory or random numbers, directions that are not orthonormal; directions of
        batches that are not finite; a normalised rule, where the gradient of a batch vanishes to rounding.

    Warns
    -----
    CostWarning
        Work of more than ten seconds.

    Notes
    -----
    Cost: of each batch a step, and k times its derivative in reverse mode. The algorithm and what the numbers
    say about a saddle are in `samdyn.rates.sampled_jacobians`.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: s * w[0] ** 2 / 2, [-3.0, 1.0], dim=1)
    >>> usam = sd.Map(loss, sd.USAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> found = sd.rates.batch_linearization(usam, [0.0])  # E[h + 0.1 h^2]
    >>> found.jacobian.round(12).tolist(), found.exact
    ([[-0.5]], True)
    """
    if not (isinstance(system, Map) and isinstance(system.noise, Minibatch)):
        raise TypeError(f"system must be a Map that draws batches (sd.Minibatch), got {system!r}")
    noise, rule = system.noise, system.rule
    assert rule is not None and system.landscape is not None
    if rule.memory or rule.scheduled or system.scheduled or system.n_normals:
        raise ValueError(
            "system must have constant coefficients and a rule without memory or random numbers, got "
            f"{system!r}"
        )
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    basis = _basis(directions, system.dim)
    limit = checks.integer("n_batches", n_batches, at_least=2)
    seed = checks.seed("seed", seed)
    law = _law(system, limit, seed)
    tile = max(1, TILE // ((noise.batch_size + system.dim) * (basis.shape[1] + 1)))
    if _on_jump(system, point, law.index, tile):
        raise ValueError(
            f"x must be a point where every batch has a Jacobian: the perturbation of {rule!r} jumps where "
            "the gradient is 0, and some batch has the gradient 0 at x"
        )
    few = law.index[: min(tile, 16)]
    once = seconds_of(lambda: _at_batches(system, point, basis, few, tile))
    announce("batch_linearization", once / len(few) * len(law.index), "pass fewer n_batches or directions")
    with PartsBar(progress, "batch_linearization", len(law.index), "batch") as bar:
        offsets, jacobians = _at_batches(system, point, basis, law.index, tile, bar.update)
    if not (np.isfinite(offsets).all() and np.isfinite(jacobians).all()):
        raise ValueError(
            "x must be a point where every batch has a finite direction and Jacobian, got one without: the "
            "loss or a derivative overflows there, or does not exist"
        )
    p, drawn = law.probability, 0.0 if law.exact else len(law.index) ** -0.5
    covariance = np.cov(offsets.T, aweights=p, ddof=0 if law.exact else 1)
    known, known_jacobian = np.zeros(basis.shape[1]), np.zeros_like(jacobians[0])
    sampler = noise.sampler(system.landscape)  # type: ignore[arg-type]
    if drawn and np.allclose(sampler.n * sampler.probabilities * sampler.weights, 1):
        loss = system.landscape
        known = basis.T @ loss.gradient(point)
        known_jacobian = basis.T @ loss.hvp(point, basis.T).T
        plain = Map(loss, GD(), 1.0, noise=replace(noise, probe="same"))
        g, h = _at_batches(plain, point, basis, law.index[:, : noise.batch_size], tile)
        offsets, jacobians = offsets - g, jacobians - h
    return BatchLinearization(
        x=point,
        directions=basis,
        drift=known + p @ offsets,
        jacobian=known_jacobian + np.tensordot(p, jacobians, 1),
        covariance=np.atleast_2d(covariance),
        drift_error=offsets.std(axis=0, ddof=1) * drawn if drawn else np.zeros(len(known)),
        jacobian_error=jacobians.std(axis=0, ddof=1) * drawn if drawn else np.zeros_like(known_jacobian),
        n_batches=len(p),
        exact=law.exact,
        system=system,
    )


def _basis(directions: npt.ArrayLike | None, dim: int) -> Array:
    if directions is None:
        return np.eye(dim)
    given = checks.array("directions", directions, wanted=f"an array of shape ({dim}, k)")
    basis = given[:, None] if given.ndim == 1 else given
    if basis.ndim != 2 or basis.shape[0] != dim or not basis.shape[1]:
        raise ValueError(f"directions must have shape ({dim},) or ({dim}, k), got shape {given.shape}")
    if np.abs(basis.T @ basis - np.eye(basis.shape[1])).max() > 1e-8:
        raise ValueError(
            "directions must be unit vectors that are orthogonal to each other (numpy.linalg.qr makes such), "
            f"got lengths {np.linalg.norm(basis, axis=0).round(3)}"
        )
    return basis


def _law(system: Map, limit: int, seed: int) -> Batches:
    """Batches for the descent, and behind them those for an independent ascent."""
    noise = system.noise
    assert isinstance(noise, Minibatch)
    sampler = noise.sampler(system.landscape)  # type: ignore[arg-type]
    if noise.probe != "independent":
        return sampler.batches(limit, seed)
    if sampler.n_batches**2 <= limit:
        law = sampler.batches(limit, seed)
        first, second = (part.ravel() for part in np.indices((len(law.index), len(law.index))))
        index = np.concatenate([law.index[first], law.index[second]], axis=1)
        return Batches(index, np.empty((0,)), law.probability[first] * law.probability[second], True)
    rng = np.random.default_rng(seed)
    draw = [rng.choice(sampler.n, noise.batch_size, sampler.replacement, sampler.probabilities)
            for _ in range(2 * limit)]  # fmt: skip
    index = np.array(draw, dtype=np.int64).reshape(limit, -1)
    return Batches(index, np.empty((0,)), np.full(limit, 1 / limit), False)


def _on_jump(system: Map, x: Array, index: Index, tile: int) -> bool:
    """Whether the perturbation of some batch, or of a part of one, jumps at x: its gradient is 0 to rounding.

    What rounding is, the loss says as in `System.on_jump`.
    """
    loss, noise, rule = system.landscape, system.noise, system.rule
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch) and rule is not None
    if not rule.jumps:
        return False
    if noise.probe == "full":
        return bool(system.on_jump(x))
    size = noise.batch_size
    parts = index[:, size:] if noise.probe == "independent" else index.reshape(-1, noise.micro_batch or size)
    table, at = torch.from_numpy(sample_table(system)), torch.from_numpy(x.copy())

    def gradient_size(part: Tensor) -> Tensor:
        rows = table[part]
        samples = torch.func.vmap(loss.unflatten)(rows[:, :-1])
        return torch.linalg.vector_norm(loss.batch_gradient(samples, rows[:, -1])(at))

    with torch.no_grad(), derivatives_by_name():
        sizes = [torch.func.vmap(gradient_size)(p).min() for p in torch.split(torch.from_numpy(parts), tile)]
    length = float(length_scale(loss.box, x)) + float(np.linalg.norm(x))
    return float(min(sizes)) <= ROUNDING * float(steepness_of(loss, x)) * length


def _at_batches(
    system: Map,
    x: Array,
    basis: Array,
    index: Index,
    tile: int,
    report: Callable[[int], None] = lambda _: None,
) -> tuple[Array, Array]:
    """Directions (m, k) and Jacobians (m, k, k) of batches, seen in the basis."""
    assert system.rule is not None
    lr = float(system.coefficients()["lr"]) if system.rule.uses_lr else 1.0
    still = Map(system.landscape, system.rule, lr, noise=system.noise)  # type: ignore[arg-type]
    names = list(still.coefficients())
    table = torch.from_numpy(sample_table(still))
    step = sampled_step(still, names, table)
    values = torch.tensor([float(v) for v in still.coefficients().values()], dtype=torch.float64)
    at, d = torch.from_numpy(x.copy()), torch.from_numpy(np.ascontiguousarray(basis))

    def one(batch: Tensor) -> tuple[Tensor, Tensor]:
        def direction(w: Tensor) -> Tensor:
            return (w - step(torch.cat([w, batch.to(w), values]))) / lr

        both = torch.func.vjp(direction, at)
        rows = torch.func.vmap(lambda v: both[1](v)[0])(d.T)  # D^T A_S
        return d.T @ both[0], rows @ d

    with torch.no_grad(), derivatives_by_name():
        pieces = []
        for part in torch.split(torch.from_numpy(index).double(), tile):
            pieces.append(torch.func.vmap(one)(part))
            report(len(part))
    offsets = torch.cat([offset for offset, _ in pieces])
    return offsets.numpy(), torch.cat([jacobian for _, jacobian in pieces]).numpy()
