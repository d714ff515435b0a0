// The mean gradient of a network of linear layers at many weight vectors; see samdyn/dynamics/backends/native_layers.py.
//
// Pasted behind lanes.hpp. A lane is a weight vector; a block is SAMPLES samples. A weight is in a register while
// a block's samples pass by, ROWS units at a time. Activations a[unit][sample] are vectors, or numbers in the first
// layer, whose inputs are the same for all lanes.
#include <memory>

constexpr int SAMPLES = 8, ROWS = BYTES == 64 ? 3 : 1;
#define UNROLLED _Pragma("GCC unroll 8")
#define SEPARATE static __attribute__((noinline)) void

// z[j][s] = b[j] + sum over k of w[j][k] a[k][s], for COUNT units
template <int COUNT, int IN, class A> INLINE void forward_rows(const Vector *w, const Vector *b, const A *a, Vector *z) {
  Vector sum[COUNT][SAMPLES];
  UNROLLED for (int u = 0; u < COUNT; u++)
    UNROLLED for (int s = 0; s < SAMPLES; s++) sum[u][s] = b ? b[u] : Vector{};
  for (int k = 0; k < IN; k++) {
    UNROLLED for (int u = 0; u < COUNT; u++) {
      const Vector weight = w[u * IN + k];
      UNROLLED for (int s = 0; s < SAMPLES; s++) sum[u][s] += weight * a[k * SAMPLES + s];
    }
  }
  UNROLLED for (int u = 0; u < COUNT; u++)
    UNROLLED for (int s = 0; s < SAMPLES; s++) z[u * SAMPLES + s] = sum[u][s];
}

template <int IN, int OUT, class A> SEPARATE forward(const Vector *w, const Vector *b, const A *a, Vector *z) {
  constexpr int whole = OUT / ROWS * ROWS;
  for (int j = 0; j < whole; j += ROWS) forward_rows<ROWS, IN>(w + j * IN, b ? b + j : b, a, z + j * SAMPLES);
  if constexpr (whole < OUT)
    forward_rows<OUT - whole, IN>(w + whole * IN, b ? b + whole : b, a, z + whole * SAMPLES);
}

// gw[j][k] += sum over s of d[j][s] a[k][s], and gb[j] += sum over s of d[j][s], for COUNT units
template <int COUNT, int IN, class A> INLINE void weight_rows(const Vector *d, const A *a, Vector *gw, Vector *gb) {
  Vector own[COUNT][SAMPLES];
  UNROLLED for (int u = 0; u < COUNT; u++)
    UNROLLED for (int s = 0; s < SAMPLES; s++) own[u][s] = d[u * SAMPLES + s];
  for (int k = 0; k < IN; k++) {
    UNROLLED for (int u = 0; u < COUNT; u++) {
      Vector sum = gw[u * IN + k];
      UNROLLED for (int s = 0; s < SAMPLES; s++) sum += own[u][s] * a[k * SAMPLES + s];
      gw[u * IN + k] = sum;
    }
  }
  if (gb)
    UNROLLED for (int u = 0; u < COUNT; u++)
      UNROLLED for (int s = 0; s < SAMPLES; s++) gb[u] += own[u][s];
}

template <int IN, int OUT, class A> SEPARATE weights(const Vector *d, const A *a, Vector *gw, Vector *gb) {
  constexpr int whole = OUT / ROWS * ROWS;
  for (int j = 0; j < whole; j += ROWS) weight_rows<ROWS, IN>(d + j * SAMPLES, a, gw + j * IN, gb ? gb + j : gb);
  if constexpr (whole < OUT)
    weight_rows<OUT - whole, IN>(d + whole * SAMPLES, a, gw + whole * IN, gb ? gb + whole : gb);
}

// da[k][s] = sum over j of w[j][k] d[j][s], for COUNT inputs
template <int COUNT, int IN, int OUT> INLINE void input_rows(const Vector *w, const Vector *d, Vector *da) {
  Vector sum[COUNT][SAMPLES] = {};
  for (int j = 0; j < OUT; j++) {
    UNROLLED for (int u = 0; u < COUNT; u++) {
      const Vector weight = w[j * IN + u];
      UNROLLED for (int s = 0; s < SAMPLES; s++) sum[u][s] += weight * d[j * SAMPLES + s];
    }
  }
  UNROLLED for (int u = 0; u < COUNT; u++)
    UNROLLED for (int s = 0; s < SAMPLES; s++) da[u * SAMPLES + s] = sum[u][s];
}

template <int IN, int OUT> SEPARATE inputs(const Vector *w, const Vector *d, Vector *da) {
  constexpr int whole = IN / ROWS * ROWS;
  for (int k = 0; k < whole; k += ROWS) input_rows<ROWS, IN, OUT>(w + k, d, da + k * SAMPLES);
  if constexpr (whole < IN) input_rows<IN - whole, IN, OUT>(w + whole, d, da + whole * SAMPLES);
}
