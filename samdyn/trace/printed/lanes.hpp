// Vectors of lanes: arithmetic, elementary functions and random numbers of several paths at once.
//
// Printed code (samdyn/trace/printed/cpp.py) is pasted behind this file. Before it stands what the printer knows:
// REAL (float or double), SINGLE (1 or 0), the constants of the polynomials in samdyn/numerics/random.py and power_of_2.py, and
// STEPS_PER_BLOCK; and what a lane is: registers.hpp (a CPU's vectors) or one_lane.hpp (a GPU's thread). A value is
// a REAL where it is the same for all paths, a Vector where it is not; arithmetic mixes the two.

template <class T> constexpr bool is_vector = true;
template <> constexpr bool is_vector<REAL> = false;
template <> constexpr bool is_vector<bool> = false;

// ---- decisions

template <class C, class A, class B> INLINE auto select(C condition, A a, B b) {
  if constexpr (is_vector<C>) return blend(condition, wide(a), wide(b));
  else if constexpr (is_vector<A> || is_vector<B>) return condition ? wide(a) : wide(b);
  else return condition ? a : b;
}
template <class A, class B> INLINE auto both(A a, B b) {
  if constexpr (is_vector<A> || is_vector<B>) return Mask(wide(a) & wide(b));
  else return a && b;
}
template <class A, class B> INLINE auto either(A a, B b) {
  if constexpr (is_vector<A> || is_vector<B>) return Mask(wide(a) | wide(b));
  else return a || b;
}
template <class A> INLINE auto opposite(A a) {
  if constexpr (is_vector<A>) return Mask(~a);
  else return !a;
}
// ---- elementary functions

#if SINGLE
#define OF_REALS(name) name##f
#else
#define OF_REALS(name) name
#endif
#define FUNCTION(name) \
  template <class T> INLINE T lane_##name(T x) { \
    if constexpr (is_vector<T>) { \
      T y; \
      for (int l = 0; l < LANES; l++) y[l] = ::OF_REALS(name)(x[l]); \
      return y; \
    } else return ::OF_REALS(name)(x); \
  }
FUNCTION(sqrt) FUNCTION(exp) FUNCTION(expm1) FUNCTION(log) FUNCTION(log1p) FUNCTION(sin) FUNCTION(cos) FUNCTION(tan)
FUNCTION(sinh) FUNCTION(cosh) FUNCTION(tanh) FUNCTION(asin) FUNCTION(acos) FUNCTION(atan) FUNCTION(asinh)
FUNCTION(acosh) FUNCTION(atanh) FUNCTION(erf) FUNCTION(erfc) FUNCTION(floor) FUNCTION(exp2) FUNCTION(fabs)

INLINE REAL reciprocal_root(REAL x) { return REAL(1) / lane_sqrt(x); }

