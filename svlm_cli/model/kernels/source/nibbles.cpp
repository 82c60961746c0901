// Products with weights in four bits: groups of 32 inputs share a scale in float16, inputs are brought to bytes
// group by group. Sixteen outputs lie together, group after group: their scales, then the nibbles of four inputs
// and of the four behind them in one vector, so that a word reads weights from end to end.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <new>

#include "threads.h"

namespace {

constexpr int64_t kGroup = 32, kOutputs = 16, kBlock = kOutputs * 2 + kOutputs * kGroup / 2;  // bytes of a group
constexpr int64_t kBytesOfThread = 1 << 19;  // of weights that a thread is worth

int64_t groups_of(int64_t size) { return (size + kGroup - 1) / kGroup; }
int64_t bytes_of(int64_t outputs, int64_t size) {
  return (outputs + kOutputs - 1) / kOutputs * groups_of(size) * kBlock;
}

// Where number i of a group of an output stands: its byte and how far it is shifted in it.
struct Place {
  int64_t byte;
  int shift;
};
Place place_of(int64_t output, int64_t i) {
  return {kOutputs * 2 + i / 8 * 64 + output * 4 + i % 4, i % 8 < 4 ? 0 : 4};
}

}  // namespace

EXPORT int64_t svlm_nibble_bytes(int64_t outputs, int64_t size) { return bytes_of(outputs, size); }

// Numbers -8 to 7 (count, size) and scales (count, groups) of outputs [first, first + count) to their places in
// memory that was zeros.
EXPORT void svlm_lay_nibbles(int64_t size, const int8_t *numbers, const uint16_t *scales, int64_t first,
                             int64_t count, uint8_t *memory) {
  int64_t groups = groups_of(size);
  for (int64_t o = first; o < first + count; o++) {
    const int8_t *row = numbers + (o - first) * size;
    for (int64_t g = 0; g < groups; g++) {
      uint8_t *block = memory + (o / kOutputs * groups + g) * kBlock;
      memcpy(block + o % kOutputs * 2, scales + (o - first) * groups + g, 2);
      for (int64_t i = 0; i < kGroup; i++) {
        Place place = place_of(o % kOutputs, i);
        int8_t number = g * kGroup + i < size ? row[g * kGroup + i] : 0;
        block[place.byte] |= (uint8_t)((number + 8) << place.shift);
      }
    }
  }
}

// The same back.
EXPORT void svlm_take_nibbles(int64_t size, int8_t *numbers, uint16_t *scales, int64_t outputs,
                              const uint8_t *memory) {
  int64_t groups = groups_of(size);
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t g = 0; g < groups; g++) {
      const uint8_t *block = memory + (o / kOutputs * groups + g) * kBlock;
      memcpy(scales + o * groups + g, block + o % kOutputs * 2, 2);
      for (int64_t i = 0; i < std::min(kGroup, size - g * kGroup); i++) {
        Place place = place_of(o % kOutputs, i);
        numbers[o * size + g * kGroup + i] = (int8_t)((block[place.byte] >> place.shift & 15) - 8);
      }
    }
}

#if defined(__x86_64__)
#include "vnni.h"

