"""Brouwer's degree on the boundary of a box of three to six dimensions, and whether indices add up to it.

The degree of a continuous field F without zeros on the boundary is the sum of the indices of the zeros
inside: the sign of det dF at a regular one. If F is nowhere on the boundary opposite to a linear field G,
then (1 - t) F + t G never vanishes there, and F has the degree of G, the sign of det G.

Algorithm (`boundary_degree`)
-----------------------------
1. G = A (x - c), c the box's centre, with A one of -1, 1, the signs of F_i on its own faces, and the linear
   maps nearest to F and to F/abs(F) on `SAMPLES` points of every face: the one that stays farthest from
   opposite there.
2. The faces are cut into boxes until on each of them the angle between F and G at its middle, and the angles
   by which F and G can turn over the box, are less than a half turn in all. G stays in a ball about its value
   at the middle, whose radius is known; of F the radius is `SAFETY` times what the Jacobian at the middle
   says. A ball that holds 0 allows any turn. Points at which F is opposite to G are isolated as a rule, and
   boxes about them shrink for ever: with one narrower than `SMALLEST`, or more than `MOST_CELLS` boxes, there
   is no degree (nan). F may be opposite to every G tried, or turn fast.

As in the plane (`samdyn.equilibria.proof.degree`), a layer that is passed between the middles stays unseen.

Where a rule jumps at a critical point z it sees grad f(z + r u) beside z, with u = grad f/abs(grad f). The
index at z is the degree of u, the sign of det H(z), times the degree of grad f on the sphere of radius r
around z, which is the sum over the critical points inside (`indices_of_jumps`).

References
----------
Deimling, Nonlinear Functional Analysis (1985), ch. 1 (degree, homotopy, products). Miranda, Boll. Un. Mat.
Ital. 3 (1940) 5-7 (signs on opposite faces).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.proof.index_check import IndexCheck

__all__ = ["boundary_degree", "check_boundary", "indices_of_jumps", "signs"]

Evaluation = Callable[[Array], tuple[Array, Array]]

LARGEST_DIM = 6  # the boxes of the faces multiply with the dimension
SAMPLES = 64
SAFETY = 2.0
MOST_CELLS = 20_000
SMALLEST = 1e-6  # of half the box; angles near a half turn are known to 2e-8
REGULAR = 1e-7  # ratio of the singular values, as in the plane


def boundary_degree(evaluate: Evaluation, box: Array) -> float:
    """The degree of a field on the boundary of a box (dim, 2); nan where it is not known.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.3], [0.5, 0.0, 3.0]])
    >>> boundary_degree(lambda x: (x @ A.T, np.tile(A, (len(x), 1, 1))), np.array([[-1.0, 2.0]] * 3))
    -1.0
    """
    dim, centre, half = len(box), box.mean(axis=1), np.ptp(box, axis=1) / 2
    normal, side = np.repeat(np.arange(dim), 2), np.tile([-1.0, 1.0], dim)
    rng = np.random.default_rng(0)
    at = rng.uniform(-1, 1, (2 * dim, SAMPLES, dim))
    at[np.arange(2 * dim), :, normal] = side[:, None]
    x = at.reshape(-1, dim)
    with np.errstate(all="ignore"):
        value = evaluate(centre + half * x)[0]
    if not np.isfinite(value).all() or not np.linalg.norm(value, axis=1).all():
        return np.nan
    own = (value.reshape(2 * dim, SAMPLES, dim)[np.arange(2 * dim), :, normal] * side[:, None]).mean(axis=1)
    fitted = [
        np.linalg.lstsq(x, of, rcond=None)[0].T
        for of in (value, value / np.linalg.norm(value, axis=1, keepdims=True))
    ]
    tried = [-np.eye(dim), np.eye(dim), np.diag(np.sign(own[::2] + own[1::2])), *fitted]
    tried = [A for A in tried if np.linalg.cond(A) < 1e6]
    worst = [_cosines(value, x @ A.T).min() for A in tried]
    A = tried[int(np.argmax(worst))]
    middle, radius = np.zeros((2 * dim, dim)), np.ones((2 * dim, dim))
    middle[np.arange(2 * dim), normal] = side
    radius[np.arange(2 * dim), normal] = 0.0
    n_cells = 0
    while len(middle):
        n_cells += len(middle)
        if n_cells > MOST_CELLS:
            return np.nan
        with np.errstate(all="ignore"):
            value, jacobian = evaluate(centre + half * middle)
            size = np.linalg.norm(value, axis=1)
            image = middle @ A.T
            moves = radius * SAFETY * np.linalg.norm(jacobian * half, axis=1) / size[:, None]  # of F, by axes
            others = radius * np.linalg.norm(A, axis=0) / np.linalg.norm(image, axis=1, keepdims=True)
            turns = _largest_turn(moves.sum(axis=1)) + _largest_turn(others.sum(axis=1))
            angle = np.arccos(np.clip(_cosines(value, image), -1, 1)) + turns
        if not np.isfinite(angle).all():
            return np.nan
        open_ = angle >= np.pi
        if (radius[open_].max(axis=1) < SMALLEST).any():
            return np.nan
        middle, radius, moves = middle[open_], radius[open_], (moves + others)[open_]
        row, axis = np.arange(len(middle)), moves.argmax(axis=1)  # halved where they move most
        radius[row, axis] /= 2
        move = np.zeros_like(middle)
        move[row, axis] = radius[row, axis]
        middle, radius = np.concatenate([middle - move, middle + move]), np.tile(radius, (2, 1))
    return float(np.sign(np.linalg.det(A)))


def _cosines(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def _largest_turn(radius: Array) -> Array:
    """Largest angles between a vector of length 1 and the vectors within a radius of it."""
    return np.asarray(np.arcsin(np.minimum(radius, 1.0)) + np.where(radius >= 1, np.pi, 0.0))


def signs(jacobian: Array) -> Array:
    """Signs of the determinants of matrices (n, dim, dim); nan where one is singular to rounding."""
    size = np.linalg.svd(jacobian, compute_uv=False)
    return np.where(size[:, -1] > REGULAR * size[:, 0], np.sign(np.linalg.det(jacobian)), np.nan)


def indices_of_jumps(critical: Array, hessians: Array, radius: float, box: Array) -> Array:
    """Indices (n,) of grad f(x + e) at critical points (n, dim) where e jumps, by radius g/abs(g).

    nan where another critical point is degenerate and in the ball, where one is on its sphere, or where the
    ball leaves the box, outside of which no critical point is known.

    Examples
    --------
    >>> import numpy as np
    >>> minimum, saddle = np.eye(3), np.diag([1.0, 1.0, -1.0])
    >>> x = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> box = np.array([[-3.0, 3.0]] * 3)
    >>> [indices_of_jumps(x, np.stack([minimum, saddle]), r, box).tolist() for r in (0.5, 1.0, 1.5)]
    [[1.0, 1.0], [nan, nan], [0.0, 0.0]]
    """
    own = signs(hessians)
    away = np.linalg.norm(critical[:, None] - critical, axis=2)
    inside, on = away < radius, np.abs(away - radius) <= 1e-6 * radius
    total = np.array([own[row].sum() for row in inside])
    leaves = ((critical - radius < box[:, 0]) | (critical + radius > box[:, 1])).any(axis=1)
    return np.where(leaves | on.any(axis=1), np.nan, own * total) + 0.0


def check_boundary(evaluate: Evaluation, box: Array, indices: Array, curves: bool) -> IndexCheck:
    """Compare the sum of the indices (n,) of the points known with the degree on the boundary.

    `curves` says that there are curves or surfaces of zeros, which have no index here.
    """
    none, reason = np.empty((0, 2)), ""
    if len(box) > LARGEST_DIM:
        reason = f"more than {LARGEST_DIM} coordinates"
    elif curves:
        reason = "zeros form curves or surfaces"
    elif np.isnan(indices).any():
        reason = "a point has no index that is known"
    else:
        degree = boundary_degree(evaluate, box)
        if np.isfinite(degree):
            return IndexCheck(1, 1, abs(round(degree - float(indices.sum()))), none, on_boundary=True)
        reason = "the degree of the field on the box's boundary is not known"
    return IndexCheck(1, 0, 0, none, reason, on_boundary=True)
