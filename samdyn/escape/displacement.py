"""Mean squared displacement of an ensemble of paths: how fast noise carries SAM away from a point.

Paths start at one point and move with the step of the system: the Map's own, or Euler-Maruyama for a
Diffusion, with the draws of (seed, path, step), the same as in `trajectory`. At the requested times the
squared displacement and the coordinates enter running moments; nothing else is kept. Paths go in tiles of
`TILE`, whose moments are merged by the pairwise update of Chan, Golub and LeVeque.

Theory. Beside a critical point of the loss with Hessian H = Q diag(lam) Q^T, unnormalised SAM is a linear
recursion for the deviation, z' = (I - lr K) z + lr noise, with K and the noise covariance C of the modes of
`samdyn.theory.kim`: ::

    mode            K                  noise covariance
    "full"          H (I + rho H)      C
    "same"          H (I + rho H)      (I + rho H) C (I + rho H)
    "independent"   H (I + rho H)      C + rho^2 H C H
    "paper"         H (I + rho H)^2    C

It is exact on quadratics, where C does not depend on the point; elsewhere it holds while the paths stay
where the loss is quadratic. Covariances of the recursion are computed by doubling, those of the diffusion
from the eigenvectors of H.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.compute.random import split_seed, standard_normal
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.step import Stepper, build_stepper, combine
from samdyn.rules.family import GD, SAM, USAM, UnifiedSAM
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.theory import kim

TILE = 1 << 14
NOISE_CHUNK = 1 << 20  # normals drawn at a time


@dataclass(frozen=True)
class Displacement:
    """Mean squared displacement of an ensemble from its common start.

    Attributes
    ----------
    times : ndarray, shape (n_t,)
        In the time of the diffusion, or in steps of the map.
    mean, standard_error : ndarray, shape (n_t,)
        Mean over the paths of the squared distance from x0, or of the squared projection of X_t - x0 on
        `direction`, in units of the weights squared, and the standard error of that mean.
    displacement, variance : ndarray, shape (n_t, dim)
        Mean of X_t - x0 and sample variance of X_t, by coordinate.
    diverged : ndarray of int, shape (n_t,)
        Paths that were no longer finite; where there are any, the other figures are inf or nan.
    x0 : ndarray, shape (dim,)
    direction : ndarray, shape (dim,), or None
        Unit vector.
    n_paths : int
    dt : float
        Longest step.
    seed : int
    discrete : bool
        Whether times are steps of a map.
    system : str
        What was simulated, as text.
    problem : system, optional
        The same as an object: `theory` needs it. Not compared and not pickled.
    """

    times: Array
    mean: Array
    standard_error: Array
    displacement: Array
    variance: Array
    diverged: npt.NDArray[np.int64]
    x0: Array
    direction: Array | None
    n_paths: int
    dt: float
    seed: int
    discrete: bool
    system: str
    problem: InitVar[Any] = None

    def __post_init__(self, problem: Any) -> None:
        object.__setattr__(self, "problem", problem)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "problem"}

    @property
    def unit(self) -> str:
        """Unit of the times: "steps" of a map, or "time", the learning rate times steps."""
        return "steps" if self.discrete else "time"

    @property
    def theory(self) -> Array | None:
        """The exact mean of the simulated process where it is linear, shape (n_t,); None where no theory
        applies. See `prediction`, which says why.
        """
        try:
            return self.prediction()
        except ValueError:
            return None

    def prediction(self, mode: str | None = None, *, continuous: bool = False) -> Array:
        """Mean squared displacement of the linearisation at the start, at `times`.

        Parameters
        ----------
        mode : {"full", "same", "independent", "paper"}, optional
            Which gradient makes the perturbation; that of the noise's `probe` by default. "paper": Theorem 2
            of Kim et al. as printed.
        continuous : bool
            The closed form of the diffusion in continuous time, which differs by O(lr), instead of the exact
            covariance of the simulated chain.

        Returns
        -------
        ndarray, shape (n_t,)
            In units of the weights squared.

        Raises
        ------
        ValueError
            x0 is no critical point, the rule is normalised or not of the SAM family, a coefficient is a
            schedule, `continuous` with momentum, or a result that was unpickled.

        Examples
        --------
        >>> import samdyn as sd
        >>> noise = sd.CurvatureNoise(batch_size=1, probe="same")
        >>> sam = sd.Map(sd.landscapes.quadratic([[-1.0]]), sd.USAM(0.5), lr=0.01, noise=noise)
        >>> result = sd.mean_squared_displacement(sam, [0.0], 100, n_paths=1000)
        >>> result.prediction(continuous=True).round(7), result.prediction("paper", continuous=True).round(7)
        (array([0.0042957]), array([0.0129744]))
        """
        if mode is not None and mode not in kim.MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, kim.MODES))}, got {mode!r}")
        system = vars(self).get("problem")
        if system is None:
            raise ValueError("the result holds no system: it was unpickled")
        rates, vectors, noise = linear_model(system, self.x0, mode)
        lr, momentum = system.coefficients()["lr"], getattr(system, "momentum", 0.0)
        if continuous:
            if momentum:
                raise ValueError(
                    f"continuous must be False for a Map with momentum, got momentum={momentum:g}"
                )
            times = self.times * lr if self.discrete else self.times
            total = (rates[:, None] + rates)[None] * times[:, None, None]
            covariance = lr * noise * times[:, None, None] * special.exprel(-total)
        else:
            covariance = self._chain(rates, noise, lr, momentum)
        if self.direction is None:
            return np.asarray(np.trace(covariance, axis1=1, axis2=2))
        along = vectors.T @ self.direction
        return np.asarray(np.einsum("i,tij,j->t", along, covariance, along))

    def _chain(self, rates: Array, noise: Array, lr: float, momentum: float) -> Array:
        """Covariances of the simulated recursion in the eigenvectors' coordinates."""
        dim = len(rates)
        current, result = np.zeros((2 * dim, 2 * dim)), np.empty((len(self.times), dim, dim))
        for i, (n, step) in enumerate(_schedule(self.times, self.dt, self.discrete)):
            length = lr if self.discrete else step
            drive = length**2 * noise if self.discrete else length * lr * noise
            # position and the step that led to it; momentum carries the latter on
            force, identity = np.diag(length * rates), np.eye(dim)
            matrix = np.block(
                [[identity - force, momentum * identity], [-force, momentum * identity]]
            )  # fmt: skip
            current = kim.linear_covariance(matrix, np.kron(np.ones((2, 2)), drive), n, current)
            result[i] = current[:dim, :dim]
        return result

    def plot(self, ax: Any = None, *, modes: Sequence[str] = (), **points: Any) -> Any:
        """Draw the mean with error bars of two standard errors, and the theory as a line.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        modes : sequence of str
            Further predictions to draw, such as "paper".
        **points
            Keywords for the points (`Axes.errorbar`).

        Returns
        -------
        matplotlib Axes
        """
        from samdyn.plot import style

        further = {mode: self.prediction(mode) for mode in modes}  # refuses before anything is drawn
        ax = style.axes(ax)
        colors = [style.OKABE_ITO[name] for name in ("vermilion", "blue", "green", "orange")]
        look = {"fmt": "o", "color": style.OKABE_ITO["black"], "markersize": 4, "capsize": 2, **points}
        label = look.pop("label", f"mean of {self.n_paths} paths")
        handles = [ax.errorbar(self.times, self.mean, yerr=2 * self.standard_error, label=label, **look)]
        lines = {"theory": self.theory, **further}
        dashes = ("-", "--", "-.", ":")
        for i, (name, curve) in enumerate((k, v) for k, v in lines.items() if v is not None):
            text = name if name == "theory" else f'theory, mode "{name}"'
            (line,) = ax.plot(
                self.times, curve, color=colors[i % 4], linestyle=dashes[i % 4], label=text, zorder=1
            )
            handles.append(line)
        axis = "steps" if self.discrete else "time (learning rate $\\times$ steps)"
        style.axis_labels(ax, axis, "mean squared displacement")
        style.legend(ax, handles, "best")
        return ax

    def __repr__(self) -> str:
        theory, n = self.theory, len(self.times)
        shown = range(n) if n <= 8 else [*range(4), *range(n - 4, n)]
        lines = [
            f"Displacement of {self.n_paths} paths of {self.system} from {self.x0.tolist()}"
            + ("" if self.direction is None else f" along {self.direction.round(6).tolist()}"),
            f"{self.unit:>12}  {'mean':>12}  {'std. error':>12}"
            + ("" if theory is None else f"  {'theory':>12}"),
        ]
        for i in shown:
            row = f"{self.times[i]:12.6g}  {self.mean[i]:12.6g}  {self.standard_error[i]:12.2g}"
            lines.append(row + ("" if theory is None else f"  {theory[i]:12.6g}"))
            if n > 8 and i == 3:
                lines.append(f"{'...':>12}")
        if self.diverged.any():
            lines.append(f"{self.diverged[-1]} paths diverged")
        return "\n".join(lines)


