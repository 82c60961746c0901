// Products with weights in signed bytes laid out in panels, for one instruction set.

#if SVLM_AVX512

struct ByteProduct {  // whole numbers in the bits of float32; 128 was added to each input
  typedef uint8_t number;
  enum { PAIR = 4 };
  static INLINE vf times(vf sum, const uint8_t *a, vf b) {
    int32_t four;
    memcpy(&four, a, 4);
    return (vf)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(four), (__m512i)b);
  }
};

static void put_scaled(const svlm::Scaled &to, int64_t row, int64_t column, int64_t count, const float *found) {
  for (int64_t i = 0; i < count; i += 16) {
    int64_t at = column + i;
    __mmask16 some = first(count - i);
    __m512i whole = (__m512i)load(found + i);
    whole = _mm512_sub_epi32(whole, _mm512_slli_epi32(_mm512_maskz_loadu_epi32(some, to.sums + at), 7));
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), _mm512_maskz_loadu_ps(some, to.scales + at));
    value = _mm512_mul_ps(value, _mm512_set1_ps(to.row_scales[row]));
    if (to.bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, to.bias + at));
    put(to.out, to.is_bf16, row * to.outputs + at, count - i, value);
  }
}

static void to_bytes(const char *from, bool is_bf16, int64_t rows, int64_t size, int8_t *to, int64_t stride,
                     float *scales) {
  rows_to_bytes(from, is_bf16, rows, size, to, stride, scales);
  shift((uint8_t *)to, rows * stride);
}

#else

struct ByteProduct {  // as above, of inputs with their signs
  typedef int8_t number;
  enum { PAIR = 4 };
  static INLINE vf times(vf sum, const int8_t *a, vf b) {
    int32_t four;
    memcpy(&four, a, 4);
    __m256i x = _mm256_set1_epi32(four);
    // As no weight is -128, its sign can be turned, and two products fit into sixteen bits.
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8((__m256i)b, x));
    return (vf)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

static void put_scaled(const svlm::Scaled &to, int64_t row, int64_t column, int64_t count, const float *found) {
  for (int64_t i = 0; i < count; i += W) {
    int64_t at = column + i, left = count - i;
    vf value = (vf)_mm256_cvtepi32_ps((__m256i)load(found + i)) * wide_part(to.scales + at, left);
    value *= all(to.row_scales[row]);
    if (to.bias) value += wide_part(to.bias + at, left);
    put(to.out, to.is_bf16, row * to.outputs + at, left, value);
  }
}

static void to_bytes(const char *from, bool is_bf16, int64_t rows, int64_t size, int8_t *to, int64_t stride,
                     float *scales) {
  for (int64_t r = 0; r < rows; r++) {
    const char *row = from + r * size * (is_bf16 ? 2 : 4);
    scales[r] = part_to_bytes(row, is_bf16, size, to + r * stride, nullptr);
  }
}

#endif

// Of sums, and of those that are added to them.
static size_t byte_scratch(const svlm::Product &job) { return product_scratch(job) * 2; }

static void byte_panels(const svlm::Product &job, int64_t from, int64_t to, char *scratch, const svlm::Scaled &out) {
  panels_of<ByteProduct>(job, from, to, scratch, [&](int64_t row, int64_t column, int64_t count, const float *sums) {
    put_scaled(out, row, column, count, sums);
  });
}

static void lay_bytes(const svlm::Product &job, const int8_t *rows, int64_t from, int64_t count, int8_t *panels) {
  move_numbers<int8_t, 4, true>(job, rows, from, count, panels);
}

static void take_bytes(const svlm::Product &job, int8_t *rows) {
  move_numbers<int8_t, 4, false>(job, rows, 0, job.outputs, (const int8_t *)job.panels);
}
