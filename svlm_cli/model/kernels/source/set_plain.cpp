// Every processor: the 16-byte vectors that are part of x86-64 (SSE2) and of AArch64 (NEON), else none.
#include "sets.h"

#define SVLM_BYTES 16
#define SVLM_AVX2 0
#define SVLM_AVX512 0
#define SVLM_DOT_BF16 0
#define SVLM_TILES 0
#if defined(__aarch64__)
#define SVLM_MANY_REGISTERS 1
#else
#define SVLM_MANY_REGISTERS 0
#endif

namespace {
#include "vector.inl"
#include "product.inl"
#include "attention.inl"
#include "word.inl"
#include "panels.inl"
#include "elements.inl"
}  // namespace

const svlm::AttentionSet svlm::kAttention_plain = {scratch_bytes, block, word_bytes, word, join};
const svlm::ProductSet svlm::kProduct_plain = {PANEL, W, prepared_bytes, prepare, product_scratch,
                                                panels, lay, take, norm, gate, turn};
