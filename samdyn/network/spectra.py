"""The leading part of the spectrum of a loss's Hessian or of a system's Jacobian, without the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import Landscape
from samdyn.network.eigenvalues import DENSE, WHICH, find_eigenpairs, is_dense
from samdyn.network.gauss_newton import gauss_newton_operator
from samdyn.network.spectral_density import SpectralDensity, density_of
from samdyn.results import Result, Table
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.product_operator import ProductOperator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 1e-9
"""Of the largest eigenvalue: what is smaller counts as 0 in the index."""
SOLVE_SECONDS = 5e-9
"""Times n^3: what the eigenvalues of an n x n matrix take that is not symmetric, about."""
CURVATURES = ("Hessian", "Gauss-Newton")


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Result):
    """Some eigenvalues of a Hessian, or of a system's Jacobian, at a point.

    Attributes
    ----------
    eigenvalues : ndarray of float or complex, shape (k,)
        In the order that `which` asks for: curvatures of a loss, multipliers of one step of a map, rates of a
        flow or a drift.
    residuals : ndarray, shape (k,)
        |J v - mu v| of each, with |v| = 1.
    eigenvectors : ndarray, shape (n, k)
        Of length 1, as columns; n is the length of the state, or of the block.
    which : str
    x : ndarray, shape (dim,)
        The point.
    of : str
        What the matrix is: "Hessian", "Gauss-Newton matrix", or "Jacobian" with the system.
    gradient_norm : float
        |g| at x. Where it is small, the Jacobian of a normalised rule has entries of the size rho/|g|.
    alignment : ndarray, shape (k,)
        Squared cosine between each eigenvector and the perturbation e(x); the gradient for a loss or a rule
        that does not perturb. nan where that is 0.
    symmetric, discrete : bool
        Whether the matrix is symmetric, and whether it belongs to a map.
    complete : bool
        Whether all n eigenvalues are listed.
    step, momentum : float
        lr and momentum of a map, 1 and 0 of a flow; nan where `field_eigenvalues` do not exist.
    n_products : int
        Products with the matrix.
    seconds : float
        What they took.
    """

    row = "eigenvalue"
    besides = ("met",)
    axes = ("eigenvectors: coordinate eigenvalue", "x: coordinate")

    eigenvalues: npt.NDArray[np.float64] | npt.NDArray[np.complex128]
    residuals: Array
    eigenvectors: npt.NDArray[Any]
    which: str
    x: Array
    of: str
    gradient_norm: float
    alignment: Array
    symmetric: bool
    discrete: bool
    complete: bool
    step: float
    momentum: float
    n_products: int
    seconds: float
    tolerance: float = field(repr=False, default=0.0)
    operator: ProductOperator | None = field(repr=False, default=None)
    # the largest distance from standing still of all eigenvalues that the search met, and whether the whole
    # matrix was solved, so that no copy of an eigenvalue can be missing in the list
    met: InitVar[tuple[float, bool]] = (float("nan"), False)

    def __post_init__(self, met: tuple[float, bool]) -> None:
        object.__setattr__(self, "met", met)

    @property
    def field_eigenvalues(self) -> npt.NDArray[Any]:
        """Eigenvalues a of A, the derivative of the descent direction d, shape (k,).

        The eigenvalues of a flow are -a, of a map 1 - lr a, and with momentum gamma the two roots mu of
        mu^2 - (1 + gamma - lr a) mu + gamma = 0, so that each a is listed twice where both roots are. nan for
        rules with a memory and for systems made from functions.
        """
        values = self.eigenvalues
        if np.isnan(self.step):
            return np.full(len(values), np.nan)
        if not self.discrete:
            return values if self.symmetric else np.asarray(-values / self.step)
        with np.errstate(all="ignore"):
            return np.asarray((1 + self.momentum - values - self.momentum / values) / self.step)

    @property
    def converged(self) -> npt.NDArray[np.bool_]:
        """Whether each residual is within the tolerance, relative to the largest eigenvalue: shape (k,)."""
        # residuals of the order of rounding times the matrix's size are all that can be had
        return np.asarray(self.residuals <= max(self.tolerance, 1e-9) * max(self._size, 1e-300))

    @property
    def _size(self) -> float:
        # ARPACK's tolerance is relative to the value itself
        return float(np.fmax(np.abs(self.eigenvalues).max(initial=0.0), vars(self)["met"][0]))

    @property
    def n_negative(self) -> int | None:
        """Negative eigenvalues of a Hessian, the index of the point; None where the list does not tell.

        It tells where the list is complete, or the whole matrix was solved (up to 400 coordinates) and the
        list goes from the smallest up to one that is not negative. A search by products alone may miss copies
        of an eigenvalue.
        What is within 1e-9 of the largest eigenvalue counts as 0.
        """
        if not self.symmetric:
            raise ValueError(f"n_negative is of a Hessian, got the spectrum of a {self.of}")
        values = np.sort(self.eigenvalues)
        negative = int((values < -MARGIN * self._size).sum())
        # of a list from the smallest up, one that is not negative says that no further one is
        up_to_zero = vars(self)["met"][1] and self.which == "smallest" and negative < len(values)
        return negative if self.complete or up_to_zero else None

    @checked
    def density(
        self, n_vectors: int = 8, n_steps: int = 60, width: float | None = None, seed: int = 0
    ) -> SpectralDensity:
        """The density of all eigenvalues of a Hessian, by stochastic Lanczos quadrature.

        Parameters
        ----------
        n_vectors : int
            Random vectors: the standard error falls with their root.
        n_steps : int
            Products with each: how finely the spectrum is resolved.
        width : float, optional
            Standard deviation of the Gaussian that stands for an eigenvalue; 1 % of the spectrum's range by
            default.
        seed : int

        Returns
        -------
        SpectralDensity

        Raises
        ------
        ValueError
            The matrix is not symmetric: of a system, look at the loss's spectrum instead.

        Examples
        --------
        >>> import samdyn as sd
        >>> spectrum = sd.spectrum(sd.landscapes.saddle(2.0, 1.0), [0.0, 0.0])
        >>> round(spectrum.density(n_vectors=4).trace[0], 12)
        1.0
        """
        if not self.symmetric or self.operator is None:
            raise ValueError(
                f"density is of a symmetric matrix, got the spectrum of a {self.of}: take "
                "sd.spectrum(loss, x).density()"
            )
        n_vectors = checks.integer("n_vectors", n_vectors, at_least=2)
        n_steps = checks.integer("n_steps", n_steps, at_least=1)
        if width is not None:
            width = checks.number("width", width, above=0)
        return density_of(self.operator, n_vectors, n_steps, width, seed)

    def table(self) -> Table:
        """The eigenvalues with their residuals."""
        name = "curvature" if self.symmetric else "multiplier" if self.discrete else "rate"
        title = f"Spectrum of the {self.of}: {len(self.eigenvalues)} eigenvalues ({self.which})"
        if self.complete:
            title = f"Spectrum of the {self.of}: all {len(self.eigenvalues)} eigenvalues"
        found = zip(self.eigenvalues, self.residuals, self.alignment, self.converged, strict=True)
        rows = [
            (f"{value:.8g}", f"{residual:.1e}" + ("" if good else " (not converged)"), f"{share:.3f}")
            for value, residual, share, good in found
        ]
        end = f"|g| = {self.gradient_norm:.6g}; {self.n_products} products in {self.seconds:.2g} s"
        return Table(title, rows, (name, "residual", "alignment"), [end], right=True)

    def plot(self, ax: Axes | None = None) -> Axes:
        """The eigenvalues: in the complex plane for a system, on a line for a loss."""
        drawn: Axes = self._draw(ax)
        return drawn


@checked
def spectrum(
    system: System | Landscape,
    x: checks.PointLike,
    k: int = 10,
    which: str | None = None,
    *,
    curvature: str = "Hessian",
    block: str | slice | Sequence[int] | None = None,
    start: Spectrum | npt.ArrayLike | None = None,
    tolerance: float = 1e-8,
    seed: int = 0,
    progress: bool = False,
) -> Spectrum:
    """Some eigenvalues of a loss's Hessian, or of a system's Jacobian, with their residuals.

    Parameters
    ----------
    system : Landscape, Map, Flow or Diffusion
        Of a loss the Hessian; of a map the Jacobian of one step (multipliers), of a flow or a drift the
        Jacobian of the field (rates).
    x : array_like, shape (dim,)
        The point, or a FixedPoint; with momentum a state, or a point at rest.
    k : int
        How many eigenvalues; all of them where there are fewer.
    which : str, optional
        "largest" or "smallest" (real part), "both" ends by turns, largest "magnitude", "leading" (farthest
        from standing still: from 1 for maps, from 0 otherwise) or nearest the "unit circle" (maps).
        "largest" by default for a loss, "leading" for a system.
    curvature : str
        "Hessian", or of a network's loss "Gauss-Newton": see `samdyn.network.gauss_newton_operator`, which
        needs curvlinops (``pip install 'samdyn[network]'``).
    block : str, slice or sequence of int, optional
        Coordinates to which the matrix is restricted: the name of a block of a network
        (`ModuleLoss.blocks`), or the coordinates themselves.
    start : Spectrum or array_like, optional
        A spectrum of the same size from nearby, whose eigenvectors start the search; or a vector. A random
        vector is added, so that an eigenvalue that is larger elsewhere is found as well.
    tolerance : float
        Wanted size of the residuals, relative to the largest eigenvalue (of ARPACK).
    seed : int
        Of the random vector that starts the search.
    progress : bool
        Show a bar that counts products; how many it will take is not known.

    Returns
    -------
    Spectrum

    Raises
    ------
    TypeError, ValueError
        Arguments out of range; a point where no Jacobian exists (g = 0 under a normalised rule), or where the
        loss is not finite.

    Warns
    -----
    CostWarning
        The products will take more than ten seconds; of large matrices their number is a guess, right to a
        factor of about three.

    Notes
    -----
    Up to 400 coordinates the matrix is made and solved densely, and up to 2000 for the "unit circle", whose
    eigenvalues no Krylov space has first; above 2000 it is refused. Otherwise the Lanczos process and ARPACK
    take products only. An eigenvalue that occurs several times may then be listed fewer times, since a Krylov
    space of one vector sees it once. Where not all of the `k` converge, those that do are returned.

    References
    ----------
    Lehoucq, Sorensen, Yang, ARPACK Users' Guide (SIAM 1998).

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.saddle(2.0, 1.0)
    >>> sd.spectrum(loss, [0.0, 0.0]).eigenvalues
    array([ 2., -1.])
    >>> sd.spectrum(sd.Flow(loss, sd.USAM(0.5)), [0.0, 0.0]).field_eigenvalues
    array([ 4. , -0.5])
    """
    curvature = checks.choice("curvature", curvature, CURVATURES)
    if isinstance(system, Landscape):
        loss: Landscape | None = system
        point = checks.points("x", x, system.dim)
        operator, of, discrete = system.operator(point), "Hessian", False
        if curvature == "Gauss-Newton":
            operator, of = gauss_newton_operator(system, point), "Gauss-Newton matrix"
    elif isinstance(system, System) and curvature != "Hessian":
        raise ValueError(f"curvature={curvature!r} is of a loss, got {system!r}: pass its loss")
    elif isinstance(system, System):
        loss = system.landscape
        point = system.states(x)
        operator, of = system.operator(point), f"Jacobian of {system!r}"
        discrete = isinstance(system, Map)
    else:
        raise TypeError(
            f"system must be a Landscape, a Map, a Flow or a Diffusion, got {checks.shown(system)}"
        )
    if loss is not None and not np.isfinite(value := loss.value(point[: loss.dim])):
        raise ValueError(f"x must be a point where the loss is finite, got the loss {value} there")
    k = checks.integer("k", k, at_least=1)
    symmetric = isinstance(system, Landscape)
    which = checks.choice("which", which or ("largest" if symmetric else "leading"), WHICH)
    if which == "unit circle" and not discrete:
        raise ValueError(f"which='unit circle' is of the multipliers of a map, got {system!r}")
    tolerance = checks.number("tolerance", tolerance, at_least=0, below=1)
    columns = None if block is None else _columns(block, loss, operator.shape[0])
    if columns is not None:
        named = repr(block) if isinstance(block, str) else f"of {len(columns)} coordinates"
        operator, of = operator.within(columns), f"{of}, block {named}"
    n = operator.shape[0]
    k = min(k, n)
    first = _first(start, n)
    dense = is_dense(n, k, which)
    if n > DENSE // 2:
        one = seconds_of(lambda: operator @ np.ones(n))
        announce(
            "spectrum",
            one * (n if dense else 6 * k + 40) + (SOLVE_SECONDS * n**3 if dense else 0.0),
            "pass a smaller k, or a start from a spectrum nearby",
        )
    with PartsBar(progress, "spectrum", None, "product") as bar:
        operator.report = bar.update
        pairs = find_eigenpairs(
            operator,
            k,
            which,
            symmetric=symmetric,
            neutral=1.0 if discrete else 0.0,
            tolerance=tolerance,
            start=first,
            seed=checks.seed("seed", seed),
        )
        operator.report = None
    form = (0.0, 1.0, 0.0) if isinstance(system, Landscape) else _form(system)
    size, alignment = _alignment(system, loss, point, pairs.vectors, columns)
    return Spectrum(
        eigenvalues=pairs.values,
        residuals=pairs.residuals,
        eigenvectors=pairs.vectors,
        which=which,
        x=point,
        of=of,
        gradient_norm=size,
        alignment=alignment,
        symmetric=symmetric,
        discrete=discrete,
        complete=len(pairs.values) == n,
        step=form[1],
        momentum=form[2],
        n_products=operator.n_products,
        seconds=operator.seconds,
        tolerance=tolerance,
        met=(pairs.size, pairs.exact),
        operator=operator if symmetric else None,
    )


def _form(system: System) -> tuple[float, float, float]:
    """Identity, step and momentum with which a system's function follows from its direction; nan if not."""
    form = system.field_of_direction()
    if form is None or (system.rule is not None and system.rule.memory):
        return np.nan, np.nan, np.nan
    return form[0], -form[1], form[2] or 0.0


