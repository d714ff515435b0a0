"""Batches of a finite sum as a Gaussian: mean and covariance of the sampled direction at each point.

The direction is d_S(x) = g_S(x + e_S(x)). With q_S = H_S(x) e_S(x), all at x, the models of `Minibatch` are

- "first-order": drift -(E g_S + E q_S), covariance Cov(g_S) + Cov(g_S, q_S) + Cov(g_S, q_S)^T;
- "gradient": the same drift, covariance Cov(g_S): no correction of the noise;
- "full": drift -E d_S, covariance Cov(d_S), nothing expanded.

For USAM q_S = rho H_S g_S, for SAM rho H_S g_S / |g_S|, for DNSAM rho H_S g_S / |grad f|: the first-order
model is then the equation of Monzio Compagnoni et al. Its covariance is not positive for large rho; negative
eigenvalues are set to zero.

The moments come from the n gradients g_i and Hessians H_i of the samples wherever they follow from these:

- where the direction is the mean of one for each sample (gradient descent, probe "full"), a batch of size b
  has 1/b of the covariance of one sample with replacement, and (n - b) / (b (n - 1)) without;
- for rules that are linear in the gradient, e = A g (USAM, DNSAM), and the first two models, with the means g
  and H, the deviations c_i = g_i - g and D_i = H_i - H, and the numbers of `Sampler.moments`:
  E q = H A g + second E_i[D A c], Cov(g_S, q_S) = second E_i[c (H A c + D A g)^T] + third E_i[c (D A c)^T].

- for pairs of samples and rules of the form e = a g + r g/abs(g) (SAM, UnifiedSAM), and the first two models,
  with V_ij = P_ij (a/2 + r/abs(g_i + g_j)), P_ij the probability of the pair in this order:
  E q = sum_i H_i m_i, m_i = sum_j V_ij (g_i + g_j), and E[(c_i + c_j)/2 q_ij^T] = (1/2) sum_i M_i H_i,
  M_i = sum_j V_ij (c_i + c_j) (g_i + g_j)^T: products with the matrix V instead of a list of the pairs.

Other rules, and SAM with larger batches, are not linear in a batch's gradient: their moments are sums over
all batches, of means of the g_i and H_i. That needs few batches, and is refused where there are too many of
them. So does the
model "full", which needs the gradients at every batch's own point unless the components are quadratic.

References
----------
Monzio Compagnoni et al., "An SDE for modeling SAM" (ICML 2023, arXiv 2301.08203) [equations from memory;
derived again and checked numerically]. Li, Tai, E (ICML 2017) for the Gaussian model of SGD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rules.rule import Rule
from samdyn.systems.batch_samplers import Batches, Sampler
from samdyn.systems.minibatch import Minibatch, descent_direction
from samdyn.trace.batch import tensor_of

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
        A rule that is not linear in the gradient, and more batches, or pairs of them, than can be enumerated.
    """
    sampler, n, size = noise.sampler(loss), loss.n_samples, noise.batch_size
    if size > 1 and _is_mean_of_samples(rule, noise):
        single = replace(noise, batch_size=1, micro_batch=None)
        mean, covariance = gaussian_model(loss, rule, single, x, **coefficients)
        return mean, covariance * sampler.moments().second
    samples = Samples.of(loss, sampler, x)
    more = {"full_gradient": loss.gradient_function(x)} if rule.uses_full_gradient else {}

    def perturbation(g: Tensor) -> Tensor:
        return rule.perturbation(x, g, **coefficients, **more)

    if noise.model != "full" and noise.probe == "same" and is_linear(rule):
        return _linear(samples, noise, sampler, perturbation)
    if listed_terms(loss, rule, noise) == 0:
        a, r = rule.parts(coefficients) or (0.0, 0.0)
        return _of_pairs(samples, noise, sampler, a, r)
    law = sampler.batches(limit=n) if size == 1 else sampler.batches()
    if not law.exact:
        raise ValueError(
            f"batch_size={size} of {n} samples has more batches than can be enumerated, which the Gaussian "
            f"model {noise.model!r} of {type(rule).__name__} with probe {noise.probe!r} needs: take a "
            'smaller batch_size, or probe="full", or a rule that is linear in the gradient (sd.USAM) with '
            'model="first-order"'
        )
    if noise.probe == "independent" and noise.model == "full" and len(law.index) ** 2 > MAX_PAIRS:
        raise ValueError(
            f"batch_size={size} of {n} samples has more pairs of batches than can be enumerated for the "
            'Gaussian model: take model="first-order"'
        )
    # looked for when the system was made: it cannot be looked for while a step is traced
    quadratic = loss.quadratic_as_known
    if noise.model == "full" and not (noise.probe == "same" and quadratic):
        return _full(loss, rule, noise, law, x, coefficients)
    return _listed(samples, rule, noise, law, perturbation, coefficients, sampler.moments().second)


