// What the kernels for weights in signed bytes have in common: inputs are brought to bytes with a scale for each row,
// and whole numbers are added up in 32 bits, so sums are those of any other way.
#pragma once
#include "products.h"

namespace svlm {

// What becomes of the sums of a product.
struct Scaled {
  const float *row_scales, *scales, *bias;
  const int32_t *sums;  // of the rows of weights
  char *out;            // (rows, outputs)
  int64_t outputs;
  bool is_bf16;
};

// The kernels of one instruction set; weights lie in panels as in ProductSet, four inputs of an output side by side.
struct ByteSet {
  int64_t columns, vector;
  size_t (*scratch_bytes)(const Product &);
  void (*to_bytes)(const char *from, bool is_bf16, int64_t rows, int64_t size, int8_t *to, int64_t stride,
                   float *scales);
  void (*panels)(const Product &, int64_t first, int64_t last, char *scratch, const Scaled &);
  void (*lay)(const Product &, const int8_t *rows, int64_t first, int64_t count, int8_t *panels);
  void (*take)(const Product &, int8_t *rows);
};

// Inputs in bytes, group by group, times weights in four bits.
struct NibbleProduct {
  const int8_t *inputs;      // (rows, groups, 32)
  const float *row_scales;   // (rows, groups)
  const int32_t *starts;     // (rows, groups): -8 times the sum of a group
  int64_t rows, groups, outputs;
  const uint8_t *memory;
  const float *bias;
  char *out;
  bool is_bf16;
};

constexpr int64_t kGroup = 32, kOutputs = 16;                     // inputs of a group; outputs that lie together
constexpr int64_t kBlock = kOutputs * 2 + kOutputs * kGroup / 2;  // bytes of a group of those

struct NibbleSet {
  void (*to_groups)(const char *from, bool is_bf16, int64_t size, int64_t groups, int8_t *to, float *scales,
                    int32_t *starts);
  void (*outputs)(const NibbleProduct &, int64_t first, int64_t last);  // in blocks of kOutputs
};

#if defined(__x86_64__)
extern const ByteSet kBytes_avx2, kBytes_vnni;
extern const NibbleSet kNibbles_avx2, kNibbles_vnni;
#endif

constexpr float kTiny = 1.17549435e-38f, kMost = 127.0f;  // a scale's least, a byte's most

// What this processor multiplies bytes by: 2 with instructions for it (AVX-512 VNNI), 1 with AVX2's, 0 not at all.
int byte_set();

// The kernels of such a set; none where the processor lacks it.
template <class Kernels>
const Kernels *set_of(int number, const Kernels &avx2, const Kernels &vnni) {
  if (number < 1 || number > byte_set()) return nullptr;
  return number == 1 ? &avx2 : &vnni;
}

}  // namespace svlm