def _columns(block: Any, loss: Landscape | None, size: int) -> npt.NDArray[np.int64]:
    """The coordinates of a block."""
    if isinstance(block, str):
        blocks = getattr(loss, "blocks", None) if loss is not None and hasattr(type(loss), "blocks") else None
        if not blocks or block not in blocks:
            known = ", ".join(blocks) if blocks else "none: the loss has no blocks"
            raise ValueError(f"block must be the name of a block of the loss ({known}), got {block!r}")
        block = blocks[block]
    if isinstance(block, slice):
        ends = [end for end in (block.start, block.stop, block.step) if end is not None]
        if not all(isinstance(end, int | np.integer) for end in ends):
            raise TypeError(f"block must be a slice of whole numbers, got {block!r}")
        if any(abs(end) > size for end in (block.start or 0, block.stop or 0)):
            raise ValueError(f"block must hold different coordinates below {size}, got {block!r}")
        kept = np.arange(size)[block].copy()
    else:
        kept = np.array(checks.integers("block", block, at_least=0), dtype=np.int64)
        if kept.max() >= size or len(np.unique(kept)) < len(kept):
            raise ValueError(f"block must hold different coordinates below {size}, got {checks.shown(block)}")
    if not len(kept):
        raise ValueError(f"block must hold at least one coordinate, got {block!r}")
    return kept


