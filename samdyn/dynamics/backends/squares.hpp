// Single-sample steps on components (a.x - b)^2 / 2 + r |x|^2 / 2; see samdyn/dynamics/backends/native_squares.py.
//
// Pasted behind lanes.hpp and draws.hpp with batches of one sample. Rows of x and of the data are padded with zeros
// to whole registers. The formulas are those of samdyn/dynamics/backends/squares_step.py.

INLINE REAL sum_of(Vector v) {
  REAL total = 0;
  for (int l = 0; l < LANES; l++) total += v[l];
  return total;
}

INLINE REAL product_of(const REAL *a, const REAL *b, int64_t width) {
  Vector one{}, two{};
  int64_t d = 0;
  for (; d + 2 * LANES <= width; d += 2 * LANES) {
    one = one + load<Vector>(a + d, LANES) * load<Vector>(b + d, LANES);
    two = two + load<Vector>(a + d + LANES, LANES) * load<Vector>(b + d + LANES, LANES);
  }
  if (d < width) one = one + load<Vector>(a + d, LANES) * load<Vector>(b + d, LANES);
  return sum_of(one + two);
}

extern "C" void squares(int64_t n, int64_t width, const int64_t *path, REAL *x, const REAL *rows, const REAL *target,
                        const REAL *square, const REAL *ridge, const REAL *weight, int64_t ridged, int64_t n_samples,
                        const int64_t *threshold, const int64_t *alias, const REAL *alpha, const REAL *beta,
                        const REAL *lr, int64_t stride, int64_t first_step, int64_t n_steps, uint32_t k0, uint32_t k1) {
  const Samples samples{rows, n_samples, threshold, alias};
  const int64_t end = first_step + n_steps;
  for (int64_t i = 0; i < n; i += LANES) {
    const int64_t rest = n - i < LANES ? n - i : LANES;
    Wide number[WIDE];
    for (int h = 0; h < WIDE; h++) number[h] = load<Wide>(path + i + h * WIDE_LANES, rest - h * WIDE_LANES);
    for (int64_t block = first_step / STEPS_PER_BLOCK; block * STEPS_PER_BLOCK < end; block++) {
      Mask word[STEPS_PER_BLOCK];
      Long index[STEPS_PER_BLOCK][1];
      words_of(number, uint32_t(block), STREAM_MINIBATCH, k0, k1, word);
      for (int j = 0; j < STEPS_PER_BLOCK; j++) choose(word + j, samples, index[j]);
      for (int j = 0; j < STEPS_PER_BLOCK; j++) {
        const int64_t step = block * STEPS_PER_BLOCK + j;
        if (step < first_step || step >= end) continue;
        // replica by replica: a processor works on the next one while sums and roots of this one are under way
        for (int64_t l = 0; l < rest; l++) {
          REAL *at = x + (i + l) * width;
          const int64_t c = (step - first_step) * stride, s = index[j][0][l];
          const REAL *a = rows + s * width;
          const REAL q = square[s], b = target[s], r = ridge[s], w = weight[s];
          const REAL z = product_of(a, at, width), p = z - b;
          REAL stretch = alpha[c] * w;
          if (beta[c] != 0) {
            const REAL inside = ridged ? p * p * q + 2 * r * p * z + r * r * product_of(at, at, width) : p * p * q;
            const REAL size = std::sqrt(inside > 0 ? inside : REAL(0));
            if (size > 0) stretch += beta[c] / size;
          }
          const REAL shifted = z + stretch * (p * q + r * z);
          const REAL along = lr[c] * w * (shifted - b + r * stretch * p);
          const REAL kept = 1 - lr[c] * (w * r * (1 + stretch * r));
          for (int64_t d = 0; d < width; d += LANES) {
            const Vector moved = kept * load<Vector>(at + d, LANES) - along * load<Vector>(a + d, LANES);
            store(moved, at + d, LANES);
          }
        }
      }
    }
  }
}
