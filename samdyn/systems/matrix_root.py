"""Roots of small symmetric matrices that can be traced into separate coordinates.

The noise of a step is a root of a covariance matrix times standard normals. Where the covariance depends on
the point, the root is part of the step, and the step is compiled only if the root is made of pointwise
operations on the matrix's entries. `absolute_root` gives |A|^(1/2) z, the symmetric root, for a symmetric
matrix A:

- one dimension: sqrt|a| z;
- two: f(A) = mean(f) I + slope (A - mean(A) I), with slope the divided difference of f over the two
  eigenvalues;
- three: the best separated eigenvalue from the trigonometric solution of the cubic, its eigenvector as a
  cross product of rows, and the form for two dimensions in the plane across it [1];
- four to `MOST_ROTATED`: `SWEEPS` cyclic sweeps of Jacobi rotations [2]. They stop there without a test, for
  a traced step has no branches: convergence is quadratic, and after so many sweeps what is left of the
  off-diagonal entries is below rounding (measured over random, clustered, graded and singular matrices);
- above: an eigendecomposition by LAPACK, which cannot be traced.

Every form is backward stable: it is the exact root of a matrix within some 1e-15 |A| of A. The root of an
eigenvalue near 0 is therefore right to about 3e-8 sqrt|A|, with LAPACK too, the root of any other eigenvalue
to about 1e-15 sqrt|A|.

References
----------
[1] D. Eberly, A Robust Eigensolver for 3 x 3 Symmetric Matrices, Geometric Tools (2014).
[2] G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 8.5.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from samdyn.arguments.checks import Array

# a step on more coordinates would have more operations than a compiler takes in a few seconds
MOST_ROTATED = 5
# the least number that leaves 1e-14 |A| of each of 10^5 matrices: two pairs of equal eigenvalues take longest
SWEEPS = {4: 5, 5: 6, 6: 7}


def absolute_root(matrix: Tensor, z: Tensor) -> Tensor:
    """|A|^(1/2) z for a symmetric matrix A: roots of the eigenvalues' absolute values.

    Parameters
    ----------
    matrix : Tensor, shape (dim, dim)
    z : Tensor, shape (dim,) or (dim, m)
        One vector, or m of them as columns.

    Examples
    --------
    >>> import torch
    >>> absolute_root(torch.tensor([[0.0, 4.0], [4.0, 0.0]]), torch.tensor([1.0, 0.5]))
    tensor([2., 1.])
    """
    dim = z.shape[0]
    if dim == 1:
        return torch.sqrt(torch.abs(matrix[0])) * z
    if dim == 2:
        return torch.stack(_root_of_two(matrix[0, 0], matrix[0, 1], matrix[1, 1], z[0], z[1]))
    if dim == 3:
        return _root_of_three(matrix, z)
    values, vectors = _rotated(matrix) if dim <= MOST_ROTATED else torch.linalg.eigh(matrix)
    roots = torch.sqrt(torch.abs(values))
    return vectors @ (roots.reshape(-1, *[1] * (z.ndim - 1)) * (vectors.T @ z))


def covariance_root(covariance: Array) -> Array:
    """The symmetric root of a covariance matrix; what is not coupled in the matrix is not in its root.

    Parameters
    ----------
    covariance : ndarray, shape (dim, dim)
        Symmetric, with eigenvalues that are not negative but for rounding.

    Examples
    --------
    >>> covariance_root(np.array([[4.0, 0.0], [0.0, 9.0]]))
    array([[2., 0.],
           [0., 3.]])
    """
    result = np.zeros_like(covariance)
    # block by block, so that a zero stays a zero and blocks of very different sizes keep their digits
    n_blocks, block = connected_components(covariance != 0, directed=False)
    for b in range(n_blocks):
        own = np.ix_(block == b, block == b)
        values, vectors = eigh(covariance[own])
        result[own] = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return result


def _root_of_two(a: Tensor, b: Tensor, d: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """|A|^(1/2) (x, y) for A = ((a, b), (b, d)): no eigenvectors needed."""
    centre, difference = (a + d) / 2, (a - d) / 2
    square = difference**2 + b**2
    split = square > 0
    half = torch.where(split, torch.sqrt(torch.where(split, square, 1.0)), 0.0)
    upper, lower = torch.sqrt(torch.abs(centre + half)), torch.sqrt(torch.abs(centre - half))
    slope = torch.where(split, (upper - lower) / (2 * torch.where(split, half, 1.0)), 0.0)
    mean = (upper + lower) / 2
    first = (mean + slope * difference) * x + slope * b * y
    return first, slope * b * x + (mean - slope * difference) * y


def _root_of_three(matrix: Tensor, z: Tensor) -> Tensor:
    centre = (matrix[0, 0] + matrix[1, 1] + matrix[2, 2]) / 3
    a, b, c = matrix[0, 0] - centre, matrix[1, 1] - centre, matrix[2, 2] - centre
    d, e, f = matrix[0, 1], matrix[0, 2], matrix[1, 2]
    square = (a * a + b * b + c * c + 2 * (d * d + e * e + f * f)) / 6
    split = square > 0
    size = torch.sqrt(torch.where(split, square, 1.0))
    a, b, c, d, e, f = (entry / size for entry in (a, b, c, d, e, f))
    half = torch.clamp((a * (b * c - f * f) - d * (d * c - e * f) + e * (d * f - b * e)) / 2, -1.0, 1.0)
    # the largest eigenvalue stands apart from the others if half > 0, else the smallest
    apart = torch.where(half >= 0, 1.0, -1.0)
    value = apart * 2 * torch.cos(torch.acos(torch.abs(half)) / 3)
    rows = ((a - value, d, e), (d, b - value, f), (e, f, c - value))
    vector, length = _longest(_cross(rows[0], rows[1]), _cross(rows[0], rows[2]), _cross(rows[1], rows[2]))
    usual = split & (length > 0)
    inverse = torch.where(usual, 1 / torch.sqrt(torch.where(usual, length, 1.0)), 0.0)
    v = [u * inverse for u in vector]
    v[2] = torch.where(usual, v[2], 1.0)  # a multiple of the identity: any direction will do
    u, w = _plane_across(v)
    own, along_u, along_w = (_product(matrix, vector) for vector in (v, u, w))
    x, y = _root_of_two(_dot(u, along_u), _dot(u, along_w), _dot(w, along_w), _dot(u, z), _dot(w, z))
    t = torch.sqrt(torch.abs(_dot(v, own))) * _dot(v, z)
    return torch.stack([t * v[i] + x * u[i] + y * w[i] for i in range(3)])


def _dot(p: list[Tensor], q: list[Tensor] | Tensor) -> Tensor:
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def _product(matrix: Tensor, p: list[Tensor]) -> list[Tensor]:
    return [_dot(p, matrix[i]) for i in range(3)]


def _cross(p: tuple[Tensor, ...], q: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


def _longest(*vectors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    """The longest of some vectors, and the square of its length."""
    best = vectors[0]
    square = best[0] * best[0] + best[1] * best[1] + best[2] * best[2]
    for p in vectors[1:]:
        other = p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
        longer = other > square
        best = tuple(torch.where(longer, new, old) for new, old in zip(p, best, strict=True))
        square = torch.where(longer, other, square)
    return best, square


def _plane_across(v: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Two orthonormal vectors across a unit vector (Duff et al., J. Computer Graphics Techniques 6, 2017)."""
    sign = torch.where(v[2] >= 0, 1.0, -1.0)
    a = -1.0 / (sign + v[2])
    b = v[0] * v[1] * a
    return [1.0 + sign * v[0] * v[0] * a, sign * b, -sign * v[0]], [b, sign + v[1] * v[1] * a, -v[1]]


