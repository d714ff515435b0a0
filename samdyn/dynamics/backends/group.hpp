// What a register's worth of paths carries along, and their random inputs; see samdyn/dynamics/backends/native_program.py.
//
// Pasted behind lanes.hpp and what was printed for one system: the numbers STATE, INPUTS and BRIDGE, the struct
// Values with its `load`, the function `step`, and for drawn batches BATCHES and the functions of draws.hpp.

struct Group {
  Wide number[WIDE];
  Vector x[STATE + 1], z[STEPS_PER_BLOCK][INPUTS + 1], uniform;
  Values c;
};

// Numbers, states and coefficients of the paths from place `a` on, of which `rest` are left.
INLINE void load_paths(Group &g, const int64_t *path, const REAL *const *state, const REAL *const *values,
                       const int64_t *strides, int64_t a, int64_t rest) {
  for (int h = 0; h < WIDE; h++) g.number[h] = load<Wide>(path + a + h * WIDE_LANES, rest - h * WIDE_LANES);
  for (int d = 0; d < STATE; d++) g.x[d] = load<Vector>(state[d] + a, rest);
  g.c.load(values, strides, 0, a, rest);
}

// The random inputs of a block: normal numbers, or the numbers of the samples of batches.
template <class Block> INLINE void draw(Group &g, Block block, uint32_t k0, uint32_t k1, const Samples &samples) {
#if BATCHES
  draw_batches(g.number, block, k0, k1, samples, g.z);
#else
  for (int k = 0; k < INPUTS || (BRIDGE && k == 0); k++) {
    Mask word[4];
    words_of(g.number, block, k, k0, k1, word);
    if (BRIDGE && k == 0) g.uniform = spare_uniform(word);
    if (k < INPUTS) {
      box_muller(word[0], word[1], g.z[0][k], g.z[1][k]);
      box_muller(word[2], word[3], g.z[2][k], g.z[3][k]);
    }
  }
#endif
}
