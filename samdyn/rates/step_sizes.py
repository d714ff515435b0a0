"""The step sizes of the papers' theorems, as numbers and schedules for `Map` and `convergence`.

Si & Yun choose one constant learning rate from the horizon T (the number of steps). Oikonomou & Loizou choose
constant radius and learning rate below thresholds, or both decreasing as 1/t. Each function says how sure its
formula is: "derived" ones are proved and checked numerically; "from memory" ones are recalled from the paper.

References
----------
Si & Yun (NeurIPS 2023, arXiv 2306.09850). Oikonomou & Loizou (ICLR 2025, arXiv 2503.02225).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.rules.schedules import keep


@checked
def horizon_strongly_convex(
    n_steps: int, *, mu: float, beta: float, rho: float, initial_gap: float, sigma: float | None = None
) -> float:
    """Learning rate for T steps of SAM on a smooth strongly convex loss.

    Parameters
    ----------
    n_steps : int
        T.
    mu, beta : float
        Strong convexity and smoothness.
    rho : float
        The constant radius of normalised SAM.
    initial_gap : float
        f(x_0) - f*.
    sigma : float, optional
        Standard deviation of the gradient noise; without it the step is the one for deterministic SAM.

    Returns
    -------
    float
        Deterministic: min{(2/(3 mu T)) max(1, log(gap mu^3 T^2 / (beta^4 rho^2))), 1/(2 beta)} [derived].
        Stochastic, with s = sigma^2 - beta^2 rho^2: min{(1/(mu T)) max(1, log(mu^2 gap T / (beta s))),
        1/(2 beta)}, and 1/(2 beta) where s <= 0 [from memory].

    References
    ----------
    Si & Yun, Theorems 3.1 and 4.1.

    Examples
    --------
    >>> import samdyn as sd
    >>> round(sd.rates.horizon_strongly_convex(400, mu=0.2, beta=1.0, rho=0.1, initial_gap=0.6), 5)
    0.09374
    """
    n_steps, mu, beta, rho, gap = _checked(n_steps, mu, beta, rho, initial_gap)
    largest = 1 / (2 * beta)
    if sigma is None:
        if rho == 0:
            return largest
        grown = max(1.0, math.log(gap * mu**3 * n_steps**2 / (beta**4 * rho**2)))
        return min(2 / (3 * mu * n_steps) * grown, largest)
    excess = checks.number("sigma", sigma, at_least=0) ** 2 - (beta * rho) ** 2
    if excess <= 0:
        return largest
    return min(max(1.0, math.log(mu**2 * gap * n_steps / (beta * excess))) / (mu * n_steps), largest)


@checked
def horizon_convex(
    n_steps: int, *, beta: float, rho: float, initial_gap: float, sigma: float | None = None
) -> float:
    """Learning rate for T steps of SAM on a smooth convex loss.

    Parameters
    ----------
    n_steps, beta, rho, initial_gap, sigma
        As of `horizon_strongly_convex`.

    Returns
    -------
    float
        Deterministic: min{sqrt(2 gap / (beta^3 rho^2 T)), 1/(2 beta)}. Stochastic, with
        s = sigma^2 - beta^2 rho^2: min{sqrt(2 gap / (beta s T)), 1/(2 beta)}, and 1/(2 beta) where s <= 0.
        Both from memory; the bounds that they give are derived.

    References
    ----------
    Si & Yun, Theorems 3.3 and 4.3.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.rates.horizon_convex(200, beta=1.0, rho=1.0, initial_gap=1.0)
    0.1
    """
    beta = checks.number("beta", beta, above=0)
    n_steps, _, beta, rho, gap = _checked(n_steps, beta, beta, rho, initial_gap)
    if sigma is None:
        scale = beta**3 * rho**2
    else:
        scale = beta * (checks.number("sigma", sigma, at_least=0) ** 2 - (beta * rho) ** 2)
    if scale <= 0:
        return 1 / (2 * beta)
    return min(math.sqrt(2 * gap / (scale * n_steps)), 1 / (2 * beta))


def _checked(
    n_steps: int, mu: float, beta: float, rho: float, initial_gap: float
) -> tuple[int, float, float, float, float]:
    n_steps = checks.integer("n_steps", n_steps, at_least=1)
    mu = checks.number("mu", mu, above=0)
    beta = checks.number("beta", beta, above=0)
    if mu > beta:
        raise ValueError(f"mu must be at most beta={beta:g}, got {mu!r}")
    gap = checks.number("initial_gap", initial_gap, above=0)
    return n_steps, mu, beta, checks.number("rho", rho, at_least=0), gap


@checked
def constant_steps(
    *, mu: float, smoothness: float, A: float, B: float, lam: float, share: float = 0.5
) -> tuple[float, float]:
    """Constant radius and learning rate of Unified SAM under the Polyak-Lojasiewicz condition.

    Parameters
    ----------
    mu : float
        PL constant.
    smoothness : float
        L, the smoothness of the sampled loss (the largest L_i for uniform sampling).
    A, B : float
        Expected-residual constants of the sampling.
    lam : float
        In [0, 1].
    share : float
        The radius as a share of its threshold, in (0, 1).

    Returns
    -------
    (rho, lr) : tuple of float
        rho = share mu / (L (mu + 2 M k)) and the largest learning rate
        (mu - L rho (mu + 2 M k)) / (2 L M (1 + 2 L^2 rho^2 k)), with M = B mu + A and k = (1 - lam)^2.

    References
    ----------
    Oikonomou & Loizou, Theorem 3.2; thresholds as in their public code.

    Examples
    --------
    >>> import samdyn as sd
    >>> rho, lr = sd.rates.constant_steps(mu=0.1, smoothness=10.0, A=0.0, B=1.0, lam=0.0)
    >>> round(rho, 7), round(lr, 10)
    (0.0166667, 0.0236842105)
    """
    mu = checks.number("mu", mu, above=0)
    smooth = checks.number("smoothness", smoothness, above=0)
    if mu > smooth:
        raise ValueError(f"mu must be at most smoothness={smooth:g}, got {mu!r}")
    m = checks.number("B", B, at_least=0) * mu + checks.number("A", A, at_least=0)
    if m == 0:
        raise ValueError("A and B must not both be 0")
    for name, value in (("lam", lam), ("share", share)):
        if not 0 <= checks.number(name, value) <= 1:
            raise ValueError(f"{name} must be a number in [0, 1], got {value!r}")
    k = (1 - lam) ** 2
    rho = share * mu / (smooth * (mu + 2 * m * k))
    rate = (mu - smooth * rho * (mu + 2 * m * k)) / (2 * smooth * m * (1 + 2 * smooth**2 * rho**2 * k))
    if rate <= 0:
        raise ValueError(f"share must be < 1 for a learning rate > 0, got {share!r}")
    return rho, rate


@dataclass(frozen=True)
class DecreasingRadius:
    """rho_t = min{largest, 1 / (2 t + 1)}.

    References
    ----------
    Oikonomou & Loizou, Theorem 3.5; schedule as in their public code.

    Examples
    --------
    >>> import samdyn as sd
    >>> [sd.rates.DecreasingRadius(0.1)(t) for t in (0, 12)]
    [0.1, 0.04]
    """

    largest: float

    def __post_init__(self) -> None:
        keep(self, largest=checks.number("largest", self.largest, at_least=0))

    def __call__(self, step: int) -> float:
        """The value at a step."""
        return min(self.largest, 1 / (2 * step + 1))


@dataclass(frozen=True)
class DecreasingRate:
    """lr_t = min{largest, (2 t + 1) / ((t + 1)^2 mu)}.

    References
    ----------
    Oikonomou & Loizou, Theorem 3.5; schedule as in their public code.

    Examples
    --------
    >>> import samdyn as sd
    >>> [sd.rates.DecreasingRate(0.1, mu=2.0)(t) for t in (0, 99)]
    [0.1, 0.00995]
    """

    largest: float
    mu: float

    def __post_init__(self) -> None:
        keep(self, largest=checks.number("largest", self.largest, above=0))
        keep(self, mu=checks.number("mu", self.mu, above=0))

    def __call__(self, step: int) -> float:
        """The value at a step."""
        return min(self.largest, (2 * step + 1) / ((step + 1) ** 2 * self.mu))
