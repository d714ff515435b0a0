"""The Gauss-Newton matrix of a network, the part of the Hessian that comes from the objective.

With F the module's outputs, J_i their Jacobian at sample i, and l the objective of one of n samples,

    H = G + (1/n) sum_i sum_k l'_k(F_i) F''_ik,    G = (1/n) sum_i J_i^T l''(F_i) J_i.

For cross-entropy and squared error G is the Fisher matrix: the mean of g g^T, with the gradient g at targets
drawn from the distribution that the outputs stand for (Kunstner, Hennig, Balles 2019). Products are those of
curvlinops, an optional package (Dangel et al., arXiv 2501.19183).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import Landscape
from samdyn.landscapes.module_function import ModuleFunction
from samdyn.landscapes.module_loss import ModuleLoss
from samdyn.results.export import package
from samdyn.trace.product_operator import ProductOperator


@checked
def gauss_newton_operator(loss: Landscape, x: checks.PointLike) -> ProductOperator:
    """The generalised Gauss-Newton matrix of a network at a point, as a linear operator, by curvlinops.

    `samdyn.spectrum` with ``curvature="Gauss-Newton"`` gives its eigenvalues and their density. For
    cross-entropy and for the mean squared error, which are -log p of a distribution of the targets, it is the
    Fisher matrix. The empirical Fisher matrix, of gradients at the targets of the data, is another one.

    Parameters
    ----------
    loss : ModuleLoss
        Made by `samdyn.from_module`; the module returns one tensor.
    x : array_like, shape (dim,)
        The point.

    Returns
    -------
    ProductOperator
        Symmetric, without negative eigenvalues where the objective is convex in the outputs: a scipy
        LinearOperator that counts and times its products.

    Raises
    ------
    ImportError
        curvlinops is not installed.
    TypeError, ValueError
        A loss that is no network's, or no single point.

    Notes
    -----
    Products go through the data in the chunks of the loss. Weight decay adds its number to the diagonal, as
    in the Hessian. Terms of an objective that read the model's weights themselves are left out.

    References
    ----------
    Schraudolph, Neural Computation 14 (2002) 1723; Kunstner, Hennig, Balles, NeurIPS 2019; Dangel et al.,
    curvlinops, arXiv 2501.19183.

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> data = [[0.0, 1.0], [1.0, 0.0]], [[1.0], [0.0]]
    >>> loss = sd.from_module(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss, data)
    >>> G = sd.network.gauss_newton_operator(loss, loss.x0)  # doctest: +SKIP
    >>> found = sd.spectrum(loss, loss.x0, curvature="Gauss-Newton")  # doctest: +SKIP
    >>> found.eigenvalues  # doctest: +SKIP
    array([3., 1., 0.])
    """
    if not isinstance(loss, ModuleLoss):
        raise TypeError(
            f"loss must be a network's, made by samdyn.from_module, to have a Gauss-Newton matrix, got "
            f"{checks.shown(loss)}"
        )
    point = checks.points("x", x, loss.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({loss.dim},), got shape {point.shape}")
    curvlinops = package("curvlinops", "the Gauss-Newton matrix", "network", "curvlinops-for-pytorch")
    outputs = _Outputs(loss.module_function, torch.from_numpy(point.copy()))
    matrix = curvlinops.GGNLinearOperator(
        outputs,
        _Objective(loss.module_function.together.objective[0]),
        [outputs.w],
        [(_named(part.inputs), part.targets) for _, part in loss.module_data.chunks(loss.chunk)],
        num_data=loss.n_samples,
        check_deterministic=False,  # the loss was probed when it was made
        batch_size_fn=lambda inputs: len(inputs["0"]) if isinstance(inputs, MutableMapping) else len(inputs),
    )
    decay = loss.parameters["weight_decay"]

    def product(v: Tensor) -> Tensor:
        moved: Tensor = matrix @ v.to(outputs.w)
        return moved.to(v) + decay * v

    return ProductOperator(loss.dim, product, product)


def _named(inputs: tuple[Tensor, ...]) -> Tensor | dict[str, Tensor]:
    """Inputs as curvlinops takes them: a tensor, or several by name."""
    return inputs[0] if len(inputs) == 1 else {str(i): part for i, part in enumerate(inputs)}


class _Outputs(nn.Module):
    """A module's outputs with all its trained weights as one parameter w (dim,)."""

    def __init__(self, function: ModuleFunction, x: Tensor) -> None:
        super().__init__()
        self.function = function
        self.w = nn.Parameter(x.to(device=function.device, dtype=function.dtype))

    def forward(self, inputs: Tensor | MutableMapping[str, Tensor]) -> Tensor:
        parts = tuple(inputs.values()) if isinstance(inputs, MutableMapping) else (inputs,)
        return self.function.outputs(self.w, parts)


class _Objective(nn.Module):
    """An objective, a mean over samples, as a module."""

    reduction = "mean"

    def __init__(self, objective: Any) -> None:
        super().__init__()
        # in a list, so that an objective that is a module does not become a part of this one
        self.objective = [objective]

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        result: Tensor = self.objective[0](outputs, targets)
        return result
