"""The 2-cycle on which normalised SAM rests beside a minimum or a saddle, and what it traps, on a quadratic.

Along the eigenvector of a positive eigenvalue h the map of SAM or UnifiedSAM settles on x -> -x with the
amplitude lr rho lam h / (2 (1 + m) - lr k), k = h (1 + rho (1 - lam) h), m the momentum. On it |g| is
constant and mode j feels the curvature k_j + rho lam h_j^2 / |g|, whatever its sign: without momentum it is
multiplied at each step by 1 - lr k_j - (h_j/h)^2 (2 - lr k). The radius cancels. So only the cycle of the
largest eigenvalue can be stable, and a negative mode decays for as long as the iterate is on it: it is
trapped.

References
----------
Bartlett, Long & Bousquet (2022) for SAM with H > 0. Oikonomou & Loizou (2025), arXiv 2503.02225, for the rule
between USAM and SAM. Negative modes and momentum: own derivation, checked in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.equilibria.stability.windows import StabilityWindow
from samdyn.equilibria.stability.wording import listed
from samdyn.results import Result, Table


@dataclass(frozen=True, eq=False, repr=False)
class TwoCycle(Result):
    """A 2-cycle x -> -x of a normalised rule along an eigenvector of a quadratic.

    Attributes
    ----------
    amplitude : float
        Distance of both points from the critical point.
    mode : int
        Index of its eigenvalue, as they were given.
    multipliers : ndarray, shape (n,) or (n, 2)
        Of one step, up to the sign flip of the cycle, in every mode: the cycle's own entry is its radial
        multiplier. With momentum each mode has two, by modulus.
    gradient_norm : float
        |g| on the cycle.
    loss : float
        Height above the critical point, half the eigenvalue times the amplitude squared.
    stable : bool
        Whether all multipliers are inside the unit circle; modes of the same eigenvalue as the cycle's turn
        into each other and are left out.
    """

    cited = ("bartlett2023",)
    row = "multiplier"

    amplitude: float
    mode: int
    multipliers: npt.NDArray[Any]
    gradient_norm: float
    loss: float
    stable: bool

    def table(self) -> Table:
        """Its amplitude, whether it is stable, and its multipliers."""
        state = "stable" if self.stable else "unstable"
        rows = [("multipliers", listed(self.multipliers)[1:-1])]
        return Table(f"TwoCycle of amplitude {self.amplitude:.9g}, {state}", rows)


@checked
def trapped_mode_window(lr: float, top: float) -> StabilityWindow:
    """Which negative curvatures are trapped by the 2-cycle of normalised SAM on the mode `top`.

    Parameters
    ----------
    lr : float
        Learning rate.
    top : float
        The largest Hessian eigenvalue, positive, with lr top < 2: the cycle rests on its mode.

    Returns
    -------
    StabilityWindow
        Of a, for an eigenvalue -a: lr top^2/(2 - lr top) < a, and a^2 (2 - lr top) < top^2 (2 + lr a). The
        radius cancels. With a small lr nearly every saddle is trapping once the iterate is on the cycle.

    References
    ----------
    Own derivation from the multipliers of Bartlett, Long & Bousquet (2022), checked by simulation.

    Examples
    --------
    >>> import samdyn as sd
    >>> window = sd.equilibria.trapped_mode_window(lr=0.1, top=3.0)
    >>> round(window.lower, 6), round(window.upper, 6)
    (0.529412, 3.529412)
    """
    lr = checks.number("lr", lr, above=0)
    top = checks.number("top", top, above=0)
    if lr * top >= 2:
        raise ValueError(f"top must be below 2 / lr = {2 / lr:g} for the cycle to exist, got {top!r}")
    rest = 2 - lr * top
    lower = lr * top**2 / rest
    upper = top * (lr * top + (lr**2 * top**2 + 8 * rest) ** 0.5) / (2 * rest)
    return StabilityWindow("curvature", lower, upper, "flip")


@checked
def two_cycle(
    eigenvalues: npt.ArrayLike,
    lr: float,
    rho: float,
    lam: float = 1.0,
    momentum: float = 0.0,
    mode: int | None = None,
) -> TwoCycle:
    """The 2-cycle of SAM or UnifiedSAM along an eigenvector of a quadratic, in closed form.

    Parameters
    ----------
    eigenvalues : array_like, shape (n,)
        Of the Hessian, any signs.
    lr, rho : float
        Learning rate and perturbation radius.
    lam : float
        1 for SAM, in (0, 1] for UnifiedSAM.
    momentum : float
        Heavy-ball coefficient. An exponential average m = b m + (1 - b) g, x -= a m is heavy ball with lr
        = a (1 - b) and momentum b.
    mode : int, optional
        Index of the eigenvalue along which it lies; the largest by default, whose cycle alone can be stable.

    Returns
    -------
    TwoCycle

    Raises
    ------
    ValueError
        The mode is not positive, or lr is too large for the cycle to exist: lr k < 2 (1 + momentum) with
        k = h (1 + rho (1 - lam) h).

    Notes
    -----
    Amplitude lr rho lam h / (2 (1 + momentum) - lr k). On the cycle |g| is constant and mode j feels the
    curvature k_j + rho lam h_j^2 / |g|; without momentum its multiplier is 1 - lr k_j - (h_j/h)^2 (2 - lr k).
    With momentum the cycle attracts locally, not from everywhere: longer cycles exist beside it.

    References
    ----------
    Bartlett, Long & Bousquet (2022); Oikonomou & Loizou (2025) for lam < 1; momentum: own derivation.

    Examples
    --------
    >>> import samdyn as sd
    >>> cycle = sd.two_cycle([3.0, 1.0, 0.2], lr=0.1, rho=0.05)
    >>> round(cycle.amplitude, 8), cycle.multipliers.round(6).tolist(), cycle.stable
    (0.00882353, [0.7, 0.711111, 0.972444], True)
    """
    h = np.asarray(eigenvalues, dtype=np.float64)
    if h.ndim != 1 or len(h) == 0 or not np.isfinite(h).all():
        raise ValueError(f"eigenvalues must be a sequence of finite numbers, got {eigenvalues!r}")
    lr, rho = checks.number("lr", lr, above=0), checks.number("rho", rho, above=0)
    if not checks.number("lam", lam, above=0) <= 1:
        raise ValueError(f"lam must be in (0, 1], got {lam!r}")
    if checks.number("momentum", momentum, at_least=0) >= 1:
        raise ValueError(f"momentum must be in [0, 1), got {momentum!r}")
    i = int(np.argmax(h)) if mode is None else checks.integer("mode", mode, at_least=0, below=len(h))
    curvature = h * (1 + rho * (1 - lam) * h)
    room = 2 * (1 + momentum) - lr * curvature[i]
    if h[i] <= 0:
        raise ValueError(f"mode must have a positive eigenvalue to carry a cycle, got {h[i]:g}")
    if room <= 0:
        raise ValueError(
            f"lr must be below {2 * (1 + momentum) / curvature[i]:g} for the cycle to exist, got {lr!r}"
        )
    amplitude = float(lr * rho * lam * h[i] / room)
    gradient_norm = float(h[i] * amplitude)
    felt = curvature + rho * lam * h**2 / gradient_norm
    felt[i] = curvature[i]
    multipliers: npt.NDArray[Any] = 1 - lr * felt
    if momentum:
        # the cycle flips every step: roots of z^2 - (1 + m - lr k) z + m
        half = (1 + momentum - lr * felt) / 2
        root = np.sqrt((half**2 - momentum).astype(complex))
        multipliers = np.stack([half + root, half - root], axis=-1)
        order = np.argsort(-np.abs(multipliers), axis=-1)
        multipliers = np.take_along_axis(multipliers, order, axis=-1)
    others = ~np.isclose(h, h[i], rtol=1e-9)
    others[i] = True
    stable = bool((np.abs(multipliers[others]) < 1).all())
    return TwoCycle(amplitude, i, multipliers, gradient_norm, float(h[i] * amplitude**2 / 2), stable)
