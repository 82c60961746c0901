// The instruction sets there are kernels for, from the plainest on.
#pragma once
#include "products.h"

namespace svlm {

bool has_set(int set);  // whether there is one of this number, and this processor has it

inline size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

extern const AttentionSet kAttention_plain;
extern const ProductSet kProduct_plain;
#if defined(__x86_64__)
extern const AttentionSet kAttention_avx2, kAttention_avx512, kAttention_avx512_bf16;
extern const ProductSet kProduct_avx2, kProduct_avx512, kProduct_avx512_bf16;
#endif

}  // namespace svlm
