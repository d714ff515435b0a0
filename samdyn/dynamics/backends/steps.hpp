// Some steps of a few registers of paths, from any step on, which loops have in common.
//
// Pasted behind group.hpp. SCHEDULED says whether coefficients differ from step to step; `values` then has those of
// the steps from `first_value` on. `after` is called with the number of steps done, after each.

template <int COUNT, class After>
INLINE void take_steps(Group *group, int64_t n, int64_t i, const REAL *const *values, const int64_t *strides,
                       int64_t first_value, int64_t first_step, int64_t end, uint32_t k0, uint32_t k1,
                       const Samples &samples, After after) {
  for (int64_t block = first_step / STEPS_PER_BLOCK; block * STEPS_PER_BLOCK < end; block++) {
    for (int q = 0; q < COUNT; q++) draw(group[q], uint32_t(block), k0, k1, samples);
    UNROLL
    for (int j = 0; j < STEPS_PER_BLOCK; j++) {
      const int64_t number = block * STEPS_PER_BLOCK + j;
      if (number < first_step || number >= end) continue;
      for (int q = 0; q < COUNT; q++) {
        Group &g = group[q];
        const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
        if (SCHEDULED) g.c.load(values, strides, number - first_value, a, rest);
        Vector y[STATE + 1];
        step(g.x, g.z[j], g.c, y, nullptr);
        for (int d = 0; d < STATE; d++) g.x[d] = y[d];
      }
      after(number + 1);
    }
  }
}
