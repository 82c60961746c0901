// Products with weights in signed bytes laid out in panels, four inputs of an output side by side. Inputs are brought
// to bytes with a scale for each row; whole numbers are added up in 32 bits, so sums are those of any other way.
#include <algorithm>
#include <new>

#include "sets.h"
#include "threads.h"
#if defined(__x86_64__)
#include "vnni.h"

#define SVLM_BYTES 64
#define SVLM_AVX2 0
#define SVLM_AVX512 1
#define SVLM_DOT_BF16 0
#define SVLM_MANY_REGISTERS 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx,avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx,avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif

namespace {
#include "vector.inl"
#include "product.inl"
#include "panels.inl"

struct ByteProduct {  // whole numbers in the bits of float32
  typedef uint8_t number;
  enum { PAIR = 4 };
  static INLINE vf times(vf sum, const uint8_t *a, vf b) {
    int32_t four;
    memcpy(&four, a, 4);
    return (vf)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(four), (__m512i)b);
  }
};

struct Scaled {
  const float *row_scales, *scales, *bias;
  const int32_t *sums;  // of the rows of weights: 128 was added to each input
  char *out;
  int64_t outputs;
  bool is_bf16;

  void operator()(int64_t row, int64_t column, int64_t count, const float *found) const {
    for (int64_t i = 0; i < count; i += 16) {
      int64_t at = column + i;
      __mmask16 some = first(count - i);
      __m512i whole = (__m512i)load(found + i);
      whole = _mm512_sub_epi32(whole, _mm512_slli_epi32(_mm512_maskz_loadu_epi32(some, sums + at), 7));
      __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), _mm512_maskz_loadu_ps(some, scales + at));
      value = _mm512_mul_ps(value, _mm512_set1_ps(row_scales[row]));
      if (bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, bias + at));
      put(out, is_bf16, row * outputs + at, count - i, value);
    }
  }
};

void multiply(const svlm::Product &job, int64_t from, int64_t to, char *scratch, const Scaled &put) {
  panels_of<ByteProduct>(job, from, to, scratch, put);
}

void lay_bytes(const svlm::Product &job, const int8_t *rows, int64_t from, int64_t count, int8_t *panels) {
  move_numbers<int8_t, 4, true>(job, rows, from, count, panels);
}

void take_bytes(const svlm::Product &job, int8_t *rows) {
  move_numbers<int8_t, 4, false>(job, rows, 0, job.outputs, (const int8_t *)job.panels);
}

constexpr int64_t kPanel = PANEL, kVector = W;
}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace {
constexpr int64_t kBytesOfThread = 1 << 19;  // of weights that a thread is worth

svlm::Product job_of(int64_t outputs, int64_t size, const int8_t *panels) {
  return {nullptr, (const char *)panels, nullptr, nullptr, svlm::kInt8, 0, size, outputs, size};
}
}  // namespace

// Bytes of weights (outputs, size) in panels; -1 where the processor does not multiply bytes.
EXPORT int64_t svlm_byte_panel_bytes(int64_t outputs, int64_t size) {
  return has_vnni() ? (outputs + kVector - 1) / kVector * kVector * ((size + 3) / 4 * 4) : -1;
}

// As svlm_lay_panels and svlm_take_panels.
EXPORT void svlm_lay_byte_panels(int64_t outputs, int64_t size, const int8_t *rows, int64_t first, int64_t count,
                                 int8_t *panels) {
  lay_bytes(job_of(outputs, size, nullptr), rows, first, count, panels);
}
EXPORT void svlm_take_byte_panels(int64_t outputs, int64_t size, const int8_t *panels, int8_t *rows) {
  take_bytes(job_of(outputs, size, panels), rows);
}

// out (rows, outputs) = inputs (rows, size) times weights in panels with a scale each, whose sums are given. Returns
// as svlm_bytes_rows.
EXPORT int svlm_byte_panels_product(int threads, const void *inputs, int is_bf16, int64_t rows, int64_t size,
                                    const int8_t *panels, const float *scales, const int32_t *sums,
                                    const float *bias, int64_t outputs, void *out) {
  if (!has_vnni()) return 2;
  // Rows a multiple of 4 KiB apart would all want the same few places next to the processor.
  int64_t depth = (size + 3) / 4 * 4, stride = depth % 512 ? depth : depth + 64;
  int64_t num_panels = (outputs + kPanel - 1) / kPanel;
  int64_t worth = outputs * size * std::max<int64_t>(1, rows / 4) / kBytesOfThread;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>({threads, worth, num_panels}));
  int64_t units = rows <= 8 || workers == 1 ? workers : std::min<int64_t>(num_panels, workers * 8);
  size_t taken = svlm::whole_lines((size_t)(rows * stride) + 64), own_scales = svlm::whole_lines((size_t)rows * 4);
  size_t own = svlm::whole_lines((size_t)(std::min<int64_t>(rows, ROWS_AT_ONCE) * kPanel) * 8);
  char *memory = svlm::scratch_of_thread(taken + own_scales + own * (size_t)workers);
  if (!memory) return 1;
  float *row_scales = (float *)(memory + taken);
  if (stride != size) memset(memory, 0, (size_t)(rows * stride));
  rows_to_bytes((const char *)inputs, is_bf16 != 0, rows, size, (int8_t *)memory, stride, row_scales);
  shift((uint8_t *)memory, rows * stride);
  svlm::Product job = job_of(outputs, size, panels);
  job.inputs = memory;
  job.rows = rows;
  job.stride = stride;
  Scaled put = {row_scales, scales, bias, sums, (char *)out, outputs, is_bf16 != 0};
  char *scratch = memory + taken + own_scales;
  try {
    svlm::share_out(units, (int)workers, [&](int64_t unit, int worker) {
      multiply(job, num_panels * unit / units, num_panels * (unit + 1) / units, scratch + own * (size_t)worker, put);
    });
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return 0;
}

#else

EXPORT int64_t svlm_byte_panel_bytes(int64_t, int64_t) { return -1; }
EXPORT void svlm_lay_byte_panels(int64_t, int64_t, const int8_t *, int64_t, int64_t, int8_t *) {}
EXPORT void svlm_take_byte_panels(int64_t, int64_t, const int8_t *, int8_t *) {}
EXPORT int svlm_byte_panels_product(int, const void *, int, int64_t, int64_t, const int8_t *, const float *,
                                    const int32_t *, const float *, int64_t, void *) {
  return 2;
}

#endif
