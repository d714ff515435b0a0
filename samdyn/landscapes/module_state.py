"""State dicts, such as checkpoints hold, beside the module that a loss is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.landscapes.module_function import ModuleFunction

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""


def checked_state(
    state: torch.nn.Module | Mapping[str, Tensor], function: ModuleFunction, loss_name: str
) -> Mapping[str, Tensor]:
    """The state of a module, or a state dict, whose names, shapes and constants are those of a loss.

    Parameters
    ----------
    state : torch.nn.Module or dict of str to Tensor
    function : ModuleFunction
        Of the loss.
    loss_name : str
        For messages.

    Returns
    -------
    dict of str to Tensor
        Without the prefixes that wrappers put before every name.

    Raises
    ------
    TypeError, ValueError
        Names or shapes that do not fit, frozen parameters or buffers other than the loss's own.
    """
    given: Any = state.state_dict() if isinstance(state, torch.nn.Module) else state
    if not isinstance(given, Mapping) or not all(isinstance(v, Tensor) for v in given.values()):
        raise TypeError(f"state must be a module or a state dict of tensors, got {checks.shown(state)}")
    given = _without_prefixes(given, function)
    missing = [name for name in function.names if name not in given]
    unknown = [name for name in given if name not in function.state and name not in function.names]
    if missing or unknown:
        said = [f"{what} {names[0]!r}" for what, names in (("lacks", missing), ("has", unknown)) if names]
        raise ValueError(
            f"state must have the parameters of {loss_name} ({', '.join(function.names)}), got one that "
            f"{' and '.join(said)}"
        )
    for name, shape in zip(function.names, function.shapes, strict=True):
        if tuple(given[name].shape) != shape:
            raise ValueError(
                f"state must have {name!r} of shape {shape}, got shape {tuple(given[name].shape)}"
            )
    for name, value in function.state.items():
        if (
            name in given
            and name not in function.names_of
            and not torch.equal(given[name].cpu(), value.cpu())
        ):
            raise ValueError(
                f"state must have the frozen parameters and buffers of the loss, got another {name!r}: "
                "load it into the model and make the loss from that"
            )
    for name, first in function.names_of.items():
        both = name != first and name in given and first in given
        if both and not torch.allclose(given[name], given[first], rtol=0.0, atol=0.0, equal_nan=True):
            raise ValueError(
                f"state must have one value of tied parameters, got {name!r} and {first!r} that differ"
            )
    return given


def _without_prefixes(given: Mapping[str, Tensor], function: ModuleFunction) -> Mapping[str, Tensor]:
    """The state dict without what wrappers put before every name, if its names do not fit as they are."""
    while given and not set(function.names) <= given.keys():
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in given)), None)
        if prefix is None:
            break
        given = {name.removeprefix(prefix): value for name, value in given.items()}
    return given
