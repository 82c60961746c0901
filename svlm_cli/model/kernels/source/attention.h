// What one call of the attention kernels is about. Sizes are in numbers, strides too, unless they say bytes.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace svlm {

enum Format : int32_t { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };  // int8: a row is D bytes and a float32 scale

struct Attention {
  const char *query, *key, *value;
  char *out;
  Format query_format, state_format;             // of query and out; of key and value
  int64_t num_heads, group, head_size;           // H key heads, g query heads to each, D
  int64_t num_new, num_held;                     // m and n + m, where there are no bounds
  const int64_t *bounds;                         // of sequences that see themselves alone, or null
  int64_t num_sequences;
  int64_t query_head, query_row;                 // strides of the query
  int64_t key_head, key_row, value_head, value_row;
  int64_t out_head, out_row;
  float scale;
  bool is_causal;                                // the last m keys are the new tokens' own
  int64_t chunk, num_chunks;                     // query rows of a unit; units of a head
};

// The kernels of one instruction set.
struct AttentionSet {
  size_t (*scratch_bytes)(const Attention &);
  void (*block)(const Attention &, int64_t unit, char *scratch);  // unit: sequence, head, chunk of rows
  size_t (*word_bytes)(const Attention &);
  // One query token of a head over keys [first, last): unnormalised rows (g, padded D), maxima, sums.
  void (*word)(const Attention &, int64_t head, int64_t first, int64_t last, char *scratch);
  void (*join)(const Attention &, int64_t head, int64_t num_parts, char *const *scratch);
};

}  // namespace svlm
