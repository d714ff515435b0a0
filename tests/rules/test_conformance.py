"""Every member beside a plain numpy transcription of its authors' formula, on three losses, step by step.

A rule's functions take points (3, dim) at once, so that the three losses, one a row, are stepped together.
The transcriptions take one row at a time, and are written from the formulas in the members' docstrings alone.
They are driven by the points of the rule's own orbit, with memory of their own: SAM's orbits are chaotic, so
that after some hundred steps two orbits differ whatever their formulas. Members with memory take 1000 steps;
the step of one without memory is the same function at every step, and 200 points of an orbit say as much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

import samdyn as sd
from samdyn.rules.oracle import Oracle
from samdyn.systems.step_of_rule import given_to

LR = 0.02
A = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 0.5]])
START = np.array([[1.0, -2.0, 0.5], [0.4, -0.3, 0.9], [0.7, -0.2, -0.5]])
SLOPE = np.array([1.0, 2.0, 0.0])


def value(k: int, x: Any) -> Any:
    """A quadratic, coupled double wells, and a valley of log cosh."""
    if k == 0:
        return x @ A @ x / 2
    if k == 1:
        return (x**4 / 4 - x**2 / 2).sum() + 0.3 * x.sum() ** 2 + 0.1 * x[0]
    return np.log(np.cosh(SLOPE @ x)) + x[2] ** 4 / 4 + (x @ x) / 4


def slope(k: int, x: Any) -> Any:
    """The gradients."""
    if k == 0:
        return A @ x
    if k == 1:
        return x**3 - x + 0.6 * x.sum() + 0.1 * np.eye(3)[0]
    return np.tanh(SLOPE @ x) * SLOPE + x[2] ** 3 * np.eye(3)[2] + x / 2


def hessian(k: int, x: Any) -> Any:
    """The Hessians."""
    if k == 0:
        return A
    if k == 1:
        return np.diag(3 * x**2 - 1) + 0.6
    return (1 - np.tanh(SLOPE @ x) ** 2) * np.outer(SLOPE, SLOPE) + np.diag([0.5, 0.5, 0.5 + 3 * x[2] ** 2])


def slopes(x: Tensor) -> Tensor:
    """The three gradients at the three rows."""
    return torch.from_numpy(np.stack([slope(k, x[k].numpy()) for k in range(3)]))


ORACLE = Oracle(
    slopes,
    lambda x: torch.tensor([[value(k, x[k].numpy())] for k in range(3)], dtype=torch.float64),
    lambda x, v: torch.from_numpy(np.stack([hessian(k, x[k].numpy()) @ v[k].numpy() for k in range(3)])),
)

SLOPES = 0.3 * np.array([[1.0, 0.5, -1.0], [-2.0, 1.0, 0.5], [1.0, -1.5, 0.5], [0.4, 0.2, -0.3]])
"""Of the samples f_i(x) = f(x) + s_i . x, whose mean is not f: their slopes do not cancel."""


def outputs(x: Any) -> Any:
    """Of the loss f(F(x)), with f of the problem: a product, a square and a coordinate."""
    return np.array([x[0] * x[1], x[1] ** 2 - x[2], x[2]])


def outputs_slope(x: Any) -> Any:
    """The Jacobian of the outputs."""
    return np.array([[x[1], x[0], 0.0], [0.0, 2 * x[1], -1.0], [0.0, 0.0, 1.0]])


def of_row(k: int, needs: str) -> Oracle:
    """One problem as a rule that sees samples or outputs gets it, at one point (3,)."""

    def at(function: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.from_numpy(np.asarray(function(x.numpy())))

    if needs == "outputs":
        return Oracle(
            at(lambda x: outputs_slope(x).T @ slope(k, outputs(x))),
            outputs=lambda y, x: torch.from_numpy(outputs_slope(y.numpy()).T @ slope(k, outputs(x.numpy()))),
        )
    values, gradients = at(lambda x: value(k, x) + SLOPES @ x), at(lambda x: slope(k, x) + SLOPES)
    return Oracle(lambda x: gradients(x).mean(dim=0), samples=lambda x: (values(x), gradients(x)))


def stepped(rule: sd.Rule, n_steps: int, normals: Any, lr: float = LR) -> np.ndarray:
    """The orbits of a rule's own update."""
    if {"samples", "outputs"} & set(rule.needs):
        return np.stack([stepped_alone(rule, n_steps, k, normals[:, k], lr) for k in range(3)], axis=1)
    x = torch.from_numpy(START.copy())
    memory = {name: torch.full((3, 3), rule.initial.get(name, 0.0)).double() for name in rule.vectors}
    memory |= {name: torch.full((3, 1), rule.initial.get(name, 0.0)).double() for name in rule.numbers}
    orbit = [x.numpy()]
    for t in range(n_steps):
        given = given_to(rule, {**rule.coefficients(t), "lr": lr})
        if rule.n_normals(3):
            given["normals"] = torch.from_numpy(normals[t])[:, : rule.n_normals(3)]
        step = rule.update(x, memory, ORACLE, ORACLE, **given)
        direction = step.direction if step.apart is None else step.direction + step.apart
        x, memory = x - lr * direction, dict(step.memory)
        orbit.append(x.numpy())
    return np.array(orbit)


