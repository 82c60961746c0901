// Sixteen numbers at a time on processors that multiply bytes (AVX-512 VNNI).
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include <algorithm>

#include "bytes.h"

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

namespace {

inline bool has_vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

VNNI inline __mmask16 first(int64_t count) { return count >= 16 ? 0xffff : (__mmask16)((1u << count) - 1); }

VNNI inline __m512 numbers(const char *from, bool is_bf16, int64_t place, int64_t count) {
  __mmask16 some = first(count);
  if (!is_bf16) return _mm512_maskz_loadu_ps(some, (const float *)from + place);
  __m256i half = _mm256_maskz_loadu_epi16(some, (const uint16_t *)from + place);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

VNNI inline void put(char *to, bool is_bf16, int64_t place, int64_t count, __m512 value) {
  __mmask16 some = first(count);
  if (!is_bf16) return _mm512_mask_storeu_ps((float *)to + place, some, value);
  __m512i bits = _mm512_castps_si512(value);  // to the nearest, ties to even; what is no number stays none
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  __m512i none = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
  rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q), none);
  _mm256_mask_storeu_epi16((uint16_t *)to + place, some, _mm512_cvtepi32_epi16(rounded));
}

// One row to bytes; its scale. A row with a number that is none has a scale that is none.
VNNI inline float row_to_bytes(const char *from, bool is_bf16, int64_t size, int8_t *to) {
  __m512 most = _mm512_setzero_ps(), none = _mm512_setzero_ps();
  for (int64_t i = 0; i < size; i += 16) {
    __m512 value = _mm512_abs_ps(numbers(from, is_bf16, i, size - i));
    most = _mm512_max_ps(most, value);
    none = _mm512_add_ps(none, _mm512_sub_ps(value, value));  // 0, but for what is not finite
  }
  float scale = std::max(_mm512_reduce_max_ps(most), svlm::kTiny) / svlm::kMost + _mm512_reduce_add_ps(none);
  __m512 whole = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < size; i += 16) {
    __m512 value = _mm512_div_ps(numbers(from, is_bf16, i, size - i), whole);
    _mm_mask_storeu_epi8(to + i, first(size - i), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(value)));
  }
  return scale;
}

VNNI inline void rows_to_bytes(const char *from, bool is_bf16, int64_t rows, int64_t size, int8_t *to, int64_t stride,
                        float *scales) {
  for (int64_t row = 0; row < rows; row++)
    scales[row] = row_to_bytes(from + row * size * (is_bf16 ? 2 : 4), is_bf16, size, to + row * stride);
}

VNNI inline void shift(uint8_t *bytes, int64_t count) {
  __m512i half = _mm512_set1_epi8((char)0x80);
  for (int64_t i = 0; i < count; i += 64)
    _mm512_storeu_si512(bytes + i, _mm512_xor_si512(_mm512_loadu_si512(bytes + i), half));
}

}  // namespace
