// Vectors of SVLM_BYTES bytes by the compilers' own vector types, so that one source serves every instruction
// set; what a set can do better stands under SVLM_AVX512 and SVLM_DOT_BF16.

#define INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vf __attribute__((vector_size(SVLM_BYTES)));
typedef int32_t vi __attribute__((vector_size(SVLM_BYTES)));
typedef int16_t vs __attribute__((vector_size(SVLM_BYTES)));
typedef int8_t vb __attribute__((vector_size(SVLM_BYTES / 4)));
typedef uint16_t bf16;

enum { W = SVLM_BYTES / 4 };

static INLINE int64_t up(int64_t number, int64_t to) { return (number + to - 1) / to * to; }
static INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

static INLINE vf load(const void *from) {
  vf to;
  memcpy(&to, from, sizeof to);
  return to;
}
static INLINE vi load_bits(const void *from) {
  vi to;
  memcpy(&to, from, sizeof to);
  return to;
}
static INLINE void store(void *to, vf from) { memcpy(to, &from, sizeof from); }
static INLINE vf all(float value) { return value - (vf){}; }
static INLINE vf larger(vf a, vf b) {  // a where one is no number
#if SVLM_AVX512
  return (vf)_mm512_max_ps((__m512)b, (__m512)a);
#else
  return b > a ? b : a;
#endif
}

static INLINE float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
static INLINE float from_bf16(bf16 value) { return as_float((uint32_t)value << 16); }
static INLINE bf16 to_bf16(float value) {  // to the nearest, ties to even; what is no number stays none
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value) return (bf16)((bits >> 16) | 0x40);
  return (bf16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Numbers of a format as float32, and back.
typedef uint16_t vh __attribute__((vector_size(SVLM_BYTES / 2)));

static INLINE vf wide(const float *from) { return load(from); }
static INLINE vf wide(const bf16 *from) {
  vh half;
  memcpy(&half, from, sizeof half);
  return (vf)(__builtin_convertvector(half, vi) << 16);
}
static INLINE void narrow(float *to, vf value) { store(to, value); }
static INLINE void narrow(bf16 *to, vf value) {  // as to_bf16
#if SVLM_DOT_BF16
  __m256bh half = _mm512_cvtneps_pbh((__m512)value);
#else
  vi bits = (vi)value, upper = (bits >> 16) & (vi)(0xffff - (vi){});
  vi rounded = ((bits + (upper & (vi)(1 - (vi){})) + (vi)(0x7fff - (vi){})) >> 16) & (vi)(0xffff - (vi){});
  vi number = value == value ? rounded : (upper | (vi)(0x40 - (vi){}));
  vh half = __builtin_convertvector(number, vh);
#endif
  memcpy(to, &half, sizeof half);
}

// The first `count` numbers, the rest zeros; no other memory is touched.
template <class Number>
static INLINE vf wide_part(const Number *from, int64_t count) {
  if (count >= W) return wide(from);
  Number some[W] = {};
  memcpy(some, from, (size_t)count * sizeof(Number));
  return wide(some);
}
template <class Number>
static INLINE void narrow_part(Number *to, vf value, int64_t count) {
  if (count >= W) return narrow(to, value);
  Number some[W];
  narrow(some, value);
  memcpy(to, some, (size_t)count * sizeof(Number));
}

// 2W bfloat16 as two vectors: those in even places, those in odd ones.
static INLINE vf even_of(vi pairs) { return (vf)(pairs << 16); }
static INLINE vf odd_of(vi pairs) { return (vf)(pairs & (vi)(-65536 - (vi){})); }

static INLINE vf from_int8(const int8_t *from) {
#if SVLM_AVX512
  __m128i bytes;
  memcpy(&bytes, from, 16);
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#elif SVLM_AVX2
  __m128i bytes = _mm_loadl_epi64((const __m128i *)from);
  return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
#else
  vb bytes;
  memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(__builtin_convertvector(bytes, vi), vf);
#endif
}

static INLINE float sum_of(vf v) {
#if SVLM_AVX512
  return _mm512_reduce_add_ps((__m512)v);
#else
  float parts[W];
  memcpy(parts, &v, sizeof v);
  for (int half = W / 2; half; half /= 2)
    for (int i = 0; i < half; i++) parts[i] += parts[i + half];
  return parts[0];
#endif
}
static INLINE float max_of(vf v) {
#if SVLM_AVX512
  return _mm512_reduce_max_ps((__m512)v);
#else
  float parts[W];
  memcpy(parts, &v, sizeof v);
  for (int half = W / 2; half; half /= 2)
    for (int i = 0; i < half; i++) parts[i] = parts[i + half] > parts[i] ? parts[i + half] : parts[i];
  return parts[0];
#endif
}

// 2^x for x <= 0, one unit in the last place or so; at most 2^-126 for all that is less; what is no number
// stays none.
template <bool kRough>
static INLINE vf exp2_of(vf x) {
#if SVLM_AVX512
  x = (vf)_mm512_max_ps(_mm512_set1_ps(-160.0f), (__m512)x);
#else
  x = x < all(-126.0f) ? all(-126.0f) : x;
#endif
#if SVLM_AVX512
  vf whole = (vf)_mm512_roundscale_ps((__m512)x, 0);
#else
  vf magic = all(12582912.0f);
  vf shifted = x + magic;
  vf whole = shifted - magic;
#endif
  vf f = x - whole, p;
  if (kRough) {  // 7e-5, a fiftieth of what rounding to bfloat16 loses
    p = all(5.517167e-2f) * f + all(2.4261112e-1f);
    p = p * f + all(6.9326099e-1f);
    p = p * f + all(9.9992807e-1f);
  } else {
    p = all(1.535336188319500e-4f) * f + all(1.339887440266574e-3f);
    p = p * f + all(9.618437357674640e-3f);
    p = p * f + all(5.550332471162809e-2f);
    p = p * f + all(2.402264791363012e-1f);
    p = p * f + all(6.931472028550421e-1f);
    p = p * f + all(1.0f);
  }
#if SVLM_AVX512
  return (vf)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
  vf scaled = (vf)((vi)p + ((vi)shifted << 23));
  return x == x ? scaled : x;
#endif
}

// The first `count` bytes, the rest zeros; no other memory is touched.
static INLINE vi load_part(const void *from, int64_t count) {
  if (count >= SVLM_BYTES) return load_bits(from);
#if SVLM_AVX512
  return (vi)_mm512_maskz_loadu_epi8(((__mmask64)1 << count) - 1, from);
#else
  vi to = {};
  memcpy(&to, from, (size_t)count % SVLM_BYTES);
  return to;
#endif
}

// Sums of the numbers of four vectors.
static INLINE void four_sums(const vf v[4], float to[4]) {
#if SVLM_AVX512
  __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
  __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
  __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
  __m512 all4 = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                              _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all4), _mm512_extractf32x8_ps(all4, 1));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#elif SVLM_AVX2
  __m256 ab = _mm256_hadd_ps((__m256)v[0], (__m256)v[1]), cd = _mm256_hadd_ps((__m256)v[2], (__m256)v[3]);
  __m256 half = _mm256_hadd_ps(ab, cd);
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#else
  for (int i = 0; i < 4; i++) to[i] = sum_of(v[i]);
#endif
}
