r"""Coefficients of the normal forms of bifurcations, which say what is born there and on which side.

With A the Jacobian, B and C the second and third derivatives of the k-fold map (or the field), q and p the
right and left critical eigenvectors, ``p* q = 1``:

- fold and branch point, x' = x + b x^2:

  .. math:: b = \tfrac12\, p \cdot B(q, q)

- pitchfork, x' = x + c x^3, with (1 - A) h = B(q, q) off the critical direction (-A h for flows):

  .. math:: c = \tfrac16\, p \cdot \bigl(C(q, q, q) + 3 B(q, h)\bigr)

- flip, x' = -x + c x^3:

  .. math:: c = \tfrac16\, p \cdot \bigl(C(q, q, q) + 3 B(q, (1 - A)^{-1} B(q, q))\bigr)

- Neimark-Sacker, :math:`z' = e^{iw} z (1 + d |z|^2)`:

  .. math::

      d = \tfrac12 e^{-iw}\, p^* \bigl(C(q, q, \bar q) + 2 B(q, (1 - A)^{-1} B(q, \bar q))
          + B(\bar q, (e^{2iw} - A)^{-1} B(q, q))\bigr)

- Hopf, :math:`\dot z = i w z + c z |z|^2`:

  .. math::

      c = \tfrac12\, p^* \bigl(C(q, q, \bar q) - 2 B(q, A^{-1} B(q, \bar q))
          + B(\bar q, (2iw - A)^{-1} B(q, q))\bigr)

Real q has length 1, complex q has length 1/sqrt 2, so that |z| is the radius where the critical motion is
round. What is born is stable ("supercritical") for c > 0 at a flip, and for a
negative real part of c or d at pitchforks, Neimark-Sacker and Hopf points.

Error: B and C act through central differences of fourth order of the exact Jacobian, with a step of 1e-3 of
the state's scale: relative errors about 1e-9 where the map varies on that scale.

References
----------
Kuznetsov, Elements of Applied Bifurcation Theory (3rd ed., 2004), (5.47)-(5.52), (5.62), (10.51) [formulas
as remembered; tested here on normal forms with known coefficients].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

Matrix = npt.NDArray[Any]
STEP = 1e-3


def first_derivative(jacobian: Callable[[Array], Array], z: Array, q: Array, h: float) -> Array:
    """The matrix B(q, .) at z, from the Jacobian along q."""
    near, far = jacobian(z + h * q) - jacobian(z - h * q), jacobian(z + 2 * h * q) - jacobian(z - 2 * h * q)
    return np.asarray((8 * near - far) / (12 * h))


def second_derivative(jacobian: Callable[[Array], Array], z: Array, q: Array, h: float) -> Array:
    """The matrix C(q, q, .) at z, from the Jacobian along q."""
    near, far = jacobian(z + h * q) + jacobian(z - h * q), jacobian(z + 2 * h * q) + jacobian(z - 2 * h * q)
    return np.asarray((16 * near - far - 30 * jacobian(z)) / (12 * h * h))


def real_coefficients(
    kind: str, jacobian: Callable[[Array], Array], z: Array, scale: float, discrete: bool
) -> tuple[float, float]:
    """(quadratic, cubic) coefficients at a fold, branch point, pitchfork or flip; nan for one not defined.

    Parameters
    ----------
    kind : str
    jacobian : callable
        A at a state.
    z : ndarray, shape (n,)
    scale : float
        Of the state.
    discrete : bool
    """
    a = jacobian(z)
    n, h = len(z), STEP * scale
    critical = -1.0 if kind == "flip" else 1.0 if discrete else 0.0
    q, p = _eigenvectors(a, critical)
    q, p = q.real / np.linalg.norm(q.real), p.real
    p = p / (p @ q)
    b_q = first_derivative(jacobian, z, q, h)
    quadratic = float(p @ b_q @ q) / 2
    resolvent = (np.eye(n) if discrete else np.zeros((n, n))) - a
    if kind == "flip":
        response = np.linalg.solve(resolvent, b_q @ q)
    else:  # off the critical direction: a bordered solve
        border = np.block([[resolvent, q[:, None]], [p[None], np.zeros((1, 1))]])
        response = np.linalg.solve(border, np.append(b_q @ q - 2 * quadratic * q, 0.0))[:n]
    third = second_derivative(jacobian, z, q, h) @ q
    cubic = float(p @ (third + 3 * b_q @ response)) / 6
    return (float("nan") if kind == "flip" else quadratic), cubic


def complex_coefficient(
    jacobian: Callable[[Array], Array], z: Array, eigenvalue: complex, scale: float, discrete: bool
) -> complex:
    """d of a Neimark-Sacker point or c of a Hopf point."""
    a = jacobian(z)
    n, h = len(z), STEP * scale
    one = np.eye(n)
    q, p = _eigenvectors(a, eigenvalue)
    # the phase in which real and imaginary part are orthogonal makes the differences well scaled
    q = q * np.exp(-0.5j * np.angle(q @ q)) / np.sqrt(2)
    p = p / np.conj(np.vdot(p, q))
    x, y = q.real.copy(), q.imag.copy()
    b_x, b_y = (first_derivative(jacobian, z, v, h) for v in (x, y))
    c_x, c_y = (second_derivative(jacobian, z, v, h) for v in (x, y))
    b_q, b_conjugate = b_x + 1j * b_y, b_x - 1j * b_y
    third = c_x @ x + c_y @ x + 1j * (c_x @ y + c_y @ y)  # C(q, q, q')
    if discrete:
        mean = np.linalg.solve(one - a, b_q @ q.conj())
        double = np.linalg.solve(eigenvalue**2 * one - a, b_q @ q)
        return complex(np.vdot(p, third + 2 * b_q @ mean + b_conjugate @ double) / (2 * eigenvalue))
    mean = np.linalg.solve(a, b_q @ q.conj())
    double = np.linalg.solve(2 * eigenvalue * one - a, b_q @ q)
    return complex(np.vdot(p, third - 2 * b_q @ mean + b_conjugate @ double) / 2)


def _eigenvectors(a: Array, eigenvalue: complex) -> tuple[Matrix, Matrix]:
    """Right and left eigenvectors of the eigenvalue nearest to the one given, |q| = 1."""
    values, vectors = np.linalg.eig(a)
    q = vectors[:, int(np.argmin(np.abs(values - eigenvalue)))]
    adjoint, left = np.linalg.eig(a.T)
    p = left[:, int(np.argmin(np.abs(adjoint - eigenvalue)))].conj()
    return q / np.linalg.norm(q), p


def eigenvalue_speed(a: Array, change: Array, eigenvalue: complex) -> complex:
    """Derivative of a simple eigenvalue of A when A changes at the rate `change`."""
    q, p = _eigenvectors(a, eigenvalue)
    return complex(np.vdot(p, change @ q) / np.vdot(p, q))