def _rotated(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors by rotations."""
    dim, device = len(matrix), matrix.device
    vectors = torch.eye(dim, dtype=matrix.dtype, device=device)
    upper = torch.ones_like(vectors).triu()
    a = _mirrored(matrix, upper)
    for pairs in _rounds(dim) * SWEEPS[dim]:
        p, q = (torch.tensor(index, device=device) for index in zip(*pairs, strict=True))
        cosine, sine = _rotations(a[p, p], a[p, q], a[q, q])
        turn = torch.diag((upper.new_ones(dim)).index_fill(0, torch.cat([p, q]), 0.0))
        pattern = upper.new_zeros(2, len(pairs), dim, dim)
        for i, (first, second) in enumerate(pairs):
            pattern[0, i, first, first] = pattern[0, i, second, second] = 1.0
            pattern[1, i, first, second], pattern[1, i, second, first] = 1.0, -1.0
        # products with the constants 0 and 1 leave no trace
        turn = turn + (torch.cat([cosine, sine]) @ pattern.reshape(2 * len(pairs), -1)).reshape(dim, dim)
        done = pattern[1].sum(dim=0).abs()
        a = _mirrored((turn.T @ a @ turn) * (1.0 - done), upper)
        vectors = vectors @ turn
    return a.diagonal(), vectors


def _mirrored(a: Tensor, upper: Tensor) -> Tensor:
    """The upper half in both halves: what makes the lower half is dead code in a trace."""
    return a * upper + (a * (upper - upper.diag().diag())).T


def _rotations(a: Tensor, b: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the smaller angles that make ((a, b), (b, d)) diagonal."""
    half = (d - a) / 2
    size = torch.abs(half) + torch.sqrt(half * half + b * b)
    tangent = torch.where(half < 0, -b, b) / torch.where(size > 0, size, 1.0)
    cosine = 1 / torch.sqrt(1 + tangent * tangent)
    return cosine, tangent * cosine


@functools.lru_cache(maxsize=8)
def _rounds(dim: int) -> list[list[tuple[int, int]]]:
    """All pairs of coordinates in rounds of disjoint ones, as in a tournament.

    Examples
    --------
    >>> _rounds(4)
    [[(0, 3), (1, 2)], [(0, 2), (1, 3)], [(0, 1), (2, 3)]]
    """
    players = list(range(dim + dim % 2))
    rounds = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        met = zip(players[:half], reversed(players[half:]), strict=True)
        rounds.append(sorted((min(pair), max(pair)) for pair in met if max(pair) < dim))
        players = [players[0], players[-1], *players[1:-1]]
    return rounds
