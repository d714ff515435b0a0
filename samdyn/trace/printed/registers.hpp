// What the lanes of a register are: vectors of GCC and Clang, as wide as the machine's registers.
//
// Pasted before lanes.hpp; one_lane.hpp, which offers the same names, takes its place where a lane is a path.
// Before it stand REAL (float or double) and SINGLE (1 or 0).
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX2__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ <= 14
// the parts of immintrin.h that are used here, in its order: reading all of it is a third of a compilation
#define _IMMINTRIN_H_INCLUDED
#include <mmintrin.h>
#include <xmmintrin.h>
#include <emmintrin.h>
#include <pmmintrin.h>
#include <tmmintrin.h>
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#if defined(__AVX512F__)
#include <avx512fintrin.h>
#endif
#elif defined(__SSE2__)
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
#define ENTRY extern "C"
#define PRAGMA(text) _Pragma(#text)
#define UNROLLED(count) PRAGMA(GCC unroll count)

#if SINGLE
typedef int32_t Integer;
#else
typedef int64_t Integer;
#endif
constexpr int LANES = BYTES / sizeof(REAL), WIDE_LANES = BYTES / 8, WIDE = LANES / WIDE_LANES;
constexpr int GROUPS = 2;  // registers of paths side by side, whose arithmetic overlaps
typedef REAL Vector __attribute__((vector_size(BYTES)));
typedef Integer Mask __attribute__((vector_size(BYTES)));  // a lane is -1 (true) or 0
typedef uint64_t Wide __attribute__((vector_size(BYTES)));
typedef uint32_t Unsigned __attribute__((vector_size(BYTES)));
typedef int64_t Long __attribute__((vector_size(LANES * 8)));

// the paths that a call goes through: all of them
#define PATHS(i, n, groups) for (int64_t i = 0; i < n; i += (groups) * LANES)
INLINE int64_t next_place(int64_t *count) { return (*count)++; }

INLINE Vector wide(Vector x) { return x; }
INLINE Vector wide(REAL x) { return x - Vector{}; }  // keeps the sign of a zero
INLINE Mask wide(Mask m) { return m; }
INLINE Mask wide(bool b) { return Mask{} - Integer(b); }

// values as another type, bits as another type, and a or b
template <class V, class W> INLINE V convert(W x) { return __builtin_convertvector(x, V); }
template <class V, class W> INLINE V bits_as(W x) { return (V)x; }
template <class C, class V> INLINE V blend(C condition, V a, V b) { return condition ? a : b; }

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

// glibc's vector library has elementary functions for x86; elsewhere they are called lane by lane
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

// 1/sqrt(x); where the machine estimates it to 14 bits, one step of Newton's method makes them 24
template <class T> INLINE T lane_sqrt(T x);
INLINE Vector reciprocal_root(Vector x) {
#if defined(__AVX512F__) && SINGLE
  Vector r = (Vector)_mm512_rsqrt14_ps((__m512)x);
  r = r + r * (REAL(0.5) - (REAL(0.5) * x) * (r * r));
  Mask unusual = ~((x > REAL(0x1p-100)) & (x < REAL(0x1p100)));
  // lane by lane: the bits of a path must not depend on its neighbours
  return __builtin_expect(any(unusual), 0) ? blend(unusual, REAL(1) / lane_sqrt(x), r) : r;
#else
  return REAL(1) / lane_sqrt(x);
#endif
}

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

// low halves of all lanes as integers
INLINE Mask narrow(const Wide *a) {
#if !SINGLE
  return (Mask)(a[0] & 0xFFFFFFFFull);
#elif defined(__AVX512F__)
  return (Mask)_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32((__m512i)a[0])),
                                  _mm512_cvtepi64_epi32((__m512i)a[1]), 1);
#else
  Mask words;
  for (int l = 0; l < LANES; l++) words[l] = Integer(a[l / WIDE_LANES][l % WIDE_LANES]);
  return words;
#endif
}

// memory: `count` entries, or all lanes where there are as many
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
// entries of a table of `count` numbers: a small one fits a register, which is permuted
INLINE Vector entries(const REAL *table, int64_t count, Long index) {
#if defined(__AVX512F__) && !SINGLE
  if (count <= LANES) {
    const __m512d row = _mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), table);
    return (Vector)_mm512_permutexvar_pd((__m512i)index, row);
  }
  return (Vector)_mm512_i64gather_pd((__m512i)index, table, 8);
#else
  Vector found;
  for (int l = 0; l < LANES; l++) found[l] = table[index[l]];
  return found;
#endif
}
