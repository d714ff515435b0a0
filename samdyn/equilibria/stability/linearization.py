"""Linear stability of a fixed point, and the radius at which a saddle becomes an attractor.

A fixed point of a map is attracting when every eigenvalue (multiplier) of the Jacobian lies inside the unit
circle, of a flow when every eigenvalue has a negative real part. Eigenvalues within `MARGIN` (relative to
the largest, and for a flow to the Hessian at the point) of the border make it "marginal": there the linear
test is silent.

The stable, unstable and centre subspaces come from real Schur forms ordered by which side of the border an
eigenvalue lies on: orthonormal bases, also where eigenvectors are complex, nearly parallel or missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import schur

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.kinks.following_orbits import field_jumps
from samdyn.equilibria.stability.at_jumps import jump_stability
from samdyn.equilibria.stability.growth import TransientGrowth, transient_growth
from samdyn.equilibria.stability.wording import listed
from samdyn.jobs.cost import announce, seconds_of
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import ACCURACY, displacement_tolerance, length_scale
from samdyn.results import Result, Table
from samdyn.rules.family import USAM, UnifiedSAM
from samdyn.rules.rule import Rule
from samdyn.systems.map import Map
from samdyn.systems.system import System, check_ingredients, check_limit

MARGIN = 1e-9  # relative; rounding of eigenvalues is below it, unless they are ill-conditioned
LARGE = 200  # length of a state up to which a Jacobian costs too little to be worth an estimate
OPERATIONS = 3e9  # floating-point operations a second of one core in an eigenvalue solver, on the slow side


@dataclass(frozen=True, eq=False, repr=False)
class Linearization(Result):
    """A system linearised at a point.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        The point.
    jacobian : ndarray, shape (dim, dim)
        Of the map, of the flow's field or of the drift; (2 dim, 2 dim) for a map with momentum.
    eigenvalues : ndarray of complex or float
        Sorted from the most to the least unstable.
    eigenvectors : ndarray
        Column i belongs to eigenvalue i.
    stability : str
        "attracting", "repelling", "saddle", "marginal", or "trapping" where the field
        jumps and the Jacobian does not exist (its entries are nan); "jump" where something else
        that the rule normalises vanishes, and nothing is claimed.
    discrete : bool
        Whether the system is a map (eigenvalues are multipliers of one step) or continuous in time
        (eigenvalues are rates, 1/time).
    residual : float
        How far the point is from being fixed: |x' - x| of a map, |velocity| otherwise.
    capture_radius : float
        Trapping points: from a ball of this radius the flow is drawn onto the point, so far as is known
        (`samdyn.capture_set` says more); 0 where no ball is known. nan elsewhere, and where a map stays
        though its flow leaves the point, or may do so.
    chatter_radius : float
        Trapping points of a map: it hovers within this distance instead of stopping; 0 for a flow. nan
        elsewhere.
    scale : float
        A rate (1/time) next to which the eigenvalues are judged to be zero; see `scales_of`.
    """

    row = "eigenvalue"
    axes = ("x: coordinate", "jacobian: coordinate other", "eigenvectors: coordinate eigenvalue")

    x: Array
    jacobian: Array
    eigenvalues: npt.NDArray[np.complex128] | Array
    eigenvectors: npt.NDArray[np.complex128] | Array
    stability: str
    discrete: bool
    residual: float
    capture_radius: float = float("nan")
    chatter_radius: float = float("nan")
    scale: float = 0.0

    @property
    def exists(self) -> bool:
        """Whether there is a Jacobian; where the field jumps there is none, and its entries are nan."""
        return not bool(np.isnan(self.jacobian).any())

    @property
    def spectral_radius(self) -> float:
        """Largest modulus of the eigenvalues."""
        return float(np.abs(self.eigenvalues).max())

    @property
    def spectral_abscissa(self) -> float:
        """Largest real part of the eigenvalues."""
        return float(np.real(self.eigenvalues).max())

    @property
    def stable_subspace(self) -> Array:
        """Orthonormal basis, shape (n, k), of the invariant subspace of the decaying modes."""
        return self._subspace(-1)

    @property
    def unstable_subspace(self) -> Array:
        """Orthonormal basis, shape (n, k), of the invariant subspace of the growing modes."""
        return self._subspace(1)

    @property
    def centre_subspace(self) -> Array:
        """Orthonormal basis, shape (n, k), of the invariant subspace of the marginal modes."""
        return self._subspace(0)

    def _subspace(self, side: int) -> Array:
        self._demand_jacobian()
        # the margin depends on all eigenvalues together, so the side of one is looked up, not computed alone
        sides = _sides(self.eigenvalues, self.discrete, self.scale)
        if side not in sides:
            return np.empty((len(self.jacobian), 0))

        def wanted(real: float, imaginary: float = 0.0) -> bool:
            nearest = int(np.argmin(np.abs(self.eigenvalues - complex(real, imaginary))))
            return bool(sides[nearest] == side)

        _, basis, k = schur(self.jacobian, output="real", sort=wanted)
        return np.asarray(basis[:, :k])

    @checked
    def transient_growth(self, horizon: float | None = None) -> TransientGrowth:
        """How far a small displacement can grow before it decays: largest 2-norm of J^k, or of exp(tJ).

        Parameters
        ----------
        horizon : float, optional
            Steps or time to look ahead (see `samdyn.equilibria.stability.growth.transient_growth`).
        """
        self._demand_jacobian()
        return transient_growth(self.jacobian, self.discrete, horizon)

    def _demand_jacobian(self) -> None:
        if not self.exists:
            raise ValueError(
                f"x must be a point with a Jacobian: at {listed(self.x)} the field jumps "
                f"({self.stability}), see samdyn.capture_set"
            )

    def table(self) -> Table:
        """Multipliers or rates, and the directions that belong to them."""
        title = f"Linearization at {listed(self.x)}: {self.stability}"
        if not self.exists:
            rows = [("no Jacobian", "the field jumps here")]
            if self.stability == "trapping":
                known = self.capture_radius > 0
                how = f"{self.capture_radius:.6g}" if known else "some distance: no ball is known"
                if not np.isnan(self.capture_radius):
                    rows.append(("its flow captures within" if self.discrete else "captures within", how))
                if self.discrete:
                    rows.append(("the map hovers within", f"{self.chatter_radius:.6g}"))
            return Table(title, rows)
        rows = [("multipliers" if self.discrete else "rates", listed(self.eigenvalues))]
        subspaces = (self.stable_subspace, self.centre_subspace, self.unstable_subspace)
        sizes = ", ".join(str(basis.shape[1]) for basis in subspaces)
        rows += [("stable, marginal, unstable directions", sizes), ("residual", f"{self.residual:.2g}")]
        return Table(title, rows)


def _own_jump(system: System, point: Array) -> bool:
    """Whether a rule that normalises more than the gradient, as a user's own may, jumps at a point."""
    rule = system.rule
    if rule is None or system.on_jump(point):
        return False
    if type(rule).__module__.split(".")[0] == "samdyn" and not rule.jumps_elsewhere:
        return False
    reach = float(length_scale(system.box, point))
    return bool(field_jumps(lambda x: motion_at(system, x), point[None], reach)[0])


