"""The affine steps that batches make near a minimum, and the operator that moves second moments.

Near a point x* every step that the batch S makes is affine, x' - x* = J_S (x - x*) + c_S, with

    J_S = I - lr D_S,  D_S = H_S (I + r H_P),

where P is the batch of the perturbation and r the radius that grows with the gradient: rho for USAM, -rho
for extragradient, rho (1 - lam) for UnifiedSAM, and so 0 for SAM. With micro-batches D_S is the mean of
those of the parts. On quadratic components this is exact everywhere if the rule is linear in the gradient.

Covariances follow C' = K C + Cov(c), K C = E[J_S C J_S^T]. K maps positive matrices to positive ones, so
that its spectral radius is an eigenvalue: from the dense matrix for state dimensions up to `DENSE`, by
Arnoldi iteration on C -> K C (scipy.sparse.linalg.eigs) above. The law of S is enumerated where there are
few batches and sampled otherwise, which the result says.

References
----------
Oikonomou & Loizou (ICLR 2025) for Unified SAM. The operator: derived, checked numerically.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rules.extragradient import PastExtragradient
from samdyn.rules.rule import Rule
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.sampling import LIMIT, Index

DENSE = 24
"""State dimension up to which K is a dense matrix."""
PAIRS = 1 << 16
"""Largest number of pairs of batches for probe "independent"."""


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

    def mean_jacobian(self) -> Array:
        """E J."""
        return np.einsum("m,mij->ij", self.probability, self.jacobians)

    def apply(self, covariance: Array) -> Array:
        """K C = E[J C J^T]."""
        weighted = self.probability[:, None, None] * self.jacobians
        moved = weighted @ covariance
        return np.asarray(np.matmul(moved, self.jacobians.swapaxes(1, 2)).sum(axis=0))

    def matrix(self) -> Array:
        """K as a matrix on vec C (row by row)."""
        size = self.jacobians.shape[1]
        k = np.einsum("m,mac,mbd->abcd", self.probability, self.jacobians, self.jacobians, optimize=True)
        return k.reshape(size**2, size**2)

    def spectral_radius(self) -> float:
        """Spectral radius of K."""
        size = self.jacobians.shape[1]
        if size == 0:
            return 0.0
        if size <= DENSE:
            return float(np.abs(np.linalg.eigvals(self.matrix())).max())
        operator = LinearOperator(
            (size**2, size**2), matvec=lambda v: self.apply(v.reshape(size, size)).ravel(), dtype=np.float64
        )
        start = np.eye(size).ravel()  # inside the cone, so never orthogonal to the leading eigenvector
        try:
            values = eigs(operator, k=1, which="LM", v0=start, tol=1e-10, return_eigenvectors=False)
        except ArpackNoConvergence as failure:
            values = failure.eigenvalues
            if not len(values):
                raise
        return float(np.abs(values).max())


def moment_radius(rule: Rule) -> float:
    """The radius r of the perturbation's part that grows with the gradient, at step 0.

    Examples
    --------
    >>> import samdyn as sd
    >>> [round(moment_radius(rule), 12) for rule in (sd.USAM(0.2), sd.UnifiedSAM(0.2, 0.75), sd.SAM(0.2))]
    [0.2, 0.05, 0.0]
    """
    if isinstance(rule, PastExtragradient) or rule.uses_full_gradient:
        raise ValueError(f"rule must perturb along the batch's own gradient, got {rule!r}")
    e = torch.tensor([1.0, 0.0], dtype=torch.float64)
    far = rule.perturbation(e, 1e12 * e, **rule.coefficients())[0] / 1e12
    return float(far) if abs(float(far)) > 1e-11 else 0.0


def random_steps(system: Map, x: npt.ArrayLike | None = None, *, limit: int = LIMIT) -> RandomSteps:
    """The affine steps of a sampled optimiser near a point.

    Parameters
    ----------
    system : Map
        With `Minibatch` noise.
    x : array_like, shape (dim,), optional
        The point; the minimiser by default. Steps are in terms of x itself, not of x - x*.
    limit : int
        Largest number of batches that is enumerated.

    Returns
    -------
    RandomSteps
        With momentum the state is (x, v).
    """
    loss, noise, rule = ingredients(system)
    point = loss.minimum().x if x is None else checks.points("x", x, loss.dim)
    hessians = loss.quadratics.hessians if loss.quadratics is not None else loss.sample_hessians(point)
    linear = loss.quadratics.linear if loss.quadratics is not None else np.zeros((loss.n_samples, loss.dim))
    radius = moment_radius(rule)
    law = noise.sampler(loss).batches(limit)
    micro = noise.micro_batch or noise.batch_size
    dim, identity = loss.dim, np.eye(loss.dim)

    def average(index: Index, weights: Array) -> tuple[Array, Array]:
        size = index.shape[-1]
        h = np.einsum("mb,mbij->mij", weights, hessians[index]) / size
        return h, np.einsum("mb,mbi->mi", weights, linear[index]) / size

    batch_h, batch_l = average(law.index, law.weights)
    probability, exact = law.probability, law.exact
    if noise.probe == "same":
        forces, pulls = [], []
        for start in range(0, noise.batch_size, micro):
            part = slice(start, start + micro)
            h, shift = average(law.index[:, part], law.weights[:, part])
            forces.append(h @ (identity + radius * h))
            pulls.append(shift + radius * np.einsum("mij,mj->mi", h, shift))
        force, pull = np.mean(forces, axis=0), np.mean(pulls, axis=0)
    elif noise.probe == "full" or radius == 0:
        h, shift = hessians.mean(axis=0), linear.mean(axis=0)
        force, pull = batch_h @ (identity + radius * h), batch_l + radius * batch_h @ shift
    else:
        m = len(probability)
        if m * m <= PAIRS:
            first, second = (np.array(i) for i in zip(*itertools.product(range(m), range(m)), strict=True))
            probability = np.outer(probability, probability).ravel()
        else:
            rng = np.random.default_rng(0)
            first, second = (rng.choice(m, PAIRS // 16, p=probability) for _ in range(2))
            probability, exact = np.full(len(first), 16 / PAIRS), False
        h, shift = batch_h[second], batch_l[second]
        force = batch_h[first] @ (identity + radius * h)
        pull = batch_l[first] + radius * np.einsum("mij,mj->mi", batch_h[first], shift)
    lr, momentum = system.coefficients()["lr"], system.momentum
    if not momentum:
        return RandomSteps(identity - lr * force, lr * pull, probability, exact)
    keep = np.broadcast_to(momentum * identity, force.shape)
    top = np.concatenate([identity - lr * force, -lr * keep], axis=2)
    jacobians = np.concatenate([top, np.concatenate([force, keep], axis=2)], axis=1)
    assert jacobians.shape[1] == 2 * dim
    return RandomSteps(jacobians, np.concatenate([lr * pull, -pull], axis=1), probability, exact)


def ingredients(system: Any) -> tuple[FiniteSum, Minibatch, Rule]:
    """Loss, noise and rule of a sampled optimiser, or an error."""
    if not isinstance(system, Map) or not isinstance(system.noise, Minibatch):
        raise TypeError(f"system must be an sd.Map with sd.Minibatch noise, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have coefficients that do not depend on the step, got {system!r}")
    assert isinstance(system.landscape, FiniteSum) and system.rule is not None
    return system.landscape, system.noise, system.rule


def moving_part(steps: RandomSteps, system: Map) -> RandomSteps:
    """The steps without the directions in which no batch moves anything."""
    dim = system.dim
    force = (
        np.eye(dim) - steps.jacobians[:, :dim, :dim]
        if not system.momentum
        else steps.jacobians[:, dim:, :dim]
    )
    # the forces map into the sum of the ranges of the Hessians, and vanish across it
    values, vectors = np.linalg.eigh(np.einsum("mij,mik->jk", force, force))
    basis = vectors[:, values > 1e-20 * max(float(values[-1]), 1e-300)]
    if basis.shape[1] == dim:
        return steps
    if system.momentum:
        basis = np.kron(np.eye(2), basis)
    return RandomSteps(
        basis.T @ steps.jacobians @ basis, steps.offsets @ basis, steps.probability, steps.exact
    )