def listed_terms(loss: FiniteSum, rule: Rule, noise: Minibatch) -> int:
    """How many batches the model lists at every point; 0 where their moments are products of matrices."""
    if noise.batch_size == 1 or _is_mean_of_samples(rule, noise):
        return loss.n_samples
    if noise.model != "full" and noise.probe == "same":
        if is_linear(rule):
            return loss.n_samples
        whole = noise.micro_batch in (None, noise.batch_size)
        if noise.batch_size == 2 and whole and rule.parts() is not None and loss.n_samples**2 <= MAX_PAIRS:
            return 0
    return noise.sampler(loss).n_batches


@dataclass(frozen=True)
class Samples:
    """Probabilities (n,), weighted gradients (n, dim) and Hessians (n, dim, dim) of samples at one point."""

    probability: Tensor
    gradients: Tensor
    hessians: Tensor

    @classmethod
    def of(cls, loss: FiniteSum, sampler: Sampler, x: Tensor) -> Samples:
        """The probabilities, gradients and Hessians of the samples at a point."""
        parts = (loss.samples,) if loss.single else loss.samples
        data = tuple(part.to(x) for part in parts)
        each = torch.func.grad(loss.at_sample)
        # reverse over reverse: see `hessian_of`
        over = torch.func.vmap(lambda w, s: (each(w, s), torch.func.jacrev(each)(w, s)), in_dims=(None, 0))
        gradients, hessians = over(x, data[0] if loss.single else data)
        weights = tensor_of(sampler.weights).to(x)
        if sampler.weighted:
            gradients, hessians = weights[:, None] * gradients, weights[:, None, None] * hessians
        return cls(tensor_of(sampler.probabilities).to(x), gradients, hessians)


