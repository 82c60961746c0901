// Weights in bytes and in four bits on processors with AVX2, whose products of bytes are of sixteen bits.
#include "bytes.h"
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>

#define SVLM_BYTES 32
#define SVLM_AVX2 1
#define SVLM_AVX512 0
#define SVLM_DOT_BF16 0
#define SVLM_TILES 0
#define SVLM_MANY_REGISTERS 0
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx,avx2,fma,f16c")
#endif

namespace {
#include "vector.inl"
#include "product.inl"
#include "panels.inl"

INLINE vf numbers(const char *from, bool is_bf16, int64_t place, int64_t count) {
  return is_bf16 ? wide_part((const bf16 *)from + place, count) : wide_part((const float *)from + place, count);
}

INLINE void put(char *to, bool is_bf16, int64_t place, int64_t count, vf value) {
  if (is_bf16) narrow_part((bf16 *)to + place, value, count);
  else narrow_part((float *)to + place, value, count);
}

// Numbers to bytes; their scale, which is none where one of them is none. sum: of the bytes, where it is wanted.
float part_to_bytes(const char *from, bool is_bf16, int64_t size, int8_t *to, int32_t *sum) {
  vf most = {}, none = {};
  for (int64_t i = 0; i < size; i += W) {
    vf value = numbers(from, is_bf16, i, size - i);
    none += value - value;  // 0, but for what is not finite
    most = larger((vf)((vi)value & (vi)(0x7fffffff - (vi){})), most);
  }
  float scale = std::max(max_of(most), svlm::kTiny) / svlm::kMost + sum_of(none);
  vi total = {};
  for (int64_t i = 0; i < size; i += W) {
    vi whole = (vi)_mm256_cvtps_epi32((__m256)(numbers(from, is_bf16, i, size - i) / all(scale)));
    vb bytes = __builtin_convertvector(whole, vb);
    total += __builtin_convertvector(bytes, vi);
    memcpy(to + i, &bytes, (size_t)lesser(size - i, W));
  }
  if (sum) {
    *sum = 0;
    for (int i = 0; i < W; i++) *sum += total[i];
  }
  return scale;
}

#include "bytes.inl"
#include "nibbles.inl"
}  // namespace

const svlm::ByteSet svlm::kBytes_avx2 = {PANEL, W, byte_scratch, to_bytes, byte_panels, lay_bytes, take_bytes};
const svlm::NibbleSet svlm::kNibbles_avx2 = {to_groups, outputs_of};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
