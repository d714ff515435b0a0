"""Random numbers as a function of (seed, path, step): Philox4x32-10 in plain integer tensor operations.

A counter-based generator has no state: ten rounds of multiplication and exclusive or turn a counter of four
32-bit words and a key of two into four random words. Whoever asks for the noise of a path at a step gets the
same bits, on any device, in any tile of paths, in any order and after a resume. Only sums, products, shifts
and bit operations on int64 are used, which every tensor library and compiler has.

The layout is fixed, because stored results depend on it:

- key = (low, high) 32 bits of the seed;
- counter = (block, stream, path low 32 bits, path high 32 bits); block b holds the steps 4 b .. 4 b + 3;
- normals: stream d is coordinate d. The words w0..w3 of its call give z0, z1 = Box-Muller(w0, w1) and
  z2, z3 = Box-Muller(w2, w3); z_j drives the coordinate at step 4 b + j. The noise of a coordinate therefore
  does not depend on how many coordinates there are;
- uniforms: word w_j of the stream's call belongs to step 4 b + j. Streams with other purposes than normals
  start at 0xFFFF_0000, beyond any number of coordinates;
- one more uniform for the block as a whole: the low bytes of coordinate 0's words (`spare_uniform`).

From bits to floats: see `uniform_from_bits` and `normals_from_bits`.

References
----------
Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11 (2011),
doi:10.1145/2063384.2063405.
Box, Muller, "A note on the generation of random normal deviates", Ann. Math. Statist. 29 (1958) 610-611.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks

Word: TypeAlias = Tensor | int
Words: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
Counter: TypeAlias = tuple[Word, Word, Word, Word]
Key: TypeAlias = tuple[Word, Word]

STEPS_PER_BLOCK = 4

# streams of uniforms; a stream below STREAM_LIMIT is a coordinate's normals
STREAM_LIMIT = 0xFFFF_0000
STREAM_BRIDGE = 0xFFFF_0001  # did the Brownian bridge of a step cross the boundary?
STREAM_CROSSING_TIME = 0xFFFF_0002  # when, within the step
STREAM_START = 0xFFFF_0003  # random initial points
STREAM_MINIBATCH = 0xFFFF_0004  # which samples are in the batch

_MASK = 0xFFFF_FFFF  # the low 32 bits
_MULTIPLIERS = (0xD251_1F53, 0xCD9E_8D57)
_KEY_STEPS = (0x9E37_79B9, 0xBB67_AE85)
_ROUNDS = 10  # Philox4x32-10, as its authors recommend it

# Minimax in relative error (Lawson's algorithm): -2 log(m) = s P(s^2) with s = (m - 1)/(m + 1) and m in
# [1/sqrt 2, sqrt 2], error 3e-9; sin(pi t / 2) = t Q(t^2) with |t| <= 1, error 7e-9.
LOG = (-3.9999999972288864, -1.3333363274363987, -0.7994951359506005, -0.5985302815920738)
SINE = (
    1.5707963200919848,
    -0.6459637612910584,
    0.07968992686443983,
    -0.004674157492491538,
    0.00015167853000698115,
)
SQRT_HALF_BITS = 0x3F35_04F3  # float32(1/sqrt 2), the lower end of m


def split_seed(seed: int) -> tuple[int, int]:
    """The Philox key of a seed: its low and its high 32 bits.

    Parameters
    ----------
    seed : int
        In [0, 2**64).

    Raises
    ------
    TypeError, ValueError
        Not an integer, or outside that range.

    Examples
    --------
    >>> split_seed(2**32 + 7)
    (7, 1)
    """
    value = checks.seed("seed", seed)
    return value & _MASK, value >> 32


def path_counter(path: Word, block: Word, stream: Word) -> Counter:
    """The counter of a path's block of four steps in a stream: (block, stream, path low, path high).

    Parameters
    ----------
    path : int or int64 tensor
        Path number in [0, 2**63).
    block : int or int64 tensor
        step // 4, in [0, 2**32).
    stream : int or int64 tensor
        In [0, 2**32): a coordinate's number, or one of the ``STREAM_`` constants.

    Examples
    --------
    >>> path_counter(2**32 + 5, block=3, stream=0)
    (3, 0, 5, 1)
    """
    return block, stream, path & _MASK, path >> 32


def philox4x32(counter: Counter, key: Key) -> Words:
    """Four random 32-bit words from a counter and a key (Philox4x32-10).

    Parameters
    ----------
    counter : tuple of 4 int or int64 tensor
        Words in [0, 2**32); tensors are not checked. They broadcast against each other and against the key.
    key : tuple of 2 int or int64 tensor
        Words in [0, 2**32). Give 0-d tensors to a compiled function: it is recompiled for a new int.

    Returns
    -------
    tuple of 4 int64 tensor
        Words in [0, 2**32).

    Notes
    -----
    A product of two 32-bit words fills 64 bits and so wraps to a negative int64 at times; shifting it (which
    repeats the sign) and masking still gives the high word. Of the ways to write the product (int64, 32-bit
    storage widened for it, 16-bit halves) this one is the fastest: there is a vector instruction for it.

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox4x32((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    for name, words in (("counter", counter), ("key", key)):
        for word in words:
            if isinstance(word, int) and not 0 <= word <= _MASK:
                raise ValueError(f"{name} must hold words in [0, 2**32), got {word}")
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for n in range(_ROUNDS):
        if n > 0:
            k0 = (k0 + _KEY_STEPS[0]) & _MASK
            k1 = (k1 + _KEY_STEPS[1]) & _MASK
        product0 = c0 * _MULTIPLIERS[0]
        product1 = c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _MASK) ^ c1 ^ k0,
            product1 & _MASK,
            ((product0 >> 32) & _MASK) ^ c3 ^ k1,
            product0 & _MASK,
        )
    words = (c0, c1, c2, c3)
    return tuple(w if isinstance(w, Tensor) else torch.tensor(w, device="cpu") for w in words)  # type: ignore[return-value]


