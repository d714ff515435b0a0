"""How far SAM with constant radius gets, after Si and Yun: upper and lower bounds on smooth losses.

SAM is normalised, x' = x - lr grad f(x + rho grad f(x) / ||grad f(x)||), with constant rho; its gradient
may be sampled. The loss f is beta-smooth; Delta = f(x_0) - inf f is the gap at the start. Classes of losses
and the functions here:

========  ==========================  ================================  ============================
gradient  loss                        upper bound                       lower bound
========  ==========================  ================================  ============================
full      mu-strongly convex          `strongly_convex_gap`             `strongly_convex_gap_lower`
full      convex                      `convex_gradient`, `convex_best`  none: no floor
full      any smooth one              `nonconvex_gradient`              `nonconvex_gradient_lower`
sampled   mu-strongly convex (or PL)  `stochastic_gap`                  `samdyn.theory.si_yun_traps`
sampled   any smooth one              `stochastic_gradient`             `samdyn.theory.si_yun_traps`
========  ==========================  ================================  ============================

Status. The bounds of these functions were proved anew and are checked by property tests over random losses:
[derived]. The theorems of the paper are quoted in `TABLE` as remembered, [memory]: hypotheses, no one of
which should be cited without a look at the paper.

Proofs in one line each. Descent lemma with D = grad f(y) - grad f(x), ||D|| <= beta rho. Full gradient, any
f: by polarisation f' - f <= -(lr/2) ||g||^2 + (lr/2) beta^2 rho^2 for lr <= 1/beta. Convex f: co-coercivity
gives <g, D> >= ||g|| ||D||^2 / (beta rho), which pays for the term (beta lr^2 / 2) ||D||^2 wherever ||g||
>= beta^2 lr rho. Sampled: the mean step is off by at most beta rho and has standard deviation s, with s =
sigma where an independent batch makes the perturbation and s = sigma + beta rho where the same one does.

References
----------
Si and Yun, Practical Sharpness-Aware Minimization Cannot Converge All the Way to Optima, NeurIPS 2023,
arXiv 2306.09850.
"""

from __future__ import annotations

import math

from samdyn.arguments.checks import integer, number
from samdyn.arguments.signature import checked
from samdyn.theory.si_yun_table import EXCESS, TABLE, Row

__all__ = [
    "EXCESS",
    "TABLE",
    "Row",
    "convex_best",
    "convex_gradient",
    "convex_learning_rate",
    "nonconvex_gradient",
    "nonconvex_gradient_lower",
    "stochastic_gap",
    "stochastic_gradient",
    "stochastic_learning_rate",
    "strongly_convex_gap",
    "strongly_convex_gap_lower",
    "strongly_convex_learning_rate",
]


@checked
def strongly_convex_gap(
    steps: int, gap: float, *, smoothness: float, strong_convexity: float, rho: float, lr: float
) -> float:
    """Upper bound on f(x_T) - f* for a strongly convex loss (or a Polyak-Lojasiewicz one that is convex).

    Parameters
    ----------
    steps : int
        T.
    gap : float
        f(x_0) - f*.
    smoothness, strong_convexity : float
        beta and mu, bounds on the eigenvalues of the Hessian.
    rho : float
        Perturbation radius.
    lr : float
        Learning rate, at most 1 / (2 beta).

    Returns
    -------
    float
        max{(1 - 3 lr mu / 2)^T gap, beta^4 lr^2 rho^2 / mu}, for every T. [derived]

    Raises
    ------
    ValueError
        An argument outside its range.

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> curvatures = {"smoothness": 1.0, "strong_convexity": 0.2}
    >>> lr = si_yun.strongly_convex_learning_rate(1600, 0.6, rho=0.1, **curvatures)
    >>> round(si_yun.strongly_convex_gap(1600, 0.6, rho=0.1, lr=lr, **curvatures), 8)
    4.267e-05
    """
    steps, gap = integer("steps", steps, at_least=0), number("gap", gap, at_least=0)
    beta, mu, rho = _curvatures(smoothness, strong_convexity, rho)
    lr = number("lr", lr, above=0, at_most=0.5 / beta, because="1 / (2 smoothness)")
    return max((1 - 1.5 * lr * mu) ** steps * gap, beta**4 * lr**2 * rho**2 / mu)


