from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from samdyn.numerics.random import (
    STREAM_BRIDGE,
    STREAM_CROSSING_TIME,
    STREAM_LIMIT,
    STREAM_MINIBATCH,
    STREAM_START,
    normal_block,
    normals_from_bits,
    path_counter,
    philox4x32,
    spare_uniform,
    split_seed,
    standard_normal,
    uniform_block,
    uniform_from_bits,
)

ALL_ONES = 0xFFFF_FFFF

# the known-answer vectors that come with Random123
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ALL_ONES,) * 4, (ALL_ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def reference_philox(counter, key):
    """Philox4x32-10 with Python's unbounded integers, one counter at a time."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 1 << 32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % (1 << 32), (k[1] + 0xBB67AE85) % (1 << 32)]
    return tuple(c)


def reference_normals(a, b):
    """Box-Muller with Python floats, from the documented meaning of the bits."""
    r = math.sqrt(-2 * math.log((a + 0.5) / 2**32))
    low = b % 2**31
    angle = (2 * low + 1) * math.pi / 2**32
    if low >= 2**30:
        angle -= math.pi
    sign = -1 if b >= 2**31 else 1
    return sign * r * math.cos(angle), r * math.sin(angle)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter, key, expected):
    assert tuple(int(w) for w in philox4x32(counter, key)) == expected
    tensors = tuple(torch.tensor([c]) for c in counter)
    assert tuple(int(w) for w in philox4x32(tensors, tuple(torch.tensor(k) for k in key))) == expected
    words = philox4x32(counter, key)
    assert all(w.dtype == torch.int64 and w.shape == () for w in words)


def test_words_equal_the_reference_and_broadcast():
    generator = np.random.default_rng(0)
    counters = generator.integers(0, 1 << 32, size=(500, 4))
    key = (0xDEADBEEF, 0x12345678)
    words = philox4x32(tuple(torch.tensor(column) for column in counters.T), key)
    got = torch.stack(words, -1).tolist()
    assert got == [list(reference_philox([int(c) for c in row], key)) for row in counters]

    block, path = torch.arange(3)[:, None], torch.arange(5)
    words = philox4x32((block, 7, path, 0), key)
    assert [w.shape for w in words] == [(3, 5)] * 4
    assert int(words[2][2, 4]) == reference_philox((2, 7, 4, 0), key)[2]


@pytest.mark.parametrize("path", [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1])
def test_path_counter_splits_the_path(path):
    expected = (9, 2, path % 2**32, path // 2**32)
    assert path_counter(path, 9, 2) == expected
    assert tuple(int(c) for c in path_counter(torch.tensor(path), 9, 2)) == expected


def test_split_seed():
    assert split_seed(0) == (0, 0)
    assert split_seed(2**64 - 1) == (ALL_ONES, ALL_ONES)
    assert split_seed(np.int64(2**40 + 3)) == (3, 2**8)


def test_streams_are_distinct_and_away_from_coordinates():
    streams = {STREAM_BRIDGE, STREAM_CROSSING_TIME, STREAM_START, STREAM_MINIBATCH}
    assert len(streams) == 4
    assert all(STREAM_LIMIT <= s < 2**32 for s in streams)


def test_layout_is_the_documented_one():
    # an independent computation of every number: changing the layout would change stored results
    seed, path, dim = 0x0123_4567_89AB_CDEF, 2**32 + 17, 3
    key = split_seed(seed)
    for block in (0, 5, 2**32 - 1):
        normals = normal_block(key, torch.tensor([path]), block, dim, torch.float64)
        assert len(normals) == 4
        assert all(len(z) == dim for z in normals)
        for d in range(dim):
            w = reference_philox((block, d, 17, 1), (0x89AB_CDEF, 0x0123_4567))
            expected = reference_normals(w[0], w[1]) + reference_normals(w[2], w[3])
            assert [float(normals[j][d]) for j in range(4)] == pytest.approx(expected, abs=1e-12)
        w = reference_philox((block, STREAM_BRIDGE, 17, 1), (0x89AB_CDEF, 0x0123_4567))
        uniforms = uniform_block(key, torch.tensor([path]), block, STREAM_BRIDGE, torch.float64)
        assert [float(u) for u in uniforms] == [(word + 0.5) / 2**32 for word in w]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_standard_normal_gives_the_numbers_of_normal_block(dtype):
    path, dim, seed = np.arange(7) + 2**33, 2, 11
    numbers = standard_normal(seed, path[:, None], np.arange(12), dim, dtype)
    assert numbers.shape == (7, 12, dim)
    assert numbers.dtype == (np.float32 if dtype == torch.float32 else np.float64)
    for block in range(3):
        noise = normal_block(split_seed(seed), torch.tensor(path), block, dim, dtype)
        for j in range(4):
            for d in range(dim):
                np.testing.assert_array_equal(numbers[:, 4 * block + j, d], noise[j][d].numpy())
    assert standard_normal(seed, 2**33 + 3, 5, dim, dtype).shape == (dim,)
    np.testing.assert_array_equal(standard_normal(seed, 2**33 + 3, 5, dim, dtype), numbers[3, 5])


def test_a_coordinate_does_not_depend_on_the_dimension():
    path = torch.arange(100)
    one, three = normal_block((1, 2), path, 3, 1), normal_block((1, 2), path, 3, 3)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(one, three, strict=True))


@pytest.mark.parametrize("tile", [1, 7, 16, 1000])
def test_float32_numbers_are_the_same_in_any_tile(tile):
    path = torch.arange(1003) + 2**32 - 500
    key = split_seed(99)
    whole = torch.stack([z[0] for z in normal_block(key, path, 2, 1)])
    tiled = [torch.stack([z[0] for z in normal_block(key, part, 2, 1)]) for part in path.split(tile)]
    assert torch.equal(torch.cat(tiled, dim=1), whole)
    shuffled = torch.randperm(1003, generator=torch.Generator().manual_seed(0))
    again = torch.stack([z[0] for z in normal_block(key, path[shuffled], 2, 1)])
    assert torch.equal(again, whole[:, shuffled])


def test_tensor_and_integer_arguments_agree():
    path = torch.tensor([5, 2**32 + 6])
    plain = normal_block((3, 4), path, 7, 2)
    tensors = normal_block((torch.tensor(3), torch.tensor(4)), path, torch.tensor(7), 2)
    single = normal_block((3, 4), 2**32 + 6, 7, 2)
    for j in range(4):
        for d in range(2):
            assert torch.equal(plain[j][d], tensors[j][d])
            assert torch.equal(plain[j][d][1], single[j][d])


def test_uniforms_stay_inside_the_open_interval():
    words = torch.cat([torch.arange(1000), 2**32 - 1 - torch.arange(1000), torch.tensor([2**31])])
    single, double = uniform_from_bits(words, torch.float32), uniform_from_bits(words, torch.float64)
    assert single.dtype == torch.float32
    assert float(single.min()) == float(double.min()) == 2.0**-33
    assert float(single.max()) == 1 - 2.0**-24
    assert float(double.max()) == 1 - 2.0**-33
    assert float((single.double() - double).abs().max()) <= 2.0**-24
    small = words < 2**22  # the full lattice survives in float32
    assert torch.equal(single[small].double(), double[small])


def test_extreme_words_give_the_documented_normals():
    top = math.sqrt(66 * math.log(2))
    for dtype in (torch.float32, torch.float64):
        z = normals_from_bits(torch.tensor([0, ALL_ONES]), torch.tensor([0, 0]), dtype)
        assert torch.isfinite(torch.stack(z)).all()
        assert float(z[0][0]) == pytest.approx(top, rel=3e-7)
    # the two halves of the circle are mirror images, in either precision
    b = torch.arange(0, 2**31, 9999991)
    a = torch.full_like(b, 2**30)
    for dtype in (torch.float32, torch.float64):
        right, left = normals_from_bits(a, b, dtype), normals_from_bits(a, b + 2**31, dtype)
        assert torch.equal(right[0], -left[0])
        assert torch.equal(right[1], left[1])
        up, down = normals_from_bits(a, b, dtype), normals_from_bits(a, 2**31 - 1 - b, dtype)
        torch.testing.assert_close(up[1], -down[1], rtol=0, atol=0 if dtype == torch.float32 else 1e-15)


def test_float32_agrees_with_float64():
    key, path = split_seed(4), torch.arange(1 << 19)
    w0, w1, w2, w3 = philox4x32(path_counter(path, 1, 0), key)
    for a, b in ((w0, w1), (w2, w3)):
        single, double = normals_from_bits(a, b), normals_from_bits(a, b, torch.float64)
        inner = double[0] ** 2 + double[1] ** 2 < 0.03**2
        for s, d in zip(single, double, strict=True):
            error = (s.double() - d).abs()
            assert float(error[~inner].max()) < 2e-6
            assert float(error.max()) < 2.5e-4
    # the largest radii, to relative rounding
    a = torch.arange(1 << 16)
    single, double = (normals_from_bits(a, a * 0, t)[0] for t in (torch.float32, torch.float64))
    assert float((single.double() / double - 1).abs().max()) < 3e-7


@pytest.fixture(scope="module")
def sample():
    """Float32 normals of 2**20 paths: array (4 steps, paths), 4.2 million numbers."""
    noise = normal_block(split_seed(2024), torch.arange(1 << 20), 0, 1)
    return torch.stack([z[0] for z in noise]).double().numpy()


def test_moments(sample):
    exact = [0, 1, 0, 3, 0, 15]
    second = [1, 3, 15, 105, 945, 10395]
    for z in (*sample, sample.ravel()):
        power = np.ones_like(z)
        for order in range(1, 7):
            power = power * z
            se = math.sqrt((second[order - 1] - exact[order - 1] ** 2) / z.size)
            assert abs(power.mean() - exact[order - 1]) < 4 * se, order


def test_kolmogorov_smirnov(sample):
    for z in sample:
        assert stats.kstest(z, "norm").pvalue > 1e-4
    # the same test refuses a normal whose standard deviation is off by one per cent
    assert stats.kstest(1.01 * sample[0], "norm").pvalue < 1e-4


def assert_uncorrelated(x, y):
    """Means of x y, x**2 y**2 and x y**2 within four standard errors of those of independent normals."""
    n = x.size
    assert abs((x * y).mean()) < 4 / math.sqrt(n)
    assert abs(((x**2 - 1) * (y**2 - 1)).mean()) < 4 * 2 / math.sqrt(n)
    assert abs((x * (y**2 - 1)).mean()) < 4 * math.sqrt(2 / n)


def test_no_correlation_between_steps():
    z = standard_normal(7, np.arange(500)[:, None], np.arange(4000), 1)[..., 0]
    for lag in (1, 2, 3, 4, 5, 8, 16):
        assert_uncorrelated(z[:, lag:].ravel(), z[:, :-lag].ravel())


def test_no_correlation_within_a_block(sample):
    for j in range(4):
        for k in range(j):
            assert_uncorrelated(sample[j], sample[k])


def test_no_correlation_between_paths(sample):
    for lag in (1, 2, 16, 1 << 10, 1 << 16):
        assert_uncorrelated(sample[:, lag:].ravel(), sample[:, :-lag].ravel())
    far = standard_normal(2024, np.arange(1 << 20) + 2**32, 0, 1)[:, 0]
    assert_uncorrelated(far, sample[0])


def test_no_correlation_between_coordinates_seeds_and_streams():
    path = torch.arange(1 << 20)
    noise = normal_block(split_seed(31), path, 6, 3)[2]
    for a, b in pairwise((*noise, noise[0])):
        assert_uncorrelated(a.double().numpy(), b.double().numpy())
    for seed in (32, 31 + 2**32):
        other = normal_block(split_seed(seed), path, 6, 1)[2][0]
        assert_uncorrelated(other.double().numpy(), noise[0].double().numpy())
    bridge = uniform_block(split_seed(31), path, 6, STREAM_BRIDGE)
    time = uniform_block(split_seed(31), path, 6, STREAM_CROSSING_TIME)
    for u in (*bridge, *time):
        scaled = math.sqrt(12) * (u.double().numpy() - 0.5)
        assert abs((scaled * noise[0].double().numpy()).mean()) < 4 / 1024
    covariance = 12 * ((bridge[0].double() - 0.5) * (time[0].double() - 0.5)).mean()
    assert abs(float(covariance)) < 4 / 1024


def test_uniforms_are_uniform():
    n = 1 << 18
    for u in uniform_block(split_seed(5), torch.arange(n), 3, STREAM_BRIDGE):
        counts = np.bincount((u.numpy() * 256).astype(int), minlength=256)
        assert counts.size == 256
        assert stats.chisquare(counts).pvalue > 1e-4
        assert abs(float(u.double().mean()) - 0.5) < 4 / math.sqrt(12 * n)
        assert abs(np.mean(u.numpy() < 2.0**-10) - 2.0**-10) < 4 * math.sqrt(2.0**-10 / n)


def block_function(dim, dtype):
    def block_of_noise(path, block, key0, key1):
        noise = normal_block((key0, key1), path, block, dim, dtype)
        return noise, uniform_block((key0, key1), path, block, STREAM_BRIDGE, dtype)

    return block_of_noise


@pytest.mark.slow
def test_tails_of_a_hundred_million_normals():
    key = tuple(torch.tensor(k) for k in split_seed(77))
    path = torch.arange(1 << 18)
    levels = (1, 2, 3, 3.5, 4, 4.5, 5)
    above, below = np.zeros(len(levels)), np.zeros(len(levels))
    n = 0
    for block in range(96):
        for (z,) in normal_block(key, path, torch.tensor(block), 1):
            above += [int(torch.count_nonzero(z > a)) for a in levels]
            below += [int(torch.count_nonzero(z < -a)) for a in levels]
            n += z.numel()
    p = stats.norm.sf(levels)
    assert n > 1e8
    for count in (above, below):
        np.testing.assert_array_less(np.abs(count - n * p), 4 * np.sqrt(n * p * (1 - p)))


@pytest.mark.gpu
@pytest.mark.slow
def test_same_numbers_on_the_gpu():
    function = block_function(2, torch.float32)
    path = torch.arange(100_003)
    scalars = [torch.tensor(k) for k in (123, *split_seed(2**50 + 3))]
    noise, uniforms = function(path, *scalars)
    arguments = [a.cuda() for a in (path, *scalars)]
    gpu_noise, gpu_uniforms = function(*arguments)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(uniforms, gpu_uniforms, strict=True))
    for a, b in zip(noise, gpu_noise, strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y.cpu(), rtol=0, atol=5e-6)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        split_seed(seed)


@pytest.mark.parametrize("seed", ["1", None, True, [1]])
def test_seed_of_the_wrong_type(seed):
    with pytest.raises(TypeError, match="seed must be an integer"):
        split_seed(seed)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"counter must hold words in \[0, 2\*\*32\), got 4294967296"):
        philox4x32((2**32, 0, 0, 0), (0, 0))
    with pytest.raises(ValueError, match="key must hold words"):
        philox4x32((0, 0, 0, 0), (0, -1))
    with pytest.raises(ValueError, match="dtype must be"):
        normal_block((0, 0), torch.arange(3), 0, 1, torch.float16)
    with pytest.raises(ValueError, match="dtype must be"):
        uniform_from_bits(torch.arange(3), torch.int64)
    with pytest.raises(ValueError, match="dim must be an integer >= 1"):
        standard_normal(0, 0, 0, 0)
    with pytest.raises(TypeError, match="path must hold integers"):
        standard_normal(0, 0.5, 0, 1)
    with pytest.raises(ValueError, match="path must hold integers >= 0"):
        standard_normal(0, [-1, 3], 0, 1)
    with pytest.raises(ValueError, match="step must hold integers"):
        standard_normal(0, 0, 2**34, 1)


# ---------------------------------------------------------------------- the block's own uniform


def test_spare_uniform_is_the_low_bytes() -> None:
    w = reference_philox((6, 0, 17, 1), (0x89AB_CDEF, 0x0123_4567))
    word = (w[1] & 255) << 23 | (w[3] & 255) << 15 | (w[0] & 255) << 7 | (w[2] & 127)
    u = spare_uniform((0x89AB_CDEF, 0x0123_4567), torch.tensor([2**32 + 17]), 6, torch.float64)
    assert float(u) == (word + 0.5) / 2**31


def test_spare_uniform_has_its_law() -> None:
    n, key = 400_000, split_seed(8)
    u = spare_uniform(key, torch.arange(n), 5, torch.float64)
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-4
    for p in (1e-2, 1e-3, 1e-4):
        assert abs(int((u < p).sum()) - n * p) < 4 * (n * p) ** 0.5
    single = spare_uniform(key, torch.arange(n), 5)
    assert float(single.max()) <= 1 - 2.0**-22
    np.testing.assert_allclose(single, u, rtol=1e-7, atol=2.0**-21)


def test_spare_uniform_does_not_depend_on_the_normals() -> None:
    n, key = 400_000, split_seed(9)
    u = spare_uniform(key, torch.arange(n), 5, torch.float64).numpy()
    for step in normal_block(key, torch.arange(n), 5, 2, torch.float64):
        for z in (w.numpy() for w in step):
            for power in (z, z**2, np.abs(z) > 3.0, z**4):
                assert abs(np.corrcoef(u, power)[0, 1]) < 4.5 / n**0.5
            # where crossings of small probability are decided
            assert stats.kstest(z[u < 0.01], "norm").pvalue > 1e-4
