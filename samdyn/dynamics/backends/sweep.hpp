// Some blocks of four steps of many paths with the first-exit test; see samdyn/escape/kernel/sweep_native.py.
//
// Pasted behind group.hpp and what was printed for one region: the number FACES and the function `distances`.

constexpr REAL NEGLIGIBLE = -40;  // 2^-40 changes no comparison with a uniform number of 31 bits

// Probability that a path left, `total`, after one more step with the exponents e of the faces' crossing
// probabilities; 2^e is at most 1. Where all faces but one are out of reach, the largest exponent tells it.
INLINE Vector leaving(Vector total, const Vector *e) {
  Vector first = e[0], second = wide(REAL(-INFINITY)), sum = e[0];
  UNROLLED(16)
  for (int f = 1; f < FACES; f++) {
    second = larger(second, smaller(first, e[f]));
    first = larger(first, e[f]);
    sum = sum + e[f];
  }
  Vector after = total + power_of_two(smaller(Vector{}, first)) * (REAL(1) - total);
  if (FACES == 1) return after;
  const Mask several = second > NEGLIGIBLE;
  if (__builtin_expect(any(several), 0)) {
    for (int f = 0; f < FACES; f++) total = total + power_of_two(smaller(Vector{}, e[f])) * (REAL(1) - total);
    after = select(several, total, after);  // lane by lane: a path's bits must not depend on its neighbours
  }
  return select(sum != sum, sum, after);  // nan stays: it may be lost in a comparison
}

// A group of paths with what the exit test carries along.
struct Watched : Group {
  Vector before[STATE + 1], distance[FACES], total;
  Mask left, code;
};

// Step j of a block, and whether a path left in it.
INLINE void advance(Watched &g, int j) {
  Vector y[STATE + 1], following[FACES], factor[FACES];
  step(g.x, g.z[j], g.c, y, factor);
  distances(y, following);
  Mask out;
  if (BRIDGE) {
    for (int f = 0; f < FACES; f++) factor[f] = g.distance[f] * following[f] * factor[f];
    g.total = leaving(g.total, factor);
    out = ~(g.uniform >= g.total);  // nan, of a path that diverged, counts as outside
  } else {
    Mask inside = following[0] < REAL(0);
    for (int f = 1; f < FACES; f++) inside = inside & (following[f] < REAL(0));
    out = ~inside;
  }
  g.code = blend(out & (g.code == 0), Mask{} + (j + 1), g.code);
  for (int d = 0; d < STATE; d++) g.x[d] = y[d];
  for (int f = 0; f < FACES; f++) g.distance[f] = following[f];
}

ENTRY void sweep(int64_t n, const int64_t *path, REAL *const *state, uint8_t *gone, const REAL *const *values,
                         const int64_t *strides, int64_t first_block, int64_t n_blocks, uint32_t k0, uint32_t k1,
                         int64_t *count, int64_t *noted, int64_t *noted_block, int64_t *noted_code, REAL *noted_state,
                         const REAL *numbers, int64_t n_samples, const int64_t *threshold, const int64_t *alias) {
  const Samples samples{numbers, n_samples, threshold, alias};
  PATHS(i, n, GROUPS) {
    Watched group[GROUPS];
    for (int q = 0; q < GROUPS; q++) {
      Watched &g = group[q];
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      load_paths(g, path, state, values, strides, a, rest);
      g.left = Mask{} - 1;
      for (int l = 0; l < LANES && l < rest; l++) g.left[l] = -Integer(gone[a + l]);
      distances(g.x, g.distance);
    }
    for (int64_t block = 0; block < n_blocks; block++) {
      for (int q = 0; q < GROUPS; q++) {
        Watched &g = group[q];
        draw(g, uint32_t(first_block + block), k0, k1, samples);
        for (int d = 0; d < STATE; d++) g.before[d] = g.x[d];
        g.total = Vector{};
        g.code = Mask{};
      }
      UNROLL
      for (int j = 0; j < STEPS_PER_BLOCK; j++) {
        for (int q = 0; q < GROUPS; q++) {
          const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
          if (SCHEDULED) group[q].c.load(values, strides, STEPS_PER_BLOCK * block + j, a, rest);
          advance(group[q], j);
        }
      }
      Mask running{};
      for (int q = 0; q < GROUPS; q++) {
        Watched &g = group[q];
        Mask finite = Mask{} - 1;
        for (int d = 0; d < STATE; d++) finite = finite & is_finite(g.x[d]);
        g.code = blend((g.code == 0) & ~finite, Mask{} + STEPS_PER_BLOCK, g.code);
        const Mask fresh = (g.code != 0) & ~g.left;
        if (__builtin_expect(any(fresh), 0)) {
          for (int l = 0; l < LANES; l++) {
            if (!fresh[l]) continue;
            const int64_t at = next_place(count);
            noted[at] = i + q * LANES + l, noted_block[at] = first_block + block, noted_code[at] = g.code[l];
            for (int d = 0; d < STATE; d++) noted_state[d * n + at] = g.before[d][l];
          }
          g.left = g.left | fresh;
        }
        running = running | ~g.left;
      }
      if (!any(running)) break;
    }
    for (int q = 0; q < GROUPS; q++) {
      Watched &g = group[q];
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      for (int d = 0; d < STATE; d++) store(g.x[d], state[d] + a, rest);
      for (int l = 0; l < LANES && l < rest; l++) gone[a + l] = g.left[l] != 0;
    }
  }
}