def stepped_alone(rule: sd.Rule, n_steps: int, k: int, normals: Any, lr: float) -> np.ndarray:
    """The orbit on one problem."""
    x, oracle = torch.from_numpy(START[k].copy()), of_row(k, rule.needs[0])
    memory = {name: torch.zeros(3).double() for name in rule.vectors}
    memory |= {name: torch.zeros(1).double() for name in rule.numbers}
    orbit = [x.numpy()]
    for t in range(n_steps):
        given = rule.coefficients(t)
        if rule.n_normals(3):
            given["normals"] = torch.from_numpy(normals[t, :3])
        step = rule.update(x, memory, oracle, oracle, **given)
        x, memory = x - lr * step.direction, dict(step.memory)
        orbit.append(x.numpy())
    return np.array(orbit)


def norm(v: Any) -> Any:
    return np.sqrt(v @ v)


def hat(v: Any) -> Any:
    return v / norm(v) if norm(v) > 0 else 0 * v


# ---------------------------------------------------------------------- transcriptions
# each maps (x, memory, g, f, H, t, z) to the direction; g, f and H are functions of a point


def sam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x + 0.1 * hat(g(x)))


def asam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    t = np.diag(np.abs(x) + 0.01)
    return g(x + 0.1 * t @ t @ g(x) / norm(t @ g(x)))


def asam_largest(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x + 0.1 * (np.abs(x) + 0.01) * np.sign(g(x)))


