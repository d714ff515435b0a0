r"""SAM linearised with its noise at a critical point: mean squared displacements without simulation.

Beside a critical point of the loss with Hessian H = Q diag(lam) Q^T, unnormalised SAM is a linear
recursion for the deviation, z' = (I - lr K) z + lr noise, with K and the noise covariance C of the modes of
`samdyn.theory.kim`:

=============  ========================  =======================================
mode           K                         noise covariance
=============  ========================  =======================================
"full"         :math:`H (I + \rho H)`    C
"same"         :math:`H (I + \rho H)`    :math:`(I + \rho H)\, C\, (I + \rho H)`
"independent"  :math:`H (I + \rho H)`    :math:`C + \rho^2 H C H`
"paper"        :math:`H (I + \rho H)^2`  C
=============  ========================  =======================================

It is exact on quadratics, where C does not depend on the point; elsewhere it holds while the paths stay
where the loss is quadratic. Covariances of the recursion are computed by doubling, covariances of the
diffusion from the eigenvectors of H.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.numerics.scales import displacement_tolerance
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.theory import kim


def linear_model(
    system: Diffusion | Map, x0: npt.ArrayLike, mode: str | None = None
) -> tuple[Array, Array, Array]:
    """Linearisation of unnormalised SAM with noise at a critical point of its loss.

    Parameters
    ----------
    system : Diffusion or Map
    x0 : array_like, shape (dim,)
        A critical point: |grad f| below 1e-8 of the Hessian's largest entry times the box's diagonal
        (1 + |x0| without a box).
    mode : str, optional
        See the module; the noise's `probe` by default.

    Returns
    -------
    kappa : ndarray, shape (dim,)
        Eigenvalues of K.
    vectors : ndarray, shape (dim, dim)
        Eigenvectors of H, in columns.
    noise : ndarray, shape (dim, dim)
        Noise covariance of the descent gradient, in the eigenvectors' coordinates.

    Raises
    ------
    ValueError
        There is no such linearisation.

    Examples
    --------
    >>> import samdyn as sd
    >>> noise = sd.GaussianNoise(std=2.0, probe="same")
    >>> sam = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.USAM(0.5), lr=0.01, noise=noise)
    >>> linear_model(sam, [0.0])[::2]
    (array([-0.5]), array([[1.]]))
    """
    landscape, rule, noise = system.landscape, system.rule, system.noise
    if landscape is None or rule is None or noise is None:
        raise ValueError(f"system must be made of a loss, a rule and noise, got {system!r}")
    parts = rule.parts()
    if parts is None or parts[1] != 0 or system.scheduled:
        raise ValueError(
            f"the linearisation needs GD or an unnormalised rule such as sd.USAM(0.1) and no schedule, "
            f"got {rule!r} and lr={system.lr!r}"
        )
    x = checks.points("x0", x0, system.dim)
    hessian, gradient = landscape.hessian(x), landscape.gradient(x)
    if np.abs(gradient).max() > np.abs(hessian).max() * displacement_tolerance(landscape.box, x, 1e-8):
        raise ValueError(f"x0 must be a critical point of the loss, got a gradient of {gradient}")
    rho = parts[0]
    eigenvalues, vectors = np.linalg.eigh(hessian)
    identity = torch.eye(system.dim, dtype=torch.float64, device="cpu")
    at, curvature = torch.from_numpy(np.array(x)), torch.from_numpy(np.array(hessian))
    root = torch.stack([noise.root(lambda _: curvature, at, column) for column in identity], dim=1).numpy()
    covariance = vectors.T @ root @ root.T @ vectors
    probe: str = getattr(noise, "probe", "full")
    mode = probe if mode is None else mode
    carried = rho * eigenvalues
    if mode == "same":
        covariance = covariance * np.outer(1 + carried, 1 + carried)
    elif mode == "independent":
        covariance = covariance * (1 + np.outer(carried, carried))
    return np.asarray(kim.effective_curvature(eigenvalues, rho, mode)), vectors, covariance


def step_schedule(times: Array, dt: float, discrete: bool) -> list[tuple[int, float]]:
    """Number and length of the steps that lead to each of the times."""
    gaps = np.diff(times, prepend=0.0)
    if discrete:
        return [(int(gap), 1.0) for gap in gaps]
    counts = np.ceil(gaps / dt * (1 - 1e-9)).astype(int)  # a gap of 0 takes none
    return [(int(n), float(gap) / max(int(n), 1)) for n, gap in zip(counts, gaps, strict=True)]


def diffusion_covariance(rates: Array, noise: Array, lr: float, times: Array) -> Array:
    """Covariances (n_t, dim, dim) of the modes of dz = -K z dt + sqrt(lr) noise at times, from z = 0."""
    total = (rates[:, None] + rates)[None] * times[:, None, None]
    return np.asarray(lr * noise * times[:, None, None] * special.exprel(-total))


def chain_covariance(
    rates: Array, noise: Array, lr: float, momentum: float, times: Array, dt: float, discrete: bool
) -> Array:
    """Covariances (n_t, dim, dim) of the simulated recursion's modes: a map, or Euler-Maruyama steps."""
    dim = len(rates)
    current, result = np.zeros((2 * dim, 2 * dim)), np.empty((len(times), dim, dim))
    for i, (n, step) in enumerate(step_schedule(times, dt, discrete)):
        length = lr if discrete else step
        drive = length**2 * noise if discrete else length * lr * noise
        # position and the step that led to it; momentum carries the latter on
        force, identity = np.diag(length * rates), np.eye(dim)
        matrix = np.block([[identity - force, momentum * identity], [-force, momentum * identity]])
        current = kim.linear_covariance(matrix, np.kron(np.ones((2, 2)), drive), n, current)
        result[i] = current[:dim, :dim]
    return result
