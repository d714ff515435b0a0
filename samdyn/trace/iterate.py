"""One orbit of a traced map, in a loop of Python floats.

An orbit of one point leaves nothing to vectorise, and a step of eager torch costs more than a microsecond
an operation. `iterate_scalar` writes the loop around the printed body of the map (see `printing`), with the
state re-assigned in place and the constants as local names, and compiles that; an operation then costs some
ten nanoseconds. A step that raises (a division by zero, an overflow, a root of a negative number) is taken
again by the guarded form, which follows IEEE 754: an orbit that diverges goes on to infinities and nans. It
stops after `n_steps` steps and never before.
"""

from __future__ import annotations

import textwrap
import weakref
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import fx

from samdyn.arguments import checks
from samdyn.trace.printed.printed_operators import SCALAR, SCALAR_NAMES
from samdyn.trace.printed.printing import compiled, listing, printed_form, tuple_of

__all__ = ["iterate_scalar"]

_loops: weakref.WeakKeyDictionary[fx.GraphModule, Callable[..., None]] = weakref.WeakKeyDictionary()


def iterate_scalar(
    module: Any, state: Sequence[float], constants: Sequence[float] = (), *, n_steps: int, every: int = 1
) -> checks.Array:
    """The orbit of one point under a traced map.

    Parameters
    ----------
    module : torch.fx.GraphModule
        What `coordinate_form` returns for a map; its inputs are the state, then the constants, its
        outputs the next state.
    state : sequence of float, length state_dim
        The first state.
    constants : sequence of float
        The other inputs (learning rate, perturbation radius, ...), the same at every step.
    n_steps : int
        The number of steps.
    every : int
        How many steps lie between two stored states.

    Returns
    -------
    ndarray, shape (n_stored, state_dim)
        The states after 0, every, 2 every, ... steps and after the last step.

    Raises
    ------
    TypeError, ValueError
        `module` is no traced form, or its inputs and outputs do not fit `state` and `constants`.

    Examples
    --------
    Gradient descent on x^2 / 2 with a learning rate of 2 is a 2-cycle:

    >>> from samdyn.trace.tracing import coordinate_form
    >>> step = coordinate_form(lambda z: z[:1] - z[1] * z[:1], dim=2)
    >>> iterate_scalar(step, [0.5], [2.0], n_steps=3).ravel()
    array([ 0.5, -0.5,  0.5, -0.5])
    """
    n_steps = checks.integer("n_steps", n_steps, at_least=0)
    every = checks.integer("every", every, at_least=1)
    first, fixed = tuple(map(float, state)), tuple(map(float, constants))
    rescue = printed_form(module).scalar
    nodes = list(module.graph.nodes)
    n_inputs, n_outputs = sum(node.op == "placeholder" for node in nodes), len(nodes[-1].args[0])
    if (n_inputs, n_outputs) != (len(first) + len(fixed), len(first)):
        raise ValueError(
            f"module must take state and constants ({len(first)} + {len(fixed)} numbers) and return the next "
            f"state ({len(first)}), got one of {n_inputs} inputs and {n_outputs} outputs"
        )
    if module not in _loops:
        _loops[module] = compiled("loop", _source(module, len(first)), SCALAR_NAMES | {"rescue": rescue})
    stored = array("d", first)  # eight bytes a number, where a list of tuples takes six times as many
    _loops[module](*first, *fixed, n_steps, every, stored.append)
    return np.frombuffer(stored, dtype=np.float64).reshape(-1, len(first))


def _source(module: fx.GraphModule, n_state: int) -> str:
    listed = listing(module, SCALAR)
    state, everything = tuple_of(listed.inputs[:n_state]), ", ".join(listed.inputs)
    body = textwrap.indent("\n".join([*listed.body, f"{state} = {tuple_of(listed.outputs)}"]), " " * 16)
    store = "; ".join(f"store({name})" for name in listed.inputs[:n_state])
    return f"""
def loop({everything}, n_steps, every, store):
    while n_steps > 0:
        for _ in range(min(every, n_steps)):
            try:
{body}
            except FAULTS:
                {state} = rescue({everything})
        {store}
        n_steps -= every
"""
