// Products of few rows with weights in signed bytes: what a word costs. Whole numbers are added up in 32 bits, so
// the sums are those of any other way; inputs are brought to bytes and sums scaled back in the same call.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <new>

#include "threads.h"

#if defined(__x86_64__)
#include "vnni.h"

namespace {

struct Job {
  const uint8_t *inputs;  // rows of `stride` bytes, 128 added to each, zeros (so 128) behind
  const float *row_scales;
  int64_t rows, size, stride, outputs;
  const int8_t *weights;
  const float *scales, *bias;
  const int32_t *sums;
  char *out;
  bool is_bf16;
};

// The sums of sixteen vectors, in their order.
VNNI inline __m512i sixteen_sums(const __m512i v[16]) {
  __m512i fours[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    __m512i a = v[4 * i], b = v[4 * i + 1], c = v[4 * i + 2], d = v[4 * i + 3];
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    fours[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  }
  __m512i low = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[0], fours[1], 0x88),
                                 _mm512_shuffle_i32x4(fours[0], fours[1], 0xdd));
  __m512i high = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[2], fours[3], 0x88),
                                  _mm512_shuffle_i32x4(fours[2], fours[3], 0xdd));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd));
}

// kOutputs x kRows sums: a weight is read once for kRows rows. sums[r * kOutputs + o].
template <int kOutputs, int kRows>
VNNI inline void tile(const Job &job, int64_t output, int64_t row, __m512i *sums) {
#pragma GCC unroll 16
  for (int i = 0; i < kOutputs * kRows; i++) sums[i] = _mm512_setzero_si512();
  const int8_t *weights = job.weights + output * job.size;
  const uint8_t *inputs = job.inputs + row * job.stride;
  for (int64_t i = 0; i < job.size; i += 64) {
    __mmask64 some = job.size - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (job.size - i)) - 1;
    __m512i x[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) x[r] = _mm512_loadu_si512(inputs + r * job.stride + i);
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; o++) {
      if (kOutputs > 1)  // several streams of memory at once are more than the processor foresees
        _mm_prefetch((const char *)(weights + (o + 2 * kOutputs) * job.size + i), _MM_HINT_T0);
      __m512i w = _mm512_maskz_loadu_epi8(some, weights + o * job.size + i);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; r++)
        sums[r * kOutputs + o] = _mm512_dpbusd_epi32(sums[r * kOutputs + o], x[r], w);
    }
  }
}

VNNI inline void put_sums(const Job &job, int64_t output, int64_t row, int64_t count, __m512i sums) {
  __mmask16 some = first(count);
  sums = _mm512_sub_epi32(sums, _mm512_slli_epi32(_mm512_maskz_loadu_epi32(some, job.sums + output), 7));
  __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_maskz_loadu_ps(some, job.scales + output));
  value = _mm512_mul_ps(value, _mm512_set1_ps(job.row_scales[row]));
  if (job.bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, job.bias + output));
  put(job.out, job.is_bf16, row * job.outputs + output, count, value);
}

VNNI inline void one_row(const Job &job, int64_t output, int64_t row) {
  __m512i sums[16];
  int64_t count = std::min<int64_t>(16, job.outputs - output);
  for (int o = 0; o < 16; o++) {
    if (o < count)
      tile<1, 1>(job, output + o, row, sums + o);
    else
      sums[o] = _mm512_setzero_si512();
  }
  put_sums(job, output, row, count, sixteen_sums(sums));
}

VNNI inline void four_rows(const Job &job, int64_t output, int64_t row) {
  alignas(64) int32_t found[4][16] = {};
  int64_t count = std::min<int64_t>(16, job.outputs - output), o = 0;
  __m512i sums[16];
  for (; o + 4 <= count; o += 4) {
    tile<4, 4>(job, output + o, row, sums);
    __m512i all = sixteen_sums(sums);
    _mm_store_si128((__m128i *)(found[0] + o), _mm512_castsi512_si128(all));
    _mm_store_si128((__m128i *)(found[1] + o), _mm512_extracti32x4_epi32(all, 1));
    _mm_store_si128((__m128i *)(found[2] + o), _mm512_extracti32x4_epi32(all, 2));
    _mm_store_si128((__m128i *)(found[3] + o), _mm512_extracti32x4_epi32(all, 3));
  }
  for (; o < count; o++) {
    tile<1, 4>(job, output + o, row, sums);
    for (int r = 0; r < 4; r++) found[r][o] = _mm512_reduce_add_epi32(sums[r]);
  }
  for (int r = 0; r < 4; r++) put_sums(job, output, row + r, count, _mm512_load_si512(found[r]));
}