def _linear(
    samples: Samples, noise: Minibatch, sampler: Sampler, perturbation: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """First-order model of a rule that is linear in the gradient, from moments of the samples."""
    p, size = samples.probability, noise.batch_size
    micro = noise.micro_batch or size
    whole, part = sampler.moments(), replace(sampler, batch_size=micro).moments()
    g, h = p @ samples.gradients, torch.tensordot(p, samples.hessians, 1)
    off, bend = samples.gradients - g, samples.hessians - h
    common, moved = perturbation(g), torch.func.vmap(perturbation)(off)
    together = torch.einsum("nij,nj->ni", bend, moved)
    mean = g + h @ common + part.second * (p @ together)
    weighted = p[:, None] * off
    covariance = whole.second * (weighted.T @ off)
    if noise.model == "first-order":
        # the share of a part in its batch, less what the other parts of the batch make up for
        share = micro / size
        if not sampler.replacement and micro < size:
            share = share - (1 - share) * micro / (sampler.n - micro)
        cross = whole.second * (weighted.T @ (moved @ h.T + bend @ common))
        cross = cross + (part.third * share) * (weighted.T @ together)
        covariance = covariance + cross + cross.T
    return mean, covariance


def _of_pairs(samples: Samples, noise: Minibatch, sampler: Sampler, a: Any, r: Any) -> tuple[Tensor, Tensor]:
    """First-order model of e = a g + r g/|g| over pairs of samples, by products with matrices (n, n)."""
    p, g, h = samples.probability, samples.gradients, samples.hessians
    n = len(p)
    if sampler.replacement:
        chance = p[:, None] * p
    else:
        chance = (1 - torch.eye(n, dtype=p.dtype, device=p.device)) / (n * (n - 1))
    # coordinate by coordinate: a tensor (n, n, dim) would be summed over its shortest side
    square: Any = 0.0
    for k in range(g.shape[1]):
        square = square + (g[:, None, k] + g[:, k]) ** 2
    share = chance * (r * torch.where(square > 0, 1 / torch.sqrt(square), 0.0) + a / 2)  # g/|g| is 0 at 0
    g_mean, dim = p @ g, g.shape[1]
    off = g - g_mean
    both = (off[:, :, None] * g[:, None, :]).reshape(n, dim * dim)
    # all sums over the second sample of a pair are one product
    summed = share @ torch.cat([torch.ones_like(g[:, :1]), g, off, both], dim=1)
    alone, others = summed[:, :1], summed[:, 1 : 1 + dim]
    q_mean = torch.einsum("nij,nj->i", h, alone * g + others)
    covariance = sampler.moments().second * ((p[:, None] * off).T @ off)
    if noise.model != "gradient":
        m = (alone * both + summed[:, 1 + 2 * dim :]).reshape(n, dim, dim)
        m = m + off[:, :, None] * others[:, None, :] + summed[:, 1 + dim : 1 + 2 * dim, None] * g[:, None, :]
        cross = torch.einsum("nij,nkj->ik", m, h) / 2
        covariance = covariance + cross + cross.T
    return g_mean + q_mean, covariance


def _listed(
    samples: Samples,
    rule: Rule,
    noise: Minibatch,
    law: Batches,
    perturbation: Callable[[Tensor], Tensor],
    coefficients: dict[str, Any],
    second: float,
) -> tuple[Tensor, Tensor]:
    """The bend q of every batch, from gradients and Hessians of the samples; few operations a batch."""
    size, micro = noise.batch_size, noise.micro_batch or noise.batch_size
    index, p = tensor_of(law.index), samples.probability
    g_mean = p @ samples.gradients
    off = samples.gradients - g_mean
    covariance = second * ((p[:, None] * off).T @ off)
    # divided before they are summed over batches: once for each sample
    gradients, hessians, shares = samples.gradients / micro, samples.hessians / micro, off / size
    each = torch.func.vmap(perturbation)
    cut = [index[:, i : i + micro] for i in range(0, size, micro)]
    if noise.probe == "same":
        bends = [
            torch.einsum("mij,mj->mi", hessians[part].sum(dim=1), each(gradients[part].sum(dim=1)))
            for part in cut
        ]
        q = bends[0] if len(bends) == 1 else torch.stack(bends).mean(dim=0)
    else:
        common = perturbation(g_mean)
        if noise.probe == "independent":
            common = _expectation(each(gradients[index].sum(dim=1)), law)
        q = (hessians @ common)[index].sum(dim=1)
    if type(rule).combine is not Rule.combine:
        g = (samples.gradients / size)[index].sum(dim=1)
        q = torch.func.vmap(lambda a, b: rule.combine(a, a + b, **coefficients) - a)(g, q)
    q_mean = _expectation(q, law)
    if noise.model != "gradient":
        # one factor has the mean 0: the other need not be centred
        cross = _expectation(shares[index].sum(dim=1)[:, :, None] * q[:, None, :], law)
        covariance = covariance + cross + cross.T
    if noise.model == "full":
        spread = q - q_mean
        covariance = covariance + _expectation(spread[:, :, None] * spread[:, None, :], law)
    return g_mean + q_mean, covariance


def _expectation(values: Tensor, law: Batches) -> Tensor:
    """The mean over the batches."""
    p = law.probability
    if p.max() - p.min() <= 1e-15 * p.max():
        return values.mean(dim=0)
    return torch.tensordot(tensor_of(p).to(values), values, 1)


def _full(
    loss: FiniteSum, rule: Rule, noise: Minibatch, law: Batches, x: Tensor, coefficients: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """The direction of every batch at its own perturbed point."""
    probability = tensor_of(law.probability).to(x)
    weights = tensor_of(law.weights).to(x)
    index = tensor_of(law.index)
    parts = (loss.samples,) if loss.single else loss.samples
    chosen = tuple(part.to(x)[index] for part in parts)
    samples = chosen[0] if loss.single else chosen
    full = loss.gradient_function
    micro = noise.micro_batch or noise.batch_size

    def direction(s: Any, w: Tensor) -> Tensor:
        made = []
        for i in range(0, noise.batch_size, micro):
            cut = slice(i, i + micro)
            g = loss.batch_gradient(s[cut] if loss.single else tuple(a[cut] for a in s), w[cut])
            made.append(descent_direction(rule, x, g, g, full, **coefficients))
        return torch.stack(made).mean(dim=0)

    def mixed(s: Any, w: Tensor, s2: Any, w2: Tensor) -> Tensor:
        descent, other = loss.batch_gradient(s, w), loss.batch_gradient(s2, w2)
        ascent = full if noise.probe == "full" else other
        return descent_direction(rule, x, ascent, descent, full, **coefficients)

    if noise.probe == "same":
        return _moments(torch.func.vmap(direction)(samples, weights), probability)
    if noise.probe == "full":
        return _moments(torch.func.vmap(mixed)(samples, weights, samples, weights), probability)
    over_ascent = torch.func.vmap(mixed, in_dims=(None, None, 0, 0))
    pairs = torch.func.vmap(over_ascent, in_dims=(0, 0, None, None))(samples, weights, samples, weights)
    return _moments(pairs.reshape(-1, len(x)), torch.outer(probability, probability).reshape(-1))


def _moments(values: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
    mean = probability @ values
    centred = values - mean
    return mean, (probability[:, None] * centred).T @ centred


_LINEAR: WeakKeyDictionary[type[Rule], bool] = WeakKeyDictionary()


def is_linear(rule: Rule) -> bool:
    """Whether the perturbation is linear in the gradient, for any coefficients, and the descent is plain.

    The answer is kept for each class of rules: it compares numbers, which a step cannot do while it is
    traced, so that a `Diffusion` asks when it is made.
    """
    kind = type(rule)
    if kind not in _LINEAR:
        _LINEAR[kind] = _seen_to_be_linear(rule)
    return _LINEAR[kind]


def _seen_to_be_linear(rule: Rule) -> bool:
    plain = type(rule).descent is Rule.descent and type(rule).combine is Rule.combine
    if not plain or rule.memory:
        return False
    x, g, k = torch.tensor([[0.3, -1.2], [0.7, 0.4], [-2.0, 0.6]], dtype=torch.float64, device="cpu")
    coefficients: dict[str, Any] = dict.fromkeys(rule.coefficient_names, 1.0)
    if rule.uses_full_gradient:
        coefficients["full_gradient"] = torch.ones_like(x)
    whole = rule.perturbation(x, 2 * g - 3 * k, **coefficients)
    parts = 2 * rule.perturbation(x, g, **coefficients) - 3 * rule.perturbation(x, k, **coefficients)
    return bool((whole - parts).abs().max() <= 1e-12 * (1 + whole.abs().max()))


def _is_mean_of_samples(rule: Rule, noise: Minibatch) -> bool:
    """Whether a batch's direction is the mean of the directions of its samples."""
    plain = type(rule).descent is Rule.descent and type(rule).combine is Rule.combine
    return not rule.perturbs or (plain and noise.probe == "full")


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