@checked
def strongly_convex_learning_rate(
    steps: int, gap: float, *, smoothness: float, strong_convexity: float, rho: float
) -> float:
    """Learning rate for a horizon of T steps on a strongly convex loss.

    Returns min{(2 / (3 mu T)) max(1, log(gap mu^3 T^2 / (beta^4 rho^2))), 1 / (2 beta)}, which balances the
    two terms of `strongly_convex_gap`: the gap then falls as T^-2, up to the square of a logarithm.
    [derived] The paper's has 1 / (mu T) and another logarithm. [memory]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> rates = [si_yun.strongly_convex_learning_rate(T, 0.6, smoothness=1.0, strong_convexity=0.2, rho=0.1)
    ...          for T in (100, 400, 1600, 6400)]
    >>> [round(rate, 5) for rate in rates]
    [0.28255, 0.09374, 0.02921, 0.00875]
    """
    steps, gap = integer("steps", steps, at_least=1), number("gap", gap, above=0)
    beta, mu, rho = _curvatures(smoothness, strong_convexity, rho)
    if rho == 0:
        return 0.5 / beta
    logarithm = math.log(gap * mu**3 * steps**2 / (beta**4 * rho**2))
    return min(2 / (3 * mu * steps) * max(1.0, logarithm), 0.5 / beta)


@checked
def strongly_convex_gap_lower(steps: int, *, smoothness: float, strong_convexity: float, rho: float) -> float:
    """Lower bound on the smallest f(x_t) - f*, t <= T, on some strongly convex quadratic for every lr.

    Returns beta^3 rho^2 / (8 mu^2 T^2), for T >= 2 and beta >= 2 mu. [derived; the order is the paper's
    Theorem 3.2, memory] Three one-dimensional losses suffice: beta x^2 / 2 from a distance of beta rho /
    (mu T) where lr >= 2 / beta, the same from its two-cycle where lr >= 1 / (mu T), and mu x^2 / 2 from far
    out where lr is smaller.

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> round(si_yun.strongly_convex_gap_lower(100, smoothness=1.0, strong_convexity=0.5, rho=0.1), 12)
    5e-07
    """
    steps = integer("steps", steps, at_least=2)
    beta, mu, rho = _curvatures(smoothness, strong_convexity, rho)
    number("strong_convexity", mu, above=0, at_most=beta / 2, because="smoothness / 2")
    return beta**3 * rho**2 / (8 * mu**2 * steps**2)


@checked
def convex_gradient(
    steps: int, gap: float, *, smoothness: float, rho: float, lr: float | None = None
) -> float:
    """Upper bound on the mean of ||grad f(x_t)||^2 over t < T for a convex loss.

    Returns (4/3) (gap / (lr T) + beta^3 lr rho^2 / 2), for lr <= 1 / (2 beta); without `lr` with
    the best one, `convex_learning_rate`. It goes to zero with T: full-gradient SAM has no floor on
    convex losses. [derived]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> [round(si_yun.convex_gradient(T, 0.6, smoothness=1.0, rho=0.1), 6) for T in (100, 10000)]
    [0.019333, 0.001461]
    """
    steps, gap = integer("steps", steps, at_least=1), number("gap", gap, at_least=0)
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, at_least=0)
    if lr is None:
        lr = convex_learning_rate(steps, gap, smoothness=beta, rho=rho)
    lr = number("lr", lr, above=0, at_most=0.5 / beta, because="1 / (2 smoothness)")
    return 4 / 3 * (gap / (lr * steps) + beta**3 * lr * rho**2 / 2)


