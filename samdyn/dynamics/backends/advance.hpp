// Some steps of many paths, from any step on; see samdyn/dynamics/backends/native_step.py.
//
// Pasted behind group.hpp. SCHEDULED says whether coefficients differ from step to step.

ENTRY void advance(int64_t n, const int64_t *path, REAL *const *state, const REAL *const *values,
                        const int64_t *strides, int64_t first_step, int64_t n_steps, uint32_t k0, uint32_t k1,
                        const REAL *numbers, int64_t n_samples, const int64_t *threshold, const int64_t *alias) {
  const Samples samples{numbers, n_samples, threshold, alias};
  const int64_t end = first_step + n_steps;
  PATHS(i, n, GROUPS) {
    Group group[GROUPS];
    for (int q = 0; q < GROUPS; q++) {
      Group &g = group[q];
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      load_paths(g, path, state, values, strides, a, rest);
    }
    for (int64_t block = first_step / STEPS_PER_BLOCK; block * STEPS_PER_BLOCK < end; block++) {
      for (int q = 0; q < GROUPS; q++) draw(group[q], uint32_t(block), k0, k1, samples);
      UNROLL
      for (int j = 0; j < STEPS_PER_BLOCK; j++) {
        const int64_t number = block * STEPS_PER_BLOCK + j;
        if (number < first_step || number >= end) continue;
        for (int q = 0; q < GROUPS; q++) {
          Group &g = group[q];
          const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
          if (SCHEDULED) g.c.load(values, strides, number - first_step, a, rest);
          Vector y[STATE + 1];
          step(g.x, g.z[j], g.c, y, nullptr);
          for (int d = 0; d < STATE; d++) g.x[d] = y[d];
        }
      }
    }
    for (int q = 0; q < GROUPS; q++) {
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      for (int d = 0; d < STATE; d++) store(group[q].x[d], state[d] + a, rest);
    }
  }
}
