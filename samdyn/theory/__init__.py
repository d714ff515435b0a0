"""Closed forms from the literature on SAM, a file for each paper; they need only numpy and scipy.

Each function states its equation, assumptions, source and status: [found] in a text, [memory] as remembered
and not checked against the paper, [derived] worked out anew and checked by the tests.

=============================  ===================================================================
file                           what it computes or holds
=============================  ===================================================================
`kim`                          SAM at a saddle (Kim et al.): the names of the four files below
`kim_attraction`               Theorem 1: the radii at which USAM makes an attractor of a saddle
`kim_diffusion`                Theorem 2: how noise spreads a path from a critical point
`kim_momentum`                 Theorem 3: the same with heavy-ball momentum
`kim_direction`                normalised SAM with noise as USAM of another radius
`bartlett`                     SAM on quadratics and in valleys (Bartlett, Long and Bousquet)
`compagnoni`                   stochastic differential equations of SAM (Monzio Compagnoni et al.)
`luo`                          which batch makes the perturbation (Luo et al.)
`oikonomou_loizou`             unified SAM under sampling: the names of the three files below
`oikonomou_loizou_constant`    Theorem 3.2: constant steps
`oikonomou_loizou_decreasing`  Theorem 3.5: decreasing steps
`expected_residual`            constants of the expected residual condition
`si_yun`                       how far SAM of constant radius gets (Si and Yun): bounds
`si_yun_traps`                 losses on which it stops short
`si_yun_sample_traps`          traps with the same sample in both gradients
`si_yun_table`                 the table of results, beside the functions that hold here
`first_passage`                first-passage times: the names of the three files below
`linear_drift`                 linear and constant drift, in special functions
`exit_quadrature`              any drift in one dimension, by double quadrature
`rare_escape`                  the Eyring-Kramers law, and the double well under SAM
=============================  ===================================================================
"""

from samdyn.theory import (
    bartlett,
    compagnoni,
    first_passage,
    kim,
    luo,
    oikonomou_loizou,
    si_yun,
    si_yun_traps,
)

__all__ = [
    "bartlett",
    "compagnoni",
    "first_passage",
    "kim",
    "luo",
    "oikonomou_loizou",
    "si_yun",
    "si_yun_traps",
]
