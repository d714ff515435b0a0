"""The affine steps that batches make near a minimum, one by one.

Near a point x* every step that the batch S makes is affine, x' - x* = J_S (x - x*) + c_S, with
J_S = I - lr F_S and the forces F_S of `samdyn.rates.forces`. `forces_near` finds the forces in the form with
the cheapest moments; `random_steps` lists the steps themselves, for products of random Jacobians.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rates.curved_forces import TENSOR, CurvedForces
from samdyn.rates.forces import Forces, ListedForces
from samdyn.rates.structured_forces import BatchMeans, FixedAscent, PairedForces, SquareForces
from samdyn.rules.rule import Rule
from samdyn.systems.batch_samplers import LIMIT, Batches, Index
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch

PAIRS = 1 << 16
"""Largest number of pairs of batches that are listed for probe "independent"."""
FEW = 64
"""Up to this many batches their list is the quickest form."""
LISTED = 1 << 25
"""Largest number of numbers in listed forces: with more, batches are sampled."""


FAR = 1e30
"""A gradient far beyond any that a loss has."""
CONSTANT = 1e-9
"""A relative growth below this over a doubling of the gradient is none: the perturbation is normalised."""


@dataclass(frozen=True)
class RandomSteps:
    """The affine steps x' = J x + c that batches make, with their probabilities.

    Attributes
    ----------
    jacobians : ndarray, shape (m, state_dim, state_dim)
    offsets : ndarray, shape (m, state_dim)
        0 unless the components are quadratic.
    probability : ndarray, shape (m,)
    exact : bool
        Whether these are all batches.
    """

    jacobians: Array
    offsets: Array
    probability: Array
    exact: bool

    def within(self, basis: Array) -> RandomSteps:
        """The steps seen in a subspace of x with an orthonormal basis (dim, k)."""
        on = basis if self.jacobians.shape[1] == len(basis) else np.asarray(np.kron(np.eye(2), basis))
        return RandomSteps(on.T @ self.jacobians @ on, self.offsets @ on, self.probability, self.exact)


def moment_radius(rule: Rule) -> float:
    """The radius r of the perturbation's part that grows with the gradient, at step 0.

    Examples
    --------
    >>> import samdyn as sd
    >>> [round(moment_radius(rule), 12) for rule in (sd.USAM(0.2), sd.UnifiedSAM(0.2, 0.75), sd.SAM(0.2))]
    [0.2, 0.05, 0.0]
    """
    if not rule.plain or rule.uses_full_gradient:
        raise ValueError(f"rule must perturb along the batch's own gradient, got {rule!r}")
    parts = rule.parts()
    if parts is not None:
        return float(parts[0])
    e = torch.tensor([1.0, 0.0], dtype=torch.float64, device="cpu")
    # between two gradients so large that no other part grows, in whatever unit
    near, far = (float(rule.perturbation(e, g * e, **rule.coefficients())[0]) for g in (FAR, 2 * FAR))
    return (far - near) / FAR if abs(far - near) > CONSTANT * abs(far) else 0.0


def forces_near(system: Map, x: checks.PointLike | None = None, *, limit: int = LIMIT) -> Forces:
    """The random forces of a sampled optimiser near a point, in the form with the cheapest moments.

    Parameters
    ----------
    system : Map
        With `Minibatch` noise; its lr and momentum do not matter.
    x : array_like, shape (dim,), optional
        The point; the minimiser by default. Forces are in terms of x itself, not of x - x*.
    limit : int
        Largest number of batches that is listed where no closed form holds.

    Notes
    -----
    Moments over all batches follow from those over single samples, or pairs of them, for every batch size,
    sampling and number of samples. Lists of batches are used where these are few (`FEW`), for micro-batches
    of more than one sample, and where a batch perturbs itself (r > 0) in more dimensions than
    `samdyn.rates.curved_forces` has room for; a list longer than `limit` is a sample of batches.
    """
    loss, noise, rule = ingredients(system)
    radius = moment_radius(rule)
    _check_point(loss, x)
    sampler = noise.sampler(loss)
    probe = "full" if radius == 0 else noise.probe
    micro = noise.micro_batch or noise.batch_size
    alone = probe == "same" and micro == 1  # every sample makes its own perturbation
    if loss.squares is not None and noise.batch_size == 1 and (alone or radius == 0):
        return SquareForces.of(sampler.probabilities, *loss.squares, sampler.weights, radius)
    if noise.batch_size > 1 and sampler.n_batches <= min(FEW, limit):
        return _listed_or_paired(system, x, limit)
    if not alone and probe == "same" and not (micro == noise.batch_size and _has_room(loss)):
        return listed_forces(system, x, limit=limit)
    share = sampler.moments().second
    one = radius if alone else 0.0
    if loss.squares is not None and (alone or probe != "same"):
        single: Forces = SquareForces.of(sampler.probabilities, *loss.squares, sampler.weights, one)
    else:
        h, lin = components_near(loss, x)
        h, lin = sampler.weights[:, None, None] * h, sampler.weights[:, None] * lin
        if one:
            h, lin = h + one * h @ h, lin + one * np.einsum("nij,nj->ni", h, lin)
        single = ListedForces(sampler.probabilities, h, lin, True)
    if not alone and probe == "same":
        assert isinstance(single, ListedForces)
        return CurvedForces(single, sampler.moments(), radius)
    batches: Forces = single if noise.batch_size == 1 else BatchMeans(single, share)
    if probe == "independent":
        return PairedForces(batches, radius)
    if probe == "full" and radius != 0:
        mean, linear = whole_near(loss, x)
        return FixedAscent(batches, np.eye(loss.dim) + radius * mean, radius * linear)
    return batches


def _check_point(loss: FiniteSum, x: checks.PointLike | None) -> None:
    if x is not None and checks.points("x", x, loss.dim).ndim != 1:
        raise ValueError(f"x must be one point of shape ({loss.dim},), got {x!r}")


def _has_room(loss: FiniteSum) -> bool:
    """Whether the moments of batches that perturb themselves fit in memory."""
    return loss.dim**4 <= TENSOR and 3 * loss.n_samples * loss.dim**2 <= LISTED


def _listed_or_paired(system: Map, x: checks.PointLike | None, limit: int) -> Forces:
    loss, noise, rule = ingredients(system)
    radius = moment_radius(rule)
    if noise.probe != "independent" or radius == 0:
        return listed_forces(system, x, limit=limit)
    law = noise.sampler(loss).batches(limit)
    return PairedForces(
        ListedForces(law.probability, *_average(*components_near(loss, x), law), law.exact), radius
    )


def listed_forces(system: Map, x: checks.PointLike | None = None, *, limit: int = LIMIT) -> ListedForces:
    """One force for each batch, or pair of batches with probe "independent"; sampled if there are many.

    Parameters
    ----------
    system, x, limit
        As of `forces_near`.
    """
    loss, noise, rule = ingredients(system)
    radius = moment_radius(rule)
    _check_point(loss, x)
    hessians, linear = components_near(loss, x)
    limit = max(min(limit, LISTED // loss.dim**2), 1)
    law = noise.sampler(loss).batches(limit)
    if noise.probe == "independent" and radius != 0:
        return _pairs(ListedForces(law.probability, *_average(hessians, linear, law), law.exact), radius)
    if noise.probe == "same":
        micro = noise.micro_batch or noise.batch_size
        forces = np.zeros((len(law.index), loss.dim, loss.dim))
        pulls = np.zeros((len(law.index), loss.dim))
        parts = range(0, noise.batch_size, micro)
        for start in parts:
            h, lin = _average(hessians, linear, law, slice(start, start + micro))
            forces += (h + radius * h @ h) / len(parts)
            pulls += (lin + radius * np.einsum("mij,mj->mi", h, lin)) / len(parts)
        return ListedForces(law.probability, forces, pulls, law.exact)
    h, lin = _average(hessians, linear, law)
    ascent = np.eye(loss.dim) + radius * hessians.mean(axis=0)
    pulls = lin + radius * h @ linear.mean(axis=0)
    return ListedForces(law.probability, h @ ascent, pulls, law.exact)


def whole_near(loss: FiniteSum, x: checks.PointLike | None) -> tuple[Array, Array]:
    """Hessian and linear part of the whole sum."""
    if loss.squares is not None:
        origin = np.zeros(loss.dim)
        return loss.hessian(origin), -loss.gradient(origin)
    h, lin = components_near(loss, x)
    return h.mean(axis=0), lin.mean(axis=0)


def components_near(loss: FiniteSum, x: checks.PointLike | None) -> tuple[Array, Array]:
    """Hessians and linear parts of the components; the linear parts are 0 unless they are quadratic."""
    if loss.quadratics is not None:
        return loss.quadratics.hessians, loss.quadratics.linear
    if loss.squares is not None:
        rows, targets, ridge = loss.squares
        hessians = rows[:, :, None] * rows[:, None, :] + ridge[:, None, None] * np.eye(loss.dim)
        return hessians, targets[:, None] * rows
    point = loss.minimum().x if x is None else checks.points("x", x, loss.dim)
    return loss.sample_hessians(point), np.zeros((loss.n_samples, loss.dim))


def _average(hessians: Array, linear: Array, law: Batches, part: slice = slice(None)) -> tuple[Array, Array]:
    """Mean Hessian and linear part of every batch, or of a part of it."""
    index: Index = law.index[:, part]
    weights = law.weights[:, part] / index.shape[1]
    h, lin = np.zeros((len(index), *hessians.shape[1:])), np.zeros((len(index), linear.shape[1]))
    for i, w in zip(index.T, weights.T, strict=True):  # over the places in a batch
        h += w[:, None, None] * hessians[i]
        lin += w[:, None] * linear[i]
    return h, lin


def random_steps(system: Map, x: checks.PointLike | None = None, *, limit: int = LIMIT) -> RandomSteps:
    """The affine steps of a sampled optimiser near a point, one for each batch or pair of batches.

    Parameters
    ----------
    system, x, limit
        As of `forces_near`.

    Returns
    -------
    RandomSteps
        With momentum the state is (x, v).
    """
    listed = listed_forces(system, x, limit=limit)
    lr, momentum, dim = system.coefficients()["lr"], system.momentum, system.dim
    force, pull, identity = listed.forces, listed.pulls, np.eye(dim)
    if not momentum:
        return RandomSteps(identity - lr * force, lr * pull, listed.probability, listed.exact)
    keep = np.broadcast_to(momentum * identity, force.shape)
    top = np.concatenate([identity - lr * force, -lr * keep], axis=2)
    jacobians = np.concatenate([top, np.concatenate([force, keep], axis=2)], axis=1)
    offsets = np.concatenate([lr * pull, -pull], axis=1)
    return RandomSteps(jacobians, offsets, listed.probability, listed.exact)


def _pairs(one: ListedForces, r: float) -> ListedForces:
    """H_S (I + r H_P) for pairs of independent batches; sampled if there are many."""
    m, dim = one.pulls.shape
    probability, exact = one.probability, one.exact
    if m * m <= PAIRS and m * m * dim**2 <= LISTED:
        first, second = (np.array(i) for i in zip(*itertools.product(range(m), range(m)), strict=True))
        probability = np.outer(probability, probability).ravel()
    else:
        rng, count = np.random.default_rng(0), max(min(PAIRS // 16, LISTED // dim**2), 1)
        first, second = (rng.choice(m, count, p=probability) for _ in range(2))
        probability, exact = np.full(count, 1 / count), False
    h, lin = one.forces, one.pulls
    matrices = h[first] @ (np.eye(dim) + r * h[second])
    pulls = lin[first] + r * np.einsum("mij,mj->mi", h[first], lin[second])
    return ListedForces(probability, matrices, pulls, exact)


def ingredients(system: Any) -> tuple[FiniteSum, Minibatch, Rule]:
    """Loss, noise and rule of a sampled optimiser, or an error."""
    if not isinstance(system, Map) or not isinstance(system.noise, Minibatch):
        raise TypeError(f"system must be an sd.Map with sd.Minibatch noise, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have coefficients that do not depend on the step, got {system!r}")
    assert isinstance(system.landscape, FiniteSum) and system.rule is not None
    return system.landscape, system.noise, system.rule