def _first(start: Any, n: int) -> Array | None:
    """The vector that starts the search."""
    if start is None:
        return None
    if isinstance(start, Spectrum):
        if len(start.eigenvectors) != n:
            raise ValueError(
                f"start must be a spectrum of a matrix of {n} rows, got one of {len(start.eigenvectors)}"
            )
        vector = np.real(start.eigenvectors).sum(axis=1)
    else:
        vector = checks.points("start", start, n)
    if vector.ndim != 1 or not np.linalg.norm(vector) > 0:
        raise ValueError(
            f"start must be one vector that is not 0, of shape ({n},), got {checks.shown(start)}"
        )
    return np.asarray(vector)


def _alignment(
    system: System | Landscape,
    loss: Landscape | None,
    point: Array,
    vectors: npt.NDArray[Any],
    columns: npt.NDArray[np.int64] | None,
) -> tuple[float, Array]:
    """|g|, and the squared cosines of the eigenvectors with the perturbation."""
    if loss is None:
        return float("nan"), np.full(vectors.shape[1], np.nan)
    x = point[: loss.dim]
    g = loss.gradient(x)
    e = g if isinstance(system, Landscape) else system.perturbation(x)
    if not np.any(e):
        e = g
    along = np.zeros(len(point))
    along[: loss.dim] = e
    along = along if columns is None else along[columns]
    size = float(np.linalg.norm(along))
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.linalg.norm(g)), np.abs(along @ vectors / size) ** 2
