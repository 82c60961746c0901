// x86-64 with AVX2 and FMA.
#include "sets.h"
#if defined(__x86_64__)
#include <immintrin.h>

#define SVLM_BYTES 32
#define SVLM_AVX2 1
#define SVLM_AVX512 0
#define SVLM_DOT_BF16 0
#define SVLM_TILES 0
#define SVLM_MANY_REGISTERS 0
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx,avx2,fma")
#endif

namespace {
#include "vector.inl"
#include "product.inl"
#include "attention.inl"
#include "word.inl"
#include "panels.inl"
#include "elements.inl"
}  // namespace

const svlm::AttentionSet svlm::kAttention_avx2 = {scratch_bytes, block, word_bytes, word, join};
const svlm::ProductSet svlm::kProduct_avx2 = {PANEL, W, prepared_bytes, prepare, product_scratch,
                                                panels, lay, take, norm, gate, turn};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