@checked
def convex_learning_rate(steps: int, gap: float, *, smoothness: float, rho: float) -> float:
    """Learning rate for T steps on a convex loss: min{sqrt(2 gap / (beta^3 rho^2 T)), 1 / (2 beta)}.

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> [round(si_yun.convex_learning_rate(T, 0.6, smoothness=1.0, rho=0.1), 6) for T in (100, 10000)]
    [0.5, 0.109545]
    """
    steps, gap = integer("steps", steps, at_least=1), number("gap", gap, above=0)
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, at_least=0)
    return min(math.sqrt(2 * gap / (beta**3 * steps)) / rho, 0.5 / beta) if rho else 0.5 / beta


@checked
def convex_best(steps: int, gap: float, *, smoothness: float, rho: float, lr: float) -> float:
    """Upper bound on the smallest ||grad f(x_t)||^2 over t < T for a convex loss.

    Returns max{4 gap / (3 lr T), beta^4 lr^2 rho^2}, for lr <= 1 / (2 beta): T^(-2/3) with lr of order
    (gap / (T beta^4 rho^2))^(1/3). [derived; not in the paper as far as remembered]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> round(si_yun.convex_best(1000, 0.6, smoothness=1.0, rho=0.1, lr=0.1), 6)
    0.008
    """
    steps, gap = integer("steps", steps, at_least=1), number("gap", gap, at_least=0)
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, at_least=0)
    lr = number("lr", lr, above=0, at_most=0.5 / beta, because="1 / (2 smoothness)")
    return max(4 * gap / (3 * lr * steps), beta**4 * lr**2 * rho**2)


@checked
def nonconvex_gradient(steps: int, gap: float, *, smoothness: float, rho: float, lr: float) -> float:
    """Upper bound on the mean of ||grad f(x_t)||^2 over t < T for any smooth loss.

    Returns 2 gap / (lr T) + beta^2 rho^2, for lr <= 1 / beta. [derived; the paper's Theorem 3.4, memory]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> round(si_yun.nonconvex_gradient(1000, 0.6, smoothness=1.0, rho=0.1, lr=0.5), 6)  # the floor is 0.01
    0.0124
    """
    return stochastic_gradient(steps, gap, smoothness=smoothness, rho=rho, lr=lr, noise_std=0.0, probe="full")


@checked
def nonconvex_gradient_lower(*, smoothness: float, rho: float) -> float:
    """Squared gradient at which SAM comes to rest on the sine trap, 27 beta^2 rho^2 / (100 pi^2).

    See `samdyn.landscapes.sine_trap`. It is the example of the paper's Theorem 3.5 [memory]; the figure is
    [derived]. The best constant is 1: a triangle wave comes as near to beta^2 rho^2 as one likes.

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> round(si_yun.nonconvex_gradient_lower(smoothness=1.0, rho=1.0), 12)
    0.027356719583
    """
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, at_least=0)
    return 27 * (beta * rho / (10 * math.pi)) ** 2


@checked
def stochastic_gradient(
    steps: int, gap: float, *, smoothness: float, rho: float, lr: float, noise_std: float, probe: str
) -> float:
    """Upper bound on the mean of E ||grad f(x_t)||^2 over t < T for any smooth loss and sampled gradients.

    Parameters
    ----------
    steps, gap, smoothness, rho
        As in `strongly_convex_gap`.
    lr : float
        Learning rate, at most 1 / beta.
    noise_std : float
        sigma: E ||g_sampled(x) - grad f(x)||^2 <= sigma^2 for every x.
    probe : {"same", "independent", "full"}
        The batch that makes the perturbation. With "same" every component must be beta-smooth.

    Returns
    -------
    float
        2 gap / (lr T) + beta^2 rho^2 + beta lr s^2, s = sigma + beta rho for "same" and sigma otherwise.
        [derived]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> how = {"smoothness": 1.0, "rho": 0.1, "lr": 0.05, "noise_std": 1.0}
    >>> [round(si_yun.stochastic_gradient(1000, 0.6, probe=p, **how), 6) for p in ("same", "independent")]
    [0.0945, 0.084]
    """
    steps, gap = integer("steps", steps, at_least=1), number("gap", gap, at_least=0)
    lr, floor = _sampled(smoothness, rho, lr, noise_std, probe)
    return 2 * gap / (lr * steps) + floor


