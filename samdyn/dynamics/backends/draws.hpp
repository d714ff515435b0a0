// Batches of a finite sum; see samdyn/dynamics/draws.py and samdyn/systems/batch_samplers.py.
//
// Pasted behind lanes.hpp and what was printed for one noise model: for BATCHES the numbers SAMPLERS, BATCH_SIZE,
// BATCH_WORDS, SAMPLE_NUMBERS (numbers of a sample), and the kind of sampling, WITH_REPLACEMENT, WEIGHTED (drawn
// with given probabilities), BY_COMPLEMENT.

// The data: the numbers of all samples, number by number, and Walker's table of their probabilities.
struct Samples {
  const REAL *numbers;
  int64_t count;
  const int64_t *threshold, *alias;
};

#if BATCHES

INLINE Long wide_words(Mask word) { return convert<Long>(word) & 0xFFFFFFFFll; }

// The samples of one batch from its words, as indices.
INLINE void choose(const Mask *word, const Samples &samples, Long *index) {
  const int64_t n = samples.count;
  if (WITH_REPLACEMENT) {
    for (int k = 0; k < BATCH_WORDS; k++) {
      const Long product = wide_words(word[k]) * n, column = product >> 32;
      index[k] = column;
      if (!WEIGHTED) continue;
      const Long rest = product & 0xFFFFFFFFll;
      for (int l = 0; l < LANES; l++)
        if (rest[l] >= samples.threshold[column[l]]) index[k][l] = samples.alias[column[l]];
    }
    return;
  }
  // distinct samples: a draw among those that are left moves up by one for every earlier one that is not above it
  Long chosen[BATCH_WORDS + 1], ranked[BATCH_WORDS + 1];
  for (int k = 0; k < BATCH_WORDS; k++) {
    Long drawn = (wide_words(word[k]) * (n - k)) >> 32;
    for (int j = 0; j < k; j++) drawn -= drawn >= ranked[j];
    chosen[k] = drawn;
    for (int j = 0; j < k; j++) {
      const Long below = blend(drawn < ranked[j], drawn, ranked[j]);
      drawn = blend(drawn < ranked[j], ranked[j], drawn);
      ranked[j] = below;
    }
    ranked[k] = drawn;
  }
  for (int k = 0; k < BATCH_SIZE; k++) {
    if (!BY_COMPLEMENT) {
      index[k] = chosen[k];
      continue;
    }
    Long left = Long{} + k;  // the samples that were not drawn, in increasing order
    for (int j = 0; j < BATCH_WORDS; j++) left -= left >= ranked[j];
    index[k] = left;
  }
}

template <class Block>
INLINE void draw_batches(const Wide *path, Block block, uint32_t k0, uint32_t k1, const Samples &samples,
                         Vector (*z)[INPUTS + 1]) {
  for (int s = 0; s < SAMPLERS; s++) {
    Mask word[STEPS_PER_BLOCK][BATCH_WORDS + 1];
    for (int k = 0; k < BATCH_WORDS; k++) {
      Mask four[STEPS_PER_BLOCK];
      words_of(path, block, STREAM_MINIBATCH - (uint32_t(s * BATCH_WORDS + k) << 16), k0, k1, four);
      for (int j = 0; j < STEPS_PER_BLOCK; j++) word[j][k] = four[j];
    }
    for (int j = 0; j < STEPS_PER_BLOCK; j++) {
      Long index[BATCH_SIZE + 1];
      choose(word[j], samples, index);
      for (int k = 0; k < BATCH_SIZE; k++)
        for (int m = 0; m < SAMPLE_NUMBERS; m++)
          z[j][(s * BATCH_SIZE + k) * SAMPLE_NUMBERS + m] =
              entries(samples.numbers + m * samples.count, samples.count, index[k]);
    }
  }
}

#endif
