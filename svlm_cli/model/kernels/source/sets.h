// The instruction sets there are kernels for, from the plainest on.
#pragma once
#include "products.h"

#ifndef SVLM_HAS_AMX  // setup.py says so where the compiler knows of tiles
#define SVLM_HAS_AMX 0
#endif

namespace svlm {

bool has_set(int set);  // whether there is one of this number, and this processor has it
// Whether the processor multiplies tiles of bfloat16 and bytes (AMX), and the system lets this process do so.
bool has_tiles();

inline size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

extern const AttentionSet kAttention_plain;
extern const ProductSet kProduct_plain;
#if defined(__x86_64__)
extern const AttentionSet kAttention_avx2, kAttention_avx512, kAttention_avx512_bf16;
extern const ProductSet kProduct_avx2, kProduct_avx512, kProduct_avx512_bf16;
#endif
#if SVLM_HAS_AMX
extern const AttentionSet kAttention_amx;
extern const ProductSet kProduct_amx;
#endif

}  // namespace svlm
