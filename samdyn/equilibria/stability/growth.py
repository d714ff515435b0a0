"""How far a linear system can amplify a start before its eigenvalues decide.

The Jacobians of normalised SAM and of heavy-ball momentum are not symmetric: their eigenvectors are not
orthogonal, and a stable one may first amplify a perturbation many times. What measures that is the largest
2-norm of the powers A^k of a map, or of the propagator exp(tA) of a flow.

Algorithm
---------
1. Maps: A^k is formed by repeated multiplication until its norm is below 1, or `horizon` is reached. As the
   norm of A^(k+j) is at most the norm of A^k times the norm of A^j, nothing later exceeds the largest so far.
2. Flows: exp(tA) at `N_TIMES` equal times and on a geometric grid from 1e-3 / |A| up to the horizon, and a
   bounded search around the largest: the largest found, which a narrower peak could exceed.
3. The horizon by default is `HORIZON` e-folding times of the slowest decaying mode. An unstable system has no
   maximum: its growth is reported as infinite. Eigenvalues on the border of stability that have all their
   eigenvectors let nothing grow without bound: then the largest until the horizon is reported as found.
4. The Kreiss constant K = sup (|z| - 1) / smallest singular value of (z - A) over |z| > 1 (for a flow
   sup Re z / smallest singular value over Re z > 0) is bounded from below on a grid around the spectrum. It
   is itself a lower bound: K <= max growth <= e n K.

References
----------
Trefethen & Embree, Spectra and Pseudospectra (2005), chapters 14-16 (the Kreiss matrix theorem).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm
from scipy.optimize import minimize_scalar

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.results import Result, Table

if TYPE_CHECKING:
    from samdyn.equilibria.stability.linearization import Linearization

HORIZON = 40.0
N_TIMES = 400
PER_DECADE = 40  # times to a decade of the geometric grid; chosen
MOST_POWERS = 1_000_000  # of the matrix; chosen
N_ANGLES = 48
N_DISTANCES = 40
ON_THE_BORDER = 1e-12  # of a decay rate, over the matrix' norm for a flow: rounding of eigenvalues
DEFECTIVE = 1e-6  # least singular value of unit eigenvectors; a Jordan block has 1e-8 or less
SMALL = 64  # the order of a matrix up to which the work is not worth an estimate
TILE = 1 << 22  # entries of matrices held at a time


@dataclass(frozen=True, eq=False, repr=False)
class TransientGrowth(Result):
    """Amplification by a linear system x' = A x (a map) or dx/dt = A x (a flow).

    Attributes
    ----------
    largest : float
        The largest 2-norm of A^k, or of exp(tA), over k, t >= 0: at least 1; inf if unstable.
    when : float
        The step k (a whole number) or the time t at which it is reached; inf if unstable.
    one_step : float
        The 2-norm of A itself, for a map; nan for a flow.
    numerical_abscissa : float
        The largest eigenvalue of (A + A^T)/2: the fastest growth rate at t = 0 of a flow. nan for a map.
    kreiss : float
        Lower bound of the Kreiss constant, itself a lower bound of `largest`; inf if unstable, nan if it was
        not asked for.
    start : ndarray, shape (n,)
        The unit vector that is amplified most; nan if unstable.
    discrete : bool
        Whether A is the matrix of a map.
    proved : bool
        Whether nothing later exceeds `largest`: the powers of a map have come below 1.
    """

    cited = ("trefethen2005",)
    row = "coordinate"

    largest: float
    when: float
    one_step: float
    numerical_abscissa: float
    kreiss: float
    start: Array
    discrete: bool
    proved: bool

    def table(self) -> Table:
        """The largest growth, when, and its bounds."""
        if not np.isfinite(self.largest):
            return Table("TransientGrowth: unstable, grows without bound")
        at = f"step {int(self.when)}" if self.discrete else f"time {self.when:.6g}"
        first = (
            f"norm of one step {self.one_step:.6g}"
            if self.discrete
            else f"numerical abscissa {self.numerical_abscissa:.6g}"
        )
        bound = "" if np.isnan(self.kreiss) else f", Kreiss constant >= {self.kreiss:.6g}"
        how = "at most" if self.proved else "found"
        return Table(f"TransientGrowth: {how} {self.largest:.6g} times, at {at}", [(f"{first}{bound}",)])


@checked
def transient_growth(
    matrix: npt.ArrayLike | Linearization,
    discrete: bool | None = None,
    horizon: float | None = None,
    *,
    kreiss: bool = True,
    progress: bool = False,
) -> TransientGrowth:
    """Largest amplification by the powers or the exponential of a matrix.

    Parameters
    ----------
    matrix : array_like, shape (n, n), or Linearization
        The Jacobian of a map or of a flow. A `Linearization` knows which it is.
    discrete : bool
        True for a map (powers), False for a flow (exponential). It must be given with an array: the same
        numbers are stable for one and unstable for the other.
    horizon : float, optional
        Steps or time to look ahead; by default 40 e-folding times of the slowest mode.
    kreiss : bool
        Whether to bound the Kreiss constant, which costs 40 (48 + n) singular value decompositions.
    progress : bool
        Show a bar.

    Returns
    -------
    TransientGrowth

    Raises
    ------
    TypeError, ValueError
        Not a finite square matrix, a horizon that is not positive, or an array without `discrete`.

    Warns
    -----
    CostWarning
        Its own estimate (one product and one decomposition, timed) exceeds ten seconds.

    Notes
    -----
    Cost: a product of n x n matrices for each step until the norm has fallen below 1, at most a million. The
    algorithm is in the module's documentation (`samdyn.equilibria.stability.growth`).

    References
    ----------
    Trefethen & Embree, Spectra and Pseudospectra (2005), chapters 14-16.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.transient_growth([[0.5, 10.0], [0.0, 0.5]], discrete=True)
    TransientGrowth: at most 10.0249 times, at step 1
      norm of one step 10.0249, Kreiss constant >= 5.04122
    """
    a, discrete = _matrix_of_kind(matrix, discrete)
    if horizon is not None:
        horizon = checks.number("horizon", horizon, above=0)
    values = np.linalg.eigvals(a)
    norm = float(np.linalg.norm(a, 2))
    one_step, abscissa = (
        (norm, np.nan) if discrete else (np.nan, float(np.linalg.eigvalsh((a + a.T) / 2)[-1]))
    )
    decay = -np.log(np.maximum(np.abs(values), 1e-300)) if discrete else -values.real
    still = np.abs(decay) <= ON_THE_BORDER * (1.0 if discrete else norm)
    bounded = bool((decay[~still] > 0).all()) and _has_all_eigenvectors(a, still)
    if not bounded and horizon is None:
        nothing = np.full(len(a), np.nan)
        return TransientGrowth(np.inf, np.inf, one_step, abscissa, np.inf, nothing, discrete, False)
    # what stays on the border only turns: a few turns of it, beside what decays
    turning = np.abs(np.angle(values[still]) if discrete else values[still].imag)
    rates = np.concatenate([decay[~still], turning[turning > ON_THE_BORDER * (1.0 if discrete else norm)]])
    end = horizon or HORIZON / float(rates.min(initial=np.inf if len(rates) else 1.0))
    if discrete and horizon is None:
        end = min(end + len(a), MOST_POWERS)
    if len(a) > SMALL:
        _announce(a, discrete, end, kreiss and bounded)
    with PartsBar(progress, "transient_growth", None, "matrix") as bar:
        if discrete:
            largest, when, best, proved = _powers(a, end, bar)
        else:
            (largest, when, best), proved = _exponentials(a, end, bar), False
        bound = np.inf if not bounded else np.nan
        if bounded and kreiss:
            bound = max(_kreiss(a, values, discrete, bar), 1.0)
    start = np.linalg.svd(best)[2][0]
    return TransientGrowth(largest, when, one_step, abscissa, bound, start, discrete, proved)


def _matrix_of_kind(matrix: Any, discrete: bool | None) -> tuple[Array, bool]:
    """The matrix as an array, and whether it belongs to a map."""
    known = getattr(matrix, "discrete", None)
    if known is not None:
        if discrete is not None and bool(discrete) != known:
            what = "a map" if known else "a flow"
            raise ValueError(
                f"discrete must agree with the linearization, which is of {what}, got {discrete}"
            )
        matrix, discrete = matrix.jacobian, bool(known)
    a = checks.array("matrix", matrix, finite=False, wanted="a square array of numbers")
    if a.ndim != 2 or a.shape[0] != a.shape[1] or len(a) == 0:
        raise ValueError(f"matrix must be a square array, got shape {a.shape}")
    if not np.isfinite(a).all():
        raise ValueError("matrix must be finite: where the field jumps there is no Jacobian, got nan or inf")
    if discrete is None:
        raise TypeError(
            "discrete must be given with an array: True for the matrix of a map x' = A x, False for the "
            "matrix of a flow dx/dt = A x; or pass what samdyn.linearize returns, which knows it"
        )
    if not isinstance(discrete, bool | np.bool_):
        raise TypeError(
            f"discrete must be True (a map) or False (a flow), got {discrete!r} of type "
            f"{type(discrete).__name__}"
        )
    return a, bool(discrete)


def _announce(a: Array, discrete: bool, end: float, kreiss: bool) -> None:
    """Say what a large matrix will cost, from one product and one decomposition."""
    product = seconds_of(lambda: a @ a)
    decomposition = seconds_of(lambda: np.linalg.svd(a.astype(complex), compute_uv=False))
    seconds = min(end, MOST_POWERS) * (product + decomposition / 4)
    if not discrete:
        # a matrix exponential takes some twenty products, and a norm of the result
        seconds = (2 * N_TIMES + PER_DECADE * 6) * (20 * product + decomposition / 4)
    if kreiss:
        seconds += N_DISTANCES * (N_ANGLES + len(a)) * decomposition
    announce(
        "transient_growth",
        seconds,
        "pass kreiss=False and a shorter horizon, or a matrix restricted to the leading eigenvectors",
    )


def _has_all_eigenvectors(a: Array, still: npt.NDArray[np.bool_]) -> bool:
    """Whether the eigenvectors of the eigenvalues on the border of stability are independent."""
    if not still.any():
        return True
    vectors = np.linalg.eig(a)[1][:, still]
    return bool(np.linalg.svd(vectors, compute_uv=False)[-1] > DEFECTIVE)


def _powers(a: Array, horizon: float, bar: PartsBar) -> tuple[float, float, Array, bool]:
    power = best = np.eye(len(a))
    largest, when = 1.0, 0
    for k in range(1, int(min(horizon, MOST_POWERS)) + 1):
        power = power @ a
        bar.update()
        norm = float(np.linalg.norm(power, 2))
        if norm > largest:
            largest, when, best = norm, k, power
        if norm < 1:
            return largest, float(when), best, True
    return largest, float(when), best, False


def _exponentials(a: Array, horizon: float, bar: PartsBar) -> tuple[float, float, Array]:
    # nothing can happen before 1 / |A|: from there to the horizon a geometric grid sees every scale of time
    first = min(1e-3 / max(float(np.linalg.norm(a, 2)), 1e-300), horizon)
    n_times = N_TIMES + int(PER_DECADE * np.log10(horizon / first))
    times = np.unique(
        np.concatenate([np.linspace(0, horizon, N_TIMES), np.geomspace(first, horizon, n_times)])
    )
    norms = np.empty(len(times))
    for part in _tiles(len(times), len(a)):
        norms[part] = np.linalg.norm(expm(times[part, None, None] * a), 2, axis=(1, 2))
        bar.update(len(norms[part]))
    i = int(np.argmax(norms))
    if i == 0:
        return 1.0, 0.0, np.eye(len(a))
    low, high = times[max(i - 1, 0)], times[min(i + 1, len(times) - 1)]
    best: Any = minimize_scalar(
        lambda t: -np.linalg.norm(expm(t * a), 2),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-10 * horizon},
    )
    if -best.fun > norms[i]:
        return float(-best.fun), float(best.x), expm(best.x * a)
    return float(norms[i]), float(times[i]), expm(times[i] * a)


def _tiles(n: int, size: int) -> list[slice]:
    """Parts of n matrices of the given order that fit into a modest memory."""
    each = max(1, TILE // (size * size))
    return [slice(low, low + each) for low in range(0, n, each)]


def _kreiss(a: Array, values: npt.NDArray[Any], discrete: bool, bar: PartsBar) -> float:
    """The Kreiss constant's defining quotient, maximised over a grid next to the border of stability."""
    scale = max(float(np.linalg.norm(a, 2)), 1e-300)
    if discrete:
        beyond = np.geomspace(1e-6, max(scale, 1.0), N_DISTANCES)
        angles = np.concatenate([np.linspace(0, 2 * np.pi, N_ANGLES, endpoint=False), np.angle(values)])
        z: npt.NDArray[Any] = ((1 + beyond[:, None]) * np.exp(1j * angles)).ravel()
        excess: Array = np.abs(z) - 1
    else:
        beyond = np.geomspace(1e-6, 2, N_DISTANCES) * scale
        heights = np.concatenate([np.linspace(-scale, scale, N_ANGLES), values.imag])
        z = np.add.outer(beyond, 1j * heights).ravel()
        excess = np.real(z)
    smallest = np.empty(len(z))
    for part in _tiles(len(z), len(a)):
        shifted = z[part, None, None] * np.eye(len(a)) - a
        smallest[part] = np.linalg.svd(shifted, compute_uv=False)[:, -1]
        bar.update(len(shifted))
    return float((excess / smallest).max())