def mean_squared_displacement(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    n_paths: int = 10_000,
    dt: float | None = None,
    seed: int = 0,
    direction: npt.ArrayLike | None = None,
) -> Displacement:
    """Mean squared displacement of noisy paths from their start.

    Parameters
    ----------
    system : Diffusion or Map
        What moves; a Map needs a noise model. With momentum the paths start from rest.
    x0 : array_like, shape (dim,)
        Start of every path.
    t : number or increasing sequence
        When to look: whole steps for a Map, times (lr times steps) for a Diffusion.
    n_paths : int
        Number of paths, at least 2.
    dt : float, optional
        Longest Euler-Maruyama step of a Diffusion, in time; its lr by default. Steps are shortened to end at
        the times asked for. Not for a Map.
    seed : int
        The random numbers are a function of (seed, path number, step).
    direction : array_like, shape (dim,), optional
        Look at the displacement along this vector (of any length) only.

    Returns
    -------
    Displacement
        Its `theory` is the exact mean where the start is a critical point of a quadratic loss.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or the system has no noise.

    Notes
    -----
    One pass with running moments: memory does not grow with the number of steps, and but little with the
    number of paths. A path that diverges makes the mean inf from then on.

    References
    ----------
    Kim et al. (arXiv 2301.06308), Theorem 2 [second-hand]; Chan, Golub and LeVeque, The American
    Statistician 37, 242 (1983), for the merging of moments.

    Examples
    --------
    >>> import samdyn as sd
    >>> noise = sd.CurvatureNoise(batch_size=1, probe="same")
    >>> sam = sd.Map(sd.landscapes.saddle(1, 1), sd.USAM(0.5), lr=0.01, noise=noise)
    >>> result = sd.mean_squared_displacement(sam, [0.0, 0.0], [50, 100], direction=[0.0, 1.0])
    >>> bool((abs(result.mean - result.theory) < 4 * result.standard_error).all())
    True
    """
    if not isinstance(system, Diffusion | Map):
        raise TypeError(f"system must be a Diffusion or a Map, got {system!r}")
    if not system.n_normals:
        raise ValueError(f"system must have noise, such as noise=sd.GaussianNoise(std=1.0), got {system!r}")
    start = checks.points("x0", x0, system.dim)
    if start.ndim != 1:
        raise ValueError(f"x0 must be one point of shape ({system.dim},), got shape {start.shape}")
    discrete = isinstance(system, Map)
    times = _times(t, discrete)
    if discrete and dt is not None:
        raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    longest = (1.0 if discrete else system.coefficients()["lr"]) if dt is None else dt
    longest = checks.number("dt", longest, above=0)
    if dt is not None and longest > times[-1]:
        raise ValueError(f"dt must be at most the last time, got dt={dt!r} and t={t!r}")
    n = checks.integer("n_paths", n_paths, at_least=2)
    split_seed(seed)
    along = None
    if direction is not None:
        along = checks.points("direction", direction, system.dim)
        if along.ndim != 1 or not along.any():
            raise ValueError(f"direction must be one vector other than 0, got {direction!r}")
        along = along / np.abs(along).max()
        along = along / np.linalg.norm(along)
    stepper = build_stepper(system).eager()
    moments: tuple[int, Array, Array] | None = None
    lost = np.zeros(len(times), dtype=np.int64)
    with np.errstate(all="ignore"):
        for first in range(0, n, TILE):
            paths = np.arange(first, min(first + TILE, n))
            mean, square, gone = _tile(system, stepper, start, times, longest, paths, seed, along)
            moments, lost = _merge(moments, (len(paths), mean, square)), lost + gone
        assert moments is not None
        variance = moments[2] / (n - 1)
    return Displacement(
        times=times,
        mean=np.where(lost > 0, np.inf, moments[1][:, -1]),
        standard_error=np.where(lost > 0, np.nan, np.sqrt(variance[:, -1] / n)),
        displacement=moments[1][:, :-1],
        variance=variance[:, :-1],
        diverged=lost,
        x0=start,
        direction=along,
        n_paths=n,
        dt=longest,
        seed=int(seed),
        discrete=discrete,
        system=repr(system),
        problem=system,
    )