def stability_of(eigenvalues: npt.ArrayLike, discrete: bool, scale: float = 0.0) -> str:
    """Classify from eigenvalues; those within `MARGIN` of `scale`, or of the largest, are marginal.

    Examples
    --------
    >>> stability_of([0.5, 1.2], discrete=True), stability_of([-1.0, -2.0], discrete=False)
    ('saddle', 'attracting')
    """
    sides = _sides(eigenvalues, discrete, scale)
    if (sides == 0).any():
        return "marginal"
    if (sides < 0).all():
        return "attracting"
    return "repelling" if (sides > 0).all() else "saddle"


def scales_of(system: System, x: Array) -> Array:
    """Rates (n,) that count as large at points (n, dim): the largest entry of the Hessian there.

    A flow's rates at a hallucinated point are compared with the Hessian at the endpoint; where this Hessian
    vanishes the rates are rounding, which only another rate can tell. Multipliers are compared with 1
    instead: 0 for a map, and for systems without a loss.
    """
    if system.landscape is None or isinstance(system, Map) or len(x) == 0:
        return np.zeros(len(x))
    largest = np.abs(system.landscape.hessian(x)).max(axis=(-1, -2))
    return np.asarray(np.where(np.isfinite(largest), largest, 0.0))


def _sides(eigenvalues: npt.ArrayLike, discrete: bool, scale: float = 0.0) -> npt.NDArray[np.int_]:
    """-1 for decaying, 1 for growing, 0 for marginal modes."""
    values = np.asarray(eigenvalues)
    if np.isnan(values).any():
        raise ValueError(f"eigenvalues must not be nan, got {values}")
    growth = np.abs(values) - 1 if discrete else np.real(values)
    # a rate of exactly zero in a field that is zero everywhere has no scale of its own
    margin = MARGIN * max(1.0 if discrete else scale, float(np.abs(values).max()))
    return np.asarray(np.where(np.abs(growth) <= margin, 0, np.sign(growth)), dtype=int)


