"""A power of two in operations that a compiler keeps inside its loop.

In a compiled float32 loop the vector library's exponential is a call, around which every register is saved
and restored: four of them cost half as much as the whole of four steps in two dimensions. The polynomial
below is inlined and costs a quarter of that.
"""

from __future__ import annotations

import torch
from torch import Tensor

# minimax in relative error on [-1/2, 1/2] (Lawson's algorithm), 1 at 0: 2^f within 9.2e-8
POWER = (
    1.0,
    0.6931469775987167,
    0.2402224208463508,
    0.05550733743574311,
    0.009671512688150377,
    0.0013264727247093524,
)

ROUND = 1.5 * 2**23 + 127


def power_of_two(x: Tensor) -> Tensor:
    """2**x for x <= 0; 2**-126 below x = -126 in float32.

    Parameters
    ----------
    x : Tensor of float32 or float64
        At most 0, or nan.

    Notes
    -----
    float64 is the library's exp2. float32 rounds x to a whole number, which goes to the exponent bits, and
    takes a polynomial of degree 5 for the rest; its relative error is below 3e-7.

    Examples
    --------
    >>> power_of_two(torch.tensor([0.0, -1.5, -200.0]))
    tensor([1.0000e+00, 3.5355e-01, 1.1755e-38])
    """
    if x.dtype != torch.float32:
        return torch.exp2(x)
    x = torch.clamp(x, min=-126.0)
    # adding it rounds x to a whole number, which with the exponent's bias is then in the low bits
    shifted = x + ROUND
    rest = x - (shifted - ROUND)
    value = rest * POWER[-1] + POWER[-2]
    for c in POWER[-3::-1]:
        value = value * rest + c
    return value * (shifted.view(torch.int32) << 23).view(torch.float32)
