"""The Gaussian model of batches from the samples' gradients and Hessians, not from a list of batches."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.steppers import build_stepper


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


@pytest.mark.parametrize("rule", [sd.SAM(0.3), sd.UnifiedSAM(0.4, 0.6)], ids=repr)
@pytest.mark.parametrize("more", [{}, {"sampling": "with replacement"}], ids=str)
def test_pairs_of_sam_need_no_list(rule: sd.Rule, more: dict[str, Any]) -> None:
    """C2 of its own kind: 435 pairs at every point, 450 path-steps a second. The sums over pairs are products
    with one matrix. The samples 0 and 1 have opposite gradients: their pair's is 0, and not perturbed.
    """
    rows = np.array([[1.0, 0.5], [-1.0, -0.5], [0.3, -0.2], [0.8, 1.1], [-0.4, 0.9]])
    loss = sd.FiniteSum(lambda w, s: s @ w + s[0] ** 2 * w[0] ** 2 * w[1], rows, dim=2)
    x = np.array([0.0, 0.7])  # the second term is flat here
    g, h = loss.sample_gradients(x), loss.sample_hessians(x)
    chance = np.full((5, 5), 1 / 25) if more else (1 - np.eye(5)) / 20
    a, r = rule.parts()  # type: ignore[misc]
    mean, cov, cross, bend = g.mean(axis=0), np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2)
    for i, j in np.ndindex(5, 5):
        pair = (g[i] + g[j]) / 2
        size = np.linalg.norm(pair)
        e = a * pair + (r * pair / size if size > 0 else 0)
        q = (h[i] + h[j]) / 2 @ e
        bend += chance[i, j] * q
        cov += chance[i, j] * np.outer(pair - mean, pair - mean)
        cross += chance[i, j] * np.outer(pair - mean, q)
    sde = sd.Diffusion(loss, rule, lr=1.0, noise=sd.Minibatch(2, **more))
    np.testing.assert_allclose(sde.drift(x), -mean - bend, rtol=1e-12, atol=1e-14)
    values, vectors = np.linalg.eigh(cov + cross + cross.T)
    expected = (vectors * np.maximum(values, 0)) @ vectors.T  # negative eigenvalues are taken as 0
    np.testing.assert_allclose(sde.covariance(x), expected, rtol=1e-9, atol=1e-12)


def test_pairs_of_many_samples_have_a_model() -> None:
    """19 900 pairs: refused before, since they were listed."""
    loss = logistic(200)
    sde = sd.Diffusion(loss, sd.SAM(0.3), lr=0.1, noise=sd.Minibatch(2))
    x = np.array([0.2, 0.1])
    g, h = loss.sample_gradients(x), loss.sample_hessians(x)
    i, j = np.triu_indices(200, 1)
    pair = (g[i] + g[j]) / 2
    e = 0.3 * pair / np.linalg.norm(pair, axis=1, keepdims=True)
    q = np.einsum("mij,mj->mi", (h[i] + h[j]) / 2, e)
    np.testing.assert_allclose(sde.drift(x), -(g.mean(axis=0) + q.mean(axis=0)), rtol=1e-12)


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
