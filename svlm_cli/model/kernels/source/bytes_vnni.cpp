// Weights in bytes and in four bits on processors that multiply bytes (AVX-512 VNNI).
#include "bytes.h"
#if defined(__x86_64__)
#include "vnni.h"

#define SVLM_BYTES 64
#define SVLM_AVX2 0
#define SVLM_AVX512 1
#define SVLM_DOT_BF16 0
#define SVLM_TILES 0
#define SVLM_MANY_REGISTERS 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx,avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx,avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif

namespace {
#include "vector.inl"
#include "product.inl"
#include "panels.inl"
#include "bytes.inl"
#include "nibbles.inl"
}  // namespace

const svlm::ByteSet svlm::kBytes_vnni = {PANEL, W, byte_scratch, to_bytes, byte_panels, lay_bytes, take_bytes};
const svlm::NibbleSet svlm::kNibbles_vnni = {to_groups, outputs_of};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
