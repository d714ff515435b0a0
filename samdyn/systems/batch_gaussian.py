"""Batches of a finite sum as a Gaussian: mean and covariance of the sampled direction at each point.

The direction is d_S(x) = g_S(x + e_S(x)). With q_S = H_S(x) e_S(x), all at x, the models of `Minibatch` are

- "first-order": drift -(E g_S + E q_S), covariance Cov(g_S) + Cov(g_S, q_S) + Cov(g_S, q_S)^T;
- "gradient": the same drift, covariance Cov(g_S): no correction of the noise;
- "full": drift -E d_S, covariance Cov(d_S), nothing expanded.

For USAM q_S = rho H_S g_S, for SAM rho H_S g_S / |g_S|, for DNSAM rho H_S g_S / |grad f|: the first-order
model is then that of Monzio Compagnoni et al. Its covariance is not positive for large rho; negative
eigenvalues are set to zero.

Moments are sums over all batches (see `Sampler.batches`). Where the direction is the mean of one for each
sample, that is, for gradient descent and for probe "full", those of single samples suffice: a batch of size b
has 1/b of their covariance with replacement, and (n - b) / (b (n - 1)) without.

References
----------
Monzio Compagnoni et al., "An SDE for modeling SAM" (ICML 2023, arXiv 2301.08203) [equations from memory;
derived again and checked numerically]. Li, Tai, E (ICML 2017) for the Gaussian model of SGD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rules.family import GD
from samdyn.rules.rule import Rule
from samdyn.systems.minibatch import Minibatch, batch_gradient, descent_direction

MAX_PAIRS = 1 << 20
"""Largest number of pairs of batches that are enumerated for probe "independent"."""


def gaussian_model(
    loss: FiniteSum, rule: Rule, noise: Minibatch, x: Tensor, **coefficients: Any
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the sampled direction at one point, in torch: see the module's docstring.

    Returns
    -------
    mean : Tensor, shape (dim,)
    covariance : Tensor, shape (dim, dim)

    Raises
    ------
    ValueError
        More batches, or pairs of them, than can be enumerated.
    """
    sampler, n, size = noise.sampler(loss), loss.n_samples, noise.batch_size
    if size > 1 and _is_mean_of_samples(rule, noise):
        mean, covariance = gaussian_model(
            loss, rule, replace(noise, batch_size=1, micro_batch=None), x, **coefficients
        )
        return mean, covariance * (1 / size if sampler.replacement else (n - size) / (size * (n - 1)))
    law = sampler.batches(limit=n) if size == 1 else sampler.batches()
    if not law.exact:
        raise ValueError(
            f"batch_size={size} of {n} samples has more batches than can be enumerated for the Gaussian "
            'model: take a smaller batch_size, or probe="full"'
        )
    if noise.probe == "independent" and noise.model == "full" and len(law.index) ** 2 > MAX_PAIRS:
        raise ValueError(
            f"batch_size={size} of {n} samples has more pairs of batches than can be enumerated for the "
            'Gaussian model: take model="first-order"'
        )
    probability = torch.from_numpy(law.probability).to(x)
    weights = torch.from_numpy(law.weights).to(x)
    index = torch.from_numpy(law.index)
    parts = (loss.samples,) if loss.single else loss.samples
    chosen = tuple(part.to(x)[index] for part in parts)
    samples = chosen[0] if loss.single else chosen
    full = torch.func.grad(loss.one_point)
    micro = noise.micro_batch or noise.batch_size

    def groups(s: Any, w: Tensor) -> list[Callable[[Tensor], Tensor]]:
        cut = [slice(i, i + micro) for i in range(0, noise.batch_size, micro)]
        return [batch_gradient(loss, s[c] if loss.single else tuple(a[c] for a in s), w[c]) for c in cut]

    if noise.model == "full":

        def direction(s: Any, w: Tensor) -> Tensor:
            made = [descent_direction(rule, x, g, g, full, **coefficients) for g in groups(s, w)]
            return torch.stack(made).mean(dim=0)

        def mixed(s: Any, w: Tensor, s2: Any, w2: Tensor) -> Tensor:
            descent, other = batch_gradient(loss, s, w), batch_gradient(loss, s2, w2)
            ascent = full if noise.probe == "full" else other
            return descent_direction(rule, x, ascent, descent, full, **coefficients)

        if noise.probe == "same":
            values = torch.func.vmap(direction)(samples, weights)
        elif noise.probe == "full":
            values = torch.func.vmap(mixed)(samples, weights, samples, weights)
        else:
            over_ascent = torch.func.vmap(mixed, in_dims=(None, None, 0, 0))
            pairs = torch.func.vmap(over_ascent, in_dims=(0, 0, None, None))(
                samples, weights, samples, weights
            )
            values = pairs.reshape(-1, len(x))
            probability = torch.outer(probability, probability).reshape(-1)
        mean = probability @ values
        centred = values - mean
        return mean, (probability[:, None] * centred).T @ centred

    more = {"full_gradient": full(x)} if rule.uses_full_gradient else {}

    def perturbed(g: Callable[[Tensor], Tensor]) -> Tensor:
        return rule.perturbation(x, g(x), **coefficients, **more)

    def expanded(s: Any, w: Tensor, e: Tensor | None) -> tuple[Tensor, Tensor]:
        g, q = [], []
        for gradient in groups(s, w):
            value, pullback = torch.func.vjp(gradient, x)[:2]
            g.append(value)
            q.append(pullback(perturbed(gradient) if e is None else e)[0])
        gradient_mean, bend = torch.stack(g).mean(dim=0), torch.stack(q).mean(dim=0)
        bend = rule.combine(gradient_mean, gradient_mean + bend, **coefficients) - gradient_mean
        return gradient_mean, bend

    common: Tensor | None = None
    if noise.probe == "full":
        common = perturbed(full)
    elif noise.probe == "independent":
        each = torch.func.vmap(lambda s, w: perturbed(batch_gradient(loss, s, w)))(samples, weights)
        common = probability @ each
    g, q = torch.func.vmap(lambda s, w: expanded(s, w, common))(samples, weights)
    g_mean, q_mean = probability @ g, probability @ q
    weighted = probability[:, None] * (g - g_mean)
    covariance = weighted.T @ (g - g_mean)
    if noise.model == "first-order":
        cross = weighted.T @ (q - q_mean)
        covariance = covariance + cross + cross.T
    return g_mean + q_mean, covariance


