"""The Gaussian model of batches from the samples' gradients and Hessians, not from a list of batches."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.build_step import build_stepper


def logistic(n: int = 8) -> sd.FiniteSum:
    rows = np.random.default_rng(0).standard_normal((n, 2)) + 1
    return sd.FiniteSum(lambda w, s: torch.log(1 + torch.exp(-(s @ w))) + 0.05 * (w @ w), rows, dim=2)


def listed(
    loss: sd.FiniteSum, x: np.ndarray, size: int, rho: float, *, replacement: bool = False, micro: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and first-order covariance of USAM's direction, over all batches in numpy."""
    g, h = loss.sample_gradients(x), loss.sample_hessians(x)
    choose = itertools.product if replacement else itertools.permutations
    batches = list(
        choose(range(loss.n_samples), repeat=size) if replacement else choose(range(loss.n_samples), size)
    )  # type: ignore[call-arg, operator]
    micro = micro or size
    gs, qs = [], []
    for batch in batches:
        parts = [list(batch[i : i + micro]) for i in range(0, size, micro)]
        gs.append(g[list(batch)].mean(axis=0))
        qs.append(rho * np.mean([h[p].mean(axis=0) @ g[p].mean(axis=0) for p in parts], axis=0))
    a, b = np.array(gs), np.array(qs)
    cross = (a - a.mean(axis=0)).T @ (b - b.mean(axis=0)) / len(a)
    return a.mean(axis=0) + b.mean(axis=0), np.cov(a.T, bias=True) + cross + cross.T


@pytest.mark.parametrize(
    ("size", "more"),
    [
        (1, {}),
        (2, {}),
        (3, {}),
        (3, {"sampling": "with replacement"}),
        (4, {"micro_batch": 2}),
        (4, {"micro_batch": 1}),
        (4, {"micro_batch": 2, "sampling": "with replacement"}),
    ],
    ids=str,
)
def test_usam_needs_no_list_of_batches(size: int, more: dict[str, Any]) -> None:
    """A list of all batches at every point was slow; the moments follow from n gradients and Hessians."""
    loss, x = logistic(6), np.array([0.4, -0.7])
    sde = sd.Diffusion(loss, sd.USAM(0.3), lr=1.0, noise=sd.Minibatch(size, **more))
    mean, covariance = listed(
        loss, x, size, 0.3, replacement="sampling" in more, micro=more.get("micro_batch", 0)
    )
    np.testing.assert_allclose(sde.drift(x), -mean, rtol=1e-10)
    np.testing.assert_allclose(sde.covariance(x), covariance, rtol=1e-8, atol=1e-12)


def test_large_batches_of_usam_have_a_model_and_those_of_sam_are_refused() -> None:
    """Ten of forty samples: 8e8 batches. Linear rules follow from samples; others are refused."""
    loss, x = logistic(40), np.array([0.2, 0.1])
    sde = sd.Diffusion(loss, sd.USAM(0.3), lr=1.0, noise=sd.Minibatch(10))
    rng = np.random.default_rng(1)
    g, h = loss.sample_gradients(x), loss.sample_hessians(x)
    index = np.array([rng.permutation(40)[:10] for _ in range(20_000)])
    gs = g[index].mean(axis=1)
    d = gs + 0.3 * np.einsum("mij,mj->mi", h[index].mean(axis=1), gs)
    error = d.std(axis=0, ddof=1) / 20_000**0.5
    assert (np.abs(d.mean(axis=0) + sde.drift(x)) < 4 * error).all()
    with pytest.raises(
        ValueError, match=r"more batches than can be enumerated.*SAM.*take a smaller batch_size"
    ):
        sd.Diffusion(loss, sd.SAM(0.3), lr=1.0, noise=sd.Minibatch(10)).drift(x)


def test_steps_of_the_diffusion_of_pairs_are_small_programs() -> None:
    """A step on the 435 pairs of 30 samples was a program of tens of thousands of operations."""
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((30, 2)), rng.standard_normal(30))
    stepper = build_stepper(sd.Diffusion(loss, sd.USAM(0.1), lr=0.1, noise=sd.Minibatch(2)))
    assert stepper.traced
    assert len(list(stepper.form.graph.nodes)) < 100 * 30  # type: ignore[attr-defined]