@checked
def linearize(system: System, x: checks.PointLike) -> Linearization:
    """Linearise a system at a point.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of a Diffusion the drift is linearised; of a Map the noiseless step.
    x : array_like, shape (dim,)
        The point, usually a fixed point (the residual in the result says how far it is from one).

    Returns
    -------
    Linearization

    Raises
    ------
    TypeError, ValueError
        `x` is not one finite point of the right dimension.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Notes
    -----
    The Jacobian is exact (reverse-mode automatic differentiation, through g/|g| too): with y = x + e(x) and
    n = g/|g| the Jacobian of the SAM flow is -H(y) (I + (rho/|g|) (I - n n^T) H(x)), for USAM at a critical
    point -H (I + rho H). At a critical point under a normalised rule there is no Jacobian: the stability is
    "trapping" if the field points inwards on all sides, with the radii of the capture set in the result, and
    "repelling" or "saddle" as the one-sided fields say otherwise. Where the rule has memory a map's own
    orbits decide, from memory that has settled beside the point: other memory, such as a velocity, can carry
    it away.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.beale(), sd.USAM(0.04))
    >>> sd.linearize(flow, [0.0, 1.0]).stability
    'attracting'
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    discrete = isinstance(system, Map)
    if system.state_dim > LARGE:
        _announce(system, point)
    jacobian = system.jacobian(point)
    if _own_jump(system, point):
        none = np.full_like(jacobian, np.nan)
        residual = residual_of(system, point)
        return Linearization(point, none, none[0], none, "jump", discrete, residual)
    if np.isnan(jacobian).any():
        if system.rule is None or not system.rule.jumps or not system.on_jump(point):
            raise ValueError(f"x must be a point where the Jacobian exists, got {point}, where it is nan")
        n = len(jacobian)
        stability, capture, chatter = jump_stability(system, point[None])[0]
        return Linearization(
            point,
            np.full((n, n), np.nan),
            np.full(n, np.nan),
            np.full((n, n), np.nan),
            stability,
            discrete,
            residual_of(system, point),
            capture,
            chatter,
        )
    eigenvalues, eigenvectors = np.linalg.eig(jacobian)
    order = np.argsort(-(np.abs(eigenvalues) if discrete else eigenvalues.real), kind="stable")
    eigenvalues, eigenvectors = eigenvalues[order], eigenvectors[:, order]
    scale = float(scales_of(system, point[None])[0])
    return Linearization(
        point,
        jacobian,
        eigenvalues,
        eigenvectors,
        stability_of(eigenvalues, discrete, scale),
        discrete,
        residual_of(system, point),
        scale=scale,
    )


def _announce(system: System, point: Array) -> None:
    """Say what a large Jacobian and its eigenvalues will cost."""
    n = system.state_dim
    state = system.settled(point)
    one = seconds_of(lambda: system.evaluate(state))
    if system.landscape is not None:
        one += 2 * seconds_of(lambda: system.landscape.gradient(point))  # type: ignore[union-attr]
    # a row of the Jacobian costs a few evaluations in reverse mode, eigenvectors some 25 n^3 operations
    announce(
        "linearize",
        3 * n * one + 25 * n**3 / OPERATIONS,
        f"the Jacobian has {n} x {n} entries ({8 * n * n / 2**20:.0f} MiB): for the leading eigenvalues give "
        "products with it (torch.func.jvp of system.point_function()) to scipy.sparse.linalg.eigs",
    )


def residual_of(system: System, x: Array) -> float:
    """How far a point is from being fixed: |x' - x| of a map, |velocity| otherwise.

    At a critical point under a rule that jumps it is the size of the gradient: rounding of the point puts
    it beside the jump, where the velocity is not small.
    """
    if system.landscape is not None and bool(system.on_jump(x)):
        return float(np.linalg.norm(system.landscape.gradient(x)))
    return float(np.linalg.norm(motion_at(system, x)))


def motion_at(system: System, x: Array) -> Array:
    """x' - x of a map whose memory has settled, the velocity otherwise, at points (..., dim)."""
    if not isinstance(system, Map):
        return system.evaluate(x)
    return np.asarray(system.evaluate(system.states(x))[..., : system.dim] - x)


