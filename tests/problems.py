"""Reference systems with exact answers, which the tests of every folder draw on.

Notation: dX = b(X) dt + sqrt(2 D) dW; a diffusion with noise of standard deviation s has D = lr s^2 / 2. A
name such as ``C2`` holds mean exit times in continuous time; `chain_mean` computes the exact mean of the
simulated scheme itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import log_ndtr, ndtr

import samdyn as sd

# ----------------------------------------------------------------------
# Mean exit times in continuous time, from double quadrature and Chebyshev collocation to 8 digits.
# f = (x^2 - 1)^2/4 from -1 (DW); saddle -x^2/2 from 0 to |x| = 1; OU x^2/2.
# ----------------------------------------------------------------------
C1 = {"to_0": 7.93402154, "to_1": 19.0938970}  # DW, D = 0.2
C2 = {"to_0": 30.8213024727, "to_1": 66.2686263649}  # DW, D = 0.1
C3 = {"to_0": 361.903760, "to_1": 729.670692}  # DW, D = 0.05
C4 = {"to_0": 9739.57099, "to_1": 19485.8180}  # DW, D = 0.03
C5 = {"to_0": 616063.85, "to_1": 1232135.01}  # DW, D = 0.02
C6 = {"std_C2": 29.8162349, "std_C3": 360.213281, "rate_C2": 0.0335452873, "rate_C3": 0.00277614064}
C7 = {"to_0": 29.1889239, "to_1": 63.0425514}  # DW, USAM(0.1), D = 0.1
C8 = {"to_0": 27.5538242731, "to_1": 59.8418389, "std": 26.5279002}  # DW, USAM(0.2), D = 0.1
C9 = {"rho_0.5": 22.1291406, "rho_0.2_D_0.05": 310.847573}  # DW, USAM, to 0
C10 = {"to_0": 25.8012753, "to_1": 56.5229660}  # DW, SAM(0.1), D = 0.1
C11 = {"to_0": 19.3564911592, "to_1": 44.2988111, "from_0": 2.79291438}  # DW, SAM(0.2), D = 0.1
C12 = {"to_0": 2445.93785, "from_0": 5.27498161}  # DW, SAM(0.2), D = 0.03
C13 = {0.5: 0.784163496, 1: 2.09340665, 2: 10.4284094, 3: 86.9316199, 4: 2018.39238}  # OU, one-sided, D = 1
C14 = {1: 0.595749319, 2: 4.50160242, 3: 42.5746335}  # OU, two-sided, D = 1
C15 = {
    "USAM_0.1": 2.06237149,
    "USAM_0.5": 2.00332491,
    "SAM_0.1": 2.08107302,
    "SAM_0.5": 2.10767880,
}  # OU 0 -> 1
C16 = {
    1.0: 0.426685604,
    0.1: 1.72413785,
    0.01: 2.93268887,
    1e-3: 4.08855831,
    1e-4: 5.24030160,
}  # saddle, by D
C17 = {"std": 1.10609185, "rate": 1.0}  # saddle, D = 0.01
C18 = {0.1: 3.19937162, 0.2: 3.52477790, 0.5: 5.16174090}  # saddle, USAM, D = 0.01
C19 = {0.1: 4.91952046, 0.2: 13.1350263, 0.3: 89.5021711}  # saddle, SAM, D = 0.01
C20 = {(1, 1, 0.1): 1.70975641, (1, 2, 0.1): 1.72379376, (1, 1, 0.05): 2.10556756}  # box |x|, |y| < 1
C20_NARROW = 1.13517673  # the first, on |x| < 1, |y| < 0.5
C21 = 1.97927569  # box, USAM(0.2), D = 0.1
C22 = {"source_0.1": 1.09390094, "source_0.01": 2.24461934, "sink_0.5": 0.658951076, "sink_0.1": 18.9993109}
C23 = {0.1: 24.0548887, 0.05: 270.61034, 0.025: 37038.870}  # coupled double well, (-1, 0) to x = 0, by D
C24 = {"rho_0.1": 22.0972766, "rho_0.2": 20.4214789, "rho_0.2_D_0.05": 218.706862}  # with USAM
C25 = {0.02: 2.43631967e-6, 0.01: 1.55591629e-11}  # committor of the DW from -0.9, by D

# Mean steps of the map itself: DW, lr = 0.1, noise 1, from -1 to x > 0.
STEPS_TO_LEAVE = {
    "GD": 4168.93928,
    "USAM_0.1": 3835.25045,
    "USAM_0.2": 3429.42223,
    "SAM_0.1": 2777.97353,
    "SAM_0.2": 1379.81424,
}

# Exact means of the Euler-Maruyama chain and of the chain with Brownian-bridge crossings: (case, dt) ->
# (chain, bridge).
# The step in which a bridge crosses counts whole here: `exit_times` times the crossing and comes out about
# dt/2 lower.
CHAIN = {
    ("DW", 0.1): (35.6691802, 29.3623407),
    ("DW", 0.02): (33.4168508, 30.6108056),
    ("DW", 0.01): (32.7046571, 30.7239664),
    ("DW", 0.002): (31.6880700, 30.8037484),
    ("OU", 0.01): (2.37750990, 2.08131045),
    ("OU", 0.001): (2.18382462, 2.09205662),
    ("saddle", 0.01): (2.96094019, 2.95480923),
    ("DW USAM", 0.01): (29.0801430, 27.4117882),
    ("DW SAM", 0.01): (19.9839173, 19.2220296),
}

# USAM on x^2 - y^2 from (-3, -0.01), lr 0.01, 500 steps: y at the end, by rho. It is -0.01 (1 + 0.02 (1 - 2
# rho))^500.
SADDLE_START, SADDLE_LR, SADDLE_STEPS = (-3.0, -0.01), 0.01, 500
SADDLE_Y = {0.4: -0.0735964, 0.49: -0.0122135, 0.5: -0.01, 0.51: -0.0081870, 0.6: -0.0013479}

# Beale: from (1, 2) at lr = 1e-4.
BEALE_SADDLE, BEALE_MINIMUM, BEALE_EIGENVALUE = (0.0, 1.0), (3.0, 0.5), 27.75
BEALE_START, BEALE_LR = (1.0, 2.0), 1e-4
BEALE_GD_STEP = 37931  # first step within 0.15 of the minimum
BEALE_SAM_01_END = (2.9493, 0.4871)  # SAM(0.1) after as many steps
BEALE_RMS = {0.5: 8.7e-4, 1.0: 2.5e-3}  # distance to the saddle; the orbit is chaotic, so to 10 % only
BEALE_FIRST_NEGATIVE_COSINE = {0.5: 134, 1.0: 37}
BEALE_SAM_03_STEP = 16257  # SAM(0.3) escapes, SAM(0.35) does not
# USAM from the saddle + 1e-3 (1, -1)/sqrt 2, 2000 steps: distance to the saddle, by rho.
BEALE_USAM_DISTANCE = {0.03: 2.5475e-3, 0.0355: 1.0909e-3, 0.0365: 9.350e-4, 0.04: 5.4495e-4}

# diag(3, 1, 0.2), lr = 0.1, rho = 0.05: amplitude of the 2-cycle of normalised SAM, and multipliers across
# it.
CYCLE_HESSIAN, CYCLE_LR, CYCLE_RHO = (3.0, 1.0, 0.2), 0.1, 0.05
CYCLE_AMPLITUDE = 0.00882353
# lr lambda = 0.3, rho = 0.1, by momentum
MOMENTUM_AMPLITUDE = {0.5: 0.0111111, 0.9: 0.00857143}
# lr 0.1 and lambda_1 = 3: a negative mode is trapped iff its size is between these
TRAPPED_WINDOW = (0.529412, 3.529412)
# the widening valley of slope 0.5, lr = 0.1, rho = 0.02: y after 20000 steps
VALLEY_START, VALLEY_END = 0.9976473, 0.7653904


def cycle_amplitude(lr: float, curvature: float, rho: float, momentum: float = 0.0) -> float:
    """Amplitude of the 2-cycle of normalised SAM on curvature x^2 / 2."""
    return lr * curvature * rho / (2 * (1 + momentum) - lr * curvature)


def noise_of(D: float, lr: float) -> sd.GaussianNoise:
    """The noise that gives a diffusion the coefficient D at this lr."""
    return sd.GaussianNoise(std=(2 * D / lr) ** 0.5)


def diffusion(loss: sd.Landscape, rule: sd.Rule, D: float, lr: float = 0.01) -> sd.Diffusion:
    """A diffusion dX = -grad f(X + e(X)) dt + sqrt(2 D) dW, whatever its lr."""
    return sd.Diffusion(loss, rule, lr=lr, noise=noise_of(D, lr))


def line_saddle() -> sd.Landscape:
    """-x^2/2 in one dimension."""
    return sd.landscapes.quadratic([[-1.0]])


def constant_drift(*drift: float) -> sd.Landscape:
    """A plane, whose GD diffusion is Brownian motion with this drift: its exit times are exact at any dt."""
    return sd.Landscape(lambda w: -sum(v * w[i] for i, v in enumerate(drift)), dim=len(drift), name="slope")


@dataclass(frozen=True)
class ExitCase:
    """A one-dimensional exit problem whose exact mean is known.

    Attributes
    ----------
    system : Diffusion
    D, x0 : float
    region : Region
    lower, upper : float or None
        Where it is absorbed; None is a side without an absorbing end.
    mean : float
        Of the continuous process.
    breakpoints : sequence of float
        Where the drift is not smooth.
    """

    system: sd.Diffusion
    D: float
    x0: float
    region: Any
    lower: float | None
    upper: float | None
    mean: float
    breakpoints: tuple[float, ...] = ()

    def chain_mean(self, dt: float, bridge: bool, whole_steps: bool = False) -> float:
        """Exact mean of what `exit_times` simulates (with `whole_steps` of what `CHAIN` holds)."""
        reach = max(4.0, 8 * self.D**0.5)
        panel = 1.5 if self.D * dt > 1e-4 else 3.0  # short steps make large matrices
        ends = self.lower, self.upper
        return chain_mean(
            self.drift, self.D, self.x0, *ends, dt, bridge, self.breakpoints, reach, whole_steps, panel
        )

    def drift(self, x: np.ndarray) -> np.ndarray:
        """The drift at points (n,)."""
        return self.system.drift(x[:, None])[:, 0]


def _well(rule: sd.Rule, mean: float, upper: float = 0.0, D: float = 0.1) -> ExitCase:
    loss = sd.landscapes.double_well()
    rho = float(getattr(rule, "rho", 0.0)) if rule.jumps else 0.0
    kinks = (-1.0, 0.0, 1.0) if rho else ()
    system = diffusion(loss, rule, D)
    return ExitCase(system, D, -1.0, sd.HalfSpace([1.0], upper), None, upper, mean, kinks)


def _saddle(rule: sd.Rule, mean: float, D: float = 0.01) -> ExitCase:
    kinks = (0.0,) if rule.jumps else ()
    return ExitCase(diffusion(line_saddle(), rule, D), D, 0.0, sd.Ball([0.0], 1.0), -1.0, 1.0, mean, kinks)


EXIT_CASES: dict[str, ExitCase] = {
    "C2 to 0": _well(sd.GD(), C2["to_0"]),
    "C2 to 1": _well(sd.GD(), C2["to_1"], upper=1.0),
    "C8 to 0": _well(sd.USAM(0.2), C8["to_0"]),
    "C8 to 1": _well(sd.USAM(0.2), C8["to_1"], upper=1.0),
    "C11 to 0": _well(sd.SAM(0.2), C11["to_0"]),
    "C11 to 1": _well(sd.SAM(0.2), C11["to_1"], upper=1.0),
    "C11 from 0": ExitCase(
        diffusion(sd.landscapes.double_well(), sd.SAM(0.2), 0.1),
        0.1, 0.0, sd.Ball([0.0], 1.0), -1.0, 1.0, C11["from_0"], (0.0,),
    ),
    **{f"C16 D={D:g}": _saddle(sd.GD(), mean, D) for D, mean in C16.items()},
    **{f"C18 rho={rho:g}": _saddle(sd.USAM(rho), mean) for rho, mean in C18.items()},
    **{f"C19 rho={rho:g}": _saddle(sd.SAM(rho), mean) for rho, mean in C19.items()},
    "C13 a=1": ExitCase(
        diffusion(sd.landscapes.quadratic([[1.0]]), sd.GD(), 1.0),
        1.0, 0.0, sd.HalfSpace([1.0], 1.0), None, 1.0, C13[1],
    ),
}  # fmt: skip


def chain_mean(
    drift: Callable[[np.ndarray], np.ndarray],
    D: float,
    x0: float,
    lower: float | None,
    upper: float | None,
    dt: float,
    bridge: bool,
    breakpoints: Sequence[float] = (),
    reach: float = 4.0,
    whole_steps: bool = False,
    panel: float = 1.5,
) -> float:
    """Mean exit time of the Euler-Maruyama chain from x0, watched at whole steps or by Brownian bridges.

    The mean solves T = (mean time of one step) + K T, with K the transition density on the surviving
    interval; with bridges K carries the probability that the pinned path stays inside, and the mean time
    of a step that of Brownian motion with constant drift up to its exit. Nystrom's method with 16 Gauss-
    Legendre nodes a panel of `panel` standard deviations of a step; a side without an end is cut `reach`
    away. Two ends count as independent, which holds if they are many steps apart.
    """
    variance = 2 * D * dt
    step = variance**0.5
    low = (min(x0, upper if upper is not None else x0) - reach) if lower is None else lower
    high = (max(x0, lower if lower is not None else x0) + reach) if upper is None else upper
    inner = [p for p in breakpoints if low < p < high]
    edges: list[float] = []
    for a, b in zip([low, *inner], [*inner, high], strict=True):
        edges += np.linspace(a, b, int(np.ceil((b - a) / (panel * step))) + 1)[:-1].tolist()
    ends = np.array([*edges, high])
    unit, weight = np.polynomial.legendre.leggauss(16)
    half = np.diff(ends)[:, None] / 2
    y = (ends[:-1, None] + half * (1 + unit)).ravel()
    w = (half * weight).ravel()

    def row(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        b = drift(x)
        kernel = (
            np.exp(-((y - x[:, None] - b[:, None] * dt) ** 2) / (2 * variance))
            / (2 * np.pi * variance) ** 0.5
        )
        time = np.full(len(x), dt)
        if bridge:
            for end, sign in ((lower, -1.0), (upper, 1.0)):
                if end is not None:
                    a, c = sign * (end - x), sign * (end - y)
                    kernel *= -np.expm1(-2 * a[:, None] * c / variance)
                    if not whole_steps:
                        time -= dt - _time_before_crossing(a, sign * b, D, dt)
        return kernel * w, time

    kernel, time = row(y)
    T = np.linalg.solve(np.eye(len(y)) - kernel, time)
    first, own = row(np.array([x0]))
    return float(own[0] + first[0] @ T)


def _time_before_crossing(a: np.ndarray, drift: np.ndarray, D: float, dt: float) -> np.ndarray:
    """Mean of min(dt, first time at distance a) for Brownian motion with constant drift towards it."""
    unit, weight = np.polynomial.legendre.leggauss(60)
    root = (1 + unit) / 2 * dt**0.5  # in the square root of time the integrand is smooth
    spread = (2 * D) ** 0.5 * root
    ahead, along = a[:, None], drift[:, None] * root**2
    reflected = np.exp(np.minimum(drift[:, None] * ahead / D + log_ndtr((-ahead - along) / spread), 0.0))
    above = ndtr((ahead - along) / spread) - reflected
    return (above * 2 * root * weight / 2 * dt**0.5).sum(axis=1)


# ----------------------------------------------------------------------
# A small network: two layers, tanh, 21 parameters
# ----------------------------------------------------------------------
NETWORK_SHAPES = ((4, 3), (4,), (1, 4), (1,))


def network_data(n: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (n, 3) and targets (n, 1), the same every time."""
    rng = np.random.default_rng(7)
    inputs = torch.from_numpy(rng.standard_normal((n, 3)))
    return inputs, torch.sin(inputs.sum(dim=1, keepdim=True))


