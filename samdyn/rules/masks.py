"""Perturbations of a part of the weights, or along a part of the gradient: SAMON, ZSharp, GCSAM."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import norm, unit
from samdyn.rules.blocks import (
    NORMALISATION,
    Rows,
    coordinates_of,
    cuts,
    mask_of,
    names_of_blocks,
    rows_of,
    tensors_of,
    with_found,
)
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.rule import Rule, fixed
from samdyn.rules.schedules import keep

PAIRWISE = 64
"""Coordinates up to which ranks are counted by comparing pairs, which can be compiled."""
SMALLEST_SPREAD = 1e-8
"""Added to a standard deviation by ZSharp."""


@dataclass(frozen=True)
class SAMON(Perturbed):
    """SAM-ON: only normalisation layers are perturbed, e = rho M g / abs(M g) with a mask M.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    blocks : sequence of str or int
        What is perturbed: names of parameters as in ``loss.blocks``, or numbers of coordinates. By default
        ("normalisation",), the affine parameters of a module's normalisation layers.
    adaptive : bool
        Whether the perturbation is ASAM's, e = rho T M T g / abs(M T g) with T = abs(x).

    Notes
    -----
    Claim: perturbing about 0.1 % of the parameters beats perturbing all, and other masks as sparse do not.

    References
    ----------
    Mueller, Vlaar, Rolnick & Hein (NeurIPS 2023, arXiv 2306.04226) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> plane = sd.landscapes.quadratic([[1.0, 0.0], [0.0, 1.0]])
    >>> sd.Map(plane, sd.SAMON(0.5, blocks=[1]), lr=0.1)([1.0, 1.0])
    array([0.9 , 0.85])
    """

    blocks: tuple[str | int, ...] = fixed((NORMALISATION,))
    adaptive: bool = fixed(False)
    _index: tuple[int, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, blocks=names_of_blocks(self.blocks))
        checks.flag("adaptive", self.adaptive)

    def bound(self, loss: Any) -> Rule:
        """The rule that knows which coordinates it perturbs."""
        return with_found(self, _index=coordinates_of(self, loss, self.blocks))

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where the part of the gradient that counts vanishes."""
        return True

    @property
    def jump_radius(self) -> float | None:
        """Rho, unless it depends on the weights."""
        return None if self.adaptive else super().jump_radius

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho M g / abs(M g)."""
        index = self._index or [b for b in self.blocks if isinstance(b, int)]
        mask = mask_of(index, gradient)
        if self.adaptive:
            mask = mask * x.abs()
            result: Tensor = rho * mask * unit(mask * gradient)
            return result
        result = rho * unit(mask * gradient)
        return result


@dataclass(frozen=True)
class GCSAM(Perturbed):
    """Gradient centralised SAM: both gradients have their means over each output's weights taken off.

    e = rho C g / abs(C g) and the step is C P, where C g = g - mean(g), row by row.

    Parameters
    ----------
    rho : float or schedule
        Radius.

    Notes
    -----
    Rows are the rows of a module's weights of two axes and more, one for each output; biases and norms are
    left as they are. A loss without blocks is one row, as in the authors' formula. Along the mean of a row
    the weights never move: every point where C P = 0 is a fixed point.

    References
    ----------
    Hassan, Vakanski, Zhang & Xian (arXiv 2501.11584) [formula read in a public formula sheet]; the centring
    by rows is due to Yong et al. (ECCV 2020), on which it builds [from memory].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.saddle(1.0, 2.0), sd.GCSAM(0.0), lr=0.1)([1.0, 1.0])
    array([0.85, 1.15])
    """

    _rows: tuple[Rows, ...] = field(default=(), init=False, repr=False)

    def bound(self, loss: Any) -> Rule:
        """The rule that knows the rows of a module's weights."""
        return with_found(self, _rows=rows_of(loss))

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where the centred gradient vanishes."""
        return True

    def centred(self, gradient: Tensor) -> Tensor:
        """C g."""
        rows = self._rows or (Rows(0, 1, gradient.shape[-1]),)
        pieces, at = [], 0
        for start, n, width in rows:
            pieces.append(gradient[..., at:start])
            row = gradient[..., start : start + n * width].unflatten(-1, (n, width))
            pieces.append((row - row.mean(dim=-1, keepdim=True)).flatten(-2))
            at = start + n * width
        return torch.cat([*pieces, gradient[..., at:]], dim=-1)

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho C g / abs(C g)."""
        result: Tensor = rho * unit(self.centred(gradient))
        return result

    def combine(self, gradient: Tensor, perturbed: Tensor, **others: Any) -> Tensor:
        """C P."""
        return self.centred(perturbed)