@checked
def critical_rho(loss: Landscape, x: checks.PointLike, rule: Callable[..., Rule] | Rule = USAM) -> float:
    """The perturbation radius at which the saddle or maximum `x` becomes an attractor of the flow.

    Parameters
    ----------
    loss : Landscape
        The loss.
    x : array_like, shape (dim,)
        A critical point of the loss.
    rule : rule class, or a rule
        `USAM` by default; its radius, if it has one, is ignored. For `UnifiedSAM` pass a rule with the lam
        wanted.

    Returns
    -------
    float
        For USAM 1 / min |lambda_j| over the negative Hessian eigenvalues. 0 for rules with a normalised
        part, which trap every nondegenerate saddle at any radius, and 0 at a minimum. inf where no radius
        does it: GD at a saddle, or a zero eigenvalue.

    Raises
    ------
    ValueError
        `x` is not a critical point (its gradient is reported).

    Notes
    -----
    The USAM flow has rates -lambda_j (1 + rho lambda_j) at a critical point, negative for a negative
    lambda_j iff rho > 1/|lambda_j|; the negative eigenvalue closest to zero decides. Maxima obey the same
    rule. At equality the linear test is silent.

    References
    ----------
    Kim et al. (arXiv 2301.06308), Theorem 1 [second-hand: read in a summary; derived and checked here].

    Examples
    --------
    >>> import samdyn as sd
    >>> round(sd.critical_rho(sd.landscapes.beale(), [0, 1]), 6)
    0.036036
    """
    if not isinstance(loss, Landscape):
        raise TypeError(f"loss must be a samdyn Landscape, got {loss!r}")
    point = checks.points("x", x, loss.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({loss.dim},), got shape {point.shape}")
    hessian = loss.hessian(point)
    gradient = float(np.linalg.norm(loss.gradient(point)))
    scale = float(np.abs(hessian).max())
    if not gradient <= scale * displacement_tolerance(loss.box, point, ACCURACY):
        raise ValueError(
            f"x must be a critical point of {loss.name}, got |gradient| = {gradient:.3g} at {point}"
        )
    eigenvalues = np.linalg.eigvalsh(hessian)
    negative = eigenvalues[eigenvalues < -1e-12 * scale]
    flat = bool((np.abs(eigenvalues) <= 1e-12 * scale).any())
    example = rule if isinstance(rule, Rule) else _with_unit_radius(rule)
    check_limit("critical_rho", example)
    check_ingredients(loss, example)
    if "rho" in example.coefficient_names:
        unit_radius: dict[str, Any] = {"rho": 1.0}
        example = dataclasses.replace(example, **unit_radius)
    if flat:
        return float("inf")
    if len(negative) == 0:
        return 0.0
    if example.jumps:
        return 0.0
    # rules whose perturbation is rho c g near a critical point: c from the rule itself
    factor = _linear_coefficient(example)
    return float("inf") if factor <= 0 else 1 / (factor * float(np.abs(negative).min()))


def _with_unit_radius(rule: Callable[..., Rule]) -> Rule:
    if rule is UnifiedSAM:
        raise ValueError("rule must be a UnifiedSAM(rho, lam) with the lam wanted, got the class UnifiedSAM")
    try:
        example: Any = rule(1.0)
    except TypeError:
        try:
            example = rule()
        except TypeError:
            example = None
    if not isinstance(example, Rule):
        raise TypeError(f"rule must be a rule or a class of rules such as sd.USAM, got {rule!r}")
    return example


def _linear_coefficient(rule: Rule) -> float:
    if "rho" not in rule.coefficient_names:
        return 0.0
    g = torch.full((1,), 1e-6, dtype=torch.float64, device="cpu")
    coefficients = {**rule.coefficients(), "rho": 1.0}
    return float(rule.perturbation(torch.zeros_like(g), g, **coefficients) / g)