def _times(t: npt.ArrayLike, discrete: bool) -> Array:
    try:
        times = np.atleast_1d(np.asarray(t, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"t must be a number or an increasing sequence of numbers, got {t!r}") from error
    bad = times.ndim != 1 or not times.size or not np.isfinite(times).all() or times[0] < 0
    if bad or (np.diff(times) <= 0).any() or times[-1] == 0:
        raise ValueError(f"t must be a number > 0 or an increasing sequence of numbers >= 0, got {t!r}")
    if discrete and (times != np.round(times)).any():
        raise ValueError(f"t must be whole steps for a Map, got {t!r}")
    return times


def _schedule(times: Array, dt: float, discrete: bool) -> list[tuple[int, float]]:
    """Number and length of the steps that lead to each of the times."""
    gaps = np.diff(times, prepend=0.0)
    if discrete:
        return [(int(gap), 1.0) for gap in gaps]
    counts = np.ceil(gaps / dt * (1 - 1e-9)).astype(int)  # a gap of 0 takes none
    return [(int(n), float(gap) / max(int(n), 1)) for n, gap in zip(counts, gaps, strict=True)]


def _tile(
    system: Diffusion | Map,
    stepper: Stepper,
    start: Array,
    times: Array,
    dt: float,
    paths: npt.NDArray[np.int64],
    seed: int,
    along: Array | None,
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Means and sums of squared deviations, (n_t, dim + 1), of the displacement by coordinate and of its
    square, and the numbers of paths that are not finite.
    """
    dim, k = stepper.dim, stepper.n_normals
    mean, square = np.empty((len(times), dim + 1)), np.empty((len(times), dim + 1))
    lost = np.zeros(len(times), dtype=np.int64)
    rest = [0.0] * (stepper.state_dim - dim)
    state = Coordinates(torch.full((len(paths),), float(v), dtype=torch.float64) for v in [*start, *rest])
    chunk = max(1, NOISE_CHUNK // (len(paths) * k))
    schedule = _schedule(times, dt, not stepper.continuous)
    n_steps, done = sum(n for n, _ in schedule), 0
    coefficients = _coefficients(system, stepper)
    noise: npt.NDArray[np.floating] = np.empty((0, len(paths), k))
    for i, (n, length) in enumerate(schedule):
        begin = times[i - 1] if i else 0.0
        for j in range(n):
            if done % chunk == 0:
                steps = np.arange(done, min(done + chunk, n_steps))
                noise = standard_normal(seed, paths, steps[:, None], k)
            draw = np.ascontiguousarray(noise[done % chunk].T)
            normals = [torch.from_numpy(z) for z in draw]
            state = advance(stepper, state, normals, coefficients(begin + j * length), length)
            done += 1
        moved = np.stack([x.numpy() for x in state[:dim]]) - start[:, None]
        squared = (moved**2).sum(axis=0) if along is None else (along @ moved) ** 2
        looked_at = np.vstack([moved, squared])
        lost[i] = (~np.isfinite(moved).all(axis=0)).sum()
        mean[i] = looked_at.mean(axis=1)
        square[i] = ((looked_at - mean[i][:, None]) ** 2).sum(axis=1)
    return mean, square, lost


def _coefficients(system: Diffusion | Map, stepper: Stepper) -> Callable[[float], list[torch.Tensor]]:
    """Coefficients at a time, which a Diffusion counts in units of its first lr."""

    def tensors(step: int) -> list[torch.Tensor]:
        return [torch.tensor([value], dtype=torch.float64) for value in system.coefficients(step).values()]

    unit = 1.0 / system.coefficients()["lr"] if stepper.continuous else 1.0
    if system.scheduled:
        return lambda time: tensors(int(time * unit + 1e-9))
    fixed = tensors(0)
    return lambda time: fixed


def advance(
    stepper: Stepper,
    state: Coordinates,
    normals: Sequence[torch.Tensor],
    coefficients: Sequence[torch.Tensor],
    dt: float,
) -> Coordinates:
    """One step of all paths: the map, or Euler-Maruyama with step dt."""
    if not stepper.continuous:
        return stepper.iterate(state, normals, coefficients)
    drift, columns = stepper.local(state, coefficients)
    noise, root = combine(columns, normals), math.sqrt(dt)
    return Coordinates(x + dt * b + root * s for x, b, s in zip(state, drift, noise, strict=True))


def _merge(one: tuple[int, Array, Array] | None, other: tuple[int, Array, Array]) -> tuple[int, Array, Array]:
    """Counts, means and sums of squared deviations of two samples together."""
    if one is None:
        return other
    n, share = one[0] + other[0], other[0] / (one[0] + other[0])
    gap = other[1] - one[1]
    return n, one[1] + share * gap, one[2] + other[2] + one[0] * share * gap**2


def linear_model(
    system: Diffusion | Map, x0: npt.ArrayLike, mode: str | None = None
) -> tuple[Array, Array, Array]:
    """Linearisation of unnormalised SAM with noise at a critical point of its loss.

    Parameters
    ----------
    system : Diffusion or Map
    x0 : array_like, shape (dim,)
        A critical point: |grad f| below 1e-8 of the Hessian's norm (times 1 + |x0|).
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
    if type(rule) not in (GD, USAM, SAM, UnifiedSAM) or rule.jumps or system.scheduled:
        raise ValueError(
            f"the linearisation needs GD or an unnormalised rule such as sd.USAM(0.1) and no schedule, "
            f"got {rule!r} and lr={system.lr!r}"
        )
    x = checks.points("x0", x0, system.dim)
    hessian, gradient = landscape.hessian(x), landscape.gradient(x)
    scale = np.abs(hessian).max() * (1 + np.abs(x).max())
    if np.abs(gradient).max() > 1e-8 * scale:
        raise ValueError(f"x0 must be a critical point of the loss, got a gradient of {gradient}")
    values = rule.coefficients()
    rho = values.get("rho", 0.0) * (1 - values.get("lam", 1.0 if isinstance(rule, SAM) else 0.0))
    eigenvalues, vectors = np.linalg.eigh(hessian)
    identity = torch.eye(system.dim, dtype=torch.float64)
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
