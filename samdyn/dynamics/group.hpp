// What a register's worth of paths carries along, and their random inputs; see samdyn/dynamics/native.py.
//
// Pasted behind lanes.hpp and what was printed for one system: the numbers STATE, INPUTS and BRIDGE, the struct
// Values with its `load`, the function `step`, and for drawn batches BATCHES and the functions of draws.hpp.

struct Group {
  Wide number[WIDE];
  Vector x[STATE + 1], z[STEPS_PER_BLOCK][INPUTS + 1], uniform;
  Values c;
};

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
