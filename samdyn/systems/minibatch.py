"""The noise of real training: batches of a finite sum.

In a `Map` the batches are drawn: one step is a step of the algorithm. With S the descent batch,

- probe "same": the perturbation is made from S too (with micro-batches every part of S makes its own, and
  the descent gradients are averaged);
- probe "independent": from another batch of the same law;
- probe "full": from the whole sum.

In a `Diffusion` the batches are replaced by a Gaussian with their mean and covariance at each point: see
`samdyn.systems.batch_gaussian`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from samdyn.arguments import checks
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rules.rule import Rule
from samdyn.systems.batch_samplers import Sampler
from samdyn.systems.noise import Noise

SAMPLINGS = ("without replacement", "with replacement", "importance")
MODELS = ("first-order", "full", "gradient")


@dataclass(frozen=True)
class Minibatch(Noise):
    """Batches of a finite sum, drawn at every step.

    Parameters
    ----------
    batch_size : int
        Samples in a batch, at most n.
    probe : {"same", "independent", "full"}
        Which batch makes the perturbation.
    sampling : str or sequence of float
        "without replacement" (every set of batch_size samples is equally likely), "with replacement",
        "importance" (with replacement, probabilities proportional to the components' smoothness constants),
        or the probabilities of one draw with replacement, one for each sample.
    reweight : bool
        Multiply the i-th sample's gradient by 1/(n p_i), so that the batch mean is unbiased. Without it the
        algorithm minimises sum_i p_i f_i instead.
    micro_batch : int, optional
        Size of the parts of the batch that are perturbed on their own (probe "same"); it divides batch_size.
    model : {"first-order", "full", "gradient"}
        The Gaussian model in a `Diffusion`: see `samdyn.systems.batch_gaussian`.

    Raises
    ------
    TypeError, ValueError
        A probe, sampling or model that does not exist; probabilities that are negative, do not sum to one or
        are zero for a sample that reweighting needs; a batch larger than the data.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [1.0, 1.0])
    >>> sgd = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> sd.trajectory(sgd, [1.0], n_steps=2, seed=1)[:, 0].round(3)
    array([1.  , 0.8 , 0.82])
    """

    batch_size: int = 1
    probe: str = "same"
    sampling: str | tuple[float, ...] = "without replacement"
    reweight: bool = True
    micro_batch: int | None = None
    model: str = "first-order"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "batch_size", checks.integer("batch_size", self.batch_size, at_least=1))
        if isinstance(self.sampling, str):
            if self.sampling not in SAMPLINGS:
                known = ", ".join(map(repr, SAMPLINGS))
                raise ValueError(f"sampling must be {known}, or probabilities, got {self.sampling!r}")
        else:
            object.__setattr__(self, "sampling", _probabilities(self.sampling, self.reweight))
        checks.flag("reweight", self.reweight)
        checks.choice("model", self.model, MODELS)
        if self.micro_batch is not None:
            micro = checks.integer("micro_batch", self.micro_batch, at_least=1)
            if self.batch_size % micro:
                raise ValueError(f"micro_batch must divide batch_size={self.batch_size}, got {micro}")
            if self.probe != "same":
                raise ValueError(f"micro_batch needs probe='same', got probe={self.probe!r}")

    def check_loss(self, loss: Any) -> None:
        """Refuse a loss that has no samples, or too few."""
        if not isinstance(loss, FiniteSum):
            raise TypeError(f"loss must be an sd.FiniteSum to draw batches from, got {loss!r}")
        if self.batch_size > loss.n_samples:
            raise ValueError(
                f"batch_size must be at most the number of samples {loss.n_samples}, got {self.batch_size}"
            )
        if isinstance(self.sampling, tuple) and len(self.sampling) != loss.n_samples:
            raise ValueError(
                f"sampling must hold one probability for each of the {loss.n_samples} samples, "
                f"got {len(self.sampling)}"
            )
        if self.model == "full":
            _ = loss.quadratics  # looked for now: `gaussian_model` makes use of them while it is traced

    @property
    def parameters(self) -> dict[str, Any]:
        """The batch size."""
        return {"batch_size": self.batch_size}

    def with_parameters(self, **values: Any) -> Minibatch:
        """A copy with another batch size, which may come as a whole number in floating point."""
        size = values.get("batch_size")
        if isinstance(size, float) and size.is_integer():
            values["batch_size"] = int(size)
        return dataclasses.replace(self, **values)

    def n_normals(self, dim: int) -> int:
        """Standard normals that one step of the Gaussian model uses."""
        return dim

    def silent(self, loss: Any) -> bool:
        """Whether a batch always has all samples, drawn without replacement."""
        return self.sampler(loss).n_draws == 0

    def root(self, hessian: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
        """Refused: the covariance comes from the samples, not from the Hessian of the sum."""
        raise TypeError("Minibatch noise has no root made from a Hessian")

    def sampler(self, loss: FiniteSum) -> Sampler:
        """What draws the batches of a loss."""
        n = loss.n_samples
        uniform = np.full(n, 1 / n)
        ordered = self.micro_batch not in (None, 1, self.batch_size)
        if self.sampling == "importance":
            p = loss.importance_probabilities()
        elif isinstance(self.sampling, tuple):
            p = np.array(self.sampling)
        else:
            p = uniform
        replacement = self.sampling != "without replacement"
        weights = uniform / np.where(p > 0, p, 1.0) if self.reweight else np.ones(n)
        return Sampler(n, self.batch_size, replacement, p, weights, ordered)


def _probabilities(values: Any, reweight: bool) -> tuple[float, ...]:
    p = checks.array("sampling", values, finite=False, wanted="a name or a sequence of probabilities")
    if p.ndim != 1 or not len(p) or not np.isfinite(p).all():
        raise ValueError(f"sampling must hold one finite probability for each sample, got {values!r}")
    if (p < 0).any():
        i = int(np.argmin(p))
        raise ValueError(f"sampling must hold probabilities >= 0, got {p[i]:g} for sample {i}")
    if abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"sampling must hold probabilities that sum to 1, got the sum {p.sum():.12g}")
    if reweight and (p == 0).any():
        i = int(np.argmin(p))
        raise ValueError(
            f"sampling must give every sample a probability > 0 when it is reweighted, got 0 for sample {i}"
        )
    return tuple((p / p.sum()).tolist())


def descent_direction(
    rule: Rule,
    x: Tensor,
    ascent: Callable[[Tensor], Tensor],
    descent: Callable[[Tensor], Tensor],
    full: Callable[[Tensor], Tensor],
    **coefficients: Any,
) -> Tensor:
    """What the base step subtracts; `full` is the gradient of the whole sum, for rules that look at it."""
    if rule.uses_full_gradient:
        coefficients["full_gradient"] = full(x)
    return rule.descent(x, ascent, descent, **coefficients)
