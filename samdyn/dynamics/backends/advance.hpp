// Some steps of many paths, from any step on; see samdyn/dynamics/backends/native_step.py.
//
// Pasted behind steps.hpp. Where `spacing` is not 0, the states after every so many steps are kept, as
// (records, STATE, n).

ENTRY void advance(int64_t n, const int64_t *path, REAL *const *state, const REAL *const *values,
                        const int64_t *strides, int64_t first_step, int64_t n_steps, int64_t spacing, REAL *kept,
                        uint32_t k0, uint32_t k1, const REAL *numbers, int64_t n_samples, const int64_t *threshold,
                        const int64_t *alias) {
  const Samples samples{numbers, n_samples, threshold, alias};
  const int64_t end = first_step + n_steps;
  PATHS(i, n, GROUPS) {
    Group group[GROUPS];
    for (int q = 0; q < GROUPS; q++) {
      const int64_t a = i + q * LANES;
      load_paths(group[q], path, state, values, strides, a, n > a ? n - a : 0);
    }
    int64_t next = spacing ? first_step + spacing : -1, record = 0;
    take_steps<GROUPS>(group, n, i, values, strides, first_step, first_step, end, k0, k1, samples, [&](int64_t done) {
      if (done != next) return;
      for (int q = 0; q < GROUPS; q++) {
        const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
        for (int d = 0; d < STATE; d++) store(group[q].x[d], kept + (record * STATE + d) * n + a, rest);
      }
      next += spacing;
      record++;
    });
    for (int q = 0; q < GROUPS; q++) {
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      for (int d = 0; d < STATE; d++) store(group[q].x[d], state[d] + a, rest);
    }
  }
}
