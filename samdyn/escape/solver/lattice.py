r"""A diffusion tensor as a sum over lattice directions with non-negative weights: Selling's reduction.

Every positive definite matrix D of order two is

.. math:: D = \sum_k \rho_k e_k e_k^T, \qquad \rho_k \ge 0,

with three integer vectors e_k. A superbase (v_0, v_1, v_2) is a basis of the lattice whose sum is 0.
While two of its vectors have v_i^T D v_j > 0, it becomes (-v_i, v_j, v_i - v_j), which lowers the energy
sum v_i^T D v_i, and so ends. Then rho_k = -v_i^T D v_j and e_k is v_k turned by a right angle. For a tensor
with eigenvalues in the ratio kappa, at any angle, the vectors are at most of order sqrt(kappa) long and lie
along its strong direction, so that differences along them are a jump process (all rates >= 0), however
oblique the noise.

The identity D = sum rho_k e_k e_k^T holds for any superbase and any D; only the signs need the reduction. So
`weights` of the same directions apply to the tensors of points nearby.

References
----------
Selling, Journal fuer die reine und angewandte Mathematik 77 (1874) 143. Fehrenbach and Mirebeau, Journal of
Mathematical Imaging and Vision 49 (2014) 123. Bonnans, Bonnet and Mirebeau, Calcolo 59 (2022).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

Integers = npt.NDArray[np.int64]
PAIRS = ((1, 2), (2, 0), (0, 1))
MOST_STEPS = 10_000  # a step of the reduction lowers an energy; the number grows with sqrt(kappa) at most


def superbases(tensor: Array) -> Integers:
    """Obtuse superbases (n, 3, 2) of positive definite tensors (n, 2, 2).

    Examples
    --------
    >>> superbases(np.array([[[1.0, 0.9], [0.9, 1.0]]]))[0].tolist()
    [[-1, 0], [0, 1], [1, -1]]
    """
    base = np.tile(np.array([[1, 0], [0, 1], [-1, -1]]), (len(tensor), 1, 1))
    left = np.arange(len(tensor))
    for _ in range(MOST_STEPS):
        moved = np.zeros(len(left), dtype=bool)
        for i, j in PAIRS:
            one, other = base[left, i], base[left, j]
            sizes = [np.einsum("ni,nij,nj->n", v, tensor[left], v) for v in (one, other)]
            product = np.einsum("ni,nij,nj->n", one, tensor[left], other)
            acute = product > 1e-13 * np.sqrt(sizes[0] * sizes[1])
            at = left[acute]
            u, v = one[acute], other[acute]
            base[at, i], base[at, j], base[at, 3 - i - j] = -u, v, u - v
            moved |= acute
        left = left[moved]
        if not len(left):
            break
    return base


def directions(base: Integers) -> Integers:
    """The lattice vectors e_k (n, 3, 2) of superbases."""
    return np.stack([-base[..., 1], base[..., 0]], axis=-1)


def weights(base: Integers, tensor: Array) -> Array:
    """rho_k (n, 3) with sum rho_k e_k e_k^T = tensor.

    Examples
    --------
    >>> tensor = np.array([[[3.0, 1.4], [1.4, 1.0]]])
    >>> base = superbases(tensor)
    >>> rho, e = weights(base, tensor), directions(base)
    >>> bool((rho >= 0).all()), np.einsum("nk,nki,nkj->nij", rho, e, e).round(12).tolist()
    (True, [[[3.0, 1.4], [1.4, 1.0]]])
    """
    return np.stack([-np.einsum("ni,nij,nj->n", base[:, i], tensor, base[:, j]) for i, j in PAIRS], axis=1)