def _is_mean_of_samples(rule: Rule, noise: Minibatch) -> bool:
    """Whether a batch's direction is the mean of those of its samples."""
    plain = type(rule).descent is Rule.descent and type(rule).combine is Rule.combine
    return isinstance(rule, GD) or (plain and noise.probe == "full")


def positive_root(covariance: Tensor, z: Tensor) -> Tensor:
    """C^(1/2) z with negative eigenvalues of C taken as zero; in closed form up to two dimensions."""
    if z.shape[-1] == 1:
        return torch.sqrt(torch.clamp(covariance[0], min=0.0)) * z
    if z.shape[-1] == 2:
        return _root_2d(covariance, z)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ (torch.sqrt(torch.clamp(values, min=0.0)) * (vectors.T @ z))


def _root_2d(c: Tensor, z: Tensor) -> Tensor:
    """The root through the divided difference of sqrt over the two eigenvalues, without eigenvectors."""
    centre, difference = (c[0, 0] + c[1, 1]) / 2, (c[0, 0] - c[1, 1]) / 2
    square = difference**2 + c[0, 1] ** 2
    split = square > 0
    half = torch.where(split, torch.sqrt(torch.where(split, square, 1.0)), 0.0)
    upper, lower = ((centre + sign * half).clamp(min=0.0) ** 0.5 for sign in (1.0, -1.0))
    slope = torch.where(split, (upper - lower) / (2 * torch.where(split, half, 1.0)), 0.0)
    mean = (upper + lower) / 2
    off = slope * c[0, 1]
    return torch.stack(
        [(mean + slope * difference) * z[0] + off * z[1], off * z[0] + (mean - slope * difference) * z[1]]
    )
