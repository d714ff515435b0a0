// Some blocks of four steps of paths that stop in one of two sets; see samdyn/escape/rare/native_stopping.py.
//
// Pasted behind group.hpp and the function `look`, which says from the ends of a step and a uniform number whether
// it stops its path, and where (RUNNING is 0). Each path has a block number of its own. Written are the states after
// every step, (STATE, steps, n), and the codes, (steps, n); what follows a stop means nothing.

ENTRY void stop(int64_t n, const int64_t *path, const int64_t *block, const REAL *const *state,
                     const REAL *const *values, int64_t n_blocks, uint32_t k0, uint32_t k1, REAL *after,
                     REAL *codes, const REAL *numbers, int64_t n_samples, const int64_t *threshold,
                     const int64_t *alias) {
  const Samples samples{numbers, n_samples, threshold, alias};
  const int64_t strides[64] = {}, steps = n_blocks * STEPS_PER_BLOCK;
  PATHS(i, n, 1) {
    Group g;
    Wide at[WIDE];
    const int64_t rest = n - i;
    load_paths(g, path, state, values, strides, i, rest);
    for (int h = 0; h < WIDE; h++) at[h] = load<Wide>(block + i + h * WIDE_LANES, rest - h * WIDE_LANES);
    Mask running = Mask{} - 1;
    for (int64_t s = 0; s < steps; s++) {
      const int j = s % STEPS_PER_BLOCK;
      Vector uniform[STEPS_PER_BLOCK];
      if (j == 0) {
        draw(g, at, k0, k1, samples);
        Mask word[4];
        words_of(g.number, at, STREAM_BRIDGE, k0, k1, word);
        for (int m = 0; m < STEPS_PER_BLOCK; m++) uniform[m] = uniform_of(word[m]);
        for (int h = 0; h < WIDE; h++) at[h] = at[h] + 1;
      }
      Vector y[STATE + 1], code[1];
      step(g.x, g.z[j], g.c, y, nullptr);
      look(g.x, y, uniform[j], g.c, code);
      for (int d = 0; d < STATE; d++) {
        g.x[d] = y[d];
        store(y[d], after + (d * steps + s) * n + i, rest);
      }
      store(code[0], codes + s * n + i, rest);
      running = running & (code[0] == REAL(0));
      if (!any(running)) {
        for (s++; s < steps; s++) store(Vector{}, codes + s * n + i, rest);
        break;
      }
    }
  }
}
