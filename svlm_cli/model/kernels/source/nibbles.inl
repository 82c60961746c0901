// Products with weights in four bits, for one instruction set.

#if SVLM_AVX512

static void to_groups(const char *from, bool is_bf16, int64_t size, int64_t groups, int8_t *to, float *scales,
                    int32_t *starts) {
  for (int64_t g = 0; g < groups; g++, to += svlm::kGroup) {
    int64_t left = size - g * svlm::kGroup;
    __m512 a = numbers(from, is_bf16, g * svlm::kGroup, left);
    __m512 b = left > 16 ? numbers(from, is_bf16, g * svlm::kGroup + 16, left - 16) : _mm512_setzero_ps();
    __m512 none = _mm512_add_ps(_mm512_sub_ps(a, a), _mm512_sub_ps(b, b));  // 0, but for what is not finite
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    scales[g] = std::max(most, svlm::kTiny) / svlm::kMost + _mm512_reduce_add_ps(none);
    __m512 whole = _mm512_set1_ps(scales[g]);
    __m512i x = _mm512_cvtps_epi32(_mm512_div_ps(a, whole)), y = _mm512_cvtps_epi32(_mm512_div_ps(b, whole));
    _mm_storeu_si128((__m128i *)to, _mm512_cvtsepi32_epi8(x));
    _mm_storeu_si128((__m128i *)(to + 16), _mm512_cvtsepi32_epi8(y));
    starts[g] = -8 * _mm512_reduce_add_epi32(_mm512_add_epi32(x, y));
  }
}

template <int R>
static inline void sixteen(const svlm::NibbleProduct &job, const uint8_t *block, int64_t row, int64_t output) {
  __m512 sums[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) sums[r] = _mm512_setzero_ps();
  const __m512i low = _mm512_set1_epi8(15);
  for (int64_t g = 0; g < job.groups; g++, block += svlm::kBlock) {
    __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)block));
    __m512i w[8];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
      __m512i both = _mm512_loadu_si512(block + svlm::kOutputs * 2 + v * 64);
      w[2 * v] = _mm512_and_si512(both, low);
      w[2 * v + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      int64_t at = (row + r) * job.groups + g;
      const int8_t *x = job.inputs + at * svlm::kGroup;
      __m512i even = _mm512_set1_epi32(job.starts[at]), odd = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) {
        int32_t four[2];
        memcpy(four, x + v * 8, 8);
        even = _mm512_dpbusd_epi32(even, w[2 * v], _mm512_set1_epi32(four[0]));
        odd = _mm512_dpbusd_epi32(odd, w[2 * v + 1], _mm512_set1_epi32(four[1]));
      }
      __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(job.row_scales[at]));
      sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(even, odd)), scale, sums[r]);
    }
  }
  int64_t count = job.outputs - output;
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    if (job.bias) sums[r] = _mm512_add_ps(sums[r], _mm512_maskz_loadu_ps(first(count), job.bias + output));
    put(job.out, job.is_bf16, (row + r) * job.outputs + output, count, sums[r]);
  }
}

#else

static void to_groups(const char *from, bool is_bf16, int64_t size, int64_t groups, int8_t *to, float *scales,
                      int32_t *starts) {
  for (int64_t g = 0; g < groups; g++, to += svlm::kGroup) {
    int64_t place = g * svlm::kGroup, count = lesser(svlm::kGroup, size - place);
    memset(to, 0, svlm::kGroup);
    scales[g] = part_to_bytes(from + place * (is_bf16 ? 2 : 4), is_bf16, count, to, starts + g);
    starts[g] *= -8;
  }
}

// Half of the outputs that lie together.
template <int R>
static inline void eight(const svlm::NibbleProduct &job, const uint8_t *block, int64_t row, int64_t output, int half) {
  vf sums[R] = {};
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  for (int64_t g = 0; g < job.groups; g++, block += svlm::kBlock) {
    vf scales = (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)block + half));
    __m256i w[8];
    UNROLL for (int v = 0; v < 4; v++) {
      __m256i both = _mm256_loadu_si256((const __m256i *)(block + svlm::kOutputs * 2 + v * 64) + half);
      w[2 * v] = _mm256_and_si256(both, low);
      w[2 * v + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    }
    UNROLL for (int r = 0; r < R; r++) {
      int64_t at = (row + r) * job.groups + g;
      const int8_t *x = job.inputs + at * svlm::kGroup;
      __m256i pairs = _mm256_setzero_si256();  // sixteen products of 15 and 127 fit into sixteen bits
      UNROLL for (int v = 0; v < 8; v++) {
        int32_t four;
        memcpy(&four, x + v * 4, 4);
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[v], _mm256_set1_epi32(four)));
      }
      __m256i whole = _mm256_add_epi32(_mm256_madd_epi16(pairs, ones), _mm256_set1_epi32(job.starts[at]));
      sums[r] += (vf)_mm256_cvtepi32_ps(whole) * (scales * all(job.row_scales[at]));
    }
  }
  UNROLL for (int r = 0; r < R; r++) {
    int64_t left = job.outputs - output;
    if (job.bias) sums[r] += wide_part(job.bias + output, left);
    put(job.out, job.is_bf16, (row + r) * job.outputs + output, left, sums[r]);
  }
}

template <int R>
static inline void sixteen(const svlm::NibbleProduct &job, const uint8_t *block, int64_t row, int64_t output) {
  eight<R>(job, block, row, output, 0);
  if (output + W < job.outputs) eight<R>(job, block, row, output + W, 1);
}

#endif

enum { MOST_NIBBLE_ROWS = 6 };

static void outputs_of(const svlm::NibbleProduct &job, int64_t from, int64_t to) {
  for (int64_t n = from; n < to; n++) {
    const uint8_t *block = job.memory + n * job.groups * svlm::kBlock;
    int64_t row = 0, output = n * svlm::kOutputs;
    for (; job.rows - row >= MOST_NIBBLE_ROWS; row += MOST_NIBBLE_ROWS) sixteen<MOST_NIBBLE_ROWS>(job, block, row, output);
    if (job.rows - row >= 4) sixteen<4>(job, block, row, output), row += 4;
    if (job.rows - row >= 2) sixteen<2>(job, block, row, output), row += 2;
    if (job.rows - row >= 1) sixteen<1>(job, block, row, output);
  }
}
