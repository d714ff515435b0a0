"""What a rule is: how the weights are perturbed before the descent gradient is taken.

Every member of the family takes one step of the form ::

    g = ascent gradient at x            (which batch it sees is the noise model's business)
    e = perturbation(x, g)              direction, metric and normalisation
    P = descent gradient at x + e
    d = combine(g, P)                   what the base optimiser is given; P for SAM

A new member is a frozen dataclass whose fields are its coefficients (numbers or schedules) and which
overrides `perturbation`, and `combine` where it mixes the two gradients. Adaptive SAM, for example, is ::

    @dataclass(frozen=True)
    class ASAM(Rule):
        rho: Coefficient
        def perturbation(self, x, gradient, rho):
            scale = x.abs() + 0.01
            return rho * scale * unit(scale * gradient)

What a member needs beyond two gradients it names: memory (`vectors`, `numbers`), random numbers
(`n_normals`), the learning rate (`uses_lr`), values, products, samples or outputs of the loss (`needs`), the
loss's blocks (`bound`). A member with memory overrides `update`, which maps (x, memory) to the direction and
the memory of the next step, and `settled`, the memory that stands still where the weights do: its
perturbation and descent without memory are taken at settled memory, the limit of small learning rates. Memory
is a part of a `Map`'s state. The exponential average of gradients of VaSSO, for example, is ::

    vectors = ("average",)
    def update(self, x, memory, ascent, gradient, rho, theta):
        average = (1 - theta) * memory["average"] + theta * ascent(x)
        return Update(gradient(x + rho * unit(average)), {"average": average})
    def settled(self, x, gradient, **coefficients):
        return {"average": gradient(x)}
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from samdyn.arguments.signature import checked
from samdyn.rules.schedules import Delayed, check_coefficient, keep, value_at

GradientFunction = Callable[[Tensor], Tensor]


def fixed(default: Any, **more: Any) -> Any:
    """A field of a rule that is no coefficient: the same for all paths, and not on a schedule."""
    return dataclasses.field(default=default, metadata={"fixed": True}, **more)


Memory = Mapping[str, Tensor]
"""Named vectors (..., dim) and numbers (..., 1)."""


class Update(NamedTuple):
    """What one step of a rule gives.

    Attributes
    ----------
    direction : Tensor, shape (dim,)
        What the base step (plain, or heavy ball) is given; with the former, x' = x - lr direction.
    memory : mapping of str to Tensor
        The memory of the next step.
    apart : Tensor, shape (dim,), or None
        A direction that the step subtracts besides, past the base step and its momentum.
    """

    direction: Tensor
    memory: Memory
    apart: Tensor | None = None


@dataclass(frozen=True)
class Rule:
    """Base of all rules; on its own it perturbs nothing (gradient descent).

    Every dataclass field of a subclass is a coefficient, a number >= 0 or a schedule of the step index, but
    for those that are declared with `fixed`. Coefficients reach `perturbation` and `combine` by name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import samdyn as sd
    >>> @dataclass(frozen=True)
    ... class Lookahead(sd.Rule):
    ...     rho: float
    ...     def perturbation(self, x, gradient, rho):
    ...         return -rho * gradient
    >>> float(sd.Map(sd.landscapes.quadratic([[2.0]]), Lookahead(0.1), lr=0.1)([1.0])[0])
    0.84
    """

    vectors: ClassVar[tuple[str, ...]] = ()
    """Names of the vectors of length dim that a step hands to the next."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """Names of the single numbers that a step hands to the next."""
    upper_bounds: ClassVar[Mapping[str, float]] = {}
    """The largest values of coefficients that have one, such as the weights of averages."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What is asked of the loss besides gradients: see `samdyn.rules.oracle`."""
    uses_lr: ClassVar[bool] = False
    """Whether `update` gets the learning rate, as the keyword `lr`."""
    uses_full_gradient: ClassVar[bool] = False
    """Whether `perturbation` gets the whole sum's gradient, as the keyword `full_gradient`, under batches."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a class whose coefficients are not the fields of a dataclass of its own."""
        own = vars(cls)
        named = [name for name, kind in own.get("__annotations__", {}).items() if "ClassVar" not in str(kind)]
        if "__dataclass_fields__" not in own and (named or "__init__" in own):
            raise TypeError(
                f"rule class {cls.__name__} must be decorated with @dataclass(frozen=True) and have its "
                "coefficients as fields, got a class without the decorator"
            )
        return super().__new__(cls)

    def __init_subclass__(cls, **keywords: Any) -> None:
        """A class that computes its step in another way has other parts, and has to say which."""
        super().__init_subclass__(**keywords)
        own = vars(cls)
        if {"perturbation", "descent", "combine", "update"} & set(own) and "parts" not in own:
            cls.parts = _no_parts  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        for name in self.coefficient_names:
            at_most = self.upper_bounds.get(name)
            keep(self, **{name: check_coefficient(name, getattr(self, name), at_least=0, at_most=at_most)})

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of the coefficients, in order."""
        return tuple(f.name for f in dataclasses.fields(self) if f.init and not f.metadata.get("fixed"))

    def coefficients(self, step: int = 0) -> dict[str, float]:
        """The coefficients' values at a step."""
        return {name: value_at(getattr(self, name), step, name) for name in self.coefficient_names}

    @property
    def parameters(self) -> dict[str, Any]:
        """The coefficients by name, schedules as they are."""
        return {name: getattr(self, name) for name in self.coefficient_names}

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some coefficients changed."""
        return dataclasses.replace(self, **parameters)

    @property
    def scheduled(self) -> bool:
        """Whether any coefficient depends on the step."""
        return any(map(callable, self.parameters.values()))

    @property
    def memory(self) -> bool:
        """Whether a step hands anything to the next."""
        return bool(self.vectors or self.numbers)

    @property
    def initial(self) -> Mapping[str, float]:
        """What a memory is before the first step, in every coordinate, where that is not 0."""
        return {}

    def memory_length(self, dim: int) -> int:
        """How many numbers a step in `dim` dimensions hands to the next."""
        return len(self.vectors) * dim + len(self.numbers)

    def n_normals(self, dim: int) -> int:
        """Standard normal numbers that `update` gets at a step, as the keyword `normals`."""
        return 0

    @property
    def without_limit(self) -> str | None:
        """Why the rule is no function of the point alone, not even with settled memory; None where it is."""
        return "draws random numbers at every step" if self.n_normals(1) else None

    @property
    def without_flow(self) -> str | None:
        """Why small learning rates have no limit that is a flow; None where there is one."""
        return self.without_limit

    @property
    def gradients_per_step(self) -> float:
        """Gradients that a step of the algorithm takes, on average."""
        return 2.0 if self.perturbs else 1.0

    @property
    def stackable(self) -> bool:
        """Whether `update` takes points (n, dim) at once: it asks for gradients and coefficients alone."""
        return not self.needs and not self.n_normals(1)

    @property
    def plain(self) -> bool:
        """Whether the descent direction is the gradient at x + e(x), and nothing else."""
        kind = type(self)
        own = (kind.descent, kind.combine, kind.update)
        return own == (Rule.descent, Rule.combine, Rule.update) or not self.perturbs

    @property
    def own_steps(self) -> bool:
        """Whether `perturbation` need not say where the rule looks: it makes its step in a way of its own."""
        kind = type(self)
        return (kind.descent, kind.update) != (Rule.descent, Rule.update)

    def bound(self, loss: Any) -> Rule:
        """The rule for one loss: names of blocks become coordinates; what has no meaning there is refused."""
        return self

    @property
    def perturbs(self) -> bool:
        """Whether the perturbation may be anything but 0."""
        return self.scheduled or self.parts() != (0.0, 0.0)

    @property
    def jumps(self) -> bool:
        """Whether the perturbation jumps where the gradient vanishes, that is, does not vanish with it.

        A rule that adds a small number to the norm, g/(abs(g) + 1e-12), is continuous, but only in a layer of
        gradients (`layer`) that no step resolves: it jumps if its length has settled at gradients of 1e-6,
        where the length of a smooth rule still falls in proportion.
        """
        return self.layer is not None

    @property
    def layer(self) -> float | None:
        """Size of the gradient below which a perturbation that jumps falls to half its length.

        0 for g/abs(g), None for a rule that does not jump.
        """
        return _layer(self)

    @property
    def jumps_elsewhere(self) -> bool:
        """Whether the direction may jump where the gradient does not vanish: at other points looked at."""
        return False

    @property
    def jump_radius(self) -> float | None:
        """Largest length of the perturbation just beside a critical point; None if it has to be found."""
        return None

    def perturbation_length(self, size: float) -> float:
        """Largest coordinate of the perturbation at x = (1, 1) from a gradient of a given size.

        Schedules count as 1.
        """
        gradient = torch.full((2,), size / 2**0.5, dtype=torch.float64, device="cpu")
        values = self.parameters
        numbers = {name: 1.0 if callable(value) else float(value) for name, value in values.items()}
        with torch.no_grad():
            e = self.perturbation(torch.ones_like(gradient), gradient, **numbers)
        # of a norm the squares could underflow
        return float(torch.as_tensor(e, dtype=torch.float64, device="cpu").abs().max())

    def parts(self, coefficients: Mapping[str, Any] | None = None) -> tuple[Any, Any] | None:
        """The linear share a and the normalised share r of a perturbation e = a g + r g/abs(g).

        Parameters
        ----------
        coefficients : mapping of str to number or tensor, optional
            Values of the coefficients; those at step 0 by default.

        Returns
        -------
        tuple or None
            (a, r); None for a rule of another form, or whose descent direction is not the gradient at x + e.

        Examples
        --------
        >>> import samdyn as sd
        >>> sd.UnifiedSAM(0.2, lam=0.75).parts(), sd.SAM(0.2, eps=1e-12).parts()
        ((0.05, 0.15000000000000002), None)
        """
        return 0.0, 0.0

    def perturbation(self, x: Tensor, gradient: Tensor, **coefficients: Any) -> Tensor:
        """e(x) from the ascent gradient; stacked tensors of shape (..., dim)."""
        return gradient * 0.0

    def perturbed_gradient(
        self, x: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """P: the descent gradient at x + e(x)."""
        return gradient(x + self.perturbation(x, ascent(x), **coefficients))

    def combine(self, gradient: Tensor, perturbed: Tensor, **coefficients: Any) -> Tensor:
        """The direction given to the base step, from the gradients at x and at x + e."""
        return perturbed

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        **coefficients: Any,
    ) -> Update:
        """One step: the direction given to the base step, and the memory of the next step.

        Parameters
        ----------
        x : Tensor, shape (dim,)
            Current weights.
        memory : mapping of str to Tensor
            `vectors` of shape (dim,) and `numbers` of shape (1,).
        ascent, gradient : callable
            As of `descent`; where the rule `needs` more than gradients they are `samdyn.rules.oracle.Oracle`.
        **coefficients
            The rule's coefficients, and `lr`, `normals` and `full_gradient` where it asks for them.
        """
        return Update(self.descent(x, ascent, gradient, **coefficients), memory)

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """The memory that a step leaves as it is while the weights stand still at x."""
        if self.memory:
            raise NotImplementedError(f"{type(self).__name__} does not say what its memory settles at")
        return {}

    def descent(
        self, x: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """The vector that the base step subtracts; of a rule with memory, once the memory has settled at x.

        Parameters
        ----------
        x : Tensor, shape (dim,)
            Current weights.
        ascent, gradient : callable
            The gradients used for the perturbation (at x) and for the descent (at x + e). They differ when
            the two see different noise.
        **coefficients
            Values of the rule's coefficients: numbers, or tensors for per-path values.
        """
        if self.memory:
            settled = self.settled(x, ascent, **coefficients)
            step = self.update(x, settled, ascent, gradient, **coefficients)
            return step.direction if step.apart is None else step.direction + step.apart
        g = ascent(x)
        return self.combine(g, gradient(x + self.perturbation(x, g, **coefficients)), **coefficients)


def _no_parts(self: Rule, coefficients: Mapping[str, Any] | None = None) -> None:
    """None: the perturbation is not a g + r g/abs(g), or the rule does not say so."""


SMALL = 1e-6
"""A gradient that is small for any loss in units of order one; a length that has settled there jumps."""
LEAST = 1e-100
"""A gradient too small to matter but for its direction."""


def _layer(rule: Rule) -> float | None:
    """See `Rule.layer`: the length at `SMALL`, and by bisection of the exponent where it is half of it."""
    at, above = rule.perturbation_length(SMALL), rule.perturbation_length(10 * SMALL)
    # a length in proportion to the gradient grows tenfold, a settled one not at all
    if not at > 0 or above > at * 10**0.5:
        return None
    if rule.perturbation_length(LEAST) >= at / 2:
        return 0.0
    low, high = math.log10(LEAST), math.log10(SMALL)
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if rule.perturbation_length(10.0**middle) >= at / 2 else (middle, high)
    return float(10.0**high)


@checked
def WarmStart(rule: Rule, steps: int) -> Rule:
    """The rule with its radius held at 0 for the first `steps` steps: gradient descent first, then SAM.

    Parameters
    ----------
    rule : Rule
        Any rule with a coefficient `rho`.
    steps : int
        Number of steps taken by plain gradient descent.

    Returns
    -------
    Rule
        The same rule with `rho` on a schedule.

    References
    ----------
    The remedy against hallucinated minimisers of Park et al. (arXiv 2509.21818).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.WarmStart(sd.SAM(0.5), 100).coefficients(99), sd.WarmStart(sd.SAM(0.5), 100).coefficients(100)
    ({'rho': 0.0}, {'rho': 0.5})
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a samdyn rule, got {rule!r}")
    if "rho" not in rule.coefficient_names:
        raise ValueError(f"rule must have a perturbation radius rho to delay, got {rule!r}")
    # through a dict: which fields a rule has is not known to the type checker
    changed: dict[str, Any] = {"rho": Delayed(vars(rule)["rho"], steps)}
    return dataclasses.replace(rule, **changed)