def preconditioned(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    d, c = np.diag([1.0, 2.0, 0.5]), np.diag([1.0, 0.3, 2.0])
    return g(x + 0.1 * d @ d @ c @ g(x) / norm(d @ c @ g(x)))


def monge(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    metric = np.linalg.inv(np.eye(3) + np.outer(g(x), g(x)))  # the largest g.e among e.G e <= rho^2
    return g(x + 0.1 * metric @ g(x) / np.sqrt(g(x) @ metric @ g(x)))


def lesam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x + min(0.02 / (norm(g(x)) + 1e-12), 0.1) * hat(g(x)))


def gsam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    p = g(x + 0.1 * hat(g(x)))
    return p - 0.4 * (g(x) - (g(x) @ p) / (p @ p) * p)


def wsam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    a = 0.8 / (1 - 0.8)
    return (1 - a) * g(x) + a * g(x + 0.1 * hat(g(x)))


def stable(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    p = g(x + 0.1 * hat(g(x)))
    return norm(g(x)) / norm(p) * p


def polyak(x: Any, m: dict[str, Any], g: Any, f: Any, *_: Any) -> Any:
    y = x + 0.1 * hat(g(x))
    p = g(y)
    return min(max(f(y) - 0.2 - p @ (y - x), 0) / (p @ p), LR) / LR * p


def samon(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x + 0.1 * hat(np.array([1.0, 0.0, 1.0]) * g(x)))


def gcsam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    def centred(v: Any) -> Any:
        return v - v.sum() / 3

    return centred(g(x + 0.1 * hat(centred(g(x)))))


def zsharp(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    z = (g(x) - g(x).mean()) / (g(x).std() + 1e-8)
    kept = g(x) * (np.abs(z) > np.quantile(np.abs(z), 0.4))
    return g(x + 0.1 * hat(kept if norm(kept) > 0 else g(x)))


def vasso(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    m["d"] = 0.6 * m["d"] + 0.4 * g(x) if "d" in m else g(x)
    return g(x + 0.1 * hat(m["d"]))


def friendly(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    d = g(x) - 0.7 * m["m"] if "m" in m else g(x)
    m["m"] = 0.9 * m["m"] + 0.1 * g(x) if "m" in m else g(x)
    return g(x + 0.1 * hat(d))


def msam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    v = m.get("v", np.zeros(3))
    m["v"] = 0.9 * v + g(x - 0.1 * hat(v))
    return m["v"]


def info(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    m["a"] = 0.99 * m["a"] + 0.01 * g(x) if "a" in m else g(x)
    m["v"] = 0.99 * m.get("v", np.zeros(3)) + 0.01 * (g(x) - m["a"]) ** 2
    return g(x + 0.1 * hat((m["v"] + 1e-3) ** -0.5 * g(x)))


def look(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    if t % 3 == 0:
        p = g(x + 0.1 * hat(g(x)))
        cosine = g(x) @ p / (norm(g(x)) * norm(p))
        m["v"] = p - norm(p) * cosine * g(x) / norm(g(x))
        return p
    return g(x) + 0.7 * norm(g(x)) / norm(m["v"]) * m["v"]


def ae(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    m["mean"] = 0.9 * m.get("mean", 0.0) + 0.1 * norm(g(x)) ** 2
    m["var"] = 0.9 * m.get("var", 0.0) + 0.1 * (norm(g(x)) ** 2 - m["mean"]) ** 2
    c = t / 1000 * (-1.0) + (1 - t / 1000) * 1.0
    return sam(x, m, g) if norm(g(x)) ** 2 >= m["mean"] + c * np.sqrt(m["var"]) else g(x)


def lookbehind(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    fast, slow = x.copy(), x.copy()
    for _k in range(3):
        slow = slow + 0.1 * hat(g(slow))
        fast = fast - LR * g(slow)
    return (x - (x + 0.5 * (fast - x))) / LR


def sampa(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    y = m.get("y", x)
    m["y"] = x - LR * g(y)
    return 0.8 * g(x + 0.1 * hat(g(y))) + 0.2 * g(m["y"])


def adamw(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    p = sam(x, m, g)
    m["m"] = 0.9 * m.get("m", 0.0) + 0.1 * p
    m["v"] = 0.999 * m.get("v", 0.0) + 0.001 * p**2
    return m["m"] / (1 - 0.9 ** (t + 1)) / (np.sqrt(m["v"] / (1 - 0.999 ** (t + 1))) + 1e-8) + 0.01 * x


def ada(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    p = sam(x, m, g)
    m["m"] = 0.9 * m.get("m", 0.0) + 0.1 * p
    m["v"] = 0.999 * m.get("v", 0.0) + 0.001 * p**2
    m["w"] = np.maximum(m.get("w", 1e-16), m["v"])
    return m["m"] / np.sqrt(m["w"])


def rmsprop(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    p = sam(x, m, g)
    m["v"] = 0.99 * m.get("v", 0.0) + 0.01 * p**2
    return p / (np.sqrt(m["v"]) + 1e-8)


def light(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    m["u"] = m.get("u", 1e-16) + norm(g(x)) ** 2
    p = g(x + 0.1 * g(x) / np.sqrt(m["u"]))
    m["v"] = m.get("v", 1e-16) + norm(p) ** 2
    return p / np.sqrt(m["v"])


def light_by_entry(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    m["u"] = m.get("u", np.full(3, 1e-16)) + g(x) ** 2
    p = g(x + 0.1 * g(x) / np.sqrt(m["u"]))
    m["v"] = m.get("v", np.full(3, 1e-16)) + p**2
    return p / np.sqrt(m["v"])


def leading(x: Any, m: dict[str, Any], h: Any) -> Any:
    v = m.get("e", np.ones(3))
    for _k in range(2):
        v = h(x) @ v / norm(h(x) @ v)
    m["e"] = v
    return v


def eigen(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, *_: Any) -> Any:
    v, u = leading(x, m, h), hat(g(x))
    return g(x + 0.1 * (u + 0.2 * np.sign(g(x) @ v) * (v - (u @ v) * u)))


def x_sam(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, *_: Any) -> Any:
    v, p = leading(x, m, h), hat(sam(x, m, g))
    return p - 0.5 * (p @ v) * v


def sassha(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    y, signs = x + 0.1 * hat(g(x)), np.where(z[:3] < 0, -1.0, 1.0)
    m["m"] = 0.9 * m.get("m", 0.0) + 0.1 * g(y)
    if t % 4 == 0:
        m["d"] = 0.999 * m.get("d", 0.0) + 0.001 * np.abs(signs * (h(y) @ signs))
        m["c"] = (1 - 0.999 ** (t + 1)) ** 0.5
    return m["m"] / (1 - 0.9 ** (t + 1)) / (m["d"] ** 0.5 / m["c"] + 1e-4)


def r_sam(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    delta = 0.01 * norm(x) * z[:3]
    return g(x + delta + 0.1 * hat(g(x + delta)))


def b_sam(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    s = m.get("s", np.ones(3))
    noisy = g(x + z[:3] * np.sqrt(1 / (1000.0 * s)))
    m["g"] = 0.9 * m.get("g", np.zeros(3)) + 0.1 * (g(x + 0.1 * noisy / s) + 1e-4 * x)
    m["s"] = 0.999 * s + 0.001 * (np.sqrt(s) * np.abs(noisy) + 1e-4 + 0.1)
    return m["g"] / m["s"]


def swp(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    return g(x + 0.1 / 0.6 * (z[:3] < ndtri(0.6)) * g(x) / norm(g(x)))


def usam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x + 0.1 * g(x))


def unified(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x + 0.1 * (1 - 0.3 + 0.3 / norm(g(x))) * g(x))


def light_adam(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    m["m"], m["u"] = 0.9 * m.get("m", 0.0) + 0.1 * g(x), 0.999 * m.get("u", 0.0) + 0.001 * g(x) ** 2
    p = g(x + 0.1 * m["m"] / (np.sqrt(m["u"]) + 1e-8))
    m["n"], m["v"] = 0.9 * m.get("n", 0.0) + 0.1 * p, 0.999 * m.get("v", 0.0) + 0.001 * p**2
    return m["n"] / (np.sqrt(m["v"]) + 1e-8)


def extragradient(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    return g(x - 0.1 * g(x))


def trace(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    return g(x) + 0.5 * (g(x + 0.1 * z[:3]) - g(x))


def universal(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    rises = [(f(x + 0.1 * v) - f(x)) / 0.1**2 for v in (z[:3], z[3:])]
    psi = np.mean([np.sin(r) for r in rises])
    turns = [np.cos(r) * (g(x + 0.1 * v) - g(x)) for r, v in zip(rises, (z[:3], z[3:]), strict=True)]
    return g(x) + 0.5 * 2 * psi * np.mean(turns, axis=0)  # phi(y) = y^2


def determinant(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    v = 0.2 * (2 * ndtr(z[:3]) - 1)
    psi = np.exp(-(f(x + v) - f(x)) / 2)
    return g(x) + (-2 * psi**-3.0) * (-psi / 2) * (g(x + v) - g(x))


def frobenius(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    ends = x + 0.1 * z[:3], x + 0.1 * z[3:]
    values, slopes = np.array([f(y) for y in ends]), np.array([g(y) for y in ends])
    return g(x) + 0.5 / 0.1**2 * (values - values.mean()) @ slopes


def kept_samples(x: Any, m: dict[str, Any], g: Any, f: Any, *_: Any) -> Any:
    mean = SLOPES.mean(axis=0)
    y = x + 0.1 * hat(g(x) + mean)
    rises = [(f(y) + s @ y) - (f(x) + s @ x) for s in SLOPES]
    return g(y) + SLOPES[np.argsort(rises)[-2:]].mean(axis=0)


def reweighted(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    each = [g(x) + s for s in SLOPES]
    weights = np.exp([0.7 * norm(v) for v in each])
    return g(x + 0.1 * hat(weights @ np.array(each))) + SLOPES.mean(axis=0)


def functional(x: Any, m: dict[str, Any], g: Any, *_: Any) -> Any:
    y = x + 0.1 * hat(outputs_slope(x).T @ g(outputs(x)))
    return outputs_slope(y).T @ g(outputs(x))


def preconditioned_functional(x: Any, m: dict[str, Any], g: Any, f: Any, h: Any, t: int, z: Any) -> Any:
    whole = outputs_slope(x).T @ g(outputs(x))
    m["v"] = 0.99 * m.get("v", 0.0) + 0.01 * whole**2
    y = x + 0.1 * hat(whole / (np.sqrt(m["v"] / (1 - 0.99 ** (t + 1))) + 1e-3))
    return outputs_slope(y).T @ g(outputs(x))


CASES: list[tuple[sd.Rule, Callable[..., Any]]] = [
    (sd.SAM(0.1), sam),
    (sd.ASAM(0.1), asam),
    (sd.ASAM(0.1, largest=True), asam_largest),
    (sd.PreconditionedSAM(0.1, [1.0, 2.0, 0.5], [1.0, 0.3, 2.0]), preconditioned),
    (sd.MongeSAM(0.1), monge),
    (sd.LESAM(0.1, 0.02), lesam),
    (sd.GSAM(0.1), gsam),
    (sd.WSAM(0.1, gamma=0.8), wsam),
    (sd.WSAM(0.1, gamma=0.8, decoupled=False), wsam),
    (sd.StableSAM(0.1), stable),
    (sd.PolyakSAM(0.1, lower=0.2), polyak),
    (sd.SAMON(0.1, blocks=[0, 2]), samon),
    (sd.GCSAM(0.1), gcsam),
    (sd.ZSharp(0.1, percentile=0.4), zsharp),
    (sd.VaSSO(0.1), vasso),
    (sd.FriendlySAM(0.1, sigma=0.7), friendly),
    (sd.MSAM(0.1), msam),
    (sd.InfoSAM(0.1, eps=1e-3), info),
    (sd.LookSAM(0.1, every=3), look),
    (sd.AESAM(0.1), ae),
    (sd.LookbehindSAM(0.1, steps=3), lookbehind),
    (sd.SAMPa(0.1), sampa),
    (sd.AdamWSAM(0.1), adamw),
    (sd.AdaSAM(0.1), ada),
    (sd.RMSPropSAM(0.1), rmsprop),
    (sd.LightSAM(0.1), light),
    (sd.LightSAM(0.1, by_entry=True), light_by_entry),
    (sd.EigenSAM(0.1, iterations=2), eigen),
    (sd.XSAM(0.1, iterations=2), x_sam),
    (sd.Sassha(0.1, every=4), sassha),
    (sd.RSAM(0.1), r_sam),
    (sd.BSAM(0.1, n_samples=1000.0), b_sam),
    (sd.ESAM(0.1, beta=0.6, gamma=1.0), swp),
    (sd.USAM(0.1), usam),
    (sd.UnifiedSAM(0.1, 0.3), unified),
    (sd.DNSAM(0.1), sam),  # the gradient here is the full one
    (sd.LightAdamSAM(0.1), light_adam),
    (sd.Extragradient(0.1), extragradient),
    (sd.TraceSAM(0.1, weight=0.5), trace),
    (
        sd.UniversalSAM(0.1, weight=0.5, phi=lambda y: y**2, psi=torch.sin, n_probes=2),
        universal,
    ),
    (sd.DetSAM(1.0, weight=1.0, side=0.2), determinant),
    (sd.FrobSAM(0.1, weight=0.5), frobenius),
    (sd.ESAM(0.1, beta=1.0), kept_samples),
    (sd.RWSAM(0.1, temperature=0.7), reweighted),
    (sd.FunctionalSAM(0.1), functional),
    (sd.PreconditionedFunctionalSAM(0.1, beta=0.99, eps=1e-3), preconditioned_functional),
]
SAMS = [rule for rule, step in CASES if step is sam]


def transcribed(step: Callable[..., Any], orbit: np.ndarray, normals: Any) -> np.ndarray:
    """The next points that the transcription makes of the points of an orbit (n + 1, 3, 3)."""
    following = np.empty_like(orbit[1:])
    for k in range(3):
        memory: dict[str, Any] = {}
        for t, x in enumerate(orbit[:-1, k]):
            d = step(
                x, memory, lambda y, k=k: slope(k, y), lambda y, k=k: value(k, y),
                lambda y, k=k: hessian(k, y), t, normals[t, k],
            )  # fmt: skip
            following[t, k] = x - LR * d
    return following


@pytest.mark.parametrize(("rule", "step"), CASES, ids=[type(rule).__name__ for rule, _ in CASES])
def test_a_member_is_its_authors_formula(rule: sd.Rule, step: Callable[..., Any]) -> None:
    n_steps = 1000 if rule.memory else 200
    normals = np.random.default_rng(3).standard_normal((n_steps, 3, 6))
    orbit = stepped(rule, n_steps, normals)
    assert np.isfinite(orbit).all()
    assert np.abs(orbit[1:] - orbit[:-1]).max() > 1e-3
    np.testing.assert_allclose(orbit[1:], transcribed(step, orbit, normals), rtol=0, atol=1e-9)


def test_transcriptions_differ_from_sam() -> None:
    """What would a test tell where a member's formula were SAM's: all but SAM's are another one."""
    normals = np.random.default_rng(3).standard_normal((20, 3, 6))
    orbit = stepped(sd.SAM(0.1), 20, normals)
    assert [sd.SAM(0.1), sd.DNSAM(0.1)] == SAMS
    for rule, step in [(rule, step) for rule, step in CASES if step is not sam]:
        assert np.abs(transcribed(step, orbit, normals) - orbit[1:]).max() > 1e-6, rule


def test_every_rule_has_a_transcription() -> None:
    """All but gradient descent, the base class, and past extragradient, which has tests of its own."""
    public = {name: getattr(sd, name) for name in sd.__all__}
    rules = {name for name, thing in public.items() if isinstance(thing, type) and issubclass(thing, sd.Rule)}
    assert rules - {type(rule).__name__ for rule, _ in CASES} == {"GD", "PastExtragradient", "Rule"}
