"""What a monitor has recorded of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samdyn.arguments.checks import Array
from samdyn.results import Result, Rows, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    "step", "seconds", "loss", "perturbed_loss", "gradient", "perturbed_gradient", "ratio", "cosine",
    "sharpness", "edge", "sharpness_over_edge", "batch_sharpness", "lr", "rho", "cost",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class History(Result):
    """What a monitor has recorded, one number for each look.

    Attributes
    ----------
    step : ndarray, shape (n,)
        Training steps done.
    seconds : ndarray
        Time since the first step that the monitor was told of.
    loss, perturbed_loss : ndarray
        f(x) and f(x + e(x)) on the monitor's data.
    gradient, perturbed_gradient, ratio, cosine : ndarray
        Norms of g(x) and g(x + e), their ratio and the cosine between them.
    sharpness : ndarray
        Largest eigenvalue of the Hessian, to about one per cent; nan where the loss or its gradient is not
        finite.
    edge, sharpness_over_edge : ndarray
        The curvature at the edge of stability (`samdyn.orbit.sam_edge`), and the sharpness relative to it. Of
        SGD with its momentum, Nesterov's form, dampening and weight decay; inf at a learning rate of 0, 0
        where weight decay alone is beyond it, and nan for an optimiser that rescales coordinates.
    batch_sharpness : ndarray
        ``E[g_B . H_B g_B] / E[|g_B|^2]`` over a few batches; nan without `batch_size`.
    lr, rho : ndarray
    cost : ndarray
        Seconds that each look took.
    """

    row = "look"
    cited = ("long2024",)

    step: Array
    seconds: Array
    loss: Array
    perturbed_loss: Array
    gradient: Array
    perturbed_gradient: Array
    ratio: Array
    cosine: Array
    sharpness: Array
    edge: Array
    sharpness_over_edge: Array
    batch_sharpness: Array
    lr: Array
    rho: Array
    cost: Array

    def __len__(self) -> int:
        return len(self.step)

    def table(self) -> Table:
        """The looks, the first and the last of them."""
        names = ("step", "loss", "gradient", "ratio", "sharpness", "edge", "sharpness_over_edge")
        rows = Rows(len(self), lambda i: [f"{getattr(self, name)[i]:.4g}" for name in names])
        looks = f"{len(self)} look{'s' if len(self) != 1 else ''}"
        return Table(f"History of {looks}", rows, names, right=True, most=8, both_ends=True)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Sharpness and edge against the step."""
        drawn: Axes = self._draw(ax)
        return drawn