@dataclass(frozen=True)
class ZSharp(Perturbed):
    """ZSharp: only the entries of g that stand out of their layer make the perturbation.

    z = (g - mean)/(std + 1e-8) in each layer; entries with abs(z) at most the `percentile` of all abs(z) are
    set to 0 in g, which is then normalised; if none is left, g itself is.

    Parameters
    ----------
    rho : float or schedule
        Radius; 0.05 by default.
    percentile : float
        Share in [0, 1) that is filtered out; 0.95 by default.

    Notes
    -----
    Layers are a module's parameter tensors; a loss without blocks is one. The standard deviation is taken
    over the entries (division by n); the reproduction in bangyen/zsharp divides by n - 1, keeps ties, and
    takes a few of the largest scores if nothing is left. In two dimensions both scores have one size, and
    nothing can be filtered: the rule is SAM. The perturbation jumps where an entry crosses the
    threshold.

    References
    ----------
    Yun (arXiv 2505.02369) [formula read in a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> bowl = sd.landscapes.quadratic([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> sd.Map(bowl, sd.ZSharp(0.5, percentile=0.6), lr=0.1)([3.0, 0.5, 0.0])
    array([2.65, 0.45, 0.  ])
    """

    rho: Any = 0.05
    percentile: float = fixed(0.95)
    _starts: tuple[int, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, percentile=checks.number("percentile", self.percentile, at_least=0))
        if self.percentile >= 1:
            raise ValueError(f"percentile must be a share in [0, 1), got {self.percentile!r}")

    def bound(self, loss: Any) -> Rule:
        """The rule that knows where the layers of a module begin."""
        return with_found(self, _starts=tuple(start for start, _ in tensors_of(loss)))

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where an entry crosses the threshold."""
        return True

    def scores(self, gradient: Tensor) -> Tensor:
        """abs(z), layer by layer."""
        pieces = []
        for cut in cuts(self._starts, gradient.shape[-1]):
            layer = gradient[..., cut]
            # of two entries both are as far off, which rounding must not break
            two = layer.shape[-1] == 2
            off = (layer - layer.flip(-1)) / 2 if two else layer - layer.mean(dim=-1, keepdim=True)
            spread = torch.sqrt((off**2).mean(dim=-1, keepdim=True))
            pieces.append(off.abs() / (spread + SMALLEST_SPREAD))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho times the direction of what stands out."""
        kept = gradient * stands_out(self.scores(gradient.detach()), self.percentile).to(gradient.dtype)
        direction = torch.where(norm(kept) > 0, unit(kept), unit(gradient))
        result: Tensor = rho * direction
        return result


def stands_out(values: Tensor, percentile: float) -> Tensor:
    """Which values (..., n) are above their percentile, interpolated linearly between order statistics."""
    n = values.shape[-1]
    if n > PAIRWISE:
        return values > torch.quantile(values, percentile, dim=-1, keepdim=True)
    # above it are those with more than floor((n - 1) percentile) smaller ones
    smaller = (values.unsqueeze(-1) > values.unsqueeze(-2)).to(values.dtype).sum(dim=-1)
    return smaller > math.floor((n - 1) * percentile)
