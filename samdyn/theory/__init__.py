"""Closed forms from the literature on SAM, a file for each paper; they need only numpy and scipy.

Each function states its equation, assumptions, source and status: [found] in a text, [memory] as remembered
and not checked against the paper, [derived] worked out anew and checked by the tests.
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
