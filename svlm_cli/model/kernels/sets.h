// The instruction sets there are kernels for, from the plainest on.
#pragma once
#include "attention.h"

namespace svlm {

extern const AttentionSet kAttention_plain;
#if defined(__x86_64__)
extern const AttentionSet kAttention_avx2, kAttention_avx512, kAttention_avx512_bf16;
#endif

}  // namespace svlm
