"""Choosing a device by name."""

from __future__ import annotations

import pytest
import torch

from samdyn.trace.device import choose_device, one_thread


def test_default_and_cpu() -> None:
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "tpu", "", "meta", "mps", 3.5, "cpu:x"])
def test_unknown_devices(name: object) -> None:
    with pytest.raises(ValueError, match="device must be"):
        choose_device(name)  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there() -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(ValueError, match=f"device must be present, got 'cuda:{count}'.* {count} GPUs"):
        choose_device(f"cuda:{count}")


@pytest.mark.gpu
def test_gpu() -> None:
    assert choose_device("cuda").type == "cuda"


def test_one_thread_and_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread(), one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
