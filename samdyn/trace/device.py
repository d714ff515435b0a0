"""Where tensors live: the GPU where there is one, else the CPU; and on how many threads torch works there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

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
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ValueError(f"device must be present, got {device!r} on a machine with {count} GPUs")
    return chosen


_lock = threading.Lock()
_users, _threads = 0, 1


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread meanwhile.

    Operations on a tile of paths are short. Shared out over threads, they wait for each other as soon as
    anything else runs on the machine, and take several times as long.

    Examples
    --------
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    global _users, _threads
    with _lock:  # of several users in threads of this process the last one puts it back
        if _users == 0:
            _threads = torch.get_num_threads()
        _users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                torch.set_num_threads(_threads)