def _check_dtype(dtype: torch.dtype) -> None:
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32 or torch.float64, got {dtype}")


def uniform_from_bits(word: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A uniform number in the open interval (0, 1) from a 32-bit word.

    Parameters
    ----------
    word : int64 tensor
        In [0, 2**32).
    dtype : torch.float32 or torch.float64

    Notes
    -----
    float64: exactly (word + 1/2) 2**-32, from 2**-33 to 1 - 2**-33, mean exactly 1/2.
    float32: the nearest float32 (24 significant bits) to the same number, with 1 replaced by 1 - 2**-24.
    Small values keep the full 32-bit lattice, so P(u < p) is within 2**-33 of p for p < 2**-9 and within
    2**-24 for every p: tests against tiny probabilities need that.

    Examples
    --------
    >>> uniform_from_bits(torch.tensor([0, 2**31, 2**32 - 1]), torch.float64) * 2**33
    tensor([1.0000e+00, 4.2950e+09, 8.5899e+09], dtype=torch.float64)
    """
    _check_dtype(dtype)
    u = (word.to(dtype) + 0.5) * 2.0**-32
    return torch.clamp(u, max=1 - 2.0**-24) if dtype == torch.float32 else u


def _horner(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    value = x * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        value = value * x + c
    return value


def normals_from_bits(
    word_a: Tensor, word_b: Tensor, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Two independent standard normal numbers from two 32-bit words (Box-Muller).

    Parameters
    ----------
    word_a, word_b : int64 tensor
        In [0, 2**32): the radius and the angle.
    dtype : torch.float32 or torch.float64
        The arithmetic is done in it.

    Returns
    -------
    tuple of 2 tensor
        r cos(theta) and r sin(theta).

    Notes
    -----
    r = sqrt(-2 log u) with u = (word_a + 1/2) 2**-32. The low 31 bits of word_b are an angle in
    (-pi/2, pi/2), an odd multiple of pi 2**-32; the top bit turns the sign of the cosine. Both numbers are
    symmetric about 0.

    Tails: P(|z| > a) is low by 2e-6 of itself at a = 5, 0.1 % at 6 and 1.3 % at 6.5; the largest normal is
    sqrt(66 log 2) = 6.76, which a true one exceeds (on either side) with probability 1.3e-11.

    float64 uses the library's logarithm, sine and cosine. float32 uses short polynomials, which compile to
    faster code, and all of whose operations IEEE arithmetic rounds in one way. Numbers from different devices
    therefore differ only where a compiler contracts a product and a sum, or where the square root is a fast
    one (eager torch on the CPU: off by one unit in the last place in one value of six). float32 differs from
    float64 by at most 2e-6 where r > 0.03, and by at most 2.5e-4 below (one pair in 2200), where u, next to
    1, keeps 24 bits.

    Examples
    --------
    >>> words = torch.tensor([2**31]), torch.tensor([2**29])
    >>> [round(float(z), 4) for z in normals_from_bits(*words, torch.float64)]
    [0.8326, 0.8326]
    """
    _check_dtype(dtype)
    # narrowing keeps the low 32 bits; doubling drops the top one; the 1 makes the lattice symmetric
    signed = word_b.to(torch.int32)
    t = ((signed << 1) | 1).to(dtype) * 2.0**-31
    x = word_a.to(dtype) + 0.5
    if dtype == torch.float64:
        r = torch.sqrt(-2.0 * torch.log(x * 2.0**-32))
        cosine = torch.cos(t * (math.pi / 2))
        return r * torch.where(signed < 0, -cosine, cosine), r * torch.sin(t * (math.pi / 2))

    # x = m 2**exponent with m in [1/sqrt 2, sqrt 2): near u = 1 the exponent's term is 0 and nothing cancels
    bits = x.view(torch.int32)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    m = (bits - (exponent << 23)).view(torch.float32)
    s = (m - 1.0) / (m + 1.0)
    r = torch.sqrt(_horner(s * s, LOG) * s + (exponent - 32).to(dtype) * (-2.0 * math.log(2.0)))

    sine = _horner(t * t, SINE) * t
    complement = 1.0 - torch.abs(t)
    cosine = _horner(complement * complement, SINE) * complement
    cosine = (cosine.view(torch.int32) ^ (signed & -0x8000_0000)).view(torch.float32)
    return r * cosine, r * sine


def normal_block(
    key: Key, path: Word, block: Word, dim: int, dtype: torch.dtype = torch.float32
) -> list[tuple[Tensor, ...]]:
    """The standard normal numbers of four consecutive steps, one Philox call per coordinate.

    Parameters
    ----------
    key : tuple of 2 int or tensor
        From `split_seed`.
    path : int or int64 tensor (n,)
        Path numbers.
    block : int or 0-d int64 tensor
        step // 4.
    dim : int
        Number of coordinates.
    dtype : torch.float32 or torch.float64

    Returns
    -------
    list of 4 tuple of dim tensor (n,)
        Entry [j][d] drives coordinate d at step 4 block + j.

    Examples
    --------
    >>> noise = normal_block(split_seed(0), torch.arange(1000), block=0, dim=2)
    >>> len(noise), len(noise[0]), noise[0][0].shape
    (4, 2, torch.Size([1000]))
    """
    by_coordinate = []
    for coordinate in range(dim):
        w0, w1, w2, w3 = philox4x32(path_counter(path, block, coordinate), key)
        by_coordinate.append((*normals_from_bits(w0, w1, dtype), *normals_from_bits(w2, w3, dtype)))
    return list(zip(*by_coordinate, strict=True))


def uniform_block(
    key: Key, path: Word, block: Word, stream: Word, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, ...]:
    """The uniform numbers in (0, 1) of four consecutive steps, from one Philox call.

    Parameters
    ----------
    key, path, block, dtype
        As in `normal_block`.
    stream : int
        What the numbers are for: one of the ``STREAM_`` constants.

    Returns
    -------
    tuple of 4 tensor (n,)
        Entry [j] belongs to step 4 block + j.

    Examples
    --------
    >>> u = uniform_block(split_seed(0), torch.arange(1000), 0, STREAM_BRIDGE)
    >>> bool((u[3] > 0).all() and (u[3] < 1).all())
    True
    """
    return tuple(uniform_from_bits(w, dtype) for w in philox4x32(path_counter(path, block, stream), key))


def spare_uniform(key: Key, path: Word, block: Word, dtype: torch.dtype = torch.float32) -> Tensor:
    """One uniform number in (0, 1) for a whole block of four steps, from bits that the normals hardly use.

    Parameters
    ----------
    key, path, block, dtype
        As in `normal_block`.

    Returns
    -------
    Tensor (n,)

    Notes
    -----
    The low bytes of the four words of coordinate 0 (angles first, then radii) make a word of 31 bits, as if
    by a fifth word of the same Philox call: a compiler that draws the normals too finds the call done. The
    number is (word + 1/2) 2**-31, in float32 rounded and at most 1 - 2**-22.

    It is not quite independent of the normals. Given all of its bits, a normal's angle is known modulo 2**-23
    of a half turn and its radius modulo 2**-24 in u = exp(-r^2/2), which shifts the normal by about 4e-7. The
    leading 16 bits are taken from the words of angles, so that a normal far out in the tail, whose radius
    feels its low byte more, is seen by the trailing bits alone.

    Examples
    --------
    >>> u = spare_uniform(split_seed(0), torch.arange(4000), block=0)
    >>> abs(float(u.mean()) - 0.5) < 0.02
    True
    """
    # narrowing keeps the low 32 bits
    radius_a, angle_a, radius_b, angle_b = (
        w.to(torch.int32) for w in philox4x32(path_counter(path, block, 0), key)
    )
    word = ((angle_a & 0xFF) << 23) | ((angle_b & 0xFF) << 15) | ((radius_a & 0xFF) << 7) | (radius_b & 0x7F)
    u = (word.to(dtype) + 0.5) * 2.0**-31
    # sums of probabilities that round to just below 1 must still exceed it
    return torch.clamp(u, max=1 - 2.0**-22) if dtype == torch.float32 else u


def _numbers(name: str, value: Any, below: int) -> Tensor:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {value!r}")
    if array.size and (array.min() < 0 or array.max() >= below):
        raise ValueError(f"{name} must hold integers >= 0 and < {below}, got {array.min()} to {array.max()}")
    return torch.from_numpy(array.astype(np.int64))


def standard_normal(
    seed: int, path: npt.ArrayLike, step: npt.ArrayLike, dim: int, dtype: torch.dtype = torch.float64
) -> npt.NDArray[np.floating]:
    """The noise of given paths at given steps, the same numbers as `normal_block`, as an array.

    Parameters
    ----------
    seed : int
        In [0, 2**64).
    path : int or array of int
        Path numbers in [0, 2**63).
    step : int or array of int
        Step numbers in [0, 2**34); `path` and `step` broadcast.
    dim : int
        Number of coordinates.
    dtype : torch.float32 or torch.float64

    Returns
    -------
    ndarray (..., dim)

    Raises
    ------
    TypeError, ValueError
        An argument is not an integer or out of range.

    Examples
    --------
    >>> standard_normal(0, path=np.arange(3), step=7, dim=2).shape
    (3, 2)
    """
    key = split_seed(seed)
    dim = checks.integer("dim", dim, at_least=1, below=STREAM_LIMIT)
    _check_dtype(dtype)
    paths, steps = torch.broadcast_tensors(_numbers("path", path, 1 << 63), _numbers("step", step, 1 << 34))
    result = np.empty((*paths.shape, dim), dtype=np.float32 if dtype == torch.float32 else np.float64)
    for coordinate in range(dim):
        words = philox4x32(path_counter(paths, steps >> 2, coordinate), key)
        # only the pair of words that the step uses goes through Box-Muller
        second = (steps & 2).bool()
        pair = normals_from_bits(
            torch.where(second, words[2], words[0]), torch.where(second, words[3], words[1]), dtype
        )
        result[..., coordinate] = torch.where((steps & 1).bool(), pair[1], pair[0]).numpy()
    return result
