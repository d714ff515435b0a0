"""The data of a network as tensors: from a pair, a torch Dataset or a DataLoader, read once and in order.

Inputs become a tuple of tensors, since a module may take several; targets are one tensor. Floating-point
numbers are kept in the dtype that the loss computes in; whole numbers (labels, tokens) stay whole numbers, as
int64, which is what torch wants of them.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from samdyn.arguments import checks
from samdyn.jobs.cost import CostWarning

BATCH = 256
"""Samples of a Dataset that are read and collated together."""
PATIENCE = 10
"""Seconds of reading after which it is said how far it has come."""
WANTED = "(inputs, targets), a torch Dataset or a DataLoader of such pairs"


class ModuleData(NamedTuple):
    """Inputs and targets, along a first axis of n samples.

    Attributes
    ----------
    inputs : tuple of Tensor
        The positional arguments of the module.
    targets : Tensor
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def chunks(self, size: int) -> list[tuple[float, ModuleData]]:
        """Parts of at most `size` samples, each with its share of all samples."""
        n = len(self.targets)
        if size >= n:
            return [(1.0, self)]
        cuts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        return [
            ((cut.stop - cut.start) / n, ModuleData(tuple(a[cut] for a in self.inputs), self.targets[cut]))
            for cut in cuts
        ]


def read_data(data: Any, dtype: torch.dtype, device: torch.device) -> ModuleData:
    """Inputs and targets as tensors.

    Parameters
    ----------
    data : tuple, Dataset or DataLoader
        A pair (inputs, targets), where inputs is an array or a tuple of arrays; or a Dataset or DataLoader
        whose items are such pairs. A DataLoader's dataset is read in its own order, whatever the loader's
        sampler does, and to the last sample.
    dtype : torch.dtype
        Of floating-point numbers.
    device : torch.device

    Raises
    ------
    TypeError, ValueError
        Anything else, numbers that are not finite, no samples, or unequal lengths.

    Examples
    --------
    >>> data = read_data(([[0.5], [1.0]], [0, 1]), torch.float64, torch.device("cpu"))
    >>> data.inputs[0].shape, data.targets
    (torch.Size([2, 1]), tensor([0, 1]))
    """
    if isinstance(data, TensorDataset):
        data = data.tensors
    elif isinstance(data, DataLoader | Dataset):
        data = _read(data)
    if not isinstance(data, tuple | list) or len(data) != 2:
        listed = isinstance(data, tuple | list)
        got = f"a {type(data).__name__} of length {len(data)}" if listed else checks.shown(data)
        raise TypeError(f"data must be {WANTED}, got {got}")
    given, targets = data
    parts = tuple(given) if isinstance(given, tuple) else (given,)
    inputs = tuple(_tensor("inputs", part, dtype, device) for part in parts)
    result = ModuleData(inputs, _tensor("targets", targets, dtype, device))
    lengths = [len(part) for part in (*result.inputs, result.targets)]
    if not lengths[:-1] or min(lengths) == 0:
        raise ValueError("data must hold at least one sample along the first axis, got none")
    if len(set(lengths)) > 1:
        raise ValueError(
            "data must have one length along the first axis, got "
            f"{', '.join(map(str, lengths[:-1]))} inputs and {lengths[-1]} targets"
        )
    return result


def _read(data: DataLoader[Any] | Dataset[Any]) -> Any:
    """All pairs of a Dataset or a DataLoader, in the dataset's order."""
    collate = default_collate
    if isinstance(data, DataLoader):
        collate, source = data.collate_fn, data.dataset
        if data.batch_size is None and data.batch_sampler is None:  # the dataset makes the batches itself
            batches: Iterable[Any] = data
            return _joined(batches)
    else:
        source = data
    return _joined(_collated(collate, part) for part in _parts(source))


def _collated(collate: Callable[[list[Any]], Any], part: list[Any]) -> Any:
    """Items as a batch."""
    try:
        return collate(part)
    except Exception as error:  # whatever torch makes of pictures, texts and items of unlike shapes
        first = part[0]
        kinds = (
            ", ".join(type(p).__name__ for p in first) if isinstance(first, tuple) else type(first).__name__
        )
        raise TypeError(
            f"data must hold items (input, target) that are tensors or numbers, of one shape, got ({kinds}), "
            f"which torch cannot collate into a batch: {next(iter(str(error).splitlines()), '')}"
        ) from error


def _parts(source: Dataset[Any]) -> Iterator[list[Any]]:
    items: Iterable[Any]
    if isinstance(source, IterableDataset):
        items = source
    elif hasattr(source, "__len__"):
        items = (source[i] for i in range(len(source)))
    else:
        raise TypeError(f"data must be {WANTED}, got a {type(source).__name__} that has no length")
    part: list[Any] = []
    begun, count = time.perf_counter(), 0
    for count, item in enumerate(items, start=1):
        part.append(item)
        if len(part) == BATCH:
            yield part
            part = []
        if begun and time.perf_counter() - begun > PATIENCE:
            begun = 0.0
            warnings.warn(
                f"from_module has read {count} samples of the {type(source).__name__} in {PATIENCE} s and "
                "goes on: all data are kept in memory; cut one that does not end (itertools.islice)",
                CostWarning,
                stacklevel=2,
            )
    if part:
        yield part


def _joined(batches: Iterable[Any]) -> tuple[Any, Any]:
    """Batches of pairs, one after the other."""
    pairs = []
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(f"data must be {WANTED}, got items of type {type(batch).__name__}")
        inputs = tuple(batch[0]) if isinstance(batch[0], tuple | list) else (batch[0],)
        pairs.append((inputs, batch[1]))
    if not pairs:
        raise ValueError("data must hold at least one sample, got none")
    try:
        inputs = tuple(torch.cat([torch.as_tensor(p[0][k]) for p in pairs]) for k in range(len(pairs[0][0])))
        return inputs, torch.cat([torch.as_tensor(p[1]) for p in pairs])
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            "data must hold items (input, target) that are tensors or numbers, of one shape, got batches "
            f"that do not join: {next(iter(str(error).splitlines()), '')}"
        ) from error


def _tensor(name: str, value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers as a tensor of their own that nobody else changes."""
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"data must hold {name} that are an array of numbers along a first axis of samples, got "
            f"{checks.shown(value)} of type {type(value).__name__}"
        ) from error
    if tensor.ndim == 0:
        raise ValueError(
            f"data must hold {name} with a first axis of samples, got the number {tensor.item()}"
        )
    if tensor.layout != torch.strided:
        raise TypeError(f"data must hold dense {name}, got layout {tensor.layout}: call .to_dense()")
    if tensor.is_complex():
        raise TypeError(f"data must hold {name} that are real numbers, got dtype {tensor.dtype}")
    if tensor.is_floating_point():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"data must hold finite {name}, got nan or inf")
        return tensor.to(device=device, dtype=dtype, copy=True)
    kept = torch.bool if tensor.dtype == torch.bool else torch.int64
    return tensor.to(device=device, dtype=kept, copy=True)