namespace {

enum { MOST_ROWS = 6 };

struct Job {
  const int8_t *inputs;      // (rows, groups, 32)
  const float *row_scales;   // (rows, groups)
  const int32_t *starts;     // (rows, groups): -8 times the sum of a group
  int64_t rows, groups, outputs;
  const uint8_t *memory;
  const float *bias;
  char *out;
  bool is_bf16;
};

VNNI void to_groups(const char *from, bool is_bf16, int64_t size, int64_t groups, int8_t *to, float *scales,
                    int32_t *starts) {
  for (int64_t g = 0; g < groups; g++, to += kGroup) {
    int64_t left = size - g * kGroup;
    __m512 a = numbers(from, is_bf16, g * kGroup, left);
    __m512 b = left > 16 ? numbers(from, is_bf16, g * kGroup + 16, left - 16) : _mm512_setzero_ps();
    __m512 none = _mm512_add_ps(_mm512_sub_ps(a, a), _mm512_sub_ps(b, b));  // 0, but for what is not finite
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    scales[g] = std::max(most, kTiny) / kMost + _mm512_reduce_add_ps(none);
    __m512 whole = _mm512_set1_ps(scales[g]);
    __m512i x = _mm512_cvtps_epi32(_mm512_div_ps(a, whole)), y = _mm512_cvtps_epi32(_mm512_div_ps(b, whole));
    _mm_storeu_si128((__m128i *)to, _mm512_cvtsepi32_epi8(x));
    _mm_storeu_si128((__m128i *)(to + 16), _mm512_cvtsepi32_epi8(y));
    starts[g] = -8 * _mm512_reduce_add_epi32(_mm512_add_epi32(x, y));
  }
}

template <int R>
VNNI inline void sixteen(const Job &job, const uint8_t *block, int64_t row, int64_t output) {
  __m512 sums[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) sums[r] = _mm512_setzero_ps();
  const __m512i low = _mm512_set1_epi8(15);
  for (int64_t g = 0; g < job.groups; g++, block += kBlock) {
    __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)block));
    __m512i w[8];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
      __m512i both = _mm512_loadu_si512(block + kOutputs * 2 + v * 64);
      w[2 * v] = _mm512_and_si512(both, low);
      w[2 * v + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      int64_t at = (row + r) * job.groups + g;
      const int8_t *x = job.inputs + at * kGroup;
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

VNNI void outputs_of(const Job &job, int64_t from, int64_t to) {
  for (int64_t n = from; n < to; n++) {
    const uint8_t *block = job.memory + n * job.groups * kBlock;
    int64_t row = 0, output = n * kOutputs;
    for (; job.rows - row >= MOST_ROWS; row += MOST_ROWS) sixteen<MOST_ROWS>(job, block, row, output);
    if (job.rows - row >= 4) sixteen<4>(job, block, row, output), row += 4;
    if (job.rows - row >= 2) sixteen<2>(job, block, row, output), row += 2;
    if (job.rows - row >= 1) sixteen<1>(job, block, row, output);
  }
}

}  // namespace

// out (rows, outputs) = inputs (rows, size) times weights laid by svlm_lay_nibbles. Returns 0, or 1 where memory is
// short, 2 where the processor has not what it needs.
EXPORT int svlm_nibbles_product(int threads, const void *inputs, int is_bf16, int64_t rows, int64_t size,
                                const uint8_t *memory, const float *bias, int64_t outputs, void *out) {
  if (!has_vnni()) return 2;
  int64_t groups = groups_of(size), cells = rows * groups;
  char *scratch = svlm::scratch_of_thread((size_t)(cells * (kGroup + 8)));
  if (!scratch) return 1;
  float *scales = (float *)(scratch + cells * kGroup);
  int32_t *starts = (int32_t *)(scales + cells);
  for (int64_t r = 0; r < rows; r++)
    to_groups((const char *)inputs + r * size * (is_bf16 ? 2 : 4), is_bf16 != 0, size, groups,
              (int8_t *)scratch + r * groups * kGroup, scales + r * groups, starts + r * groups);
  Job job = {(int8_t *)scratch, scales, starts, rows, groups, outputs, memory, bias, (char *)out, is_bf16 != 0};
  int64_t blocks = (outputs + kOutputs - 1) / kOutputs;
  int64_t worth = bytes_of(outputs, size) * std::max<int64_t>(1, rows / 4) / kBytesOfThread;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>({threads, worth, blocks}));
  try {
    svlm::share_out(workers, (int)workers, [&](int64_t unit, int) {
      outputs_of(job, blocks * unit / workers, blocks * (unit + 1) / workers);
    });
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return 0;
}

#else

EXPORT int svlm_nibbles_product(int, const void *, int, int64_t, int64_t, const uint8_t *, const float *, int64_t,
                                void *) {
  return 2;
}

#endif
