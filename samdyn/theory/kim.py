"""SAM at a saddle, after Kim et al.: attraction, diffusion, and what momentum and the batch size do.

The loss near a critical point is quadratic, with Hessian eigenvalues lam_j; the rule is unnormalised SAM,
x' = x - lr grad f(x + rho grad f(x)), unless a function says otherwise. Each mode then moves on its own, at
the rate -kappa with kappa = lam (1 + rho lam), and time t is lr times the number of steps. The gradient
noise has variance |lam| / batch_size in mode lam (Fisher model).

1. Theorem 1: `usam_rates`, `critical_radius`, `attracting_radii`, `usam_multipliers` (with momentum).
2. Theorem 2: `diffusion_variance` in four modes, `variance_gap` between SGD and SAM with its leading orders,
   `stationary_variance`, `mean_escape_time`.
3. Normalised SAM with noise: `mean_direction`, `effective_radius`, `effective_covariance`.
4. Theorem 3: `momentum_variance` in closed form, `linear_covariance` and `momentum_covariance` exactly.

Modes: which gradient makes the perturbation, and the formula of the paper. ::

    mode            kappa                  noise variance s2, in units of |lam| / batch_size
    "full"          lam (1 + rho lam)      1                      perturbation from the full batch
    "same"          lam (1 + rho lam)      (1 + rho lam)^2        from the batch of the descent gradient
    "independent"   lam (1 + rho lam)      1 + rho^2 lam^2        from another batch
    "paper"         lam (1 + rho lam)^2    1                      as printed in Theorem 2

The drift of "paper" is the gradient of f(x + rho grad f(x)) with respect to x, by the chain rule; the update
of the algorithm has no such second factor, and "paper" contradicts Theorem 1: its sign never changes.

Status of each formula: [second-hand] read in a summary of the paper, not in the paper; [derived] worked out
here; [checked] compared with simulation or exact recursion in the tests.

References
----------
Kim, Park, Kim and Lee, Stability Analysis of Sharpness-Aware Minimization (arXiv 2301.06308).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from samdyn.theory import first_passage

Array = npt.NDArray[np.float64]

MODES = ("full", "same", "independent", "paper")
EXPONENTS = ("corrected", "printed")


def _number(name: str, value: float, *, above: float | None = None, at_least: float | None = None) -> float:
    wanted = "a finite number" + (f" > {above:g}" if above is not None else "")
    wanted += f" >= {at_least:g}" if at_least is not None else ""
    bad = not math.isfinite(value) or (above is not None and value <= above)
    if bad or (at_least is not None and value < at_least):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return float(value)


def _array(name: str, value: npt.ArrayLike, *, at_least: float | None = None) -> Array:
    result = np.asarray(value, dtype=np.float64)
    if not np.isfinite(result).all() or (at_least is not None and (result < at_least).any()):
        wanted = "finite" if at_least is None else f"finite and >= {at_least:g}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return result


def _nonzero(name: str, value: npt.ArrayLike) -> Array:
    result = _array(name, value)
    if (result == 0).any():
        raise ValueError(f"{name} must not be zero, where the linearisation decides nothing, got {value!r}")
    return result


def _momentum(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value < 1):
        raise ValueError(f"momentum must be a number in [0, 1), got {value!r}")
    return float(value)


def _steps(value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise ValueError(f"n_steps must be an integer >= 0, got {value!r}")
    return int(value)


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    return mode


# Theorem 1: a saddle becomes an attractor


def effective_curvature(eigenvalues: npt.ArrayLike, rho: float, mode: str = "full") -> Any:
    """kappa of each mode: lam (1 + rho lam), or lam (1 + rho lam)^2 in the mode "paper".

    Notes
    -----
    First form: eigenvalues of H (I + rho H), exact on quadratics. [derived, checked] Second form: the
    exponent of Theorem 2 as printed. [second-hand]

    Examples
    --------
    >>> effective_curvature([-1.0, 2.0], 0.5), effective_curvature(-1.0, 0.5, "paper")
    (array([-0.5,  4. ]), np.float64(-0.25))
    """
    lam, factor = _array("eigenvalues", eigenvalues), 2 if _mode(mode) == "paper" else 1
    return (lam * (1 + _number("rho", rho, at_least=0) * lam) ** factor)[()]


def usam_rates(eigenvalues: npt.ArrayLike, rho: float) -> Any:
    """Growth rates -lam (1 + rho lam) of the USAM flow at a critical point; negative is attracting.

    Notes
    -----
    The Jacobian of -grad f(x + rho grad f(x)) at a critical point is -H (I + rho H). Rate 0 (lam = 0 or
    rho = 1/|lam| with lam < 0) leaves stability to higher orders. [second-hand: Theorem 1; checked]

    Examples
    --------
    >>> usam_rates([2.0, -2.0], 0.6).round(12)
    array([-4.4, -0.4])
    """
    return -effective_curvature(eigenvalues, rho)


def critical_radius(eigenvalues: npt.ArrayLike) -> float:
    """Radius above which a critical point attracts the USAM flow: 1 / min |lam| over the negative lam.

    Parameters
    ----------
    eigenvalues : array_like
        Of the Hessian; none may be zero.

    Returns
    -------
    float
        In units of 1/curvature; 0 at a minimum, which attracts at every radius.

    Notes
    -----
    Theorem 1 has it for one negative eigenvalue (rho > -1/lam_1) [second-hand]; with several the one closest
    to zero decides, and maxima become attractors too [derived, checked].

    Examples
    --------
    >>> critical_radius([2.0, -2.0]), critical_radius([-1.0, -4.0])
    (0.5, 1.0)
    """
    lam = np.atleast_1d(_nonzero("eigenvalues", eigenvalues))
    negative = lam[lam < 0]
    return float(1 / -negative.max()) if len(negative) else 0.0


class RadiusWindow(NamedTuple):
    """Radii lower < rho < upper; no radius at all where upper <= lower."""

    lower: float
    upper: float


def attracting_radii(eigenvalues: npt.ArrayLike, lr: float, momentum: float = 0.0) -> RadiusWindow:
    """Radii at which a critical point attracts the USAM map: 0 < lr lam (1 + rho lam) < 2 (1 + momentum).

    Notes
    -----
    lam = -a < 0: 1/a < rho < (1/a)(1 + 2 (1 + momentum)/(lr a)); lam > 0: 0 <= rho < (2 (1 + momentum)/(lr
    lam) - 1)/lam; the window is what all modes share. A `lower` of 0 belongs to it. Momentum does not move
    the lower end. [derived, checked]

    Examples
    --------
    >>> attracting_radii([-2.0], lr=0.01)
    RadiusWindow(lower=0.5, upper=50.5)
    """
    lam = np.atleast_1d(_nonzero("eigenvalues", eigenvalues))
    edge = 2 * (1 + _momentum(momentum)) / _number("lr", lr, above=0)
    return RadiusWindow(critical_radius(lam), float(((edge / lam - 1) / lam).min()))


def usam_multipliers(eigenvalues: npt.ArrayLike, rho: float, lr: float, momentum: float = 0.0) -> Any:
    """Multipliers of the USAM map at a critical point; modulus below 1 is attracting.

    Returns
    -------
    ndarray, shape (...) or (..., 2)
        1 - lr kappa without momentum; with it the two roots, complex, of
        z^2 - (1 + momentum - lr kappa) z + momentum, the larger modulus first.

    Notes
    -----
    Heavy ball: v' = momentum v + grad f(x + e(x)), x' = x - lr v'. [derived, checked]

    Examples
    --------
    >>> usam_multipliers(-2.0, 0.4, lr=0.01).round(12)
    np.float64(1.004)
    >>> abs(usam_multipliers(-0.1, 0.0, lr=0.01, momentum=0.9)).round(5)
    array([1.00924, 0.89176])
    """
    step = _number("lr", lr, above=0) * np.asarray(effective_curvature(eigenvalues, rho))
    gamma = _momentum(momentum)
    if not gamma:
        return (1 - step)[()]
    middle = (1 + gamma - step) / 2
    root = np.sqrt(np.asarray(middle**2 - gamma, dtype=complex))
    large = middle + np.where(middle < 0, -1, 1) * root
    return np.stack([large, gamma / large], axis=-1)  # their product is gamma: nothing cancels


# Theorem 2: diffusion at a critical point


def noise_variance(eigenvalues: npt.ArrayLike, rho: float, batch_size: float, mode: str = "full") -> Any:
    """Variance s2 of the noise in the descent gradient along each mode, see the table of the module.

    Notes
    -----
    Additive noise of variance |lam|/batch_size in each batch, carried through the perturbation by 1 + rho
    lam where both gradients see it, and by rho lam where another batch makes it. [derived, checked]

    Examples
    --------
    >>> [float(noise_variance(-1.0, 0.5, 1, mode)) for mode in MODES]
    [1.0, 0.25, 1.25, 1.0]
    """
    lam = _array("eigenvalues", eigenvalues)
    carried = _number("rho", rho, at_least=0) * lam
    factor = {"same": (1 + carried) ** 2, "independent": 1 + carried**2}.get(_mode(mode), 1.0)
    return (np.abs(lam) / _number("batch_size", batch_size, above=0) * factor)[()]


def diffusion_variance(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    batch_size: float = 1.0,
    mode: str = "full",
) -> Any:
    """Variance of each mode at time t of the SAM diffusion started at a critical point.

    Parameters
    ----------
    eigenvalues, t : array_like
        Hessian eigenvalues and times (lr times steps, >= 0), broadcast against each other.
    rho, lr, batch_size : float
        Radius (unnormalised SAM), learning rate, batch size.
    mode : {"full", "same", "independent", "paper"}
        Which gradient makes the perturbation, or the formula as printed; see the module.

    Returns
    -------
    ndarray or float64
        In units of the weights squared: the mean squared displacement along the mode.

    Notes
    -----
    lr s2 (1 - exp(-2 kappa t)) / (2 kappa), and lr s2 t for kappa = 0. The map's variance after t/lr steps
    lies O(lr) below it at a saddle. "paper" is Theorem 2 [second-hand]; the others [derived, checked].
    rho = 0 is SGD.

    Examples
    --------
    >>> args = dict(rho=0.5, lr=0.01)
    >>> [diffusion_variance(-1.0, 1.0, mode=mode, **args).round(8).item() for mode in MODES]
    [0.01718282, 0.0042957, 0.02147852, 0.01297443]
    """
    kappa = np.asarray(effective_curvature(eigenvalues, rho, mode))
    s2, time = noise_variance(eigenvalues, rho, batch_size, mode), _array("t", t, at_least=0)
    # exprel(x) = (exp(x) - 1) / x, 1 at 0
    return (_number("lr", lr, above=0) * s2 * time * special.exprel(-2 * kappa * time))[()]


def variance_gap(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    batch_size: float = 1.0,
    mode: str = "full",
) -> Any:
    """Variance of SGD less that of SAM at time t; arguments as in `diffusion_variance`.

    Notes
    -----
    Proportional to 1/batch_size in every mode. [derived]

    Examples
    --------
    >>> variance_gap(-1.0, 0.1, rho=0.1, lr=0.01, mode="paper").round(10)
    np.float64(2.14567e-05)
    """
    sgd = diffusion_variance(eigenvalues, t, rho=0.0, lr=lr, batch_size=batch_size)
    return sgd - diffusion_variance(eigenvalues, t, rho=rho, lr=lr, batch_size=batch_size, mode=mode)


def variance_gap_leading(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    batch_size: float = 1.0,
    mode: str = "full",
) -> Any:
    """Lowest order in t of `variance_gap`, exact in rho.

    Notes
    -----
    In units of lr / batch_size, for |lam| t << 1 [derived, checked]: ::

        "full"          rho |lam|^3 t^2
        "paper"         rho |lam|^3 (2 + rho lam) t^2
        "same"          -rho lam |lam| (2 + rho lam) t
        "independent"   -rho^2 |lam|^3 t

    At a saddle SAM spreads less than SGD in the modes "full" and "same", more in "independent".

    Examples
    --------
    >>> variance_gap_leading(-1.0, 0.1, rho=0.5, lr=0.01, mode="paper").round(12)
    np.float64(7.5e-05)
    """
    lam, time = _array("eigenvalues", eigenvalues), _array("t", t, at_least=0)
    rho, size = _number("rho", rho, at_least=0), np.abs(lam)
    form = {
        "full": rho * size**3 * time**2,
        "paper": rho * size**3 * (2 + rho * lam) * time**2,
        "same": -rho * lam * size * (2 + rho * lam) * time,
        "independent": -(rho**2) * size**3 * time,
    }[_mode(mode)]
    return (_number("lr", lr, above=0) / _number("batch_size", batch_size, above=0) * form)[()]


def corollary_gap(
    eigenvalues: npt.ArrayLike, t: npt.ArrayLike, *, rho: float, lr: float, batch_size: float = 1.0
) -> Any:
    """Corollary of Theorem 2 as printed: SGD less SAM is 2 lr t^2 |lam|^3 rho / batch_size.

    Notes
    -----
    For |lam| t << 1 and |lam| rho << 1: the first order in rho of the "paper" mode of
    `variance_gap_leading`. [second-hand; checked] A statement in the same summary, that large batches widen
    the gap, contradicts it.

    Examples
    --------
    >>> corollary_gap(-1.0, 0.1, rho=0.5, lr=0.01).round(12)
    np.float64(0.0001)
    """
    lam, time = _array("eigenvalues", eigenvalues), _array("t", t, at_least=0)
    scale = 2 * _number("lr", lr, above=0) / _number("batch_size", batch_size, above=0)
    return (scale * _number("rho", rho, at_least=0) * np.abs(lam) ** 3 * time**2)[()]


def stationary_variance(
    eigenvalues: npt.ArrayLike, *, rho: float, lr: float, batch_size: float = 1.0, mode: str = "full"
) -> Any:
    """Variance lr s2 / (2 kappa) of each mode in the long run, where kappa > 0.

    Notes
    -----
    At a minimum, in units of lr / (2 batch_size): "full" 1/(1 + rho lam), "same" 1 + rho lam (SAM spreads
    more than SGD there), "paper" 1/(1 + rho lam)^2. Also of a saddle's negative modes beyond the critical
    radius, but for "paper". [derived, checked]

    Raises
    ------
    ValueError
        A mode with kappa <= 0, which has no stationary law.

    Examples
    --------
    >>> stationary_variance(1.0, rho=0.5, lr=0.01, mode="same")
    np.float64(0.0075)
    """
    kappa = np.asarray(effective_curvature(eigenvalues, rho, mode))
    if (kappa <= 0).any():
        raise ValueError(f"eigenvalues must give kappa > 0 in every mode, got kappa = {kappa}")
    s2 = noise_variance(eigenvalues, rho, batch_size, mode)
    return (_number("lr", lr, above=0) * s2 / (2 * kappa))[()]


def mean_escape_time(
    eigenvalue: float, distance: float, *, rho: float, lr: float, batch_size: float = 1.0, mode: str = "full"
) -> Any:
    """Mean time in which one mode of the SAM diffusion leaves |x| < distance from 0.

    Parameters
    ----------
    eigenvalue : float
        Hessian eigenvalue of the mode, of either sign; not 0.
    distance : float
        Half-width > 0, in units of the weights.
    rho, lr, batch_size, mode
        As in `diffusion_variance`.

    Returns
    -------
    float64
        In units of time, lr times steps; inf where no noise is left ("same" at rho = 1/|eigenvalue|).

    Notes
    -----
    dX = -kappa X dt + sqrt(lr s2) dW, so that `first_passage.linear_two_sided` has it: for kappa < 0,
    (2/|kappa|) times the integral of Dawson's function up to distance sqrt(|kappa|/(lr s2)). No formula for
    it is known from the paper. [derived, checked]

    Examples
    --------
    >>> mean_escape_time(-1.0, 1.0, rho=0.5, lr=0.01).round(6)
    np.float64(5.865378)
    """
    _nonzero("eigenvalue", _number("eigenvalue", eigenvalue))
    kappa = float(effective_curvature(eigenvalue, rho, mode))
    spread = _number("lr", lr, above=0) * float(noise_variance(eigenvalue, rho, batch_size, mode))
    distance = _number("distance", distance, above=0)
    return first_passage.linear_two_sided(-kappa, spread / 2, distance) if spread else np.float64(np.inf)


# Normalised SAM with gradient noise


def mean_direction(dim: int) -> float:
    """kappa_d with E[G/|G|] ~ (kappa_d / sigma) grad f for G ~ N(grad f, sigma^2 I), |grad f| << sigma.

    Notes
    -----
    sqrt(2) Gamma((d + 1)/2) / (d Gamma(d/2)) = E|Z| / d for standard normal Z, ~ 1/sqrt(d). [derived,
    checked]

    Examples
    --------
    >>> round(mean_direction(1), 6), round(mean_direction(20), 6)
    (0.797885, 0.22083)
    """
    if isinstance(dim, bool) or int(dim) != dim or dim < 1:
        raise ValueError(f"dim must be an integer >= 1, got {dim!r}")
    return math.sqrt(2) / dim * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))


def effective_radius(rho: float, noise_std: float, dim: int) -> float:
    """Radius of the USAM that moves like normalised SAM with noise, in the mean, beside a critical point.

    Parameters
    ----------
    rho : float
        Radius of the normalised rule, in units of the weights.
    noise_std : float
        sigma > 0 of each coordinate of the gradient noise; isotropic and Gaussian, in the ascent gradient
        (whether or not the descent gradient has the same draw).
    dim : int
        Number of coordinates.

    Returns
    -------
    float
        rho kappa_d / sigma, in units of 1/curvature; to be compared with `critical_radius`.

    Notes
    -----
    To first order in |grad f| / sigma. [derived, checked]

    Examples
    --------
    >>> round(effective_radius(1.595769, 1.0, 2), 6)
    1.0
    """
    std = _number("noise_std", noise_std, above=0)
    return _number("rho", rho, at_least=0) * mean_direction(dim) / std


def effective_covariance(
    hessian: npt.ArrayLike, rho: float, noise_std: float, *, probe: str = "same"
) -> Array:
    """Covariance of the descent gradient of normalised SAM with noise, at a critical point.

    Parameters
    ----------
    hessian : array_like, shape (dim, dim)
    rho, noise_std : float
        As in `effective_radius`.
    probe : {"same", "independent"}
        Whether both gradients see the same draw.

    Returns
    -------
    ndarray, shape (dim, dim)

    Notes
    -----
    sigma^2 I + 2 rho sigma kappa_d H + (rho^2/d) H^2; with independent draws without the middle term. The
    perturbation's direction is uniform on the sphere. [derived, checked]

    Examples
    --------
    >>> effective_covariance([[1.0, 0.0], [0.0, -1.0]], 0.8, 1.0).round(4)
    array([[2.3227, 0.    ],
           [0.    , 0.3173]])
    """
    matrix = _array("hessian", hessian)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T):
        raise ValueError(f"hessian must be a symmetric matrix, got {hessian!r}")
    if probe not in ("same", "independent"):
        raise ValueError(f"probe must be 'same' or 'independent', got {probe!r}")
    rho, std = _number("rho", rho, at_least=0), _number("noise_std", noise_std, above=0)
    dim = len(matrix)
    cross = 2 * rho * std * mean_direction(dim) * matrix if probe == "same" else 0.0
    result: Array = std**2 * np.eye(dim) + cross + rho**2 / dim * (matrix @ matrix)
    return result


# Theorem 3: momentum


def momentum_variance(
    eigenvalues: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    rho: float,
    lr: float,
    momentum: float,
    batch_size: float = 1.0,
    exponent: str = "corrected",
) -> Any:
    """Theorem 3: mean squared displacement of a mode of SAM with heavy-ball momentum, from stationary speed.

    Parameters
    ----------
    eigenvalues, t, rho, lr, batch_size
        As in `diffusion_variance`; eigenvalues not 0, t > 0.
    momentum : float
        gamma in [0, 1).
    exponent : {"corrected", "printed"}
        C_2 = t/lr, or lr/t as printed.

    Notes
    -----
    C_1 (1 - exp(-C_2 (1 - gamma)))^2 / ((1 - gamma)^3 B) + C_3 (1 - exp(-C_4/(1 - gamma))) / ((1 - gamma) B),
    C_1 = lr^2 |lam|/2, C_3 = lr |lam|/(2 kappa), C_4 = 2 kappa t, kappa = lam (1 + rho lam)^2.
    [second-hand] The first term is the ballistic part, E[v^2] (sum_i gamma^i)^2 over t/lr steps, so that C_2
    must be t/lr. [derived, checked] Even so it is a sum of two limits: at gamma = 0 it exceeds Theorem 2 by
    lr^2 |lam|/(2B), and it overestimates, badly so where (1 - gamma) t/lr is of order 1 or 1 - gamma below
    about sqrt(lr |lam|); `momentum_covariance` is exact.

    Examples
    --------
    >>> momentum_variance(-1.0, 1.0, rho=0.3, lr=0.01, momentum=0.5).round(9)
    np.float64(0.124876063)
    """
    lam, time = _nonzero("eigenvalues", eigenvalues), _array("t", t)
    if (time <= 0).any():
        raise ValueError(f"t must be > 0, got {t!r}")
    if exponent not in EXPONENTS:
        raise ValueError(f"exponent must be 'corrected' or 'printed', got {exponent!r}")
    lr, rest = _number("lr", lr, above=0), 1 - _momentum(momentum)
    c2 = time / lr if exponent == "corrected" else lr / time
    ballistic = lr**2 * np.abs(lam) / 2 * np.expm1(-c2 * rest) ** 2 / rest**3
    slow = diffusion_variance(lam, time / rest, rho=rho, lr=lr, batch_size=batch_size, mode="paper")
    return (ballistic / _number("batch_size", batch_size, above=0) + slow / rest)[()]


def linear_covariance(
    matrix: npt.ArrayLike, noise: npt.ArrayLike, n_steps: int, start: npt.ArrayLike | None = None
) -> Array:
    """Covariance after n steps of z' = A z + noise of covariance Q: S' = A S A^T + Q.

    Parameters
    ----------
    matrix, noise : array_like, shape (d, d)
        A and Q.
    n_steps : int
    start : array_like, shape (d, d), optional
        S before the first step; 0 by default.

    Notes
    -----
    By doubling, in O(log n) products: n steps after m steps have A^(n + m) and A^n S_m (A^n)^T + S_n.
    [derived, checked]

    Examples
    --------
    >>> linear_covariance([[0.5]], [[1.0]], 3)
    array([[1.3125]])
    """
    power, total = _array("matrix", matrix), _array("noise", noise)
    if power.ndim != 2 or power.shape[0] != power.shape[1] or total.shape != power.shape:
        raise ValueError(
            f"matrix and noise must be square and of one size, got shapes {power.shape} and {total.shape}"
        )
    result = np.zeros_like(power) if start is None else _array("start", start)
    if result.shape != power.shape:
        raise ValueError(f"start must have shape {power.shape}, got {result.shape}")
    remaining = _steps(n_steps)
    while remaining:
        if remaining & 1:
            result = power @ result @ power.T + total
        remaining >>= 1
        if remaining:
            total, power = power @ total @ power.T + total, power @ power
    return result


def momentum_covariance(
    kappa: float,
    noise_variance: float,
    n_steps: int,
    *,
    lr: float,
    momentum: float = 0.0,
    stationary_velocity: bool = False,
) -> Array:
    """Exact covariance of (position, velocity) of one mode of the map after n steps, from position 0.

    Parameters
    ----------
    kappa : float
        Curvature that the descent gradient sees, see `effective_curvature`.
    noise_variance : float
        s2 of the descent gradient, see `noise_variance`.
    n_steps, lr, momentum
        Steps, learning rate and gamma.
    stationary_velocity : bool
        Whether the velocity starts with its stationary variance at kappa = 0, lr^2 s2 / (1 - gamma^2), as in
        Theorem 3, instead of at rest.

    Returns
    -------
    ndarray, shape (2, 2)

    Notes
    -----
    v' = gamma v - lr (kappa w + noise), w' = w + v'. Without momentum the first entry is
    lr^2 s2 (1 - M^2n) / (1 - M^2), M = 1 - lr kappa: `diffusion_variance` to O(lr). [derived, checked]

    Examples
    --------
    >>> momentum_covariance(-0.49, 1.0, 20, lr=0.01, momentum=0.5, stationary_velocity=True)[0, 0].round(12)
    np.float64(0.00886421183)
    """
    kappa, lr, gamma = _number("kappa", kappa), _number("lr", lr, above=0), _momentum(momentum)
    s2 = _number("noise_variance", noise_variance, at_least=0)
    step = np.array([[1 - lr * kappa, gamma], [-lr * kappa, gamma]])
    initial = lr**2 * s2 / (1 - gamma**2) if stationary_velocity else 0.0
    return linear_covariance(step, np.full((2, 2), lr**2 * s2), n_steps, np.diag([0.0, initial]))
