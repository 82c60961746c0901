// Products with weights in four bits: groups of 32 inputs share a scale in float16, inputs are brought to bytes
// group by group. Sixteen outputs lie together, group after group: their scales, then the nibbles of four inputs
// and of the four behind them in one vector, so that a word reads weights from end to end.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <new>

#include "bytes.h"
#include "threads.h"

namespace {

using svlm::kBlock, svlm::kGroup, svlm::kOutputs;
int64_t groups_of(int64_t size) { return (size + kGroup - 1) / kGroup; }
int64_t memory_of(int64_t outputs, int64_t size) {
  return (outputs + kOutputs - 1) / kOutputs * groups_of(size) * kBlock;
}

// Where number i of a group of an output stands: its byte and how far it is shifted in it.
struct Place {
  int64_t byte;
  int shift;
};
Place place_of(int64_t output, int64_t i) {
  return {kOutputs * 2 + i / 8 * 64 + output * 4 + i % 4, i % 8 < 4 ? 0 : 4};
}

const svlm::NibbleSet *kernels_of(int set) {
#if defined(__x86_64__)
  return svlm::set_of(set, svlm::kNibbles_avx2, svlm::kNibbles_vnni);
#else
  return nullptr;
#endif
}

}  // namespace

EXPORT int64_t svlm_nibble_bytes(int64_t outputs, int64_t size) { return memory_of(outputs, size); }

// Numbers -8 to 7 (count, size) and scales (count, groups) of outputs [first, first + count) to their places in
// memory that was zeros.
EXPORT void svlm_lay_nibbles(int64_t size, const int8_t *numbers, const uint16_t *scales, int64_t first,
                             int64_t count, uint8_t *memory) {
  int64_t groups = groups_of(size);
  for (int64_t o = first; o < first + count; o++) {
    const int8_t *row = numbers + (o - first) * size;
    for (int64_t g = 0; g < groups; g++) {
      uint8_t *block = memory + (o / kOutputs * groups + g) * kBlock;
      memcpy(block + o % kOutputs * 2, scales + (o - first) * groups + g, 2);
      for (int64_t i = 0; i < kGroup; i++) {
        Place place = place_of(o % kOutputs, i);
        int8_t number = g * kGroup + i < size ? row[g * kGroup + i] : 0;
        block[place.byte] |= (uint8_t)((number + 8) << place.shift);
      }
    }
  }
}

// The same back.
EXPORT void svlm_take_nibbles(int64_t size, int8_t *numbers, uint16_t *scales, int64_t outputs,
                              const uint8_t *memory) {
  int64_t groups = groups_of(size);
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t g = 0; g < groups; g++) {
      const uint8_t *block = memory + (o / kOutputs * groups + g) * kBlock;
      memcpy(scales + o * groups + g, block + o % kOutputs * 2, 2);
      for (int64_t i = 0; i < std::min(kGroup, size - g * kGroup); i++) {
        Place place = place_of(o % kOutputs, i);
        numbers[o * size + g * kGroup + i] = (int8_t)((block[place.byte] >> place.shift & 15) - 8);
      }
    }
}

// out (rows, outputs) = inputs (rows, size) times weights laid by svlm_lay_nibbles. Returns 0, or 1 where memory is
// short, 2 where the processor has no such set.
EXPORT int svlm_nibbles_product(int set, int threads, const void *inputs, int is_bf16, int64_t rows, int64_t size,
                                const uint8_t *memory, const float *bias, int64_t outputs, void *out) {
  const svlm::NibbleSet *kernels = kernels_of(set);
  if (!kernels) return 2;
  int64_t groups = groups_of(size), cells = rows * groups;
  char *scratch = svlm::scratch_of_thread((size_t)(cells * (kGroup + 8)));
  if (!scratch) return 1;
  float *scales = (float *)(scratch + cells * kGroup);
  int32_t *starts = (int32_t *)(scales + cells);
  for (int64_t r = 0; r < rows; r++)
    kernels->to_groups((const char *)inputs + r * size * (is_bf16 ? 2 : 4), is_bf16 != 0, size, groups,
                       (int8_t *)scratch + r * groups * kGroup, scales + r * groups, starts + r * groups);
  svlm::NibbleProduct job = {(int8_t *)scratch, scales, starts, rows, groups, outputs, memory, bias, (char *)out,
                             is_bf16 != 0};
  int64_t blocks = (outputs + kOutputs - 1) / kOutputs;
  int64_t worth = memory_of(outputs, size) * std::max<int64_t>(1, rows / 4) / svlm::kBytesOfThread;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>({threads, worth, blocks}));
  try {
    svlm::share_out(workers, (int)workers, [&](int64_t unit, int) {
      kernels->outputs(job, blocks * unit / workers, blocks * (unit + 1) / workers);
    });
  } catch (const std::bad_alloc &) {
    return 1;
  }
  return 0;
}
