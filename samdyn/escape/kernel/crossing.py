"""Did a path leave the region within one Euler-Maruyama step, when, and where: the Brownian-bridge test.

Between its ends x and y a step of X' = X + b dt + B dW is a Brownian bridge. Let a and c be the distances
of x and y to a face (positive inside) and v = n^T B B^T n dt the variance of the step along the face's
normal n.

1. A face is crossed with probability p = exp(-2 a c / v) if both ends are inside, and 1 if y is outside.
2. The step exits with probability q = 1 - prod(1 - p_i); one uniform u < q decides it. This is all that the
   inner loop needs: one exponential for each face.
3. For the few paths that exit, which faces were crossed is drawn given that at least one was, a crossing
   time is drawn for each of those, and the earliest is the exit.
4. Given a crossing, the time within the step is dt Z / (1 + Z) with Z ~ Wald(mean a/|c|, shape a^2/v),
   drawn by the transform of Michael, Schucany and Haas.
5. The exit point is the bridge at that time, moved onto the face (`samdyn.escape.kernel.exit_place`).

What is approximate: a curved face is replaced by the half-space that touches it, drift and noise are frozen
over the step (all of order dt in mean exit times), and faces are taken as independent. Faces whose normals
are conjugate, n_i^T B B^T n_j = 0, such as the adjacent faces of a box under isotropic noise, are
independent, so that nothing is lost there. For two parallel faces a distance L apart a step is misjudged
with a probability below 1e-2, 3e-4 and 3e-6 when L is 2, 3 and 4 standard deviations of a step. For
constant drift and noise and one plane face, or adjacent faces of a box, times are exact at any dt.

References
----------
Gobet, Stochastic Processes and their Applications 87, 167 (2000): the bridge test in the half-space
approximation.
Michael, Schucany and Haas, The American Statistician 30, 88 (1976): inverse-Gaussian variates from one
normal and one uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from samdyn.dynamics.wide_root import WideRoot
from samdyn.escape.region.faces import project

Variance: TypeAlias = Tensor | float


def projected_variance(
    normal: Sequence[Tensor | float], columns: Sequence[Sequence[Tensor | float]]
) -> Variance:
    """Variance of the noise of a step along a unit normal, |B^T n|^2.

    Parameters
    ----------
    normal : sequence of Tensor (n,) or float
        Unit normal, one entry a coordinate.
    columns : sequence of sequences of Tensor (n,) or float
        Columns of the noise root B, with the square root of dt in them: the increment is the sum of
        column_k times a standard normal.

    Returns
    -------
    Tensor (n,) or float
        A float where everything is a float. For isotropic noise of standard deviation s the answer is s^2
        dt and this function is not needed.

    Examples
    --------
    >>> projected_variance((1.0, 0.0), [(0.5, 0.0), (0.0, 2.0)])
    0.25
    """
    if isinstance(columns, WideRoot):
        return columns.variance(normal)
    if _isotropic(columns):
        return columns[0][0] * columns[0][0]
    total: Variance = 0.0
    for column in columns:
        along = project(normal, column)
        total = total + along * along
    return total


def _isotropic(columns: Sequence[Sequence[Tensor | float]]) -> bool:
    """Whether B is visibly one entry times the identity, so that no normal need be computed."""
    if len(columns) != len(columns[0]):
        return False
    first = columns[0][0]
    return all(
        entry is first if i == j else isinstance(entry, float) and entry == 0.0
        for j, column in enumerate(columns)
        for i, entry in enumerate(column)
    )


def crossing_probability(a: Tensor, c: Tensor, variance: Variance) -> Tensor:
    """Probability that the bridge of a step crosses a plane face.

    Parameters
    ----------
    a, c : Tensor (n,)
        Distance to the face of the start and of the end, minus the signed distance: positive inside.
    variance : Tensor (n,) or float
        Variance of the step along the normal, >= 0.

    Returns
    -------
    Tensor (n,)
        exp(-2 a c / variance) where both ends are inside, 1 where one is not, nan where a distance is nan
        (so that ``u < p`` is false).

    Examples
    --------
    >>> one = torch.ones(1)
    >>> crossing_probability(one, one, 2.0), crossing_probability(one, -one, 2.0)
    (tensor([0.3679]), tensor([1.]))
    """
    if isinstance(variance, float):  # a constant that a compiler folds
        exponent = a * c * (-2.0 / variance if variance > 0 else -torch.inf)
    else:
        exponent = a * c * (-2.0 / variance)
    return torch.where(torch.minimum(a, c) <= 0, 1.0, torch.exp(exponent))


def exit_probability(a: Sequence[Tensor], c: Sequence[Tensor], variance: Sequence[Variance]) -> Tensor:
    """Probability q that a step crosses any of several faces, taken as independent.

    Parameters
    ----------
    a, c, variance : sequences
        For each face, as in `crossing_probability`.

    Returns
    -------
    Tensor (n,)
        1 - prod(1 - p_i), accumulated in the form that keeps small probabilities.

    Examples
    --------
    >>> a = [torch.tensor([1.0]), torch.tensor([2.0])]
    >>> exit_probability(a, a, [2.0, 8.0])
    tensor([0.6004])
    """
    total = crossing_probability(a[0], c[0], variance[0])
    for i in range(1, len(a)):
        total = total + crossing_probability(a[i], c[i], variance[i]) * (1.0 - total)
    return total


def crossing_time(a: Tensor, c: Tensor, variance: Variance, normal: Tensor, uniform: Tensor) -> Tensor:
    """When a bridge that is known to cross a face first does so, as a fraction of the step.

    Parameters
    ----------
    a, c : Tensor (n,)
        Distance to the face of the start (>= 0) and of the end (either sign: the law depends on its size).
    variance : Tensor (n,) or float
        Variance of the step along the normal, >= 0.
    normal, uniform : Tensor (n,)
        A standard normal and a uniform in [0, 1).

    Returns
    -------
    Tensor (n,)
        Z / (1 + Z), between 0 and 1; the ends occur by rounding only. Without noise it is a / (a + abs(c)),
        where the straight line crosses.

    Notes
    -----
    With K = v N^2 / 2 and B = a |c|, all scaled so that a, |c| and sqrt(v) are at most 1, the smaller root
    of the transform is a^2 / T with T = B + K + sqrt(K^2 + 2 B K), taken with probability T / (T + B); the
    other root is T / c^2. Only non-negative numbers are added, so that nothing cancels, and |c| -> 0 gives
    the Levy law a^2 / (v N^2).

    Examples
    --------
    >>> crossing_time(torch.tensor([1.0]), torch.tensor([-3.0]), 0.0, torch.zeros(1), torch.zeros(1))
    tensor([0.2500])
    """
    a, c = torch.relu(a), torch.abs(c)
    spread = variance**0.5
    scale = a + c + spread
    scale = torch.where(scale > 0, scale, 1.0)
    a, c, spread = a / scale, c / scale, spread / scale
    b = a * c
    k = 0.5 * (spread * normal) ** 2
    t = b + k + torch.sqrt(k * (k + 2.0 * b))
    smaller = uniform * (t + b) <= t
    numerator = torch.where(smaller, a * a, t)
    denominator = torch.where(smaller, a * a + t, c * c + t)
    return torch.where(denominator > 0, numerator / torch.where(denominator > 0, denominator, 1.0), 0.0)


def first_exit(
    a: Sequence[Tensor],
    c: Sequence[Tensor],
    variance: Sequence[Variance],
    choices: Sequence[Tensor],
    normals: Sequence[Tensor],
    uniforms: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Through which face, and when, a step exits that is known to cross at least one.

    Parameters
    ----------
    a, c, variance : sequences
        For each face, as in `crossing_probability`.
    choices : sequence of Tensor (n,)
        A uniform in [0, 1) for each face. The first may be u / q of the uniform u < q that decided the exit.
    normals, uniforms : sequences of Tensor (n,)
        A standard normal and a uniform in [0, 1) for each face, for `crossing_time`.

    Returns
    -------
    face : Tensor (n,), int64
        Index of the face.
    fraction : Tensor (n,)
        Time of the exit within the step, in units of dt.

    Notes
    -----
    The first crossed face in order is i with probability p_i prod_{j<i}(1 - p_j) / q; each later face is
    crossed with its own p_j; of all crossed faces the one with the earliest crossing time is the exit. This
    is the exact law for independent faces.

    Examples
    --------
    >>> inside, outside, half = torch.tensor([9.0]), torch.tensor([-1.0]), [torch.tensor([0.5])] * 2
    >>> face, _ = first_exit([inside, inside], [inside, outside], [1.0, 1.0], half, half, half)
    >>> face
    tensor([1])
    """
    probabilities = [crossing_probability(*face) for face in zip(a, c, variance, strict=True)]
    target = choices[0] * exit_probability(a, c, variance)
    total = torch.zeros_like(target)
    found = torch.zeros_like(target, dtype=torch.bool)
    crossed = []
    for p, choice in zip(probabilities, choices, strict=True):
        total = total + p * (1.0 - total)
        crossed.append(torch.where(found, choice < p, target < total))
        found = found | crossed[-1]
    times = []
    for i, p in enumerate(probabilities):
        time = crossing_time(a[i], c[i], variance[i], normals[i], uniforms[i])
        # `found` fails only where rounding put the target at the total: any face with p > 0 will do
        times.append(torch.where(crossed[i] | (~found & (p > 0)), time, torch.inf))
    fraction, face = torch.stack(times).min(dim=0)
    return face, fraction
