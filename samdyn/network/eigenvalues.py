"""A few eigenvalues of a matrix that is known by its products, each with its eigenvector and residual.

Small matrices (`DENSE`) are made, column by column, and solved densely: their eigenvalues are exact to
rounding. Ends of the spectrum of larger symmetric ones come from the Lanczos process, from as few products as
the tolerance asks for (`samdyn.network.lanczos`). Where that is not enough, and for matrices that are not
symmetric, ARPACK restarts it: Arnoldi for J, which has the same Krylov space as J - I. The residual of an
eigenvalue, |J v - mu v| with |v| = 1, is then computed from one more product. A symmetric matrix has an
eigenvalue within the residual of the one reported; for another matrix the distance may be larger, by the
condition number of the eigenvalue.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import ArpackNoConvergence, eigs, eigsh

from samdyn.arguments.checks import Array
from samdyn.network.lanczos import lanczos_ends
from samdyn.trace.product_operator import ProductOperator

DENSE = 400
"""Rows up to which a matrix is made and solved densely."""
WHICH = ("largest", "smallest", "both", "magnitude", "leading", "unit circle")
STEPS = 60
"""Products of the Lanczos process beyond twice the number of wanted eigenvalues, before it is restarted."""
EXTRA = 20
"""Vectors of the Krylov space beyond twice the number of wanted ones."""


INTERIOR = 2000
"""Rows up to which eigenvalues inside the spectrum are looked for: no Krylov space of J has them first."""


class Eigenpairs(NamedTuple):
    """Eigenvalues (k,), eigenvectors (n, k) of length 1 as columns, and residuals (k,).

    `size` is the largest distance from `neutral` of the eigenvalues that were met, and `exact` tells that no
    copy of an eigenvalue can be missing among them.
    """

    values: npt.NDArray[Any]
    vectors: npt.NDArray[Any]
    residuals: Array
    size: float
    exact: bool


def find_eigenpairs(
    operator: ProductOperator,
    k: int,
    which: str,
    *,
    symmetric: bool,
    neutral: float,
    tolerance: float,
    start: Array | None,
    seed: int,
) -> Eigenpairs:
    """The `k` eigenvalues that `which` asks for, in that order.

    Parameters
    ----------
    operator : ProductOperator
        An n x n matrix.
    k : int
        At most n.
    which : str
        "largest" or "smallest" real part; "both" ends; largest "magnitude"; "leading", farthest from
        `neutral`; nearest the "unit circle".
    symmetric : bool
    neutral : float
        The eigenvalue of a direction in which nothing moves: 1 for a map, 0 otherwise.
    tolerance : float
        Wanted size of a residual, relative to the largest eigenvalue's distance from `neutral`.
    start : ndarray, shape (n,), optional
        First vector of the Krylov space; normal random numbers of `seed` by default.
    """
    n = operator.shape[0]
    if is_dense(n, k, which):
        return _dense(operator, k, which, symmetric, neutral)
    first = np.random.default_rng(seed).standard_normal(n)
    if start is not None:  # with chance beside it, or an eigenvalue that has come up since is not seen
        first = start / np.linalg.norm(start) + first / np.linalg.norm(first)
    size = 0.0
    if symmetric and which in ("largest", "smallest", "both"):
        low = {"largest": 0, "smallest": k, "both": k // 2}[which]
        ritz = lanczos_ends(operator, first, low, k - low, tolerance, 2 * k + STEPS)
        chosen, size = _order(ritz.values, which, neutral)[:k], ritz.size
        if (ritz.residuals <= tolerance * size).all() and len(chosen) == k:
            values, vectors = ritz.values[chosen], ritz.vectors[:, chosen]
            return Eigenpairs(values, vectors, _residuals(operator, values, vectors), size, False)
        first = ritz.vectors.sum(axis=1)
    searches = [("largest", k - k // 2), ("smallest", k // 2)] if which == "both" else [(which, k)]
    found = [
        _arpack(operator, count, part, symmetric, neutral, tolerance, first)
        for part, count in searches
        if count
    ]  # fmt: skip
    values = np.concatenate([values for values, _ in found])
    vectors = np.concatenate([vectors for _, vectors in found], axis=1)
    chosen = _order(values, which, neutral)[:k]
    values, vectors = values[chosen], vectors[:, chosen]
    size = max(size, float(np.abs(values - neutral).max(initial=0.0)))
    return Eigenpairs(values, vectors, _residuals(operator, values, vectors), size, False)


def is_dense(n: int, k: int, which: str) -> bool:
    """Whether the matrix is made and solved densely.

    Raises
    ------
    ValueError
        It is too large for the eigenvalues wanted.
    """
    if which == "unit circle" and n > INTERIOR:
        raise ValueError(
            f"which='unit circle' must be of a matrix of at most {INTERIOR} rows, got {n}: eigenvalues "
            "inside the spectrum need the whole matrix; take a block, or which='leading'"
        )
    return n <= DENSE or k >= n - 1 or which == "unit circle"


def _dense(operator: ProductOperator, k: int, which: str, symmetric: bool, neutral: float) -> Eigenpairs:
    matrix = operator @ np.eye(operator.shape[0])
    values: npt.NDArray[Any]
    if symmetric:
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    else:
        values, vectors = np.linalg.eig(matrix)
    chosen, size = _order(values, which, neutral)[:k], float(np.abs(values - neutral).max(initial=0.0))
    values, vectors = values[chosen], vectors[:, chosen]
    return Eigenpairs(
        values, vectors, np.linalg.norm(matrix @ vectors - vectors * values, axis=0), size, True
    )


def _order(values: npt.NDArray[Any], which: str, neutral: float) -> npt.NDArray[np.int64]:
    """Places of the eigenvalues from the most to the least wanted."""
    real = np.real(values)
    if which == "both":  # alternating, so that a cut leaves both ends
        down = np.argsort(-real, kind="stable")
        up = down[::-1]
        mixed = np.stack([down, up], axis=1).reshape(-1)
        return np.asarray(mixed[np.sort(np.unique(mixed, return_index=True)[1])])
    score = {
        "largest": -real,
        "smallest": real,
        "magnitude": -np.abs(values),
        "leading": -np.abs(values - neutral),
        "unit circle": np.abs(np.abs(values) - 1),
    }[which]
    return np.argsort(score, kind="stable")


def _arpack(
    operator: ProductOperator,
    k: int,
    which: str,
    symmetric: bool,
    neutral: float,
    tolerance: float,
    start: Array,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Eigenvalues and eigenvectors by ARPACK: those that converged, where not all do."""
    n = operator.shape[0]
    size = min(n - 1, 2 * k + EXTRA)
    shifted = ProductOperator(n, operator.forward_of(-neutral), operator.transposed_of(-neutral), 1)
    shifted.report = operator.report
    kind = {"largest": "LA", "smallest": "SA", "magnitude": "LM", "leading": "LM"}[which]
    about = 0.0 if which == "magnitude" else neutral
    matrix = operator if about == 0.0 else shifted
    options: dict[str, Any] = {
        "k": k,
        "tol": tolerance,
        "v0": start,
        "ncv": size,
        "maxiter": 20 * n // size + 20,
    }
    try:
        if symmetric:
            values, vectors = eigsh(matrix, which=kind, **options)
        else:
            values, vectors = eigs(matrix, which=kind.replace("A", "R"), **options)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
    if matrix is shifted:
        operator.n_products += shifted.n_products
        operator.seconds += shifted.seconds
    return values + about, vectors


def _residuals(operator: ProductOperator, values: npt.NDArray[Any], vectors: npt.NDArray[Any]) -> Array:
    residuals = np.empty(len(values))
    for i, (value, vector) in enumerate(zip(values, vectors.T, strict=True)):
        # the vector of a conjugate value has the same residual
        if (
            i
            and np.iscomplexobj(values)
            and value.imag
            and np.isclose(value, np.conj(values[i - 1]), rtol=1e-9)
        ):
            residuals[i] = residuals[i - 1]
            continue
        same = np.isrealobj(vector) or not np.imag(value)
        column = np.real(vector) if same else vector
        column = column / np.linalg.norm(column)
        residuals[i] = np.linalg.norm(operator @ column - value * column)
    return residuals
