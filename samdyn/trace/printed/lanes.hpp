// Vectors of lanes: arithmetic, elementary functions and random numbers of several paths at once.
//
// Printed code (samdyn/trace/printed/cpp.py) is pasted behind this file. Before it stands what the printer knows:
// REAL (float or double), SINGLE (1 or 0), the constants of the polynomials in samdyn/numerics/random.py and exponential.py, and
// STEPS_PER_BLOCK. A value is a REAL where it is the same for all paths, a Vector where it is not; arithmetic
// mixes the two. Vectors are those of GCC and Clang, as wide as the machine's registers.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define INLINE_MEMBER inline __attribute__((always_inline))
#define INLINE static INLINE_MEMBER

constexpr int LANES = BYTES / sizeof(REAL), WIDE_LANES = BYTES / 8, WIDE = LANES / WIDE_LANES;
using Integer = std::conditional_t<SINGLE, int32_t, int64_t>;
typedef REAL Vector __attribute__((vector_size(BYTES)));
typedef Integer Mask __attribute__((vector_size(BYTES)));  // a lane is -1 (true) or 0
typedef uint64_t Wide __attribute__((vector_size(BYTES)));

template <class T> constexpr bool is_vector = !std::is_arithmetic_v<T>;

INLINE Vector wide(Vector x) { return x; }
INLINE Vector wide(REAL x) { return x - Vector{}; }  // keeps the sign of a zero
INLINE Mask wide(Mask m) { return m; }
INLINE Mask wide(bool b) { return Mask{} - Integer(b); }

// ---- decisions

template <class C, class A, class B> INLINE auto select(C condition, A a, B b) {
  if constexpr (is_vector<C>) return Vector(condition ? wide(a) : wide(b));
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
// the smaller and the larger of two, and b where one of them is nan: an instruction that compilers do not always find
INLINE Vector smaller(Vector a, Vector b) {
#if defined(__AVX512F__) && SINGLE
  return (Vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX512F__)
  return (Vector)_mm512_min_pd((__m512d)a, (__m512d)b);
#else
  return a < b ? a : b;
#endif
}
INLINE Vector larger(Vector a, Vector b) {
#if defined(__AVX512F__) && SINGLE
  return (Vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX512F__)
  return (Vector)_mm512_max_pd((__m512d)a, (__m512d)b);
#else
  return a > b ? a : b;
#endif
}

INLINE bool any(Mask m) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask((__m512i)m, (__m512i)m) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#else
  Integer found = 0;
  for (int l = 0; l < LANES; l++) found |= m[l];
  return found != 0;
#endif
}

// ---- elementary functions: glibc's vector library has them for x86, others are called lane by lane

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define VECTORISED(name) \
  extern "C" __attribute__((simd("notinbranch"))) float name##f(float) noexcept; \
  extern "C" __attribute__((simd("notinbranch"))) double name(double) noexcept;
VECTORISED(exp) VECTORISED(log) VECTORISED(sin) VECTORISED(cos)
#if __GLIBC_PREREQ(2, 35)
VECTORISED(expm1) VECTORISED(log1p) VECTORISED(tan) VECTORISED(sinh) VECTORISED(cosh) VECTORISED(tanh)
VECTORISED(asin) VECTORISED(acos) VECTORISED(atan) VECTORISED(asinh) VECTORISED(acosh) VECTORISED(atanh)
VECTORISED(erf) VECTORISED(erfc)
#endif
#endif

