"""The table of results of Si and Yun as remembered, beside the functions that hold here.

Every row is [memory]: a hypothesis, not to be cited without a look at the paper. What was proved anew is in
`samdyn.theory.si_yun` and `samdyn.theory.si_yun_traps`. Symbols: T steps of SAM with constant radius rho on a
beta-smooth loss f, Delta = f(x_0) - inf f, mu the strong convexity, kappa = beta / mu, sigma the standard
deviation of the gradient noise, L the Lipschitz constant of f.

References
----------
Si and Yun, Practical Sharpness-Aware Minimization Cannot Converge All the Way to Optima, NeurIPS 2023,
arXiv 2306.09850.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EXCESS", "TABLE", "Row"]


class Row(NamedTuple):
    """One line of the paper's table of results, as remembered, beside the functions that hold here.

    Examples
    --------
    >>> from samdyn.theory import si_yun
    >>> si_yun.TABLE[0].functions
    ('strongly_convex_gap', 'strongly_convex_gap_lower')
    """

    theorems: str
    gradient: str
    loss: str
    upper: str
    lower: str
    functions: tuple[str, ...]
    status: str


EXCESS = "E = max(0, sigma^2 - beta^2 rho^2)"
TABLE = (
    Row(
        "3.1, 3.2",
        "full",
        "strongly convex",
        "O~(exp(-mu T / (2 beta)) Delta + kappa^p beta^3 rho^2 / (mu^2 T^2)), power p not remembered",
        "Omega(beta^3 rho^2 / (mu^2 T^2))",
        ("strongly_convex_gap", "strongly_convex_gap_lower"),
        "memory; a stronger upper bound and the lower bound with constant 1/8 are derived",
    ),
    Row(
        "3.3",
        "full",
        "convex",
        "mean ||grad f||^2 = O(beta Delta / T + sqrt(Delta beta^3 rho^2 / T))",
        "none",
        ("convex_gradient", "convex_best"),
        "memory; derived with constants 8/3 and 4 sqrt(2) / 3",
    ),
    Row(
        "3.4, 3.5",
        "full",
        "smooth",
        "mean ||grad f||^2 <= O(beta Delta / T) + beta^2 rho^2",
        "Omega(beta^2 rho^2)",
        ("nonconvex_gradient", "nonconvex_gradient_lower"),
        "memory; derived, and the constant 1 of beta^2 rho^2 is the best possible",
    ),
    Row(
        "4.1, 4.2",
        "sampled",
        "strongly convex",
        "O~(exp(-mu T / (2 beta)) Delta + beta E / (mu^2 T)) + 2 beta^2 rho^2 / mu; see `EXCESS`",
        "Omega(beta rho^2), same batch",
        ("stochastic_gap", "si_yun_traps.strongly_convex_trap"),
        "memory; derived in the form of stochastic_gap, and a trap found anew",
    ),
    Row(
        "4.3, 4.4",
        "sampled",
        "convex",
        "mean ||grad f||^2 = O(beta Delta / T + sqrt(beta Delta E / T)) + 4 beta^2 rho^2, see `EXCESS`",
        "Omega(rho^2), same batch",
        ("stochastic_gradient", "si_yun_traps.convex_trap"),
        "memory; derived in the form of stochastic_gradient, and a trap found anew",
    ),
    Row(
        "4.5",
        "sampled",
        "smooth",
        "mean (||grad f|| - beta rho)^2 <= as 4.3, with 5 beta^2 rho^2",
        "the lower bound of 3.5 (sigma = 0)",
        ("stochastic_gradient",),
        "memory; stochastic_gradient bounds the mean of ||grad f||^2 itself",
    ),
    Row(
        "4.6",
        "sampled",
        "smooth and Lipschitz",
        "mean ||grad f||^2 = O(sqrt(beta Delta (sigma^2 + L^2) / T)) + beta^2 rho^2",
        "the lower bound of 3.5",
        ("stochastic_gradient",),
        "memory; stochastic_gradient with s^2 <= sigma^2 + L^2",
    ),
)
