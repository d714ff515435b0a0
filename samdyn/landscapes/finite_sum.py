"""Finite sums f(w) = mean_i f_i(w): the losses that stochastic optimisers see one batch at a time.

A finite sum is a `Landscape`, so that everything that takes a landscape takes it. Besides it gives what
sampling needs: values, gradients and Hessians of every component, the covariance of the gradients (see
`samdyn.landscapes.sampled_landscape`), the components' smoothness constants, their infima, a minimiser, and
the probabilities of importance sampling. Constants of quadratic components are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.progress import paced
from samdyn.landscapes.quadratic_sums import infima_of, minimiser_of
from samdyn.landscapes.sampled_landscape import SampledLandscape, square


class Smoothness(NamedTuple):
    """Smoothness constants of the components.

    Attributes
    ----------
    values : ndarray, shape (n,)
        L_i, the largest absolute eigenvalue of the i-th component's Hessian.
    exact : bool
        True for quadratic components. Otherwise the values are maxima over sampled points, that is, lower
        bounds.
    """

    values: Array
    exact: bool


TILE_BYTES = 1 << 27  # of the Hessians of all components at a few points


class Minimum(NamedTuple):
    """A minimiser and the loss there.

    Attributes
    ----------
    x : ndarray, shape (dim,)
    value : float
    """

    x: Array
    value: float


class FiniteSum(SampledLandscape):
    """A loss that is the mean of n components, one for each sample of the data.

    Parameters
    ----------
    component : callable
        ``component(w, sample)``: the loss of ONE sample at ONE point `w`, a torch tensor of shape (dim,).
        `sample` is one row of the data as a torch tensor, or a tuple of such where `data` is a tuple.
        Written with torch operations; samdyn batches and differentiates it.
    data : array_like (n, ...), or tuple of such
        The samples along the first axis, in float64.
    dim : int
        Number of coordinates of w.
    box, name, parameters, critical_points
        As of `Landscape`; parameters are keyword arguments of `component`.

    Raises
    ------
    TypeError, ValueError
        A component that is not differentiable or not a scalar; data that are empty, not finite, or of unequal
        lengths.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: (w - s) @ (w - s) / 2, data=[[0.0], [2.0]], dim=1)
    >>> loss.value([1.0]), loss.sample_gradients([0.0])[:, 0], loss.gradient_covariance([0.0])
    (array(0.5), array([ 0., -2.]), array([[1.]]))
    """

    @classmethod
    @checked
    def least_squares(
        cls,
        A: npt.ArrayLike,
        b: npt.ArrayLike,
        ridge: float = 0.0,
        box: Sequence[Sequence[float]] | None = None,
        name: str = "least squares",
    ) -> FiniteSum:
        """Least squares and ridge regression: ``f_i(w) = (a_i.w - b_i)^2 / 2 + ridge |w|^2 / 2``.

        Parameters
        ----------
        A : array_like, shape (n, dim)
        b : array_like, shape (n,)
        ridge : float
            >= 0; a parameter of the loss.

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.FiniteSum.least_squares([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])
        >>> loss.minimum().x, loss.smoothness().values, loss.interpolates([1.0, 1.0])
        (array([1., 1.]), array([1., 4.]), True)
        """
        rows, targets = checks.array("A", A), checks.array("b", b)
        if rows.ndim != 2 or rows.shape[1] == 0 or targets.shape != rows.shape[:1]:
            raise ValueError(
                f"A must have shape (n, dim) and b shape (n,), got {rows.shape} and {targets.shape}"
            )
        ridge = checks.number("ridge", ridge, at_least=0)
        parameters = {"ridge": ridge}
        return cls(square, (rows, targets), rows.shape[1], box, name, parameters=parameters)

    @checked
    def smoothness(
        self, box: npt.ArrayLike | None = None, *, n_points: int = 256, seed: int = 0
    ) -> Smoothness:
        """Smoothness constants L_i of the components.

        Parameters
        ----------
        box : array_like, shape (dim, 2), optional
            Where to look if the components are not quadratic; the loss's box by default.
        n_points : int
            Points at which the Hessians are sampled then.
        seed : int

        Returns
        -------
        Smoothness
            Exact for quadratic components; a lower bound otherwise, and labelled so.

        Warns
        -----
        CostWarning
            The Hessians of all components at all points would take more than ten seconds, by the time of the
            first points.

        Examples
        --------
        >>> import samdyn as sd, torch
        >>> loss = sd.FiniteSum(lambda w, s: torch.cos(s[0] * w[0]), [[1.0], [2.0]], dim=1, box=[(-4, 4)])
        >>> loss.smoothness().values.round(2), loss.smoothness().exact
        (array([1., 4.]), False)
        """
        if self.squares is not None:
            rows, _, ridge = self.squares
            size = (rows**2).sum(axis=1)
            across = np.abs(ridge) if self.dim > 1 else np.zeros(1)
            return Smoothness(np.maximum(np.abs(size + ridge), across), True)
        if self.quadratics is not None:
            hessians = self.quadratics.hessians
            return Smoothness(np.abs(np.linalg.eigvalsh(hessians)).max(axis=1), True)
        area = self.box if box is None else checks.box("box", box, self.dim)
        if area is None:
            raise ValueError("box must be given: the components are not quadratic and the loss has no box")
        n_points = checks.integer("n_points", n_points, at_least=1)
        u = np.random.default_rng(checks.seed("seed", seed)).random((n_points, self.dim))
        values = np.zeros(self.n_samples)
        size = max(1, min(16, TILE_BYTES // (8 * self.n_samples * self.dim**2)))
        starts = range(0, n_points, size)
        for start in paced(
            starts, "FiniteSum.smoothness", len(starts), "pass a smaller n_points", unit="tile"
        ):
            h = self.sample_hessians(area[:, 0] + (area[:, 1] - area[:, 0]) * u[start : start + size])
            values = np.maximum(values, np.abs(np.linalg.eigvalsh(h)).max(axis=(0, -1)))
        return Smoothness(values, False)

    def sample_infima(self) -> Array:
        """The infimum of every component, for quadratic components: shape (n,).

        Returns
        -------
        ndarray
            -inf where a component is unbounded below.

        Raises
        ------
        ValueError
            The components are not quadratic.
        """
        if self.quadratics is None:
            raise ValueError("the infima of components are known for quadratic components only")
        return infima_of(self.quadratics)

    @checked
    def minimum(self, start: npt.ArrayLike | None = None) -> Minimum:
        """A minimiser of the sum.

        Parameters
        ----------
        start : array_like, shape (dim,), optional
            Where the search starts for components that are not quadratic; the middle of the box by default.

        Returns
        -------
        Minimum

        Notes
        -----
        Quadratic components: a linear system (the solution of least norm). Otherwise BFGS from `start` and
        Newton steps to rounding: a local minimum.

        Raises
        ------
        ValueError
            A sum of quadratics that is unbounded below, or a search that ends nowhere.
        """
        if self.quadratics is not None:
            x = minimiser_of(self.quadratics, self.name)
            return Minimum(x, float(self.value(x)))
        if self.squares is not None and (self.squares.ridge >= 0).all():  # too many for a list of Hessians
            rows, targets, _ = self.squares
            hessian, linear = self.hessian(np.zeros(self.dim)), targets @ rows / len(rows)
            best = np.asarray(np.linalg.lstsq(hessian, linear, rcond=1e-13)[0], dtype=np.float64)
            return Minimum(best, float(self.value(best)))
        if start is None:
            start = np.zeros(self.dim) if self.box is None else self.box.mean(axis=1)
        begin = self._point("start", start)
        x = minimize(lambda w: float(self.value(w)), begin, jac=lambda w: self.gradient(w)).x
        size = np.linalg.norm(self.gradient(x))
        # downhill without end the gradient grows; at a kink it need not vanish
        if not size <= 10 * np.linalg.norm(self.gradient(begin)) + 1e-6:
            raise ValueError(f"{self.name} has no minimum that a search from {begin} finds")
        for _ in range(3):
            step = np.linalg.lstsq(self.hessian(x), self.gradient(x), rcond=1e-10)[0]
            if np.linalg.norm(self.gradient(x - step)) < np.linalg.norm(self.gradient(x)):
                x = x - step
        return Minimum(x, float(self.value(x)))

    @checked
    def interpolates(self, x: npt.ArrayLike, tolerance: float = 1e-8) -> bool:
        """Whether every component is stationary at a point.

        Parameters
        ----------
        x : array_like, shape (dim,)
        tolerance : float
            On the largest gradient of a component, relative to the largest at a distance of 1.
        """
        point = self._point("x", x)
        here = np.linalg.norm(self.sample_gradients(point), axis=-1).max()
        shifted = point + np.ones(self.dim) / self.dim**0.5
        there = np.linalg.norm(self.sample_gradients(shifted), axis=-1).max()
        return bool(here <= tolerance * max(there, 1e-300))

    @checked
    def importance_probabilities(self, box: npt.ArrayLike | None = None) -> Array:
        """Sampling probabilities proportional to the smoothness constants: L_i / sum_j L_j."""
        values = self.smoothness(box).values
        if not (values > 0).all():
            i = int(np.argmin(values))
            raise ValueError(f"importance sampling needs every L_i > 0, got L_{i} = {values[i]:g}")
        return np.asarray(values / values.sum())

    @checked
    def gradient_norm_probabilities(self, x: npt.ArrayLike, mixture: float = 0.0) -> Array:
        """Sampling probabilities that make the variance of one reweighted gradient at `x` smallest.

        Parameters
        ----------
        x : array_like, shape (dim,)
        mixture : float
            Share in [0, 1] of the uniform law that is mixed in, which keeps every probability positive.

        Returns
        -------
        ndarray, shape (n,)
            (1 - mixture) |g_i(x)| / sum_j |g_j(x)| + mixture / n.

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.FiniteSum.least_squares([[1.0], [3.0]], [1.0, 1.0])
        >>> loss.gradient_norm_probabilities([0.0])
        array([0.25, 0.75])
        """
        size = np.linalg.norm(self.sample_gradients(self._point("x", x)), axis=-1)
        mixture = checks.number("mixture", mixture, at_least=0)
        if mixture > 1:
            raise ValueError(f"mixture must be a number in [0, 1], got {mixture!r}")
        uniform = np.full(len(size), 1 / len(size))
        return np.asarray((1 - mixture) * (size / size.sum() if size.any() else uniform) + mixture * uniform)

    def _point(self, name: str, x: npt.ArrayLike) -> Array:
        point = checks.points(name, x, self.dim)
        if point.ndim != 1:
            raise ValueError(f"{name} must be one point of shape ({self.dim},), got shape {point.shape}")
        return point
