// The loop over registers of replicas and blocks of samples; see samdyn/dynamics/backends/native_layers.py.
//
// Pasted behind layers.hpp and the function `block` that was printed for one network.

extern "C" void gradient(int64_t n, const REAL *w, REAL *to, const REAL *in, const REAL *t, const REAL *share,
                         int64_t n_blocks) {
  const std::unique_ptr<Vector[]> x(new Vector[DIM]), g(new Vector[DIM]);
  for (int64_t i = 0; i < n; i += LANES) {
    const int64_t rest = n - i < LANES ? n - i : LANES;
    for (int d = 0; d < DIM; d++) {
      x[d] = g[d] = Vector{};
      for (int64_t l = 0; l < rest; l++) x[d][l] = w[(i + l) * DIM + d];
    }
    for (int64_t b = 0; b < n_blocks; b++)
      block(x.get(), g.get(), in + b * IN * SAMPLES, t + b * SAMPLES * TARGETS, share + b * SAMPLES);
    for (int d = 0; d < DIM; d++)
      for (int64_t l = 0; l < rest; l++) to[(i + l) * DIM + d] = g[d][l];
  }
}