INLINE float call(float (*f)(float), double (*)(double), float x) { return f(x); }
INLINE double call(float (*)(float), double (*g)(double), double x) { return g(x); }
#define FUNCTION(name) \
  template <class T> INLINE T lane_##name(T x) { \
    if constexpr (is_vector<T>) { \
      T y; \
      for (int l = 0; l < LANES; l++) y[l] = call(::name##f, ::name, x[l]); \
      return y; \
    } else return call(::name##f, ::name, x); \
  }
FUNCTION(sqrt) FUNCTION(exp) FUNCTION(expm1) FUNCTION(log) FUNCTION(log1p) FUNCTION(sin) FUNCTION(cos) FUNCTION(tan)
FUNCTION(sinh) FUNCTION(cosh) FUNCTION(tanh) FUNCTION(asin) FUNCTION(acos) FUNCTION(atan) FUNCTION(asinh)
FUNCTION(acosh) FUNCTION(atanh) FUNCTION(erf) FUNCTION(erfc) FUNCTION(floor) FUNCTION(exp2) FUNCTION(fabs)

// 1/sqrt(x); where the machine estimates it to 14 bits, one step of Newton's method makes them 24
INLINE REAL reciprocal_root(REAL x) { return REAL(1) / lane_sqrt(x); }
INLINE Vector reciprocal_root(Vector x) {
#if defined(__AVX512F__) && SINGLE
  Vector r = (Vector)_mm512_rsqrt14_ps((__m512)x);
  r = r + r * (REAL(0.5) - (REAL(0.5) * x) * (r * r));
  Mask unusual = ~((x > REAL(0x1p-100)) & (x < REAL(0x1p100)));
  // lane by lane: the bits of a path must not depend on its neighbours
  return __builtin_expect(any(unusual), 0) ? select(unusual, REAL(1) / lane_sqrt(x), r) : r;
#else
  return REAL(1) / lane_sqrt(x);
#endif
}

template <class F, class A, class B> INLINE auto pairwise(F f, A a, B b) {
  if constexpr (is_vector<A> || is_vector<B>) {
    Vector x = wide(a), y = wide(b), z;
    for (int l = 0; l < LANES; l++) z[l] = f(x[l], y[l]);
    return z;
  } else return REAL(f(a, b));
}
template <class A, class B> INLINE auto lane_pow(A a, B b) {
  return pairwise([](REAL x, REAL y) { return std::pow(x, y); }, a, b);
}
template <class A, class B> INLINE auto lane_atan2(A a, B b) {
  return pairwise([](REAL x, REAL y) { return std::atan2(x, y); }, a, b);
}
// of the sign of the divisor, as in torch
template <class A, class B> INLINE auto lane_remainder(A a, B b) {
  return pairwise([](REAL x, REAL y) {
    REAL r = std::fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
  }, a, b);
}
// nan if one of the two is
template <class A, class B> INLINE auto maximum(A a, B b) { return select(either(a >= b, a != a), a, b); }
template <class A, class B> INLINE auto minimum(A a, B b) { return select(either(a <= b, a != a), a, b); }
template <class A> INLINE auto sign(A a) { return select(a > REAL(0), REAL(1), select(a < REAL(0), REAL(-1), REAL(0))); }
INLINE Mask is_finite(Vector x) { return Mask(x - x == REAL(0)); }

// c_0 + c_1 x + ... with the constants in the order of their powers
template <int N> INLINE Vector polynomial(Vector x, const double (&c)[N]) {
  Vector value = x * REAL(c[N - 1]) + REAL(c[N - 2]);
#pragma GCC unroll 16
  for (int i = N - 3; i >= 0; i--) value = value * x + REAL(c[i]);
  return value;
}

// 2^x for x <= 0, see samdyn/numerics/power_of_2.py
INLINE Vector power_of_two(Vector x) {
#if SINGLE
  x = select(x < REAL(-126), REAL(-126), x);
  Vector shifted = x + REAL(ROUND);
  return polynomial(x - (shifted - REAL(ROUND)), POWER) * (Vector)((Mask)shifted << 23);
#else
  return lane_exp2(x);
#endif
}

// ---- random numbers, see samdyn/numerics/random.py

// product of the low halves of the lanes with a 32-bit number; the high halves of `a` may hold anything
INLINE Wide product(Wide a, uint32_t b) {
#if defined(__AVX512F__)
  return (Wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
  return (a & 0xFFFFFFFFull) * uint64_t(b);
#endif
}

// Philox4x32-10; a word is the low half of a lane, the high half holds rubbish
INLINE void philox(Wide c0, Wide c1, Wide c2, Wide c3, uint32_t k0, uint32_t k1, Wide *word) {
#pragma GCC unroll 10
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

// low halves of all lanes as integers
INLINE Mask narrow(const Wide *a) {
#if defined(__AVX512F__)
  return (Mask)_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32((__m512i)a[0])),
                                  _mm512_cvtepi64_epi32((__m512i)a[1]), 1);
#else
  Mask words;
  for (int l = 0; l < LANES; l++) words[l] = Integer(a[l / WIDE_LANES][l % WIDE_LANES]);
  return words;
#endif
}

// two standard normals from two words (Box-Muller); doubling drops the top bit of the angle, which turns the sign
// of the cosine
INLINE void box_muller(Mask word_a, Mask word_b, Vector &z0, Vector &z1) {
  typedef uint32_t Unsigned __attribute__((vector_size(BYTES)));
  Vector t = __builtin_convertvector((word_b << 1) | 1, Vector) * REAL(0x1p-31);
  Mask bits = (Mask)(__builtin_convertvector((Unsigned)word_a, Vector) + REAL(0.5));
  Mask exponent = (bits - SQRT_HALF_BITS) >> 23;
  Vector m = (Vector)(bits - (exponent << 23)), s = (m - REAL(1)) / (m + REAL(1));
  Vector size = polynomial(s * s, LOG) * s + __builtin_convertvector(exponent - 32, Vector) * REAL(MINUS_LOG_4);
  Vector complement = REAL(1) - lane_fabs(t), r = lane_sqrt(size);
  Vector cosine = polynomial(complement * complement, SINE) * complement;
  z0 = r * (Vector)((Mask)cosine ^ (word_b & int32_t(0x80000000u)));
  z1 = r * (polynomial(t * t, SINE) * t);
}

#else

INLINE Mask narrow(const Wide *a) { return (Mask)(a[0] & 0xFFFFFFFFull); }

INLINE void box_muller(Mask word_a, Mask word_b, Vector &z0, Vector &z1) {
  Mask angle = (((word_b << 1) | 1) << 32) >> 32;  // the low 32 bits as a signed number
  Vector t = __builtin_convertvector(angle, Vector) * (0x1p-31 * QUARTER_TURN);
  Vector u = (__builtin_convertvector(word_a, Vector) + 0.5) * 0x1p-32;
  Vector r = lane_sqrt(-2.0 * lane_log(u)), cosine = lane_cos(t);
  z0 = r * select((word_b & 0x80000000ll) != 0, -cosine, cosine);
  z1 = r * lane_sin(t);
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
  typedef uint32_t Unsigned __attribute__((vector_size(BYTES)));
  Vector u = (__builtin_convertvector((Unsigned)word, Vector) + REAL(0.5)) * REAL(0x1p-32);
  return select(u > REAL(1 - 0x1p-24), REAL(1 - 0x1p-24), u);
#else
  return (__builtin_convertvector(word, Vector) + REAL(0.5)) * REAL(0x1p-32);
#endif
}

// a uniform number for a whole block from the low bytes of the words of coordinate 0
INLINE Vector spare_uniform(const Mask *w) {
  Mask word = ((w[1] & 0xFF) << 23) | ((w[3] & 0xFF) << 15) | ((w[0] & 0xFF) << 7) | (w[2] & 0x7F);
  Vector u = (__builtin_convertvector(word, Vector) + REAL(0.5)) * REAL(0x1p-31);
  return SINGLE ? select(u > REAL(1 - 0x1p-22), REAL(1 - 0x1p-22), u) : u;
}

// ---- memory: `count` entries, or all lanes where there are as many

template <class V, class T> INLINE V load(const T *from, int64_t count) {
  V x{};
  if (count <= 0) return x;
  if (count >= int64_t(sizeof(V) / sizeof(T))) std::memcpy(&x, from, sizeof(V));
  else std::memcpy(&x, from, count * sizeof(T));
  return x;
}
template <class V, class T> INLINE void store(V x, T *to, int64_t count) {
  if (count <= 0) return;
  if (count >= int64_t(sizeof(V) / sizeof(T))) std::memcpy(to, &x, sizeof(V));
  else std::memcpy(to, &x, count * sizeof(T));
}