def network_start() -> np.ndarray:
    """Initial parameters (21,)."""
    return 0.5 * np.random.default_rng(8).standard_normal(sum(int(np.prod(s)) for s in NETWORK_SHAPES))


def network_loss(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean square error of the network with these four parameter tensors."""
    inputs, targets = network_data()
    first, shift, second, offset = parts
    return ((torch.tanh(inputs @ first.T + shift) @ second.T + offset - targets) ** 2).mean()


def split_network(w: torch.Tensor) -> list[torch.Tensor]:
    """The parameter vector (21,) as its four tensors."""
    sizes = [int(np.prod(shape)) for shape in NETWORK_SHAPES]
    return [part.reshape(shape) for part, shape in zip(torch.split(w, sizes), NETWORK_SHAPES, strict=True)]


def network() -> sd.Landscape:
    """The loss of the network as a landscape over its flattened parameters."""
    return sd.Landscape(lambda w: network_loss(split_network(w)), dim=21, name="network")


def catalogue() -> dict[str, sd.Landscape]:
    """One landscape from every function of the catalogue, at default arguments where it has them."""
    made = {}
    for name in sd.landscapes.__all__:
        function = getattr(sd.landscapes, name)
        if isinstance(function, type):  # what a loss is made of, and the kinds of losses
            continue
        made[name] = function([[2.0, 0.5], [0.5, -1.0]]) if name == "quadratic" else function()
    return made


# Finite sums without random numbers. R6: six rows of least squares with ridge 0.1; S4: four rows through a
# common minimum.
R6_SMOOTHNESS = (0.56510477, 1.45096339, 7.70804849, 2.90262652, 7.1605474, 20.11670192)
R6_MINIMISER, R6_MINIMUM = (-0.06021442, 0.05782337), 0.2515572314
R6_MEAN_INFIMUM = 0.0179586765
R6_START = (2.0, -1.0)


def r6() -> sd.FiniteSum:
    """f_i = (a_i.w - b_i)^2/2 + 0.05 |w|^2 with a_ij = cos(ij)(0.5 + 0.5 i) and b_i = sin(i)."""
    i, j = np.arange(1, 7), np.arange(1, 3)
    return sd.FiniteSum.least_squares(
        np.cos(np.outer(i, j)) * (0.5 + 0.5 * i)[:, None], np.sin(i), ridge=0.1, name="R6"
    )


def s4() -> sd.FiniteSum:
    """f_i = (a_i.w)^2/2 with a_i = (cos i, sin 2i)(1 + i/2)."""
    i = np.arange(1, 5)
    rows = np.stack([np.cos(i), np.sin(2 * i)], axis=1) * (1 + i / 2)[:, None]
    return sd.FiniteSum.least_squares(rows, np.zeros(4), name="S4")


# ----------------------------------------------------------------------
# Two-layer tanh networks on XOR with mean square error / 2, in which SAM stops at hallucinated points
# ----------------------------------------------------------------------
def xor_network(width: int, weight_decay: float = 0.0) -> sd.Landscape:
    """Parameters in the order W row by row, b, a, c of out = a . tanh(W x + b) + c: 4 width + 1 of them."""
    inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    targets = torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64)

    def loss(w: torch.Tensor) -> torch.Tensor:
        weights, shift, readout, offset = torch.split(w, [2 * width, width, width, 1])
        hidden = torch.tanh(inputs @ weights.reshape(width, 2).T + shift)
        fit = ((hidden @ readout + offset - targets) ** 2).sum() / 8
        return fit + 0.5 * weight_decay * (w @ w)

    return sd.Landscape(loss, dim=4 * width + 1, name=f"XOR network of width {width}")


def xor_module(width: int, weight_decay: float = 0.0, **options: Any) -> sd.landscapes.ModuleLoss:
    """The same loss from a torch module; the order of its parameters is the same."""
    inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    targets = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])
    net = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
    return sd.from_module(
        net, lambda o, t: ((o - t) ** 2).mean() / 2, (inputs, targets), weight_decay=weight_decay, **options
    )


@dataclass(frozen=True)
class HallucinatedNetwork:
    """A hallucinated point of SAM on an XOR network: |g| there, and the eigenvalues of H(y) dT/dx."""

    width: int
    weight_decay: float
    rho: float
    x: tuple[float, ...]
    gradient: float
    n_zero: int
    eigenvalues: tuple[complex, ...]  # the others


_N1 = 0.984261241251842, 0.7532315464259085, 0.9210235293465979
HALLUCINATED_NETWORKS = {
    "isolated": HallucinatedNetwork(
        2, 0.03, 4.0,
        (*[-_N1[0]] * 4, -_N1[1], _N1[1], -_N1[2], _N1[2], -0.6570176045877107), 0.1865418199, 0, (),
    ),
    "saddle endpoint": HallucinatedNetwork(
        2, 0.0, 1.0,
        (
            -0.6801343308885276, 0.1612645014959023, 0.2328236869681099, -0.23883777199095674,
            -0.8395014091363363, 0.3235347865733954, 0.024589436668379195, -0.4925128419997043,
            0.13113645744318084,
        ),
        0.0491608122, 4, (0.527353, 1.251675 + 1.490941j, 1.251675 - 1.490941j, 7.071759, 54.911689),
    ),
    "zero-loss endpoint": HallucinatedNetwork(
        3, 0.0, 4.0,
        (
            -0.19358932223720451, 0.30769777152996763, -0.5599783283798292, -1.9334205389277916,
            0.6078066818811451, -0.26938836509557723, 0.304564385382391, 2.124966359735184,
            -0.5999536208700209, -0.36369112636766143, 0.2565268588892468, 0.4718109370439398,
            0.15421343775880297,
        ),
        0.2216143401, 9, (1.52880579, 6.08985601, 12.60861759, 42.74013733),
    ),
}  # fmt: skip


def thomas_flow(b: float = 0.16) -> sd.Flow:
    """Thomas' cyclically symmetric flow, dx_i/dt = sin x_(i+1) - b x_i: 63 equilibria at b = 0.16."""
    return sd.Flow.from_function(
        lambda w, b: torch.sin(torch.roll(w, -1)) - b * w, 3, {"b": b}, box=[(-6.5, 6.5)] * 3, name="Thomas"
    )
