// A path is a thread: the names of registers.hpp for registers that have one lane.
//
// Compiled by NVRTC for a GPU. A C++ compiler takes it as well, and `this_thread` then says which thread the next
// call is: so the arithmetic of a GPU's thread is run and tested without one.
#if defined(__CUDACC__)
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#define INLINE_MEMBER __forceinline__
#define ENTRY extern "C" __global__
#define UNROLLED(count) _Pragma("unroll")
#define THIS_THREAD (int64_t(blockIdx.x) * blockDim.x + threadIdx.x)
#define THREADS (int64_t(gridDim.x) * blockDim.x)
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#define INLINE_MEMBER inline __attribute__((always_inline))
#define ENTRY extern "C"
#define UNROLLED(count)
static thread_local int64_t THIS_THREAD = 0, THREADS = 1;
extern "C" void this_thread(int64_t number, int64_t count) { THIS_THREAD = number, THREADS = count; }
#endif
#define INLINE static INLINE_MEMBER

#if SINGLE
typedef int32_t Integer;
#else
typedef int64_t Integer;
#endif
constexpr int LANES = 1, WIDE_LANES = 1, WIDE = 1, GROUPS = 1;

// An integer as wide as a number, for the outcome of a comparison.
template <class T> struct Signed { typedef int64_t type; };
template <> struct Signed<float> { typedef int32_t type; };
template <> struct Signed<int32_t> { typedef int32_t type; };
template <> struct Signed<uint32_t> { typedef int32_t type; };

// A number that behaves as a vector of length one: comparisons give -1 or 0.
template <class T> struct Lane {
  T value;
  INLINE_MEMBER T &operator[](int) { return value; }
  INLINE_MEMBER const T &operator[](int) const { return value; }
};
template <class T> struct Itself { typedef T type; };
template <class T> using Scalar = typename Itself<T>::type;  // what a number beside a lane is converted to
template <class T> using Outcome = Lane<typename Signed<T>::type>;

#define OPERATOR(op) \
  template <class T> INLINE Lane<T> operator op(Lane<T> a, Lane<T> b) { return {T(a.value op b.value)}; } \
  template <class T> INLINE Lane<T> operator op(Lane<T> a, Scalar<T> b) { return {T(a.value op b)}; } \
  template <class T> INLINE Lane<T> operator op(Scalar<T> a, Lane<T> b) { return {T(a op b.value)}; }
#define COMPARISON(op) \
  template <class T> INLINE Outcome<T> operator op(Lane<T> a, Lane<T> b) { return {-(a.value op b.value)}; } \
  template <class T> INLINE Outcome<T> operator op(Lane<T> a, Scalar<T> b) { return {-(a.value op b)}; } \
  template <class T> INLINE Outcome<T> operator op(Scalar<T> a, Lane<T> b) { return {-(a op b.value)}; }
OPERATOR(+) OPERATOR(-) OPERATOR(*) OPERATOR(/) OPERATOR(&) OPERATOR(|) OPERATOR(^)
COMPARISON(==) COMPARISON(!=) COMPARISON(<) COMPARISON(<=) COMPARISON(>) COMPARISON(>=)
template <class T> INLINE Lane<T> operator<<(Lane<T> a, int by) { return {T(a.value << by)}; }
template <class T> INLINE Lane<T> operator>>(Lane<T> a, int by) { return {T(a.value >> by)}; }
template <class T> INLINE Lane<T> operator-(Lane<T> a) { return {-a.value}; }
template <class T> INLINE Lane<T> operator~(Lane<T> a) { return {T(~a.value)}; }
template <class T> INLINE Lane<T> &operator-=(Lane<T> &a, Lane<T> b) { return a = a - b; }

typedef Lane<REAL> Vector;
typedef Lane<Integer> Mask;
typedef Lane<uint64_t> Wide;
typedef Lane<uint32_t> Unsigned;
typedef Lane<int64_t> Long;

// the paths that a call goes through: every THREADS-th
#define PATHS(i, n, groups) for (int64_t i = THIS_THREAD; i < n; i += THREADS)
INLINE int64_t next_place(int64_t *count) {
#if defined(__CUDACC__)
  return atomicAdd((unsigned long long *)count, 1ull);
#else
  return (*count)++;
#endif
}

INLINE Vector wide(Vector x) { return x; }
INLINE Vector wide(REAL x) { return {x}; }
INLINE Mask wide(Mask m) { return m; }
INLINE Mask wide(bool b) { return {-Integer(b)}; }
template <class V, class W> INLINE V convert(W x) { return {decltype(V::value)(x.value)}; }
template <class V, class W> INLINE V bits_as(W x) {
  static_assert(sizeof(V) == sizeof(W), "as many bits");
  V y;
  memcpy(&y, &x, sizeof(V));
  return y;
}
template <class C, class V> INLINE V blend(C condition, V a, V b) { return condition.value ? a : b; }
INLINE Vector smaller(Vector a, Vector b) { return a.value < b.value ? a : b; }
INLINE Vector larger(Vector a, Vector b) { return a.value > b.value ? a : b; }
INLINE bool any(Mask m) { return m.value != 0; }
INLINE Vector reciprocal_root(Vector x) {
#if !defined(__CUDACC__)
  return {REAL(1) / std::sqrt(x.value)};
#elif SINGLE
  return {rsqrtf(x.value)};
#else
  return {rsqrt(x.value)};
#endif
}
INLINE Wide product(Wide a, uint32_t b) { return {uint64_t(uint32_t(a.value)) * b}; }
INLINE Mask narrow(const Wide *a) { return {Integer(uint32_t(a[0].value))}; }
template <class V, class T> INLINE V load(const T *from, int64_t count) {
  return {decltype(V::value)(count > 0 ? *from : T(0))};
}
template <class V, class T> INLINE void store(V x, T *to, int64_t count) {
  if (count > 0) *to = x.value;
}
INLINE Vector entries(const REAL *table, int64_t count, Long index) { return {table[index.value]}; }
