"""Watching the training of a network: curvature, edge and perturbed gradients, at a stated cost.

::

    monitor = sd.Monitor(model, loss_fn, (inputs, targets), optimizer=optimizer, rho=0.05)
    for batch in loader:
        ...                       # a training step with whatever optimiser
        monitor.step()
    monitor.history.plot()

A look evaluates the model on data of its own, in evaluation mode, whatever the training does, and changes
nothing. It takes a gradient at the weights x, one at y = x + e(x), and a few products with the Hessian for
its largest eigenvalue, which start from the eigenvector of the look before. Looks are due every `every`
steps; one that would bring the time of all looks above the share `budget` of the time since the first step is
left out.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.landscapes.module_arguments import from_module
from samdyn.landscapes.module_function import ModuleFunction
from samdyn.landscapes.module_loss import ModuleLoss
from samdyn.network.history import COLUMNS, History
from samdyn.network.spectra import Spectrum, spectrum
from samdyn.network.training_step import check_trains, edge, group_of, perturbation, rescales, rule_now

if TYPE_CHECKING:
    pass

TOLERANCE = 1e-2
"""Relative residual at which the largest eigenvalue is good enough to be compared with the edge."""


class Monitor:
    """Records curvature, edge and perturbed gradients while a network trains.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained. It is looked at in evaluation mode and is not changed.
    loss_fn : callable
        ``loss_fn(outputs, targets)``, the mean over the batch.
    data : tuple, Dataset or DataLoader
        What the looks evaluate: see `samdyn.from_module`. A part of the training data of some hundred samples
        keeps them cheap.
    optimizer : torch.optim.Optimizer or wrapper, optional
        Where lr, momentum and rho are read at every look, from its first group of parameters, or from the
        first group of its `base_optimizer`. Without an optimizer, or where it has none of them, the values
        given are used. One of `samdyn.optim.as_optimizer` perturbs by its rule, one whose group says
        ``adaptive`` by ASAM, any other by SAM.
    rho : float, optional
        Radius of the perturbation; 0 for plain gradient descent.
    lr : float, optional
        Learning rate.
    momentum : float, optional
        Heavy-ball coefficient.
    every : int
        Steps from one look to the next.
    budget : float
        Share of the training's time, measured, that all looks together may take; 1 or more for no limit.
    batch_size : int, optional
        Records the batch sharpness too, on batches of this size.
    verbose : bool
        Show each look: in a notebook a picture that is drawn anew, elsewhere a line of text. What drawing
        takes counts towards the budget.

    Raises
    ------
    TypeError, ValueError
        What `samdyn.from_module` refuses; an optimiser from which no lr can be read; numbers out of range.

    Notes
    -----
    Parameters that are frozen or set free while training goes on are seen at the next look. An optimiser that
    rescales coordinates, such as Adam, is warned of: its edge is not one of the Hessian.

    `step` is to be called after every training step. The object is also a callback in the manner of
    Lightning's: its `on_train_batch_end` calls `step`. What was recorded stays when training is interrupted.

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    >>> inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> targets = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]])
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> monitor = sd.Monitor(net, torch.nn.functional.mse_loss, (inputs, targets), optimizer=sgd, rho=0.05,
    ...                      every=5, budget=1.0)
    >>> for _ in range(10):
    ...     sgd.zero_grad()
    ...     torch.nn.functional.mse_loss(net(inputs), targets).backward()
    ...     _ = sgd.step()
    ...     monitor.step()
    >>> monitor.history.step
    array([ 5., 10.])
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss_fn: Callable[[Any, Any], torch.Tensor],
        data: Any,
        *,
        optimizer: Any = None,
        rho: float | None = None,
        lr: float | None = None,
        momentum: float | None = None,
        every: int = 100,
        budget: float = 0.1,
        batch_size: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.model, self.optimizer, self._objective = model, optimizer, loss_fn
        self.every = checks.integer("every", every, at_least=1)
        self.budget = checks.number("budget", budget, above=0, finite=False)
        self.verbose = checks.flag("verbose", verbose)
        self._given: dict[str, float | None] = {
            "rho": None if rho is None else checks.number("rho", rho, at_least=0),
            "lr": None if lr is None else checks.number("lr", lr, above=0),
            "momentum": None
            if momentum is None
            else checks.number("momentum", momentum, at_least=0, below=1),
        }
        self._read()  # an optimiser that cannot be read is refused now
        modes = [(part, part.training) for part in model.modules()] if _is_module(model) else []
        try:
            if modes:
                model.eval()
            self._loss: ModuleLoss = from_module(model, loss_fn, data, dtype=None)
        except (TypeError, ValueError) as error:  # there its name is objective
            raise type(error)(str(error).replace("objective", "loss_fn")) from error
        finally:
            for part, mode in modes:
                part.training = mode
        check_trains(optimizer, model)
        name = rescales(optimizer)
        if name:
            warnings.warn(
                f"Monitor: the edge of stability is recorded as nan, since a step of {name} is not along the "
                "gradient at x + c g: its edge is not one of the Hessian",
                stacklevel=2,
            )
        self.batch_size = batch_size
        if batch_size is not None:
            self.batch_size = checks.integer("batch_size", batch_size, at_least=1)
            if self.batch_size > self._loss.n_samples:
                raise ValueError(
                    f"batch_size must be at most the {self._loss.n_samples} samples of data, got {batch_size}"
                )
        self.n_steps, self._spent = 0, 0.0
        self._start: float | None = None
        self._rows: list[dict[str, float]] = []
        self._last: Spectrum | None = None
        self._picture: Any = None

    def step(self) -> None:
        """A training step is done: look, if one is due and the budget allows it."""
        now = time.perf_counter()
        if self._start is None:
            self._start = now
        self.n_steps += 1
        if self.n_steps % self.every:
            return
        typical = float(np.median([row["cost"] for row in self._rows])) if self._rows else 0.0
        if self.budget < 1 and self._rows and self._spent + typical > self.budget * (now - self._start):
            return
        self.look()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """A training step is done, as a callback: `step`."""
        self.step()

    def look(self) -> dict[str, float]:
        """Look now, whatever is due, and return what was recorded."""
        begun = time.perf_counter()
        self._start = begun if self._start is None else self._start
        values, x = self._read(), self._now()
        row = dict.fromkeys(COLUMNS, math.nan)
        row |= {
            "step": float(self.n_steps),
            "seconds": begun - self._start,
            "lr": values["lr"],
            "rho": values["rho"],
        }
        if np.isfinite(x).all():
            row |= self._measured(x, values)
        row["cost"] = time.perf_counter() - begun
        self._rows.append(row)
        if self.verbose and _in_a_notebook():
            self._draw()
        elif self.verbose:
            print(
                f"step {self.n_steps}: loss {row['loss']:.4g}, |g| {row['gradient']:.3g}, sharpness "
                f"{row['sharpness']:.4g} = {row['sharpness_over_edge']:.3g} edges"
            )
        row["cost"] = time.perf_counter() - begun
        self._spent += row["cost"]
        return row

    def _now(self) -> Array:
        """The model's weights, for a loss whose frozen parameters and buffers are the model's own now."""
        function = self._loss.module_function
        model = function.model  # without the wrappers that the user's may have around it
        trained = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
        # some were frozen or set free, or a layer was replaced
        if trained != dict(zip(function.names, function.shapes, strict=True)):
            again = ModuleFunction(model, self._objective, function.dtype, function.device)
            again.modes = function.modes
            self._loss = ModuleLoss(again, self._loss.module_data, None, 0.0, self._loss.name)
            self._last, function = None, again
        state = dict([*model.named_parameters(), *model.named_buffers()])
        function.fixed = {n: function._own(state[n]) if n in state else v for n, v in function.fixed.items()}
        return function.flat(state)

    def _draw(self) -> None:
        """The picture of the history in place of the one before, in the cell that was run first."""
        from IPython.display import display
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.6), layout="constrained")  # not one of pyplot's, which would pile up
        self.history.plot(figure.add_subplot())
        if self._picture is None:
            self._picture = display(figure, display_id=True)
        else:
            self._picture.update(figure)

    def _measured(self, x: Array, values: dict[str, float]) -> dict[str, float]:
        loss, rho = self._loss, values["rho"]
        g = loss.gradient(x)
        size = float(np.linalg.norm(g))
        y = x + perturbation(self.optimizer, loss, x, g, rho)
        gy = loss.gradient(y) if (y != x).any() else g
        f, fy = loss.value(np.stack([x, y]))
        sharpness = math.nan
        if np.isfinite(g).all() and math.isfinite(f):
            self._last = spectrum(loss, x, 1, "largest", start=self._last, tolerance=TOLERANCE)
            sharpness = float(self._last.eigenvalues[0])
        at_edge = math.nan
        if math.isfinite(size):
            length = float(np.linalg.norm(y - x))
            at_edge = edge(self.optimizer, values["lr"], values["momentum"], size, length)
        size_y = float(np.linalg.norm(gy))
        with np.errstate(all="ignore"):
            return {
                "loss": float(f),
                "perturbed_loss": float(fy),
                "gradient": size,
                "perturbed_gradient": size_y,
                "ratio": float(np.divide(size_y, size)),
                "cosine": float(np.divide(g @ gy, size * size_y)),
                "sharpness": sharpness,
                "edge": float(at_edge),
                "sharpness_over_edge": float(np.divide(sharpness, at_edge)),
                "batch_sharpness": self._batch_sharpness(x),
            }

    def _batch_sharpness(self, x: Array, n_batches: int = 8) -> float:
        """``E[g_B . H_B g_B] / E[|g_B|^2]`` over batches of a partition of the data."""
        if self.batch_size is None:
            return math.nan
        loss = self._loss
        order = np.random.default_rng(self.n_steps).permutation(loss.n_samples)
        cuts = [
            order[i : i + self.batch_size]
            for i in range(0, loss.n_samples - self.batch_size + 1, self.batch_size)
        ]
        w = torch.from_numpy(x.copy())
        above = below = 0.0
        for cut in cuts[:n_batches]:
            index = torch.from_numpy(cut)
            samples = tuple(part[index] for part in loss._parts)
            gradient = loss.batch_gradient(samples, None)
            g = gradient(w).detach()
            above += float(g @ torch.func.vjp(gradient, w)[1](g)[0].detach())
            below += float(g @ g)
        return above / below if below > 0 else math.nan

    def _read(self) -> dict[str, float]:
        """rho, lr and momentum as they are now."""
        group, rule = group_of(self.optimizer), rule_now(self.optimizer)
        found: dict[str, float] = {}
        for name, fallback in (("lr", None), ("rho", 0.0), ("momentum", 0.0)):
            value = self._given[name]
            if value is None and name == "rho" and rule is not None and "rho" not in (group or {}):
                value = float(rule.coefficients().get("rho", 0.0))
            if (
                value is None
                and group is not None
                and isinstance(group.get(name), int | float | torch.Tensor)
            ):
                value = float(group[name])
            if value is None:
                value = fallback
            if value is None:
                what = "no optimizer" if self.optimizer is None else f"a {type(self.optimizer).__name__}"
                raise ValueError(
                    f"lr must be given, or an optimizer whose param_groups hold it, got {what}: pass lr=..."
                )
            found[name] = value
        return found

    @property
    def history(self) -> History:
        """What was recorded so far."""
        return History(**{name: np.array([row[name] for row in self._rows]) for name in COLUMNS})

    def __repr__(self) -> str:
        share = ""
        if self._start is not None and self._rows:
            share = f", {self._spent / max(time.perf_counter() - self._start, 1e-9):.1%} of the time"
        return f"Monitor of {self._loss!r}: {self.n_steps} steps, {len(self._rows)} looks{share}"


def _in_a_notebook() -> bool:
    """Whether there is a kernel that can show pictures."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _is_module(model: Any) -> bool:
    return isinstance(model, torch.nn.Module)