VNNI void outputs_of(const Job &job, int64_t from, int64_t to) {
  for (int64_t output = from; output < to; output += 16) {
    int64_t row = 0;
    for (; job.rows - row >= 4; row += 4) four_rows(job, output, row);
    for (; row < job.rows; row++) one_row(job, output, row);
  }
}

}  // namespace

// out (rows, outputs) = inputs (rows, size) times weights (outputs, size) of bytes with a scale each, whose sums
// are given. Returns 0, or 1 where memory is short, 2 where the processor has not what it needs.
EXPORT int svlm_bytes_rows(int threads, const void *inputs, int is_bf16, int64_t rows, int64_t size,
                           const int8_t *weights, const float *scales, const int32_t *sums, const float *bias,
                           int64_t outputs, void *out) {
  if (!has_vnni()) return 2;
  int64_t stride = (size + 63) / 64 * 64;
  char *memory = svlm::scratch_of_thread((size_t)(rows * stride + rows * 64));
  if (!memory) return 1;
  uint8_t *bytes = (uint8_t *)memory;
  float *row_scales = (float *)(memory + rows * stride);
  if (stride != size) memset(bytes, 0, (size_t)(rows * stride));
  rows_to_bytes((const char *)inputs, is_bf16 != 0, rows, size, (int8_t *)bytes, stride, row_scales);
  shift(bytes, rows * stride);
  Job job = {bytes, row_scales, rows, size, stride, outputs, weights, scales, bias, sums, (char *)out, is_bf16 != 0};
  int64_t blocks = (outputs + 15) / 16;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>(threads, outputs * size / svlm::kBytesOfThread));
  try {
    svlm::share_out(workers, (int)workers, [&](int64_t unit, int) {
      int64_t to = std::min(outputs, blocks * (unit + 1) / workers * 16);
      outputs_of(job, blocks * unit / workers * 16, to);
    });
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return 0;
}

// Rows (rows, size) to bytes of the same shape and a scale each.
EXPORT int svlm_to_bytes(const void *inputs, int is_bf16, int64_t rows, int64_t size, int8_t *bytes,
                         float *scales) {
  if (!has_vnni()) return 2;
  rows_to_bytes((const char *)inputs, is_bf16 != 0, rows, size, bytes, size, scales);
  return 0;
}

namespace {
VNNI void scaled(const int32_t *sums, int64_t rows, int64_t outputs, const float *row_scales, const float *scales,
                 const float *bias, char *out, bool is_bf16) {
  for (int64_t row = 0; row < rows; row++) {
    __m512 own = _mm512_set1_ps(row_scales[row]);
    for (int64_t o = 0; o < outputs; o += 16) {
      __mmask16 some = first(outputs - o);
      __m512 value = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(some, sums + row * outputs + o));
      value = _mm512_mul_ps(_mm512_mul_ps(value, _mm512_maskz_loadu_ps(some, scales + o)), own);
      if (bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, bias + o));
      put(out, is_bf16, row * outputs + o, outputs - o, value);
    }
  }
}
}  // namespace

// Sums of bytes (rows, outputs) to numbers.
EXPORT int svlm_from_sums(const int32_t *sums, int64_t rows, int64_t outputs, const float *row_scales,
                          const float *scales, const float *bias, void *out, int is_bf16) {
  if (!has_vnni()) return 2;
  scaled(sums, rows, outputs, row_scales, scales, bias, (char *)out, is_bf16 != 0);
  return 0;
}

#else

EXPORT int svlm_bytes_rows(int, const void *, int, int64_t, int64_t, const int8_t *, const float *, const int32_t *,
                           const float *, int64_t, void *) {
  return 2;
}
EXPORT int svlm_to_bytes(const void *, int, int64_t, int64_t, int8_t *, float *) { return 2; }
EXPORT int svlm_from_sums(const int32_t *, int64_t, int64_t, const float *, const float *, const float *, void *,
                          int) {
  return 2;
}

#endif
