"""Where tensors live: the GPU where there is one, else the CPU."""

from __future__ import annotations

import torch


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device named, or the default one.

    Parameters
    ----------
    device : str, optional
        "cpu", "cuda" or "cuda:1"; by default the GPU where there is one.

    Raises
    ------
    ValueError
        The name is unknown, or the device is not present.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ValueError(f"device must be present, got {device!r} on a machine with {count} GPUs")
    return chosen