@checked
def stochastic_gap(
    steps: int,
    gap: float,
    *,
    smoothness: float,
    strong_convexity: float,
    rho: float,
    lr: float,
    noise_std: float,
    probe: str,
) -> float:
    """Upper bound on E f(x_T) - f* for sampled gradients and a loss with the Polyak-Lojasiewicz constant mu.

    Returns (1 - lr mu)^T gap + (beta^2 rho^2 + beta lr s^2) / (2 mu), for lr <= 1 / beta, s as in
    `stochastic_gradient`. [derived]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> how = {"smoothness": 1.0, "strong_convexity": 0.2, "rho": 0.1, "lr": 0.05, "noise_std": 1.0}
    >>> [round(si_yun.stochastic_gap(1000, 0.6, probe=p, **how), 6) for p in ("same", "independent")]
    [0.176276, 0.150026]
    """
    steps, gap = integer("steps", steps, at_least=0), number("gap", gap, at_least=0)
    _, mu, _ = _curvatures(smoothness, strong_convexity, rho)
    lr, floor = _sampled(smoothness, rho, lr, noise_std, probe)
    return (1 - lr * mu) ** steps * gap + floor / (2 * mu)


@checked
def stochastic_learning_rate(
    steps: int, gap: float, *, smoothness: float, strong_convexity: float, rho: float, noise_std: float
) -> float:
    """Learning rate of Theorem 4.1 for T steps on a strongly convex loss, as remembered.

    Returns min{max(1, log(mu^2 gap T / (beta max(0, sigma^2 - beta^2 rho^2)))) / (mu T), 1 / (2 beta)}, and
    1 / (2 beta) where sigma <= beta rho. [memory]

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> how = {"smoothness": 1.0, "strong_convexity": 0.2, "rho": 0.1, "noise_std": 1.0}
    >>> [round(si_yun.stochastic_learning_rate(T, 0.6, **how), 6) for T in (100, 1000, 10000)]
    [0.05, 0.015941, 0.002745]
    """
    steps, gap = integer("steps", steps, at_least=1), number("gap", gap, above=0)
    beta, mu, rho = _curvatures(smoothness, strong_convexity, rho)
    excess = number("noise_std", noise_std, at_least=0) ** 2 - (beta * rho) ** 2
    if excess <= 0:
        return 0.5 / beta
    return min(max(1.0, math.log(mu**2 * gap * steps / (beta * excess))) / (mu * steps), 0.5 / beta)


def _curvatures(smoothness: float, strong_convexity: float, rho: float) -> tuple[float, float, float]:
    beta = number("smoothness", smoothness, above=0)
    mu = number("strong_convexity", strong_convexity, above=0, at_most=beta, because="smoothness")
    return beta, mu, number("rho", rho, at_least=0)


def _sampled(smoothness: float, rho: float, lr: float, noise_std: float, probe: str) -> tuple[float, float]:
    """lr and the floor beta^2 rho^2 + beta lr s^2 of the squared gradient."""
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, at_least=0)
    lr = number("lr", lr, above=0, at_most=1 / beta, because="1 / smoothness")
    if probe not in ("same", "independent", "full"):
        raise ValueError(f"probe must be 'same', 'independent' or 'full', got {probe!r}")
    s = number("noise_std", noise_std, at_least=0) + (beta * rho if probe == "same" else 0.0)
    return lr, (beta * rho) ** 2 + beta * lr * s**2