template <class F, class A, class B> INLINE auto pairwise(F f, A a, B b) {
  if constexpr (is_vector<A> || is_vector<B>) {
    Vector x = wide(a), y = wide(b), z;
    for (int l = 0; l < LANES; l++) z[l] = f(x[l], y[l]);
    return z;
  } else return REAL(f(a, b));
}
template <class A, class B> INLINE auto lane_pow(A a, B b) {
  return pairwise([](REAL x, REAL y) { return ::OF_REALS(pow)(x, y); }, a, b);
}
template <class A, class B> INLINE auto lane_atan2(A a, B b) {
  return pairwise([](REAL x, REAL y) { return ::OF_REALS(atan2)(x, y); }, a, b);
}
// of the sign of the divisor, as in torch
template <class A, class B> INLINE auto lane_remainder(A a, B b) {
  return pairwise([](REAL x, REAL y) {
    REAL r = ::OF_REALS(fmod)(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
  }, a, b);
}
// nan if one of the two is
template <class A, class B> INLINE auto maximum(A a, B b) { return select(either(a >= b, a != a), a, b); }
template <class A, class B> INLINE auto minimum(A a, B b) { return select(either(a <= b, a != a), a, b); }
template <class A> INLINE auto sign(A a) { return select(a > REAL(0), REAL(1), select(a < REAL(0), REAL(-1), REAL(0))); }
INLINE Mask is_finite(Vector x) { return x - x == REAL(0); }

// c_0 + c_1 x + ... with the constants in the order of their powers
template <int N> INLINE Vector polynomial(Vector x, const double (&c)[N]) {
  Vector value = x * REAL(c[N - 1]) + REAL(c[N - 2]);
  UNROLLED(16)
  for (int i = N - 3; i >= 0; i--) value = value * x + REAL(c[i]);
  return value;
}

// 2^x for x <= 0, see samdyn/numerics/power_of_2.py
INLINE Vector power_of_two(Vector x) {
#if SINGLE
  x = select(x < REAL(-126), REAL(-126), x);
  Vector shifted = x + REAL(ROUND);
  return polynomial(x - (shifted - REAL(ROUND)), POWER) * bits_as<Vector>(bits_as<Mask>(shifted) << 23);
#else
  return lane_exp2(x);
#endif
}

// ---- random numbers, see samdyn/numerics/random.py

// Philox4x32-10; a word is the low half of a lane, the high half holds rubbish
INLINE void philox(Wide c0, Wide c1, Wide c2, Wide c3, uint32_t k0, uint32_t k1, Wide *word) {
  UNROLLED(10)
  for (int n = 0; n < 10; n++) {
    Wide p0 = product(c0, 0xD2511F53u), p1 = product(c2, 0xCD9E8D57u);
    c0 = (p1 >> 32) ^ c1 ^ uint64_t(k0);
    c2 = (p0 >> 32) ^ c3 ^ uint64_t(k1);
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

#if SINGLE

// two standard normals from two words (Box-Muller); doubling drops the top bit of the angle, which turns the sign
// of the cosine
INLINE void box_muller(Mask word_a, Mask word_b, Vector &z0, Vector &z1) {
  Vector t = convert<Vector>((word_b << 1) | 1) * REAL(0x1p-31);
  Mask bits = bits_as<Mask>(convert<Vector>(bits_as<Unsigned>(word_a)) + REAL(0.5));
  Mask exponent = (bits - SQRT_HALF_BITS) >> 23;
  Vector m = bits_as<Vector>(bits - (exponent << 23)), s = (m - REAL(1)) / (m + REAL(1));
  Vector size = polynomial(s * s, LOG) * s + convert<Vector>(exponent - 32) * REAL(MINUS_LOG_4);
  Vector complement = REAL(1) - lane_fabs(t), r = lane_sqrt(size);
  Vector cosine = polynomial(complement * complement, SINE) * complement;
  z0 = r * bits_as<Vector>(bits_as<Mask>(cosine) ^ (word_b & int32_t(0x80000000u)));
  z1 = r * (polynomial(t * t, SINE) * t);
}

#else

INLINE void box_muller(Mask word_a, Mask word_b, Vector &z0, Vector &z1) {
  Mask angle = (((word_b << 1) | 1) << 32) >> 32;  // the low 32 bits as a signed number
  Vector u = (convert<Vector>(word_a) + 0.5) * 0x1p-32;
  Vector r = lane_sqrt(-2.0 * lane_log(u)), sine, cosine;
#if defined(__CUDACC__)  // of a number of half turns: shorter there, since the angle need not be reduced
  ::sincospi(convert<Vector>(angle)[0] * 0x1p-32, &sine[0], &cosine[0]);
#else
  const Vector t = convert<Vector>(angle) * (0x1p-31 * QUARTER_TURN);
  cosine = lane_cos(t), sine = lane_sin(t);
#endif
  z0 = r * select((word_b & 0x80000000ll) != 0, -cosine, cosine);
  z1 = r * sine;
}

#endif

// a block number: one for all paths, or one for each
INLINE Wide block_of(uint32_t block, int) { return Wide{} + block; }
INLINE Wide block_of(const Wide *block, int h) { return block[h]; }

// the four words of each lane's path in a block and a stream
template <class Block>
INLINE void words_of(const Wide *path, Block block, uint32_t stream, uint32_t k0, uint32_t k1, Mask *word) {
  Wide found[4][WIDE];
  for (int h = 0; h < WIDE; h++) {
    Wide w[4];
    philox(block_of(block, h), Wide{} + stream, path[h], path[h] >> 32, k0, k1, w);
    for (int i = 0; i < 4; i++) found[i][h] = w[i];
  }
  for (int i = 0; i < 4; i++) word[i] = narrow(found[i]);
}

// a uniform number in (0, 1) from a word
INLINE Vector uniform_of(Mask word) {
#if SINGLE
  Vector u = (convert<Vector>(bits_as<Unsigned>(word)) + REAL(0.5)) * REAL(0x1p-32);
  return select(u > REAL(1 - 0x1p-24), REAL(1 - 0x1p-24), u);
#else
  return (convert<Vector>(word) + REAL(0.5)) * REAL(0x1p-32);
#endif
}

// a uniform number for a whole block from the low bytes of the words of coordinate 0
INLINE Vector spare_uniform(const Mask *w) {
  Mask word = ((w[1] & 0xFF) << 23) | ((w[3] & 0xFF) << 15) | ((w[0] & 0xFF) << 7) | (w[2] & 0x7F);
  Vector u = (convert<Vector>(word) + REAL(0.5)) * REAL(0x1p-31);
  return SINGLE ? select(u > REAL(1 - 0x1p-22), REAL(1 - 0x1p-22), u) : u;
}
