// x86-64 with products of tiles (AMX: Sapphire Rapids and newer), beside all that avx512_bf16 has.
#include "sets.h"
#if SVLM_HAS_AMX
#include <immintrin.h>

#define SVLM_BYTES 64
#define SVLM_AVX2 0
#define SVLM_AVX512 1
#define SVLM_DOT_BF16 1
#define SVLM_TILES 1
#define SVLM_MANY_REGISTERS 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx,avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx512bf16,amx-tile,amx-bf16,amx-int8"))), apply_to = function)
#else
#pragma GCC target("avx,avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx512bf16,amx-tile,amx-bf16,amx-int8")
#endif

namespace {
#include "vector.inl"
#include "product.inl"
#include "tiles.inl"
#include "attention.inl"
#include "word.inl"
#include "panels.inl"
#include "elements.inl"
}  // namespace

const svlm::AttentionSet svlm::kAttention_amx = {scratch_bytes, block, word_bytes, word, join};
const svlm::ProductSet svlm::kProduct_amx = {PANEL, W, prepared_bytes, prepare, product_scratch,
                                             panels, lay, take, norm, gate, turn};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
